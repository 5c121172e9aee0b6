//! Writes: puts, updates and deletions with a condition, alone or in a transaction.
//!
//! Every attribute is written through the placeholders `#name` and `:name`, so DynamoDB's reserved words need no care.
//! A condition may use the placeholders of the attributes that the write sets, and those of [`Write::bind`].

use std::collections::HashMap;
use std::time::Duration;

use api::{ApiError, Reason, random};
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use crate::attributes::{Item, text};
use crate::table::{Table, unavailable, within_time};

/// Attempts on TransactionConflict, of a transaction or a single write, and the first and the longest backoff between
/// them. Of fifty transactions on one item within 20 ms, all succeed in a simulation; with a steady backoff of 40 ms per
/// attempt and no jitter, three in four failed.
const CONFLICT_ATTEMPTS: u32 = 10;
const CONFLICT_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_CONFLICT_BACKOFF: Duration = Duration::from_secs(1);

/// When a write is refused, DynamoDB returns the item that its condition failed on.
const ON_REFUSAL: Option<ReturnValuesOnConditionCheckFailure> =
    Some(ReturnValuesOnConditionCheckFailure::AllOld);

/// One write to one item.
#[derive(Debug, Default)]
pub(crate) struct Write {
    /// The whole item of a put; the key of an update or a deletion.
    item: Item,
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    take: Vec<String>,
    condition: Option<String>,
    // DynamoDB refuses empty maps.
    names: Option<HashMap<String, String>>,
    values: Option<Item>,
    returns: Option<ReturnValue>,
}

/// The outcome of a write.
#[derive(Debug)]
pub(crate) enum Written {
    /// Done; with the attributes that [`Write::returning`] asks for.
    Done(Option<Item>),
    /// The condition failed on this item; `None` if there is no item.
    Refused(Option<Item>),
}

/// A step of a transaction.
#[derive(Debug)]
pub(crate) enum Step {
    Put(Write),
    Update(Write),
    Delete(Write),
    /// Writes nothing: the condition must hold.
    Check(Write),
}

/// The first step of a transaction whose condition failed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) step: usize,
    /// The item that the condition failed on; `None` if there is no item.
    pub(crate) item: Option<Item>,
}

impl Write {
    /// A put of a whole item.
    pub(crate) fn put(item: Item) -> Self {
        Self { item, ..Self::default() }
    }

    /// An update or a deletion of the item with this key.
    pub(crate) fn to(pk: String) -> Self {
        Self::put(HashMap::from([("pk".to_owned(), text(pk))]))
    }

