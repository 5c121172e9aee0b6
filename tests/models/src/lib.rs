//! Models of the two protocols in which several requests meet: a session (refresh, switch, sign-out) and the recording
//! of a room (start, stop, webhook, sweep).
//!
//! There is nothing but tests here. A model explores every interleaving of a few requests, with a bounded number of
//! faults. It calls the product's pure decisions, and mirrors the conditions of its writes in functions that are named
//! after the methods of `store::Table`.
