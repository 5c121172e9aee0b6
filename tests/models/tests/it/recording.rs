//! One room: starts, stops, webhooks and sweeps by one user meet. The user may run one recording, so that every slot that
//! is not given back is missed.
//!
//! Time is in seconds. It advances to the next moment at which something expires, and never past the deadline of a
//! running request. Calls that the product makes at the same time follow each other here, so a request can die after any
//! number of them. LiveKit may end an egress by itself, let one appear late, and tell old news.

use recording::decisions::{
    Applied, Egress, LEASE_SECONDS, Plan, Running as Judged, Unrecorded, begin_or_adopt, judge, leaked, plan,
    stopped_at, unfinished, unrecorded,
};
use stateright::{Model, Property};
use store::recording::{Claim, Phase, Progress, RecordingItem, RecordingStatus as Status, RoomItem, Slot};

use crate::{Outcome, check, next_moment};

/// `CLAIM_SECONDS` of the slots.
const CLAIM_SECONDS: u64 = 160;

/// `RECORDINGS_PER_CALLER`
const SLOTS: usize = 1;

/// Longer than everything that is modelled.
const MAX_SECONDS: u64 = 100_000;

const START: u64 = 1000;
const USER: &str = "user";
const ROOM: &str = "room";
const BUCKET: &str = "ours";

/// A claim: the start that made it, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Claimed {
    token: usize,
    at: u64,
}

impl Claimed {
    fn claim(self) -> Claim {
        Claim {
            room: ROOM.to_owned(),
            token: self.token.to_string(),
            organization_id: None,
            zone_id: String::new(),
            topic: String::new(),
            participants: Vec::new(),
            started_by: USER.to_owned(),
            started_at: self.at,
            object_key: String::new(),
        }
    }

    fn of(claim: &Claim) -> Self {
        Self { token: number(&claim.token), at: claim.started_at }
    }

    fn slot(self) -> Slot {
        Slot::of(&self.claim())
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Held {
    Starting { lease_until: u64 },
    Recording { egress: usize, announced_to: Option<usize> },
}

/// The room's item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Room {
    claimed: Claimed,
    held: Held,
}

impl Room {
    fn item(self) -> RoomItem {
        let phase = match self.held {
            Held::Starting { lease_until } => Phase::Starting { lease_until },
            Held::Recording { egress, announced_to } => Phase::Recording {
                egress_id: egress.to_string(),
                announced_to: announced_to.map(|start| start.to_string()),
            },
        };
        RoomItem { claim: self.claimed.claim(), phase }
    }

    fn of(item: &RoomItem) -> Self {
        let held = match &item.phase {
            Phase::Starting { lease_until } => Held::Starting { lease_until: *lease_until },
            Phase::Recording { egress_id, announced_to } => Held::Recording {
                egress: number(egress_id),
                announced_to: announced_to.as_deref().map(number),
            },
        };
        Self { claimed: Claimed::of(&item.claim), held }
    }
}

/// The record of an egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Record {
    claimed: Claimed,
    status: Status,
    is_stopped: bool,
}

impl Record {
    fn item(self, egress: usize) -> RecordingItem {
        RecordingItem {
            egress_id: egress.to_string(),
            claim: self.claimed.claim(),
            status: self.status,
            stopped_at: self.is_stopped.then_some(START),
            stopped_by: None,
            ended_at: self.status.is_final().then_some(START),
            location: None,
            error: None,
        }
    }
}

/// LiveKit's egress. It has no status before it appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Started {
    token: usize,
    status: Option<Status>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Request {
    Start,
    Stop,
    Webhook,
    Sweep,
}

