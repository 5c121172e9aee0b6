//! The Lambda authorizer of the protected routes: lets a request pass if its session is good, and tells the functions
//! who calls.
//!
//! It has no identity source and no result cache, so that cookie and bearer both work and a sign-out holds at once.
//! Where it cannot tell, because the store or WorkOS failed, it passes the request on with that word, and the function
//! answers 503 in our error shape: a 403 would tell clients that they are signed out.

pub use session::Authenticator as Context;

use api::caller::Verdict;
use api::{Client, Cookies, Secret};

/// The function's name.
pub const NAME: &str = "authorizer";

/// Answers a request.
pub async fn handle(
    ctx: &Context,
    cookies: Cookies,
    bearer: Option<Secret>,
    client: Client,
) -> Option<Verdict> {
    ctx.authenticate(cookies, bearer, client).await
}
