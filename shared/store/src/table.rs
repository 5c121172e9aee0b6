//! The DynamoDB client.

use std::time::Duration;

use api::{ApiError, ConfigError, Env, Reason, Variable, deadline};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::{Instant, timeout_at};
use upstream::{Http, Roots};

use crate::attributes::{Item, text};
use crate::connector;

/// The table's name.
pub static SESSION_TABLE: Variable = Variable::required("SESSION_TABLE", "The name of the DynamoDB table.");

static ENDPOINT: Variable = Variable::derived(
    "AWS_ENDPOINT_URL_DYNAMODB",
    "the region's endpoint",
    "Another DynamoDB endpoint, for a table on the developer's machine.",
);
static REGION: Variable = Variable::required("AWS_REGION", "The region. Lambda sets it.");
static ACCESS_KEY_ID: Variable =
    Variable::required("AWS_ACCESS_KEY_ID", "The role's key id. Lambda sets it.");
static SECRET_ACCESS_KEY: Variable =
    Variable::required("AWS_SECRET_ACCESS_KEY", "The role's key. Lambda sets it.");
static SESSION_TOKEN: Variable =
    Variable::optional("AWS_SESSION_TOKEN", "The role's session. Lambda sets it.");

/// Limit for one operation with its retries. An operation also ends with the time of its invocation, see
/// [`api::deadline`].
const OPERATION_TIMEOUT: Duration = Duration::from_secs(4);

/// Attempts at an operation.
const ATTEMPTS: u32 = 3;

/// Limit for one try of [`to_deadline`], attempts included, so that a stalled connection leaves time for another.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);

/// The pauses between the tries of [`to_deadline`]: each is twice as long as the one before, up to a maximum.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// The DynamoDB table. Clones share the connection pool.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Table {
    /// Reads the configuration. Connections are opened by the first operation.
    ///
    /// Credentials come from the environment, which is where Lambda puts them: a provider chain would slow the start.
    ///
    /// # Errors
    /// If a variable is missing.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let http =
            Http::new("DynamoDB", Roots::Amazon).map_err(|error| ConfigError::new(&SESSION_TABLE, error))?;
        let credentials = Credentials::new(
            env.required(&ACCESS_KEY_ID)?,
            env.required(&SECRET_ACCESS_KEY)?,
            env.optional(&SESSION_TOKEN),
            None,
            "environment",
        );
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(env.required(&REGION)?))
            .credentials_provider(credentials)
            .http_client(connector::client(http))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(Duration::from_millis(50)),
            );
        config.set_endpoint_url(env.optional(&ENDPOINT));
        Ok(Self { client: Client::from_conf(config.build()), name: env.required(&SESSION_TABLE)? })
    }
}

impl Table {
    /// Reads an item, strongly consistent.
    pub(crate) async fn get(&self, pk: String) -> Result<Option<Item>, ApiError> {
        let get = self.client.get_item().table_name(&self.name).key("pk", text(pk)).consistent_read(true);
        let output = within_time(get.send()).await?.map_err(|error| unavailable(&error))?;
        Ok(output.item)
    }
}

/// Repeats `write` while the table is unavailable, until `reserve` is all that is left of the invocation's time. For
/// writes that nothing but themselves can repeat: a code is redeemed, or a refresh token rotated.
///
/// A try may have succeeded although its response was lost. So `write` must be idempotent, or recognize its own result.
///
/// # Errors
/// The error of the last try: `store_unavailable`, or any other at once.
pub async fn to_deadline<T, W>(reserve: Duration, mut write: impl FnMut() -> W) -> Result<T, ApiError>
where
    W: Future<Output = Result<T, ApiError>>,
{
    let end = Instant::now() + deadline::remaining().saturating_sub(reserve);
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match timeout_at(end.min(Instant::now() + TRY_TIMEOUT), write()).await {
            Ok(Err(error)) if error.reason() == Reason::StoreUnavailable => error,
            Ok(outcome) => return outcome,
            Err(_) => too_slow(),
        };
        if Instant::now() + pause >= end {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Waits for an operation as long as it may take.
///
/// # Errors
/// `store_unavailable` if that is too short.
pub(crate) async fn within_time<F: Future>(operation: F) -> Result<F::Output, ApiError> {
    tokio::time::timeout(deadline::remaining().min(OPERATION_TIMEOUT), operation)
        .await
        .map_err(|_| too_slow())
}

#[track_caller]
fn too_slow() -> ApiError {
    ApiError::new(Reason::StoreUnavailable).because("DynamoDB did not respond in time")
}

/// The error for a failure of DynamoDB: throttling, timeouts, refused connections, a missing table.
#[track_caller]
pub(crate) fn unavailable<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> ApiError {
    let cause = match (error.code(), error) {
        (Some(code), _) => format!("DynamoDB responded with {code}"),
        (None, SdkError::TimeoutError(_)) => "DynamoDB did not respond in time".to_owned(),
        (None, SdkError::DispatchFailure(_)) => "DynamoDB is unreachable".to_owned(),
        (None, _) => "DynamoDB's response could not be decoded".to_owned(),
    };
    ApiError::new(Reason::StoreUnavailable).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: Duration = Duration::from_millis(500);

    #[track_caller]
    fn unavailable() -> ApiError {
        Reason::StoreUnavailable.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_repeated_until_the_table_is_back() {
        let mut tries = 0;
        let outcome = to_deadline(RESERVE, || {
            tries += 1;
            let is_back = tries == 10;
            async move { if is_back { Ok(tries) } else { Err(unavailable()) } }
        });
        assert_eq!(outcome.await.unwrap(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_try_is_followed_by_another() {
        let mut tries = 0;
        let outcome = to_deadline(RESERVE, || {
            tries += 1;
            let stalls = tries < 3;
            async move {
                if stalls {
                    std::future::pending::<()>().await;
                }
                Ok(tries)
            }
        });
        assert_eq!(outcome.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_try_leaves_the_reserve() {
        let began = Instant::now();
        let outcome: Result<(), _> = to_deadline(RESERVE, || std::future::ready(Err(unavailable()))).await;
        assert_eq!(outcome.unwrap_err().reason(), Reason::StoreUnavailable);
        let left = deadline::remaining() - began.elapsed();
        assert!(left >= RESERVE && left < RESERVE + LONGEST_PAUSE, "{left:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_unavailable_table_is_worth_another_try() {
        let mut tries = 0;
        let outcome: Result<(), _> = to_deadline(RESERVE, || {
            tries += 1;
            std::future::ready(Err(Reason::Internal.into()))
        })
        .await;
        assert_eq!((outcome.unwrap_err().reason(), tries), (Reason::Internal, 1));
    }
}
