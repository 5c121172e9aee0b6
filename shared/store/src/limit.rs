//! Rate limits: requests per source, and the counters that other limits share a transaction with.
//!
//! A counter covers a fixed window. It is conditional: a refused request does not count, and a transaction tells which
//! of its limits refused. Email addresses are stored as SHA-256 hashes: the table does not list who tried to sign in.

use std::net::IpAddr;

use api::{ApiError, Client, Reason, clock, metrics};
use aws_sdk_dynamodb::types::AttributeValue;

use crate::attributes::number;
use crate::table::Table;
use crate::write::{Write, Written};

/// At most `max` requests in each window of `seconds`.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Requests per window.
    pub max: u64,
    /// Length of a window.
    pub seconds: u64,
}

/// A limit per source: an IPv4 address, or the /64 network of an IPv6 address, which one customer controls.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimit {
    /// Name of the endpoint.
    pub scope: &'static str,
    /// The limit. It is higher than a person needs, because an office shares one address.
    pub rate: Rate,
}

impl SourceLimit {
    /// Counts a request, and refuses it above the limit.
    ///
    /// # Errors
    /// `rate_limited` with the seconds until the window ends; `store_unavailable`.
    pub async fn admit(&self, table: &Table, client: &Client) -> Result<(), ApiError> {
        let now = clock::now();
        let counter = self.counter(client, now);
        match table.update(counter.count()).await? {
            Written::Done(_) => Ok(()),
            Written::Refused(_) => Err(counter.refusal(now)),
        }
    }

    /// The counter of a client's source.
    pub(crate) fn counter(&self, client: &Client, now: u64) -> Counter {
        Counter::new(self.scope, &format!("source:{}", source(client)), self.rate, now)
    }
}

/// The counter of one window.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    scope: &'static str,
    pk: String,
    max: u64,
    window_end: u64,
}

impl Counter {
    pub(crate) fn new(scope: &'static str, key: &str, rate: Rate, now: u64) -> Self {
        let window_end = (now / rate.seconds + 1) * rate.seconds;
        Self { scope, pk: format!("limit#{scope}#{key}#{window_end}"), max: rate.max, window_end }
    }

    /// Counts one request if the limit allows it.
    pub(crate) fn count(&self) -> Write {
        Write::to(self.pk.clone())
            .only_if("attribute_not_exists(#requests) OR #requests < :max")
            .bind("max", number(self.max))
            .add("requests", number(1))
            .set("expires_at", number(self.window_end))
    }

    /// Takes a request back.
    pub(crate) fn uncount(&self) -> Write {
        Write::to(self.pk.clone())
            .only_if("#requests > :none")
            .bind("none", number(0))
            .add("requests", AttributeValue::N("-1".to_owned()))
    }

    /// The error for a request above the limit.
    #[track_caller]
    pub(crate) fn refusal(&self, now: u64) -> ApiError {
        refused(self.scope, self.window_end.saturating_sub(now))
    }
}

/// The error for a request above a limit.
#[track_caller]
pub(crate) fn refused(scope: &'static str, retry_after: u64) -> ApiError {
    metrics::count("RateLimited", &[("Scope", scope)]);
    ApiError::new(Reason::RateLimited).retry_after(retry_after.max(1))
}

/// The source that requests are counted by.
fn source(client: &Client) -> String {
    match client.ip.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => client.ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_canonical().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_source_is_its_64_network() {
        let of = |ip: &str| source(&Client { ip: ip.parse().ok(), user_agent: None });
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2:ffff::"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(of(""), "unknown");
    }

    #[test]
    fn a_refusal_names_the_seconds_until_the_window_ends() {
        let counter = Counter::new("sign-in", "source:x", Rate { max: 1, seconds: 600 }, 1_200);
        assert_eq!(counter.refusal(1_200).wait(), Some(600));
        assert_eq!(counter.refusal(1_799).wait(), Some(1));
    }
}
