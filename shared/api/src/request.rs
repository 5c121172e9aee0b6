//! The request that an endpoint receives.

use std::net::IpAddr;

use crate::{ApiError, Caller, Cookies, Reason};

/// A request whose origin, caller and input have been checked.
///
/// ```
/// use api::{ApiError, Nothing, Request, Response};
///
/// async fn who_am_i(req: Request<Nothing>) -> Result<Response<String>, ApiError> {
///     Ok(Response::new(format!("{} at {}", req.caller()?.email, req.client.ip_text())))
/// }
/// ```
#[derive(Debug)]
pub struct Request<I> {
    /// Body, path and query, as the endpoint's own type.
    pub input: I,
    /// The client's address and user agent.
    pub client: Client,
    /// The request's cookies, or what a client without cookies sent in their place, see [`crate::transport`].
    pub cookies: Cookies,
    /// The token of `Authorization: Bearer`, from clients without cookies.
    pub bearer: Option<crate::Secret>,
    pub(crate) caller: Option<Caller>,
}

impl<I> Request<I> {
    /// The signed-in caller: always present behind the authorizer, never elsewhere.
    ///
    /// # Errors
    /// `not_signed_in` if there is no caller.
    pub fn caller(&self) -> Result<&Caller, ApiError> {
        self.caller.as_ref().ok_or_else(|| Reason::NotSignedIn.into())
    }
}

/// The client, as API Gateway reports it. The address is never taken from a header, which the client could set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The source address of the connection.
    pub ip: Option<IpAddr>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
}

impl Client {
    /// The address as text; `unknown` if the event has none.
    pub fn ip_text(&self) -> String {
        self.ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string())
    }
}

/// The token of an `Authorization` header with the scheme `Bearer` (RFC 6750, section 2.1).
pub fn bearer(authorization: &str) -> Option<crate::Secret> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| crate::Secret::new(token.trim()))
}