    /// Sets an attribute.
    pub(crate) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.set.push(format!("#{name} = :{name}"));
        self.name(name).bind(name, value)
    }

    /// Sets an attribute whose name cannot be a placeholder.
    pub(crate) fn set_named(mut self, placeholder: &str, name: &str, value: AttributeValue) -> Self {
        self.set.push(format!("#{placeholder} = :{placeholder}"));
        self.name_as(placeholder, name).bind(placeholder, value)
    }

    /// Sets an attribute that the item does not have yet.
    pub(crate) fn set_default(mut self, name: &str, value: AttributeValue) -> Self {
        self.set.push(format!("#{name} = if_not_exists(#{name}, :{name})"));
        self.name(name).bind(name, value)
    }

    /// Sets an attribute to the value of another one before the write, or to the placeholder `default`.
    pub(crate) fn set_from(mut self, name: &str, from: &str, default: &str) -> Self {
        self.set.push(format!("#{name} = if_not_exists(#{from}, {default})"));
        self.name(name).name(from)
    }

    /// Adds to a number, which counts as 0 if it is missing, or to a set, which counts as empty.
    pub(crate) fn add(mut self, name: &str, value: AttributeValue) -> Self {
        self.add.push(format!("#{name} :{name}"));
        self.name(name).bind(name, value)
    }

    /// Takes elements out of a set. Without its last element, the attribute is gone.
    pub(crate) fn take(mut self, name: &str, elements: AttributeValue) -> Self {
        self.take.push(format!("#{name} :{name}"));
        self.name(name).bind(name, elements)
    }

    /// Sets an attribute, or removes it if there is no value.
    pub(crate) fn set_or_remove(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Removes an attribute.
    pub(crate) fn remove(mut self, name: &str) -> Self {
        self.remove.push(format!("#{name}"));
        self.name(name)
    }

    /// Removes an attribute whose name cannot be a placeholder.
    pub(crate) fn remove_named(mut self, placeholder: &str, name: &str) -> Self {
        self.remove.push(format!("#{placeholder}"));
        self.name_as(placeholder, name)
    }

    /// Writes only if `condition` holds.
    pub(crate) fn only_if(mut self, condition: impl Into<String>) -> Self {
        self.condition = Some(condition.into());
        self
    }

    /// Writes only if, besides the condition, an attribute still is as it was seen: absent, or with this value.
    pub(crate) fn and_if_unchanged(self, name: &str, seen: Option<AttributeValue>) -> Self {
        let unchanged = match &seen {
            Some(_) => format!("#{name} = :seen_{name}"),
            None => format!("attribute_not_exists(#{name})"),
        };
        let condition =
            self.condition.as_ref().map_or(unchanged.clone(), |both| format!("{both} AND {unchanged}"));
        let write = self.only_if(condition).name(name);
        match seen {
            Some(value) => write.bind(&format!("seen_{name}"), value),
            None => write,
        }
    }

    /// Defines `:name` for the condition.
    pub(crate) fn bind(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.get_or_insert_default().insert(format!(":{name}"), value);
        self
    }

    /// Asks an update or a deletion for the attributes before or after it.
    pub(crate) fn returning(mut self, returns: ReturnValue) -> Self {
        self.returns = Some(returns);
        self
    }

    fn name(self, name: &str) -> Self {
        self.name_as(name, name)
    }

    fn name_as(mut self, placeholder: &str, name: &str) -> Self {
        self.names.get_or_insert_default().insert(format!("#{placeholder}"), name.to_owned());
        self
    }

    fn update_expression(&self) -> String {
        let clauses =
            [("SET ", &self.set), ("ADD ", &self.add), ("REMOVE ", &self.remove), ("DELETE ", &self.take)];
        let clauses = clauses.into_iter().filter(|(_, actions)| !actions.is_empty());
        clauses
            .map(|(keyword, actions)| keyword.to_owned() + &actions.join(", "))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Written {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

impl Step {
    fn build(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let item = TransactWriteItem::builder();
        Ok(match self {
            Self::Put(write) => {
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(write.item))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(write.names)
                    .set_expression_attribute_values(write.values)
                    .set_return_values_on_condition_check_failure(ON_REFUSAL);
                item.put(put.build()?)
            }
            Self::Update(write) => {
                let update = Update::builder()
                    .table_name(table)
                    .update_expression(write.update_expression())
                    .set_key(Some(write.item))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(write.names)
                    .set_expression_attribute_values(write.values)
                    .set_return_values_on_condition_check_failure(ON_REFUSAL);
                item.update(update.build()?)
            }
            Self::Delete(write) => {
                let delete = Delete::builder()
                    .table_name(table)
                    .set_key(Some(write.item))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(write.names)
                    .set_expression_attribute_values(write.values)
                    .set_return_values_on_condition_check_failure(ON_REFUSAL);
                item.delete(delete.build()?)
            }
            Self::Check(write) => {
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(write.item))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(write.names)
                    .set_expression_attribute_values(write.values)
                    .set_return_values_on_condition_check_failure(ON_REFUSAL);
                item.condition_check(check.build()?)
            }
        }
        .build())
    }
}

impl Table {
    /// Updates an item.
    pub(crate) async fn update(&self, write: Write) -> Result<Written, ApiError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .update_expression(write.update_expression())
            .set_key(Some(write.item))
            .set_condition_expression(write.condition)
            .set_expression_attribute_names(write.names)
            .set_expression_attribute_values(write.values)
            .set_return_values(write.returns)
            .set_return_values_on_condition_check_failure(ON_REFUSAL);
        let result = within_time(retry_on_conflict(|| request.clone().send(), is_conflict)).await?;
        written(result.map(|output| output.attributes))
    }

    /// Deletes an item.
    pub(crate) async fn delete(&self, write: Write) -> Result<Written, ApiError> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(write.item))
            .set_condition_expression(write.condition)
            .set_expression_attribute_names(write.names)
            .set_expression_attribute_values(write.values)
            .set_return_values(write.returns)
            .set_return_values_on_condition_check_failure(ON_REFUSAL);
        let result = within_time(retry_on_conflict(|| request.clone().send(), is_conflict)).await?;
        written(result.map(|output| output.attributes))
    }

    /// Writes all steps or none; `None` if they are written. It retries on TransactionConflict.
    pub(crate) async fn transact(
        &self,
        steps: impl IntoIterator<Item = Step>,
    ) -> Result<Option<Refused>, ApiError> {
        let steps: Result<Vec<_>, _> = steps.into_iter().map(|step| step.build(&self.name)).collect();
        let steps = steps.map_err(|error| ApiError::new(Reason::Internal).because(error))?;
        let request = self.client.transact_write_items().set_transact_items(Some(steps));
        let result = within_time(retry_on_conflict(|| request.clone().send(), is_canceled_by_conflict));
        let Err(error) = result.await? else { return Ok(None) };
        match failed_condition(&error) {
            Some(refused) => Ok(Some(refused)),
            None => Err(unavailable(&error)),
        }
    }
}

