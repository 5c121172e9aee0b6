//! A request as an endpoint sees it.

use std::net::IpAddr;

use crate::{ApiError, Caller, Cookies, Reason};

/// A request whose origin, caller and input have been checked.
#[derive(Debug)]
pub struct Request<I> {
    /// The body, or path and query, as the endpoint's own type.
    pub input: I,
    /// Where the request comes from.
    pub client: Client,
    /// The request's cookies.
    pub cookies: Cookies,
    /// The token of `Authorization: Bearer`, for clients without cookies.
    pub bearer: Option<crate::Secret>,
    pub(crate) caller: Option<Caller>,
}

impl<I> Request<I> {
    /// The signed-in caller. An endpoint behind the authorizer always has one, any other never.
    ///
    /// # Errors
    /// `not_signed_in` if there is none.
    pub fn caller(&self) -> Result<&Caller, ApiError> {
        self.caller.as_ref().ok_or_else(|| Reason::NotSignedIn.into())
    }
}

/// Where a request comes from, as API Gateway reports it: never from a header that the client could set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The address of the connection.
    pub ip: Option<IpAddr>,
    /// The `User-Agent`.
    pub user_agent: Option<String>,
}

impl Client {
    /// The address as text; `unknown` if the event has none.
    pub fn ip_text(&self) -> String {
        self.ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string())
    }
}

/// The token of an `Authorization` header with the scheme `Bearer` (RFC 6750 2.1).
pub fn bearer(authorization: &str) -> Option<crate::Secret> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| crate::Secret::new(token.trim()))
}