/// The next call of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Begin,
    // A start reads both, in any order.
    ReadRoom,
    ListRoom,
    Verify,
    ReadRecord,
    TakeBack,
    GiveBackLeaked,
    Claim,
    GiveBackReplaced,
    StartEgress,
    ListAgain,
    Release,
    EndLease,
    Confirm,
    Discard,
    // A stop.
    StopEgress,
    Note,
    // A webhook, or a sweep for one egress.
    Apply,
    Complete,
    ConfirmUnannounced,
    StopSurplus,
    StopUnclaimed,
    // The last ones of a stop, a webhook and a sweep.
    Advance,
    FreeRoom,
    GiveBack,
    Answered(u16),
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Running {
    request: Request,
    step: Step,
    started_at: u64,
    claimed: Claimed,
    /// What a start has read: the room's item and LiveKit's egresses, and the slots.
    held: Option<Option<Room>>,
    running: Option<Vec<usize>>,
    taken: Vec<Claimed>,
    abandoned: Option<Room>,
    /// The egress that the request is about, and its status as the request knows it.
    egress: usize,
    status: Status,
    frees_room: bool,
    /// What a sweep has not looked at yet.
    listed: Vec<(usize, Status)>,
}

impl Running {
    fn new(request: Request) -> Self {
        Self {
            request,
            step: Step::Begin,
            started_at: 0,
            claimed: Claimed { token: 0, at: 0 },
            held: None,
            running: None,
            taken: Vec::new(),
            abandoned: None,
            egress: 0,
            status: Status::Starting,
            frees_room: false,
            listed: Vec::new(),
        }
    }

    fn is_active(&self) -> bool {
        !matches!(self.step, Step::Begin | Step::Answered(_) | Step::Dead)
    }
}

/// What happened, for the properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct History {
    faults: u8,
    started: bool,
    /// LiveKit did not answer a start, and it was not certain that no egress would follow.
    unanswered: bool,
    /// A start returned the egress of another one, which was interrupted.
    completed: bool,
    surplus_stopped: bool,
    unclaimed_stopped: bool,
    taken_back: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u64,
    room: Option<Room>,
    records: Vec<Option<Record>>,
    slots: Vec<Claimed>,
    egresses: Vec<Started>,
    requests: Vec<Running>,
    history: History,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Start {
        request: usize,
        reads_room_first: bool,
    },
    Stop {
        request: usize,
        egress: usize,
    },
    /// LiveKit tells about an egress, perhaps with an old status.
    Tell {
        request: usize,
        egress: usize,
        status: Status,
    },
    Sweep {
        request: usize,
    },
    Call {
        request: usize,
        outcome: Outcome,
    },
    /// LiveKit gives no answer, and starts the egress later.
    StartLate {
        request: usize,
    },
    Die {
        request: usize,
    },
    Appear {
        egress: usize,
    },
    End {
        egress: usize,
    },
    WaitUntil(u64),
}

struct Protocol {
    requests: Vec<Request>,
    faults: u8,
}

enum Won {
    Yes,
    Held,
    Full,
}

enum Confirmed {
    Yes,
    Held(Room),
    Ended,
}

/// The conditions of the table's writes.
impl State {
    /// `Table::claim_room`
    fn claim_room(&mut self, claimed: Claimed, abandoned: Option<Room>) -> Won {
        let is_same = |room: &Room, abandoned: &Room| {
            room.claimed.token == abandoned.claimed.token
                && matches!(room.held, Held::Starting { .. })
                    == matches!(abandoned.held, Held::Starting { .. })
        };
        if self.room.is_some_and(|room| !abandoned.is_some_and(|abandoned| is_same(&room, &abandoned))) {
            return Won::Held;
        }
        if self.slots.len() >= SLOTS {
            return Won::Full;
        }
        let lease_until = self.now + LEASE_SECONDS;
        self.room = Some(Room { claimed, held: Held::Starting { lease_until } });
        self.slots.push(claimed);
        Won::Yes
    }

    /// The room's item, if it is this claim and not confirmed: `unconfirmed` of the table.
    fn unconfirmed(&mut self, claimed: Claimed) -> Option<&mut Room> {
        self.room
            .as_mut()
            .filter(|room| room.claimed.token == claimed.token && matches!(room.held, Held::Starting { .. }))
    }

    /// `Table::release_room`
    fn release_room(&mut self, claimed: Claimed) {
        if self.unconfirmed(claimed).is_some() {
            self.room = None;
        }
    }

