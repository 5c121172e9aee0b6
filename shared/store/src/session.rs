//! Session items.
//!
//! The key is the SHA-256 of the session token and the WorkOS refresh token is sealed under a key that only the token
//! gives (see `shared/session`), so an item alone lets nobody in.

use std::fmt;

use api::{ApiError, Reason};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};

use crate::attributes::{Item, Reader, bytes, number, text, texts};
use crate::table::{Table, if_held, unavailable};

/// The hash of a session token: the key of its item.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(pub String);

impl SessionKey {
    /// The item's `pk`.
    pub fn pk(&self) -> String {
        format!("session#{}", self.0)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey([redacted])")
    }
}

/// A session at rest. Times are whole seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionItem {
    /// WorkOS user id.
    pub user_id: String,
    /// Email address.
    pub email: String,
    /// WorkOS session id (`sid`).
    pub workos_session_id: String,
    /// The organization in which the person acts.
    pub organization_id: Option<String>,
    /// The role there.
    pub role: Option<String>,
    /// The permissions there.
    pub permissions: Vec<String>,
    /// When the access token, whose claims these are, expires.
    pub access_expires_at: u64,
    /// The WorkOS refresh token, sealed.
    pub sealed_refresh_token: Vec<u8>,
    /// Counts the refreshes: a writer that read an older generation loses.
    pub generation: u64,
    /// When the session began.
    pub created_at: u64,
    /// When it was last used, to within 1/20 of the idle lifetime.
    pub last_seen_at: u64,
    /// When DynamoDB may remove it.
    pub expires_at: u64,
}

/// What a refresh changes.
#[derive(Debug)]
pub struct Renewal {
    /// The new refresh token, sealed.
    pub sealed_refresh_token: Vec<u8>,
    /// What the new access token says.
    pub access: RenewedAccess,
}

/// The access token of a refresh.
#[derive(Debug)]
pub enum RenewedAccess {
    /// It is verified: its claims replace those at hand.
    Verified(RenewedClaims),
    /// It could not be verified, since the keys could not be had: the claims at hand stay, and nobody refreshes before
    /// this time.
    Unverified {
        /// When the next refresh may be tried.
        retry_at: u64,
    },
}

/// The claims of a new access token.
#[derive(Debug)]
pub struct RenewedClaims {
    /// Email address.
    pub email: String,
    /// The organization in which the person acts.
    pub organization_id: Option<String>,
    /// The role there.
    pub role: Option<String>,
    /// The permissions there.
    pub permissions: Vec<String>,
    /// When the access token expires.
    pub access_expires_at: u64,
}

impl Table {
    /// Reads a session, consistently: a sign-out holds at once.
    pub async fn session(&self, key: &SessionKey) -> Result<Option<SessionItem>, ApiError> {
        self.read(key.pk()).await?.as_ref().map(read).transpose()
    }

