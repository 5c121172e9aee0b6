//! The sessions of a person, and a session by its id.
//!
//! The index `by_user` holds the keys of the items that have a `user_id`: sessions that no switch has replaced. It is
//! eventually consistent, so whoever must end all sessions queries it again until it is empty. Items are then read from
//! the table itself, strongly consistent.

use std::collections::HashMap;

use api::{ApiError, Reason};
use aws_sdk_dynamodb::types::KeysAndAttributes;
use futures_util::future::try_join_all;

use crate::attributes::{Item, Reader, number, text};
use crate::session::{SESSION_PREFIX, SessionId, SessionItem, SessionKey, decode};
use crate::table::{Table, unavailable, within_time};
use crate::write::Write;

/// The most keys of one read.
const BATCH: usize = 100;

/// The name of the index.
const INDEX: &str = "by_user";

impl Table {
    /// The keys of the person's sessions, replaced ones left out; those of the last second may be missing.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn session_keys(&self, user_id: &str) -> Result<Vec<SessionKey>, ApiError> {
        let mut keys = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .index_name(INDEX)
                .key_condition_expression("user_id = :user_id")
                .expression_attribute_values(":user_id", text(user_id))
                .set_exclusive_start_key(from.take());
            let page = within_time(query.send()).await?.map_err(|error| unavailable(&error))?;
            let found = page.items.unwrap_or_default();
            keys.extend(found.iter().filter_map(session_key));
            match page.last_evaluated_key {
                Some(last) if !last.is_empty() => from = Some(last),
                _ => return Ok(keys),
            }
        }
    }

    /// Reads sessions, strongly consistent. Those that are gone are left out.
    ///
    /// # Errors
    /// `store_unavailable`; `internal` if an item is corrupt.
    pub async fn sessions(&self, keys: &[SessionKey]) -> Result<Vec<(SessionKey, SessionItem)>, ApiError> {
        let items = self.batch(keys.iter().map(SessionKey::pk).collect()).await?;
        let keyed = items.iter().filter_map(|item| Some((session_key(item)?, item)));
        keyed.map(|(key, item)| decode(item).map(|session| (key, session))).collect()
    }

    /// Reads items, strongly consistent and in any order.
    async fn batch(&self, pks: Vec<String>) -> Result<Vec<Item>, ApiError> {
        let batches = try_join_all(pks.chunks(BATCH).map(|pks| self.batch_of(pks)));
        Ok(batches.await?.into_iter().flatten().collect())
    }

    async fn batch_of(&self, pks: &[String]) -> Result<Vec<Item>, ApiError> {
        let key = |pk: &String| HashMap::from([("pk".to_owned(), text(pk))]);
        let mut keys: Vec<_> = pks.iter().map(key).collect();
        let mut items = Vec::new();
        while !keys.is_empty() {
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            let wanted = wanted.map_err(|error| ApiError::new(Reason::Internal).because(error))?;
            let request = self.client.batch_get_item().request_items(&self.name, wanted);
            let output = within_time(request.send()).await?.map_err(|error| unavailable(&error))?;
            items.extend(output.responses.into_iter().flat_map(HashMap::into_values).flatten());
            // DynamoDB answers as much as it has capacity for.
            let left = output.unprocessed_keys.unwrap_or_default().remove(&self.name);
            keys = left.map(|left| left.keys).unwrap_or_default();
        }
        Ok(items)
    }

    /// Reads a session by its id, strongly consistent, with its current key; `None` if it is gone.
    ///
    /// # Errors
    /// `store_unavailable`; `internal` if an item is corrupt.
    pub async fn session_by_id(&self, id: &SessionId) -> Result<Option<(SessionKey, SessionItem)>, ApiError> {
        let items = self.batch(vec![id.first_key().pk(), id.switched_pk()]).await?;
        let mut key = id.first_key();
        let first = items.iter().find(|item| session_key(item).as_ref() == Some(&key));
        let mut found = first.map(decode).transpose()?;
        if let Some(current) = items.iter().find_map(|item| Reader(item).optional_text("current")) {
            key = SessionKey(current);
            found = self.session(&key).await?;
        }
        // A switch between the reads has replaced it.
        while let Some(link) = found.as_ref().and_then(|session| session.replaced_by.clone()) {
            key = link.key;
            found = self.session(&key).await?;
        }
        Ok(found.map(|session| (key, session)))
    }

    /// Makes the session refresh its claims at its next use, if they were issued by `at`, on WorkOS' clock. Returns
    /// whether they were.
    ///
    /// A refresh in progress may still store older claims: they are compared with `at` again.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn expire_claims(&self, key: &SessionKey, at: u64) -> Result<bool, ApiError> {
        let stale = Write::to(key.pk())
            .only_if(
                "attribute_exists(user_id) AND (attribute_not_exists(claims_issued_at) OR claims_issued_at <= :claims_stale_at) \
                 AND (attribute_not_exists(claims_stale_at) OR claims_stale_at < :claims_stale_at)",
            )
            .set("claims_stale_at", number(at));
        Ok(self.update(stale).await?.is_done())
    }
}

fn session_key(item: &Item) -> Option<SessionKey> {
    let pk = item.get("pk")?.as_s().ok()?;
    pk.strip_prefix(SESSION_PREFIX).map(|hash| SessionKey(hash.to_owned()))
}