    /// `Table::end_lease`
    fn end_lease(&mut self, claimed: Claimed) {
        if let Some(room) = self.unconfirmed(claimed) {
            room.held = Held::Starting { lease_until: 0 };
        }
    }

    /// `Table::confirm_start`
    fn confirm_start(&mut self, claimed: Claimed, egress: usize, start: Option<usize>) -> Confirmed {
        let can_confirm = |room: Room| {
            room.claimed.token == claimed.token
                && match room.held {
                    Held::Starting { .. } => true,
                    Held::Recording { egress: confirmed, announced_to } => {
                        start.is_some()
                            && confirmed == egress
                            && (announced_to.is_none() || announced_to == start)
                    }
                }
        };
        let Some(room) = self.room else { return Confirmed::Ended };
        if !can_confirm(room) {
            return Confirmed::Held(room);
        }
        if self.records[egress].is_some_and(|record| record.status > Status::Active || record.is_stopped) {
            return Confirmed::Ended;
        }
        self.room =
            Some(Room { claimed: room.claimed, held: Held::Recording { egress, announced_to: start } });
        self.records[egress].get_or_insert(Record { claimed, status: Status::Starting, is_stopped: false });
        Confirmed::Yes
    }

    /// `Table::advance_recording`. Returns the record.
    fn advance_recording(&mut self, egress: usize, status: Status) -> Option<Record> {
        let record = self.records[egress].as_mut()?;
        if !record.status.is_final() && record.status < status {
            record.status = status;
        }
        Some(*record)
    }

    /// `Table::note_stop`
    fn note_stop(&mut self, egress: usize) {
        if let Some(record) = &mut self.records[egress] {
            record.is_stopped = true;
        }
    }

    /// `Table::free_room`
    fn free_room(&mut self, egress: usize) {
        self.room.take_if(
            |room| matches!(room.held, Held::Recording { egress: recorded, .. } if recorded == egress),
        );
    }

    /// `Table::give_back`
    fn give_back(&mut self, slots: &[Slot]) {
        self.slots.retain(|slot| !slots.contains(&slot.slot()));
    }
}

/// LiveKit.
impl State {
    fn start_egress(&mut self, token: usize, status: Option<Status>) -> usize {
        self.egresses.push(Started { token, status });
        self.records.push(None);
        self.egresses.len() - 1
    }

    /// Stops an egress, and returns its status.
    fn stop_egress(&mut self, egress: usize) -> Status {
        let status = &mut self.egresses[egress].status;
        if *status == Some(Status::Active) {
            *status = Some(Status::Ending);
        }
        status.unwrap_or(Status::Ended)
    }

    fn is_running(&self, egress: usize) -> bool {
        self.egresses[egress].status == Some(Status::Active)
    }

    /// The egresses that LiveKit lists as active.
    fn running(&self) -> Vec<usize> {
        (0..self.egresses.len()).filter(|egress| self.is_running(*egress)).collect()
    }

    /// An egress as the product sees it.
    fn egress(&self, egress: usize, status: Status) -> Egress {
        Egress {
            id: egress.to_string(),
            room: ROOM.to_owned(),
            room_sid: String::new(),
            token: Some(self.egresses[egress].token.to_string()),
            bucket: Some(BUCKET.to_owned()),
            object_key: None,
            progress: Progress { status, ended_at: None, location: None, error: None },
        }
    }
}

