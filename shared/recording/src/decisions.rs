//! The pure decisions of the protocol. The model in `tests/models` calls them too.

pub use crate::egress::Egress;
pub use crate::events::{Applied, Unrecorded, unrecorded};
pub use crate::slots::leaked;
pub use crate::start::{LEASE_SECONDS, Plan, begin_or_adopt, plan};
pub use crate::stop::{Unfinished, stopped_at, unfinished};
pub use crate::sweep::{Running, judge};
