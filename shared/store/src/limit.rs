//! Rate limits: counters and cooldowns.
//!
//! A counter covers a fixed window, per email address or per source IP. A cooldown admits one request and then none until
//! it expires. Each costs one write. Email addresses are stored as SHA-256 hashes: the table does not list who tried to
//! sign in.

use api::{ApiError, Client, EmailAddress, Reason, clock, metrics, random};
use aws_sdk_dynamodb::types::ReturnValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use crate::attributes::{Reader, number, text};
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

/// The limits of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Name of the endpoint.
    pub scope: &'static str,
    /// Per email address.
    pub per_address: Rate,
    /// Per source IP. It is higher, because an office shares one.
    pub per_source: Rate,
}

/// A limit per source IP.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimit {
    /// Name of the endpoint.
    pub scope: &'static str,
    /// The limit.
    pub rate: Rate,
}

/// One request per email address, then none for `seconds`.
#[derive(Clone, Copy, Debug)]
pub struct Cooldown {
    /// Name of the endpoint.
    pub scope: &'static str,
    /// Duration.
    pub seconds: u64,
}

impl Limits {
    /// Counts a request, and refuses it above a limit.
    ///
    /// # Errors
    /// `rate_limited` with the seconds until the window ends; `store_unavailable`.
    pub async fn admit(&self, table: &Table, email: &EmailAddress, client: &Client) -> Result<(), ApiError> {
        let by_source = SourceLimit { scope: self.scope, rate: self.per_source };
        let address = format!("address:{}", hash(&email.folded()));
        let (by_address, by_source) = tokio::join!(
            count(table, self.scope, &address, self.per_address),
            by_source.admit(table, client),
        );
        by_address.and(by_source)
    }
}

impl SourceLimit {
    /// Counts a request, and refuses it above the limit.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub async fn admit(&self, table: &Table, client: &Client) -> Result<(), ApiError> {
        count(table, self.scope, &format!("source:{}", client.ip_text()), self.rate).await
    }
}

impl Cooldown {
    /// Starts the cooldown of an address, or refuses the request during it.
    ///
    /// # Errors
    /// `rate_limited` with the remaining seconds; `store_unavailable`; `internal` without random bytes.
    pub async fn admit(&self, table: &Table, email: &EmailAddress) -> Result<(), ApiError> {
        let now = clock::now();
        let owner = random::id()?;
        let start = Write::to(self.pk(email))
            .only_if("attribute_not_exists(pk) OR expires_at <= :now")
            .bind("now", number(now))
            .set("expires_at", number(now + self.seconds))
            .set("cooldown_owner", text(&owner));
        let Written::Refused(item) = table.update(start).await? else { return Ok(()) };
        let held = item.as_ref().map(Reader);
        // The SDK repeats a write whose response was lost; the condition then fails on our own cooldown.
        if held.as_ref().and_then(|held| held.optional_text("cooldown_owner")) == Some(owner) {
            return Ok(());
        }
        let until = held.and_then(|held| held.optional_number("expires_at"));
        Err(refused(self.scope, until.map_or(self.seconds, |until| until.saturating_sub(now).max(1))))
    }

    /// Ends the cooldown of an address early, because the request failed. If that fails too, it expires by itself.
    pub async fn cancel(&self, table: &Table, email: &EmailAddress) {
        let end = Write::to(self.pk(email)).set("expires_at", number(clock::now()));
        if let Err(error) = table.update(end).await {
            tracing::warn!(cause = error.cause(), "a cooldown was not cancelled");
        }
    }

    fn pk(&self, email: &EmailAddress) -> String {
        format!("limit#{}#cooldown:{}", self.scope, hash(&email.folded()))
    }
}

async fn count(table: &Table, scope: &'static str, key: &str, rate: Rate) -> Result<(), ApiError> {
    let now = clock::now();
    let window_end = (now / rate.seconds + 1) * rate.seconds;
    let count = Write::to(format!("limit#{scope}#{key}#{window_end}"))
        .add("requests", number(1))
        .set("expires_at", number(window_end))
        .returning(ReturnValue::AllNew);
    let requests = match table.update(count).await? {
        Written::Done(item) => item.and_then(|item| Reader(&item).optional_number("requests")).unwrap_or(0),
        Written::Refused(_) => 0,
    };
    if requests > rate.max { Err(refused(scope, window_end - now)) } else { Ok(()) }
}

#[track_caller]
fn refused(scope: &'static str, retry_after: u64) -> ApiError {
    metrics::count("RateLimited", &[("Scope", scope)]);
    ApiError::new(Reason::RateLimited).retry_after(retry_after)
}

/// SHA-256 as base64url.
fn hash(value: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, value.as_bytes()))
}