/// The requests.
impl State {
    /// Makes the next call of a request.
    fn call(&mut self, request: usize, outcome: Outcome) {
        let (is_sent, is_answered) = (outcome != Outcome::Dropped, outcome == Outcome::Answered);
        let Running { request: kind, step, claimed, egress, status, abandoned, .. } =
            self.requests[request].clone();
        let next = match step {
            Step::ReadRoom => {
                self.requests[request].held = Some(self.room);
                self.requests[request].taken = self.slots.clone();
                self.decide(request)
            }
            Step::ListRoom => {
                self.requests[request].running = Some(self.running());
                self.decide(request)
            }
            Step::Verify => {
                if self.is_running(egress) {
                    Step::Answered(409)
                } else {
                    self.advance_recording(egress, Status::Ended);
                    let listed = self.listed(request);
                    let held = self.requests[request].held.flatten().map(Room::item);
                    self.follow(request, begin_or_adopt(held, listed, BUCKET))
                }
            }
            Step::ReadRecord => {
                let is_over = |record: Record| record.is_stopped || record.status >= Status::Ending;
                if self.records[egress].is_some_and(is_over) {
                    // LiveKit's list is out of date.
                    self.requests[request].running = None;
                } else {
                    self.requests[request].claimed.token = self.egresses[egress].token;
                }
                self.before_claim(request)
            }
            Step::TakeBack => {
                if self.leaked(request).is_empty() {
                    Step::Answered(429)
                } else {
                    Step::GiveBackLeaked
                }
            }
            Step::GiveBackLeaked => {
                // The rooms were read a moment ago, in the same round.
                let leaked = self.leaked(request);
                if is_sent {
                    self.give_back(&leaked);
                    self.history.taken_back |= is_answered;
                }
                if is_answered { Step::Claim } else { Step::Answered(503) }
            }
            Step::Claim => {
                let won = is_sent.then(|| self.claim_room(claimed, abandoned));
                match won.filter(|_| is_answered) {
                    Some(Won::Yes) if abandoned.is_some() => Step::GiveBackReplaced,
                    Some(Won::Yes) => self.after_claim(request),
                    Some(Won::Held) => Step::Answered(409),
                    Some(Won::Full) => Step::Answered(429),
                    None => Step::Release,
                }
            }
            Step::GiveBackReplaced => {
                if let (true, Some(abandoned)) = (is_sent, abandoned) {
                    self.give_back(&[abandoned.claimed.slot()]);
                }
                self.after_claim(request)
            }
            Step::StartEgress => {
                if is_sent {
                    self.requests[request].egress = self.start_egress(request, Some(Status::Active));
                }
                self.history.unanswered |= outcome == Outcome::AnswerLost;
                match outcome {
                    Outcome::Answered => Step::Confirm,
                    Outcome::Dropped => Step::Release,
                    Outcome::AnswerLost | Outcome::Died => Step::ListAgain,
                }
            }
            Step::ListAgain => {
                let own = self.running().into_iter().find(|egress| self.egresses[*egress].token == request);
                match own.filter(|_| is_answered) {
                    Some(own) => {
                        self.requests[request].egress = own;
                        Step::Confirm
                    }
                    None => Step::EndLease,
                }
            }
            Step::Release => {
                if is_sent {
                    self.release_room(claimed);
                }
                Step::GiveBack
            }
            Step::EndLease => {
                if is_sent {
                    self.end_lease(claimed);
                }
                Step::Answered(503)
            }
            Step::Confirm => {
                let confirmed = is_sent.then(|| self.confirm_start(claimed, egress, Some(request)));
                match confirmed.filter(|_| is_answered) {
                    Some(Confirmed::Yes) => {
                        self.history.started = true;
                        self.history.completed |= claimed.token != request;
                        Step::Answered(200)
                    }
                    Some(Confirmed::Held(room)) if room.claimed.token != claimed.token => Step::Discard,
                    Some(Confirmed::Held(_)) => Step::Answered(409),
                    Some(Confirmed::Ended) | None => Step::Answered(503),
                }
            }
            Step::Discard => {
                if is_sent {
                    self.stop_egress(egress);
                    self.history.surplus_stopped = true;
                }
                Step::GiveBack
            }
            Step::StopEgress => {
                let stopped = is_sent.then(|| self.stop_egress(egress));
                match stopped.filter(|_| is_answered) {
                    Some(status) => {
                        let running = &mut self.requests[request];
                        (running.status, running.frees_room) = (status, true);
                        if status.is_final() { Step::Advance } else { Step::Note }
                    }
                    None => Step::Answered(503),
                }
            }
            Step::Note => {
                if is_sent {
                    self.note_stop(egress);
                }
                Step::Advance
            }
            Step::Advance => {
                if is_sent {
                    self.advance_recording(egress, status);
                }
                if self.requests[request].frees_room { Step::FreeRoom } else { Step::GiveBack }
            }
            Step::FreeRoom => {
                if is_sent {
                    self.free_room(egress);
                }
                Step::GiveBack
            }
            Step::GiveBack => {
                // A stop, a webhook and a sweep give back the slot of the record.
                let slot = match kind {
                    Request::Start => Some(claimed),
                    _ => self.records[egress].map(|record| record.claimed),
                };
                if let (true, Some(slot)) = (is_sent, slot) {
                    self.give_back(&[slot.slot()]);
                }
                self.next_listed(request)
            }
            Step::Apply => match is_sent.then(|| self.advance_recording(egress, status)) {
                _ if !is_answered => self.next_listed(request),
                Some(Some(record)) => {
                    self.applied(request, &Applied::Recorded(Box::new(record.item(egress))))
                }
                _ if self.requests[request].frees_room => self.applied(request, &Applied::Unclaimed),
                _ => Step::Complete,
            },
            Step::Complete => match unrecorded(&self.egress(egress, status), self.room.map(Room::item)) {
                Unrecorded::Confirm(claim) => {
                    self.requests[request].claimed = Claimed::of(&claim);
                    Step::ConfirmUnannounced
                }
                Unrecorded::Stop => Step::StopSurplus,
                Unrecorded::Leave => self.applied(request, &Applied::Unclaimed),
            },
            Step::ConfirmUnannounced => {
                if is_sent {
                    self.confirm_start(claimed, egress, None);
                }
                // The second attempt at the record decides.
                self.requests[request].frees_room = true;
                if is_answered { Step::Apply } else { self.next_listed(request) }
            }
            Step::StopSurplus => {
                if is_sent {
                    self.stop_egress(egress);
                    self.history.surplus_stopped = true;
                }
                if is_answered { self.applied(request, &Applied::Surplus) } else { self.next_listed(request) }
            }
            Step::StopUnclaimed => {
                let stopped = is_sent.then(|| self.stop_egress(egress));
                self.history.unclaimed_stopped |= is_sent;
                match stopped.filter(|_| is_answered) {
                    Some(status) => {
                        self.requests[request].status = status;
                        Step::Apply
                    }
                    None => self.next_listed(request),
                }
            }
            Step::Begin | Step::Answered(_) | Step::Dead => unreachable!("no call of {step:?}"),
        };
        self.go_on(request, next);
    }

