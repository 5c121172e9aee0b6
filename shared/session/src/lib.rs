//! The life of a session: begun by a sign-in, checked at every protected request, refreshed, moved to another
//! organization, ended.
//!
//! A session token is 32 random bytes. The browser holds it in a cookie; the table holds its SHA-256 as the key and the
//! WorkOS refresh token sealed under a key that only the token gives. So the table alone gives no usable credential,
//! there is no server key to keep or rotate, and a stolen copy of the table lets nobody in.

mod authenticate;
pub mod examples;
mod lifetimes;
mod sessions;
mod signed_in;
mod switch;
mod token;

pub use authenticate::{Authenticator, REFRESH_GRACE_SECONDS};
pub use lifetimes::{Lifetimes, SESSION_ABSOLUTE_SECONDS, SESSION_IDLE_SECONDS};
pub use sessions::{SESSION_COOKIE, Sessions};
pub use signed_in::SignedIn;
pub use token::SessionToken;
