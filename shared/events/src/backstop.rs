//! Reads WorkOS' list of events, because webhooks get lost: while the endpoint is down, or if nobody has set it up.
//!
//! The cursor moves past a page only when all of its events are applied. A page is applied again if that fails, and two
//! readers may apply the same one: neither does harm.

use std::time::Duration;

use api::{ApiError, ConfigError, Env, Reason, clock, deadline};
use futures_util::{StreamExt as _, stream};
use store::{Cursor, Table};
use workos::{Change, Event, Since, WorkOs};

use crate::effects::Effects;
use crate::{count, report_undecodable};

const SOURCE: &str = "backstop";

/// How far back the first run reads, in seconds.
const FIRST: u64 = 60 * 60;

/// How far back a list without a cursor begins at the earliest, in seconds. WorkOS lists 30 days.
const LONGEST: u64 = 29 * 24 * 60 * 60;

/// Events are read when they are this old, in seconds. By then the index shows every session that the event is about, and
/// WorkOS has listed every event before it. Our clock may be ahead, so its leeway is added.
const SETTLED: u64 = 10 + clock::LEEWAY;

/// An event that still fails this long after it happened, in seconds, is given up: it must not hold back all others. The
/// table is not a reason to give up, because without it the cursor does not move either.
const PATIENCE: u64 = 60 * 60;

/// A page does not begin with less time than this.
const PAGE_TIME: Duration = Duration::from_secs(3);

/// Events that are applied at the same time.
const CONCURRENCY: usize = 16;

/// Reads the list of events.
#[derive(Debug)]
pub struct Backstop {
    workos: WorkOs,
    effects: Effects,
}

/// The state of a run.
#[derive(Debug)]
struct Run {
    /// What the table has.
    cursor: Option<Cursor>,
    /// Where the next page begins.
    since: Since,
    /// Whether WorkOS has refused the cursor.
    is_restarted: bool,
    /// The first failure that the next run has to repeat.
    failure: Option<ApiError>,
}

/// Whether to read another page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Page,
    Done,
}

impl Backstop {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { workos: WorkOs::load(env)?, effects: Effects::load(env)? })
    }

    /// Applies the events since the last run, as many as the time allows. The next run continues.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`, `store_unavailable`; `livekit_busy`, `livekit_unavailable`: the sessions have
    /// ended, but people may still be in rooms. The next run repeats what failed.
    pub async fn run(&self) -> Result<(), ApiError> {
        let mut run = Run::begin(self.table().cursor().await?, clock::now());
        while self.page(&mut run).await? == Next::Page {
            if deadline::remaining() < PAGE_TIME {
                tracing::info!("there are more events of WorkOS: the next run continues");
                break;
            }
        }
        run.failure.map_or(Ok(()), Err)
    }

    /// Applies one page, and moves the cursor if nothing has failed yet. After a failure the sessions of the following pages
    /// end all the same, but the cursor stays before it.
    async fn page(&self, run: &mut Run) -> Result<Next, ApiError> {
        let Some(page) = self.workos.events(&run.since).await? else { return run.restart(clock::now()) };
        let (events, are_all) = settled(page.events, clock::now());
        let Some(last) = last(&events) else { return Ok(Next::Done) };
        self.apply(&events, run).await;
        run.since = Since::Event(last.event_id.clone());
        match &run.failure {
            Some(failure) if failure.reason() == Reason::StoreUnavailable => return Ok(Next::Done),
            Some(_) => {}
            None if self.table().move_cursor(run.cursor.as_ref(), &last).await? => run.cursor = Some(last),
            None => {
                tracing::info!("another run has moved the cursor of WorkOS' events, and continues");
                return Ok(Next::Done);
            }
        }
        Ok(if are_all && page.has_more { Next::Page } else { Next::Done })
    }

    fn table(&self) -> &Table {
        self.effects.table()
    }

    /// Applies events: first to all sessions, then to rooms.
    async fn apply(&self, events: &[Event], run: &mut Run) {
        let mut changes = Vec::new();
        for event in events {
            match &event.change {
                Ok(Some(change)) => changes.push((event, change)),
                Ok(None) => {}
                Err(field) => report_undecodable(SOURCE, event, field),
            }
        }
        // Collected first: the compiler cannot prove that a stream over the closures is `Send`.
        let on_sessions: Vec<_> = changes
            .iter()
            .map(async |(event, change)| (*event, *change, self.effects.on_sessions(change).await))
            .collect();
        let ended = run.keep(some_at_a_time(on_sessions).await);
        let on_rooms: Vec<_> = ended
            .iter()
            .map(async |(event, change)| (*event, *change, self.effects.on_rooms(change).await))
            .collect();
        for _ in run.keep(some_at_a_time(on_rooms).await) {
            count(SOURCE, "applied");
        }
    }
}

impl Run {
    fn begin(cursor: Option<Cursor>, now: u64) -> Self {
        let since = match &cursor {
            Some(cursor) => Since::Event(cursor.event_id.clone()),
            None => Since::Time(now.saturating_sub(FIRST)),
        };
        Self { cursor, since, is_restarted: false, failure: None }
    }

