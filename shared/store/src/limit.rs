//! Rate limits: counters and cooldowns with TTL.
//!
//! A counter is kept per address and per source of the connection, in windows of fixed length; a cooldown lets one
//! request pass and then none until it is over. Each costs one write. Addresses are stored as SHA-256, so that the table
//! holds no list of who tried to sign in.

use api::{ApiError, Client, EmailAddress, Reason, clock, metrics, random};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use crate::attributes::{Reader, number, text};
use crate::table::{Table, unavailable};

/// At most `max` requests in each window of `seconds`.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many requests pass in a window.
    pub max: u64,
    /// How long a window is.
    pub seconds: u64,
}

/// The limits of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The endpoint's name.
    pub scope: &'static str,
    /// Per email address.
    pub per_address: Rate,
    /// Per address of the connection. Offices share one, so it is wider.
    pub per_source: Rate,
}

/// A limit per address of the connection alone.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimit {
    /// The endpoint's name.
    pub scope: &'static str,
    /// How many.
    pub rate: Rate,
}

/// One request per address, then none for `seconds`.
#[derive(Clone, Copy, Debug)]
pub struct Cooldown {
    /// The endpoint's name.
    pub scope: &'static str,
    /// How long.
    pub seconds: u64,
}

impl Limits {
    /// Counts a request and refuses it where a limit is passed.
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
    /// Counts a request and refuses it where the limit is passed.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub async fn admit(&self, table: &Table, client: &Client) -> Result<(), ApiError> {
        count(table, self.scope, &format!("source:{}", client.ip_text()), self.rate).await
    }
}

impl Cooldown {
    /// Begins the cooldown for an address, or refuses where it is under way.
    ///
    /// # Errors
    /// `rate_limited` with the seconds that are left; `store_unavailable`.
    pub async fn admit(&self, table: &Table, email: &EmailAddress) -> Result<(), ApiError> {
        let now = clock::now();
        let owner = random::id()?;
        let result = table
            .client
            .update_item()
            .table_name(&table.name)
            .key("pk", text(self.pk(email)))
            .update_expression("SET expires_at = :until, cooldown_owner = :owner")
            .condition_expression("attribute_not_exists(pk) OR expires_at <= :now")
            .expression_attribute_values(":owner", text(&owner))
            .expression_attribute_values(":until", number(now + self.seconds))
            .expression_attribute_values(":now", number(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match result {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                let held = failed.item().map(Reader);
                // The SDK sent the write again because its answer was lost: it met itself.
                if held.as_ref().and_then(|held| held.optional_text("cooldown_owner")) == Some(owner) {
                    return Ok(());
                }
                let until = held.and_then(|held| held.optional_number("expires_at"));
                Err(refused(self.scope, until.map_or(self.seconds, |until| until.saturating_sub(now).max(1))))
            }
            _ => Err(unavailable(error)),
        }
    }

    /// Ends the cooldown for an address: what it was begun for failed. Where that fails too, it ends by itself.
    pub async fn give_back(&self, table: &Table, email: &EmailAddress) {
        let result = table
            .client
            .update_item()
            .table_name(&table.name)
            .key("pk", text(self.pk(email)))
            .update_expression("SET expires_at = :now")
            .expression_attribute_values(":now", number(clock::now()))
            .send()
            .await;
        if let Err(error) = result {
            tracing::warn!(cause = unavailable(error).cause(), "a cooldown could not be given back");
        }
    }

    fn pk(&self, email: &EmailAddress) -> String {
        format!("limit#{}#cooldown:{}", self.scope, hash(&email.folded()))
    }
}

async fn count(table: &Table, scope: &'static str, key: &str, rate: Rate) -> Result<(), ApiError> {
    let now = clock::now();
    let window_end = (now / rate.seconds + 1) * rate.seconds;
    let output = table
        .client
        .update_item()
        .table_name(&table.name)
        .key("pk", text(format!("limit#{scope}#{key}#{window_end}")))
        .update_expression("ADD requests :one SET expires_at = :end")
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":end", number(window_end))
        .return_values(ReturnValue::AllNew)
        .send()
        .await
        .map_err(|error| unavailable(error))?;
    let requests = output.attributes().and_then(|item| Reader(item).optional_number("requests")).unwrap_or(0);
    if requests > rate.max { Err(refused(scope, window_end - now)) } else { Ok(()) }
}

#[track_caller]
fn refused(scope: &'static str, retry_after: u64) -> ApiError {
    metrics::count("RateLimited", &[("Scope", scope)]);
    ApiError::new(Reason::RateLimited).retry_after(retry_after)
}

/// SHA-256 as base64url, for keys.
fn hash(value: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, value.as_bytes()))
}