/// Sends a write again if it met another transaction on one of its items. Such a write has changed nothing.
async fn retry_on_conflict<T, E, R, F>(
    send: impl Fn() -> F,
    is_conflict: impl Fn(&SdkError<E, R>) -> bool,
) -> Result<T, SdkError<E, R>>
where
    F: Future<Output = Result<T, SdkError<E, R>>>,
{
    let mut attempt = 1;
    loop {
        match send().await {
            Err(error) if attempt < CONFLICT_ATTEMPTS && is_conflict(&error) => {
                tokio::time::sleep(conflict_backoff(attempt)).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// Exponential, with full jitter: those that met once must not meet again.
fn conflict_backoff(attempt: u32) -> Duration {
    let longest = (CONFLICT_BACKOFF * (1 << (attempt - 1))).min(LONGEST_CONFLICT_BACKOFF);
    longest.mul_f64(
        random::bytes().map_or(1.0, |bytes| f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)),
    )
}

/// Whether a transaction holds the item of a single write.
fn is_conflict<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("TransactionConflictException")
}

/// Whether a transaction was canceled because another one holds an item, and not because a condition failed.
fn is_canceled_by_conflict<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    is_conflict(error)
        || (failed_condition(error).is_none()
            && canceled(error).iter().any(|reason| reason.code() == Some("TransactionConflict")))
}

fn canceled<R>(error: &SdkError<TransactWriteItemsError, R>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
            canceled.cancellation_reasons()
        }
        _ => &[],
    }
}

fn failed_condition<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Refused> {
    let mut reasons = canceled(error).iter().enumerate();
    let (step, reason) = reasons.find(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))?;
    Some(Refused { step, item: found(reason.item.clone()) })
}

/// An error that may be a failed condition.
trait MayBeRefused {
    fn refused(&self) -> Option<&ConditionalCheckFailedException>;
}

macro_rules! may_be_refused {
    ($($error:ident),+) => {$(
        impl MayBeRefused for $error {
            fn refused(&self) -> Option<&ConditionalCheckFailedException> {
                match self {
                    Self::ConditionalCheckFailedException(refused) => Some(refused),
                    _ => None,
                }
            }
        }
    )+};
}

may_be_refused!(UpdateItemError, DeleteItemError);

fn written<E: MayBeRefused + ProvideErrorMetadata, R>(
    result: Result<Option<Item>, SdkError<E, R>>,
) -> Result<Written, ApiError> {
    match result {
        Ok(attributes) => Ok(Written::Done(attributes)),
        Err(error) => match error.as_service_error().and_then(MayBeRefused::refused) {
            Some(refused) => Ok(Written::Refused(found(refused.item.clone()))),
            None => Err(unavailable(&error)),
        },
    }
}

/// DynamoDB may return a missing item as an empty one.
fn found(item: Option<Item>) -> Option<Item> {
    item.filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::number;

    #[test]
    fn an_update_is_written_with_placeholders() {
        let write = Write::to("limit#1".into())
            .set("status", text("open"))
            .set_default("owner", text("jane"))
            .add("count", number(1))
            .remove("role");
        assert_eq!(
            write.update_expression(),
            "SET #status = :status, #owner = if_not_exists(#owner, :owner) ADD #count :count REMOVE #role"
        );
        let (names, values) = (write.names.unwrap(), write.values.unwrap());
        assert_eq!(names["#status"], "status");
        assert_eq!(values[":count"], number(1));
        assert!(!values.contains_key(":role"));
    }
}