    /// Writes a new session. The key is the hash of 32 random bytes: it meets no other item.
    pub async fn put_session(&self, key: &SessionKey, session: &SessionItem) -> Result<(), ApiError> {
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(write(key, session)))
            .send()
            .await
            .map_err(|error| unavailable(error))?;
        Ok(())
    }

    /// Ends a session. Ending it twice is no error.
    pub async fn delete_session(&self, key: &SessionKey) -> Result<(), ApiError> {
        self.client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(key.pk()))
            .send()
            .await
            .map_err(|error| unavailable(error))?;
        Ok(())
    }

    /// Ends a session if nobody renewed it since `generation`; returns whether it is gone.
    pub async fn delete_session_of(&self, key: &SessionKey, generation: u64) -> Result<bool, ApiError> {
        let result = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(key.pk()))
            .condition_expression("attribute_not_exists(pk) OR generation = :generation")
            .expression_attribute_values(":generation", number(generation))
            .send()
            .await;
        Ok(if_held(result)?.is_some())
    }

    /// Notes that a session was used. A session that has ended meanwhile stays ended.
    pub async fn touch_session(
        &self,
        key: &SessionKey,
        last_seen_at: u64,
        expires_at: u64,
    ) -> Result<(), ApiError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(key.pk()))
            .update_expression("SET last_seen_at = :seen, expires_at = :expires")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":seen", number(last_seen_at))
            .expression_attribute_values(":expires", number(expires_at))
            .send()
            .await;
        if_held(result).map(drop)
    }

    /// Elects `owner` to refresh the session until `lease_until`: one conditional write that exactly one of all callers
    /// wins for a generation. Returns whether `owner` is elected.
    ///
    /// The SDK tries a write again when its answer is lost; the condition then fails on our own write, which `owner`
    /// tells apart.
    pub async fn claim_refresh(
        &self,
        key: &SessionKey,
        generation: u64,
        owner: &str,
        now: u64,
        lease_until: u64,
    ) -> Result<bool, ApiError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(key.pk()))
            .update_expression("SET refresh_owner = :owner, refresh_lease = :until")
            .condition_expression(
                "generation = :generation AND (attribute_not_exists(refresh_lease) OR refresh_lease <= :now)",
            )
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":until", number(lease_until))
            .expression_attribute_values(":generation", number(generation))
            .expression_attribute_values(":now", number(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match result {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                let holder = failed.item().and_then(|item| Reader(item).optional_text("refresh_owner"));
                Ok(holder.as_deref() == Some(owner))
            }
            _ => Err(unavailable(error)),
        }
    }

    /// Gives the election back, so that the next request may refresh from `lease_until` on.
    pub async fn release_refresh(
        &self,
        key: &SessionKey,
        owner: &str,
        lease_until: u64,
    ) -> Result<(), ApiError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(key.pk()))
            .update_expression("SET refresh_lease = :until")
            .condition_expression("refresh_owner = :owner")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":until", number(lease_until))
            .send()
            .await;
        if_held(result).map(drop)
    }

    /// Stores what a refresh gave and ends the election. Returns whether it was stored: it is not where the session
    /// ended or was renewed by somebody else meanwhile.
    pub async fn renew_session(
        &self,
        key: &SessionKey,
        generation: u64,
        renewal: Renewal,
    ) -> Result<bool, ApiError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(key.pk()))
            .condition_expression("generation = :generation")
            .expression_attribute_values(":sealed", bytes(renewal.sealed_refresh_token))
            .expression_attribute_values(":generation", number(generation))
            .expression_attribute_values(":next", number(generation + 1));
        let mut set = String::from("SET sealed_refresh_token = :sealed, generation = :next");
        let update = match renewal.access {
            RenewedAccess::Unverified { retry_at } => {
                set.push_str(", refresh_lease = :retry");
                update.expression_attribute_values(":retry", number(retry_at)).update_expression(set)
            }
            RenewedAccess::Verified(claims) => {
                set.push_str(", email = :email, access_expires_at = :access, #permissions = :permissions");
                let mut remove = String::from(" REMOVE refresh_owner, refresh_lease");
                let mut update = update
                    .expression_attribute_names("#permissions", "permissions")
                    .expression_attribute_values(":email", text(claims.email))
                    .expression_attribute_values(":access", number(claims.access_expires_at))
                    .expression_attribute_values(":permissions", texts(&claims.permissions));
                for (name, value) in [("organization_id", claims.organization_id), ("role", claims.role)] {
                    // `role` is a reserved word of DynamoDB: both go by a placeholder.
                    update = update.expression_attribute_names(format!("#{name}"), name);
                    match value {
                        Some(value) => {
                            set.push_str(&format!(", #{name} = :{name}"));
                            update = update.expression_attribute_values(format!(":{name}"), text(value));
                        }
                        None => remove.push_str(&format!(", #{name}")),
                    }
                }
                update.update_expression(set + &remove)
            }
        };
        Ok(if_held(update.send().await)?.is_some())
    }

    /// Writes a new session and ends the one that it takes the place of, both or neither. With `generation` it does so
    /// only if the old session is still there and nobody renewed it since; returns whether it did.
    pub async fn replace_session(
        &self,
        old: &SessionKey,
        generation: Option<u64>,
        new: &SessionKey,
        session: &SessionItem,
    ) -> Result<bool, ApiError> {
        let put = Put::builder().table_name(&self.name).set_item(Some(write(new, session)));
        let mut delete = Delete::builder().table_name(&self.name).key("pk", text(old.pk()));
        if let Some(generation) = generation {
            delete = delete
                .condition_expression("generation = :generation")
                .expression_attribute_values(":generation", number(generation));
        }
        let put = put.build().map_err(|error| ApiError::new(Reason::Internal).because(error))?;
        let delete = delete.build().map_err(|error| ApiError::new(Reason::Internal).because(error))?;
        let result = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(put).build())
            .transact_items(TransactWriteItem::builder().delete(delete).build())
            .send()
            .await;
        let error = match result {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled))
                if canceled
                    .cancellation_reasons()
                    .iter()
                    .any(|reason| reason.code() == Some("ConditionalCheckFailed")) =>
            {
                Ok(false)
            }
            _ => Err(unavailable(error)),
        }
    }
}

fn read(item: &Item) -> Result<SessionItem, ApiError> {
    let item = Reader(item);
    Ok(SessionItem {
        user_id: item.text("user_id")?,
        email: item.text("email")?,
        workos_session_id: item.text("workos_session_id")?,
        organization_id: item.optional_text("organization_id"),
        role: item.optional_text("role"),
        permissions: item.texts("permissions"),
        access_expires_at: item.number("access_expires_at")?,
        sealed_refresh_token: item.bytes("sealed_refresh_token")?,
        generation: item.number("generation")?,
        created_at: item.number("created_at")?,
        last_seen_at: item.number("last_seen_at")?,
        expires_at: item.number("expires_at")?,
    })
}

fn write(key: &SessionKey, session: &SessionItem) -> Item {
    let optional = [("organization_id", &session.organization_id), ("role", &session.role)];
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name, text(value.as_ref()?))));
    let required = [
        ("pk", text(key.pk())),
        ("user_id", text(&session.user_id)),
        ("email", text(&session.email)),
        ("workos_session_id", text(&session.workos_session_id)),
        ("permissions", texts(&session.permissions)),
        ("access_expires_at", number(session.access_expires_at)),
        ("sealed_refresh_token", bytes(session.sealed_refresh_token.as_slice())),
        ("generation", number(session.generation)),
        ("created_at", number(session.created_at)),
        ("last_seen_at", number(session.last_seen_at)),
        ("expires_at", number(session.expires_at)),
    ];
    required.into_iter().chain(optional).map(|(name, value)| (name.to_owned(), value)).collect()
}