    /// Begins again at the time of the cursor, which WorkOS refuses.
    fn restart(&mut self, now: u64) -> Result<Next, ApiError> {
        count(SOURCE, "cursor_refused");
        if self.is_restarted {
            return Err(ApiError::new(Reason::WorkosUnavailable).because("WorkOS refuses its own cursor"));
        }
        let (at, earliest) =
            (self.cursor.as_ref().map_or(0, |cursor| cursor.at), now.saturating_sub(LONGEST));
        tracing::warn!(
            at,
            earliest,
            "WorkOS refuses the cursor of its events: they are read from its time on"
        );
        self.since = Since::Time(at.max(earliest));
        self.is_restarted = true;
        Ok(Next::Page)
    }

    /// Notes the failures. Returns the events that succeeded.
    fn keep<'a>(
        &mut self,
        outcomes: Vec<(&'a Event, &'a Change, Result<(), ApiError>)>,
    ) -> Vec<(&'a Event, &'a Change)> {
        let mut succeeded = Vec::new();
        for (event, change, outcome) in outcomes {
            match outcome {
                Ok(()) => succeeded.push((event, change)),
                Err(error) if is_given_up(event, error.reason(), clock::now()) => {
                    count(SOURCE, "given_up");
                    let (event_id, event) = (&*event.id, &*event.name);
                    let (reason, cause) = (error.reason().name(), error.cause());
                    tracing::error!(event_id, event, reason, cause, "an event of WorkOS was given up");
                }
                Err(error) => {
                    count(SOURCE, "failed");
                    self.failure.get_or_insert(error);
                }
            }
        }
        succeeded
    }
}

async fn some_at_a_time<T>(work: Vec<impl Future<Output = T>>) -> Vec<T> {
    stream::iter(work).buffer_unordered(CONCURRENCY).collect().await
}

/// Whether a failure no longer holds back the events after it.
fn is_given_up(event: &Event, reason: Reason, now: u64) -> bool {
    reason != Reason::StoreUnavailable && event.at.is_none_or(|at| at.saturating_add(PATIENCE) <= now)
}

/// The events that are old enough, and whether all of them are. An event without a time is as old as the one before it.
fn settled(mut events: Vec<Event>, now: u64) -> (Vec<Event>, bool) {
    let is_young = |event: &Event| event.at.is_some_and(|at| at.saturating_add(SETTLED) > now);
    let count = events.iter().position(is_young).unwrap_or(events.len());
    let all = count == events.len();
    events.truncate(count);
    (events, all)
}

/// The cursor after these events; `None` if none of them can be one.
fn last(events: &[Event]) -> Option<Cursor> {
    let event = events.iter().rev().find(|event| !event.id.is_empty())?;
    let at = events.iter().rev().find_map(|event| event.at).unwrap_or_default();
    Some(Cursor { event_id: event.id.clone(), at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, at: Option<u64>) -> Event {
        Event { id: id.to_owned(), name: "user.deleted".to_owned(), at, change: Ok(None) }
    }

    #[test]
    fn events_are_read_when_the_index_shows_their_sessions() {
        let events = |times: &[Option<u64>]| times.iter().map(|at| event("event_1", *at)).collect::<Vec<_>>();
        let count = |times: &[Option<u64>], now| {
            let (settled, all) = settled(events(times), now);
            (settled.len(), all)
        };
        assert_eq!(count(&[], 1000), (0, true));
        assert_eq!(count(&[Some(840), Some(841)], 1000), (1, false));
        assert_eq!(count(&[Some(840), None, Some(840)], 1000), (3, true));
        assert_eq!(count(&[Some(2000), Some(800)], 1000), (0, false), "a cursor passes over no event");
    }

    #[test]
    fn the_cursor_is_the_last_event_with_an_id() {
        let cursor = |event_id: &str, at| Some(Cursor { event_id: event_id.to_owned(), at });
        assert_eq!(last(&[]), None);
        assert_eq!(last(&[event("", Some(1))]), None);
        assert_eq!(last(&[event("event_1", Some(1)), event("event_2", None)]), cursor("event_2", 1));
        assert_eq!(last(&[event("event_1", Some(1)), event("", Some(2))]), cursor("event_1", 2));
    }

    #[test]
    fn a_refused_cursor_is_replaced_by_its_time_once() {
        let cursor = |at| Some(Cursor { event_id: "event_1".to_owned(), at });
        let month = 30 * 24 * 60 * 60;
        for (at, expected) in [(month, month), (0, LONGEST.abs_diff(month + 10))] {
            let mut run = Run::begin(cursor(at), month + 10);
            assert_eq!(run.since, Since::Event("event_1".to_owned()));
            assert_eq!(run.restart(month + 10).unwrap(), Next::Page);
            assert_eq!(run.since, Since::Time(expected));
            assert_eq!(run.restart(month + 10).unwrap_err().reason(), Reason::WorkosUnavailable);
        }
        assert_eq!(Run::begin(None, 5000).since, Since::Time(1400));
    }

    #[test]
    fn a_failure_holds_the_others_back_for_an_hour_and_the_table_for_ever() {
        let old = event("event_1", Some(1000));
        assert!(!is_given_up(&old, Reason::LivekitUnavailable, 4599));
        assert!(is_given_up(&old, Reason::LivekitUnavailable, 4600));
        assert!(is_given_up(&old, Reason::Internal, 4600));
        assert!(!is_given_up(&old, Reason::StoreUnavailable, 1_000_000));
    }
}