    fn go_on(&mut self, request: usize, step: Step) {
        let running = &mut self.requests[request];
        running.step = step;
        if !running.is_active() {
            // What it knew does not matter any more.
            *running = Running { step, ..Running::new(running.request) };
        }
    }

    /// The egresses that a start has listed.
    fn listed(&self, request: usize) -> Vec<Egress> {
        let listed = self.requests[request].running.iter().flatten();
        listed.map(|egress| self.egress(*egress, Status::Active)).collect()
    }

    /// Decides how a start goes on, once it has read both.
    fn decide(&mut self, request: usize) -> Step {
        match (&self.requests[request].held, &self.requests[request].running) {
            (None, _) => Step::ReadRoom,
            (_, None) => Step::ListRoom,
            (Some(held), Some(_)) => {
                let next = plan(
                    held.map(Room::item),
                    self.listed(request),
                    BUCKET,
                    self.requests[request].started_at,
                    self.now,
                );
                self.follow(request, next)
            }
        }
    }

    fn follow(&mut self, request: usize, plan: Plan) -> Step {
        let running = &mut self.requests[request];
        match plan {
            Plan::Begin { abandoned } => {
                running.abandoned = abandoned.as_ref().map(Room::of);
                running.running = None;
                self.before_claim(request)
            }
            Plan::Complete { claim, egress } => {
                running.claimed = Claimed::of(&claim);
                running.egress = number(&egress.id);
                Step::Confirm
            }
            Plan::Adopt { egress, abandoned } => {
                running.abandoned = abandoned.as_ref().map(Room::of);
                running.egress = number(&egress.id);
                Step::ReadRecord
            }
            Plan::Verify { egress_id, .. } => {
                running.egress = number(&egress_id);
                Step::Verify
            }
            Plan::Refuse { .. } | Plan::Wait { .. } => Step::Answered(409),
        }
    }

