//! EventBridge: sends the template's scheduled events to their functions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use local_runtime::{Functions, Invocation, InvokeError, ids};
use local_template::{Schedule, Template};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, Interval, interval_at};

/// The event as EventBridge sends it. Sources: "Events from AWS services" in the EventBridge user guide, and "Adding an
/// input" in the EventBridge Scheduler user guide, whose default `detail` is the text `{}`.
fn event(schedule: &Schedule, template: &Template) -> Value {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or_else(|_| OffsetDateTime::now_utc());
    json!({
        "version": "0",
        "id": ids::uuid(),
        "detail-type": "Scheduled Event",
        "source": schedule.source,
        "account": template.deployment.account,
        "time": now.format(&Rfc3339).unwrap_or_default(),
        "region": template.deployment.region,
        "resources": [schedule.arn],
        "detail": if schedule.source == "aws.scheduler" { json!("{}") } else { json!({}) },
    })
}

/// Sends one event and waits for the function.
pub(super) async fn fire(
    schedule: &Schedule,
    template: &Template,
    functions: &Functions,
) -> Result<Invocation, InvokeError> {
    let unknown = || InvokeError::UnknownFunction(schedule.function.clone());
    let function = template.functions.get(&schedule.function).ok_or_else(unknown)?;
    let event = Bytes::from(event(schedule, template).to_string());
    functions.invoke(&function.logical_id, &function.binary, event, &ids::trace_root()).await
}

/// Fires `schedule` on time until the future is dropped. The outcome of an invocation is in the function's log.
pub(super) async fn run(schedule: Schedule, template: Arc<Template>, functions: Arc<Functions>) {
    let mut timer = timer(schedule.every);
    loop {
        timer.tick().await;
        let _ = fire(&schedule, &template, &functions).await;
    }
}

/// EventBridge counts a rate from the deployment: the first run is one period after the start.
fn timer(every: Duration) -> Interval {
    interval_at(Instant::now() + every, every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_schedule_fires_at_the_end_of_each_period() {
        let (minute, began) = (Duration::from_secs(60), Instant::now());
        let mut timer = timer(minute);
        for count in 1..=3 {
            timer.tick().await;
            assert_eq!(began.elapsed(), minute * count);
        }
    }
}