    fn before_claim(&self, request: usize) -> Step {
        if self.requests[request].taken.len() >= SLOTS { Step::TakeBack } else { Step::Claim }
    }

    /// A start that found an egress to adopt confirms it; others start one.
    fn after_claim(&self, request: usize) -> Step {
        if self.requests[request].running.is_some() { Step::Confirm } else { Step::StartEgress }
    }

    /// The slots that a start may take back: mirrors `Start::take_back_slots`.
    fn leaked(&self, request: usize) -> Vec<Slot> {
        let Running { taken, abandoned, .. } = &self.requests[request];
        let taken: Vec<_> = taken.iter().map(|slot| slot.slot()).collect();
        let room = self.room.filter(|room| abandoned.is_none_or(|each| each.claimed != room.claimed));
        leaked(USER, &taken, &vec![room.map(Room::item); taken.len()], self.now)
    }

    /// Goes on after a webhook or a sweep has applied an egress.
    fn applied(&mut self, request: usize, applied: &Applied) -> Step {
        let running = &mut self.requests[request];
        if running.status >= Status::Ending {
            return match applied {
                Applied::Recorded(_) => Step::FreeRoom,
                Applied::Surplus | Applied::Unclaimed => self.next_listed(request),
            };
        }
        match (running.request, judge(applied, self.now, MAX_SECONDS)) {
            (Request::Sweep, Judged::Stop(_)) => Step::StopUnclaimed,
            _ => self.next_listed(request),
        }
    }

    /// A sweep goes on with the next egress.
    fn next_listed(&mut self, request: usize) -> Step {
        let running = &mut self.requests[request];
        let Some((egress, status)) = running.listed.pop() else { return Step::Answered(200) };
        (running.egress, running.status, running.frees_room) = (egress, status, false);
        Step::Apply
    }

    fn begin(&mut self, request: usize, step: Step) -> &mut Running {
        let started_at = self.now;
        let running = &mut self.requests[request];
        *running = Running { step, started_at, ..Running::new(running.request) };
        running.claimed = Claimed { token: request, at: started_at };
        running
    }

    /// A stop reads the record and the room.
    fn begin_stop(&mut self, request: usize, egress: usize) {
        let room = self.room.map(Room::item);
        let Some(record) = self.records[egress].map(|record| record.item(egress)) else { return };
        let running = self.begin(request, Step::StopEgress);
        running.egress = egress;
        if stopped_at(&record).is_some() {
            let unfinished = unfinished(&record, room.as_ref());
            running.status = Status::Ending;
            running.frees_room = unfinished.free;
            running.step = match (unfinished.advance, unfinished.free) {
                (true, _) => Step::Advance,
                (false, true) => Step::FreeRoom,
                (false, false) => Step::GiveBack,
            };
        }
    }

    fn begin_sweep(&mut self, request: usize) {
        let listed = self.egresses.iter().enumerate();
        let listed = listed.filter_map(|(egress, started)| Some((egress, started.status?))).collect();
        self.begin(request, Step::Apply).listed = listed;
        let step = self.next_listed(request);
        self.go_on(request, step);
    }

    /// The state after everything late has appeared and a sweep without faults. Only if no request runs.
    fn settled(&self) -> Option<Self> {
        if self.requests.iter().any(Running::is_active) {
            return None;
        }
        let mut state = self.clone();
        for egress in &mut state.egresses {
            egress.status.get_or_insert(Status::Active);
        }
        state.requests.push(Running::new(Request::Sweep));
        let sweep = state.requests.len() - 1;
        state.begin_sweep(sweep);
        while state.requests[sweep].is_active() {
            state.call(sweep, Outcome::Answered);
        }
        Some(state)
    }

    /// The next moment at which something expires.
    fn next_moment(&self) -> Option<u64> {
        let lease = self.room.and_then(|room| match room.held {
            Held::Starting { lease_until } => Some(lease_until),
            Held::Recording { .. } => None,
        });
        let claims = self.slots.iter().map(|slot| slot.at + CLAIM_SECONDS);
        let active = self.requests.iter().filter(|running| running.is_active());
        next_moment(self.now, lease.into_iter().chain(claims), active.map(|running| running.started_at))
    }

    fn after(&mut self, request: usize, outcome: Outcome) {
        self.history.faults += u8::from(outcome.is_fault());
        if outcome == Outcome::Died {
            self.go_on(request, Step::Dead);
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: START,
            room: None,
            records: Vec::new(),
            slots: Vec::new(),
            egresses: Vec::new(),
            requests: self.requests.iter().copied().map(Running::new).collect(),
            history: History::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let can_fail = state.history.faults < self.faults;
        for (request, running) in state.requests.iter().enumerate() {
            // Requests of one kind begin in order: they are alike.
            let is_next = state.requests[..request]
                .iter()
                .all(|earlier| earlier.step != Step::Begin || earlier.request != running.request);
            let egresses = 0..state.egresses.len();
            match (running.step, running.request) {
                (Step::Answered(_) | Step::Dead, _) => {}
                (Step::Begin, _) if !is_next => {}
                (Step::Begin, Request::Start) => actions.extend(
                    [true, false].map(|reads_room_first| Action::Start { request, reads_room_first }),
                ),
                (Step::Begin, Request::Stop) => {
                    let known = egresses.filter(|egress| state.records[*egress].is_some());
                    actions.extend(known.map(|egress| Action::Stop { request, egress }));
                }
                (Step::Begin, Request::Webhook) => {
                    for egress in egresses {
                        let told = [Status::Active, Status::Ending, Status::Ended];
                        let told =
                            told.into_iter().filter(|status| Some(*status) <= state.egresses[egress].status);
                        actions.extend(told.map(|status| Action::Tell { request, egress, status }));
                    }
                }
                (Step::Begin, Request::Sweep) => {
                    actions.extend((!state.egresses.is_empty()).then_some(Action::Sweep { request }));
                }
                (step, _) => {
                    // A read that fails changes nothing.
                    let is_read = matches!(
                        step,
                        Step::ReadRoom | Step::ListRoom | Step::ReadRecord | Step::TakeBack | Step::Complete
                    );
                    let outcomes = Outcome::ALL.into_iter();
                    let outcomes = outcomes.filter(|outcome| !outcome.is_fault() || (can_fail && !is_read));
                    actions.extend(outcomes.map(|outcome| Action::Call { request, outcome }));
                    if can_fail && step == Step::StartEgress {
                        actions.push(Action::StartLate { request });
                    }
                    if can_fail && !is_read {
                        actions.push(Action::Die { request });
                    }
                }
            }
        }
        for (egress, started) in state.egresses.iter().enumerate() {
            match started.status {
                None => actions.push(Action::Appear { egress }),
                Some(Status::Ended) => {}
                Some(_) => actions.push(Action::End { egress }),
            }
        }
        actions.extend(state.next_moment().map(Action::WaitUntil));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Start { request, reads_room_first } => {
                let step = if reads_room_first { Step::ReadRoom } else { Step::ListRoom };
                next.begin(request, step);
            }
            Action::Stop { request, egress } => next.begin_stop(request, egress),
            Action::Tell { request, egress, status } => {
                let running = next.begin(request, Step::Apply);
                (running.egress, running.status) = (egress, status);
            }
            Action::Sweep { request } => next.begin_sweep(request),
            Action::Call { request, outcome } => {
                next.call(request, outcome);
                next.after(request, outcome);
            }
            Action::StartLate { request } => {
                next.history.faults += 1;
                next.history.unanswered = true;
                next.start_egress(request, None);
                next.go_on(request, Step::ListAgain);
            }
            Action::Die { request } => {
                next.history.faults += 1;
                next.go_on(request, Step::Dead);
            }
            Action::Appear { egress } => next.egresses[egress].status = Some(Status::Active),
            Action::End { egress } => next.egresses[egress].status = Some(Status::Ended),
            Action::WaitUntil(moment) => next.now = moment,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "two egresses run only if LiveKit did not answer a start",
                |_, state: &State| state.running().len() <= 1 || state.history.unanswered,
            ),
            Property::always("one recording per room", |_, state: &State| {
                let is_recorded = |egress: &usize| {
                    state.records[*egress].is_some_and(|record| record.status < Status::Ending)
                };
                state.running().iter().filter(|egress| is_recorded(egress)).count() <= 1
            }),
            Property::always(
                "after a sweep, one egress runs, and it has the room and a record",
                |_, state: &State| {
                    let Some(settled) = state.settled() else { return true };
                    match settled.running()[..] {
                        [] => true,
                        [egress] => {
                            let has_room = settled.room.is_some_and(|room| {
                            matches!(room.held, Held::Recording { egress: recorded, .. } if recorded == egress)
                        });
                            settled.records[egress].is_some() && has_room
                        }
                        _ => false,
                    }
                },
            ),
            Property::always(
                "a slot is held by a running egress, or can be taken back",
                |_, state: &State| {
                    let Some(settled) = state.settled() else { return true };
                    let taken: Vec<_> = settled.slots.iter().map(|slot| slot.slot()).collect();
                    let rooms = vec![settled.room.map(Room::item); taken.len()];
                    let leaked = leaked(USER, &taken, &rooms, settled.now + CLAIM_SECONDS);
                    let is_held = |slot: &Slot| {
                        settled.running().iter().any(|egress| {
                            settled.records[*egress].is_some_and(|record| record.claimed.slot() == *slot)
                        })
                    };
                    taken.iter().all(|slot| leaked.contains(slot) || is_held(slot))
                },
            ),
            Property::sometimes("a recording is started", |_, state: &State| state.history.started),
        ];
        let has = |request| self.requests.contains(&request);
        if self.requests.iter().filter(|request| **request == Request::Start).count() > 1 {
            properties.extend([
                Property::sometimes("an interrupted start is completed", |_, state: &State| {
                    state.history.completed
                }),
                Property::sometimes("a leaked slot is taken back", |_, state: &State| {
                    state.history.taken_back
                }),
            ]);
        }
        let starts = self.requests.iter().filter(|request| **request == Request::Start).count();
        if starts > 1 && (has(Request::Webhook) || has(Request::Sweep)) {
            properties.push(Property::sometimes("a surplus egress is stopped", |_, state: &State| {
                state.history.surplus_stopped
            }));
        }
        if has(Request::Sweep) {
            properties
                .push(Property::sometimes("an egress without a claim is stopped", |_, state: &State| {
                    state.history.unclaimed_stopped
                }));
        }
        properties
    }
}

#[test]
fn two_starts_and_a_stop() {
    let requests = vec![Request::Start, Request::Start, Request::Stop];
    check("two starts, stop", Protocol { requests, faults: 2 });
}

#[test]
fn two_starts_and_a_webhook() {
    let requests = vec![Request::Start, Request::Start, Request::Webhook];
    check("two starts, webhook", Protocol { requests, faults: 2 });
}

#[test]
fn two_starts_and_a_sweep() {
    let requests = vec![Request::Start, Request::Start, Request::Sweep];
    check("two starts, sweep", Protocol { requests, faults: 2 });
}

#[test]
fn a_start_a_stop_a_webhook_and_a_sweep() {
    let requests = vec![Request::Start, Request::Stop, Request::Webhook, Request::Sweep];
    check("start, stop, webhook, sweep", Protocol { requests, faults: 2 });
}
