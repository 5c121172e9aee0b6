//! One session: requests refresh it, switch it and sign it out at the same time.
//!
//! Time is in seconds. It advances to the next moment at which something expires, and never past the deadline of a
//! running request. A write that the product repeats to the deadline is repeated here until it is answered, or the
//! deadline has come.

use std::sync::LazyLock;

use session::{Chain, Lifetimes, SessionToken, Standing, lease};
use stateright::{Model, Property};
use store::session::{Link, Profile, RefreshState, SessionId};
use store::{SessionItem, SessionKey};

use crate::{DEADLINE, Outcome, check, next_moment};

/// WorkOS repeats its answer to a refresh for this time.
const REPLAY_WINDOW: u64 = 30;

/// The lifetime of an access token.
const ACCESS: u64 = 300;

/// `REFRESH_AHEAD` of the authorizer.
const REFRESH_AHEAD: u64 = 30;

/// `RETRY_PAUSE` of the lease.
const RETRY_PAUSE: u64 = 5;

const START: u64 = 1000;

/// Lifetimes that end after everything that is modelled.
const LIFETIMES: Lifetimes = Lifetimes { idle: 100_000, absolute: 100_000 };

/// The tokens of the first session and of those that switches make.
static TOKENS: LazyLock<[SessionToken; 3]> = LazyLock::new(|| {
    ["A", "B", "C"].map(|first| SessionToken::parse(&format!("{first}{}", "A".repeat(42))).unwrap())
});
static KEYS: LazyLock<[SessionKey; 3]> = LazyLock::new(|| TOKENS.each_ref().map(SessionToken::key));

fn index_of(key: &SessionKey) -> usize {
    KEYS.iter().position(|each| each == key).unwrap()
}

/// What is stored of a session. Sessions are numbered, and so are refresh tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Stored {
    generation: u64,
    refresh_token: u8,
    /// The request that sealed the refresh token: no two seals are equal.
    sealed_by: Option<usize>,
    access_expires_at: u64,
    lease: Option<(usize, u64)>,
    pause_until: Option<u64>,
    replaced_by: Option<(usize, u64)>,
    replaces: Option<(usize, u64)>,
}

impl Stored {
    /// The item as the product sees it.
    fn item(&self) -> SessionItem {
        let link = |link: Option<(usize, u64)>| link.map(|(key, at)| Link { key: KEYS[key].clone(), at });
        SessionItem {
            id: SessionId(String::new()),
            user_id: String::new(),
            email: String::new(),
            workos_session_id: String::new(),
            organization_id: None,
            role: None,
            permissions: Vec::new(),
            claims_issued_at: START,
            access_expires_at: self.access_expires_at,
            claims_stale_at: None,
            profile: Profile::default(),
            organization_name: None,
            method: None,
            sealed_refresh_token: Vec::new(),
            generation: self.generation,
            refresh: self.refresh(),
            created_at: START,
            authenticated_at: START,
            ip_address: None,
            user_agent: None,
            last_seen_at: START,
            expires_at: 0,
            replaced_by: link(self.replaced_by),
            replaces: link(self.replaces),
            impersonator: None,
        }
    }

    fn refresh(&self) -> RefreshState {
        RefreshState {
            owner: self.lease.map(|(owner, _)| owner.to_string()),
            lease_until: self.lease.map(|(_, until)| until),
            pause_until: self.pause_until,
        }
    }

    fn standing(&self, now: u64) -> Standing {
        LIFETIMES.standing(&self.item(), now)
    }
}

/// WorkOS' session. A refresh token is used once; for a while after that, it returns the same new one again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct WorkOs {
    is_revoked: bool,
    refresh_token: u8,
    rotated_at: u64,
}

impl WorkOs {
    /// Returns the new refresh token, or nothing for `invalid_grant`.
    fn refresh(&mut self, refresh_token: u8, now: u64) -> Option<u8> {
        if self.is_revoked {
            return None;
        }
        if refresh_token == self.refresh_token {
            self.refresh_token += 1;
            self.rotated_at = now;
            return Some(self.refresh_token);
        }
        let is_replay = refresh_token + 1 == self.refresh_token && now < self.rotated_at + REPLAY_WINDOW;
        is_replay.then_some(self.refresh_token)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Request {
    Refresh,
    /// Makes the session of this number.
    Switch(usize),
    SignOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Attempt {
    First,
    Replay,
}

/// The next call of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Begin,
    Claim,
    /// A switch reads the session again: another request has the lease.
    Reread,
    Refresh(Attempt),
    Store {
        refresh_token: u8,
        has_failed: bool,
    },
    Delete,
    Release,
    Replace {
        refresh_token: u8,
    },
    /// A switch whose transaction failed keeps the refresh token in the old session.
    Keep {
        refresh_token: u8,
        has_failed: bool,
    },
    /// It has not kept it: perhaps the transaction succeeded after all.
    Look,
    End {
        chain: Chain,
        pending: Vec<usize>,
        next: Vec<usize>,
        was_live: bool,
        has_failed: bool,
    },
    Revoke,
    Answered(u16),
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Running {
    request: Request,
    step: Step,
    started_at: u64,
    /// The session, as it was read.
    key: usize,
    generation: u64,
    refresh_token: u8,
    owner: Option<usize>,
    pause_until: Option<u64>,
    /// When the lease ends that it claims.
    lease_until: u64,
}

impl Running {
    fn is_active(&self) -> bool {
        !matches!(self.step, Step::Begin | Step::Answered(_) | Step::Dead)
    }

    /// Ends the request. What it knew does not matter any more.
    fn end(&mut self, step: Step) {
        *self = Self { step, ..Self::new(self.request) };
    }

    fn new(request: Request) -> Self {
        Self {
            request,
            step: Step::Begin,
            started_at: 0,
            key: 0,
            generation: 0,
            refresh_token: 0,
            owner: None,
            pause_until: None,
            lease_until: 0,
        }
    }

    /// Notes what it read at `now`. The claim arrives later, and the clock has gone on. Mirrors `Lease::claim`.
    fn found(&mut self, stored: &Stored, now: u64) {
        (self.generation, self.refresh_token) = (stored.generation, stored.refresh_token);
        (self.owner, self.pause_until) = (stored.lease.map(|(owner, _)| owner), stored.pause_until);
        self.lease_until = now + lease::DURATION;
        self.step = match (lease::is_free(&stored.refresh(), now), self.request) {
            (true, _) => Step::Claim,
            (false, Request::Switch(_)) => Step::Reread,
            (false, _) => return self.end(Step::Answered(200)),
        };
    }
}

/// What happened, for the properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct History {
    faults: u8,
    refreshed: bool,
    /// A request died between WorkOS' rotation and the write.
    died: bool,
    replayed_after_death: bool,
    /// The metric.
    counted_lost: bool,
    /// A session that WorkOS knows was deleted so long after the rotation.
    lost_after: Option<u64>,
    signed_out: bool,
    /// A sign-out found a switch that it did not know of.
    sign_out_met_switch: bool,
    /// A switch found the session signed out after WorkOS had answered.
    switch_met_sign_out: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u64,
    table: [Option<Stored>; 3],
    workos: WorkOs,
    requests: Vec<Running>,
    history: History,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// A request reads the session with this number.
    Begin {
        request: usize,
        key: usize,
    },
    Call {
        request: usize,
        outcome: Outcome,
    },
    /// A sign-out's call for one of its sessions; the calls of a round are concurrent.
    End {
        request: usize,
        key: usize,
        outcome: Outcome,
    },
    GiveUp {
        request: usize,
    },
    Die {
        request: usize,
    },
    WaitUntil(u64),
}

struct Protocol {
    requests: Vec<Request>,
    faults: u8,
}

/// The conditions of the table's writes.
impl State {
    /// `Table::claim_refresh`
    fn claim_refresh(&mut self, request: usize) -> bool {
        let seen = &self.requests[request];
        let Some(stored) = &mut self.table[seen.key] else { return false };
        let won = (stored.generation, stored.lease.map(|(owner, _)| owner), stored.pause_until)
            == (seen.generation, seen.owner, seen.pause_until);
        if won {
            stored.lease = Some((request, seen.lease_until));
        }
        won
    }

    /// `Table::release_refresh`
    fn release_refresh(&mut self, key: usize, owner: usize, pause: u64) {
        let until = self.now + pause;
        if let Some(stored) = &mut self.table[key]
            && stored.lease.is_some_and(|(holder, _)| holder == owner)
        {
            stored.lease = None;
            stored.pause_until = Some(until);
        }
    }

    /// `Table::renew_session`. Without an expiry, the access token is unverified.
    fn renew_session(&mut self, request: usize, refresh_token: u8, access_expires_at: Option<u64>) -> bool {
        let (now, Running { key, generation, .. }) = (self.now, &self.requests[request]);
        let Some(stored) = &mut self.table[*key] else { return false };
        if stored.generation != *generation {
            return stored.sealed_by == Some(request) && stored.refresh_token == refresh_token;
        }
        stored.generation += 1;
        stored.refresh_token = refresh_token;
        stored.sealed_by = Some(request);
        stored.lease = None;
        stored.pause_until = access_expires_at.is_none().then_some(now);
        stored.access_expires_at = access_expires_at.unwrap_or(stored.access_expires_at);
        true
    }

    /// `Table::replace_session`
    fn replace_session(&mut self, request: usize, new: usize, refresh_token: u8) -> bool {
        let (now, Running { key, generation, .. }) = (self.now, self.requests[request].clone());
        let Some(old) = self.table[key].as_mut().filter(|old| old.generation == generation) else {
            return false;
        };
        old.generation += 1;
        old.replaced_by = Some((new, now));
        old.sealed_by = None;
        old.refresh_token = 0;
        old.lease = None;
        self.table[new] = Some(Stored {
            refresh_token,
            sealed_by: Some(request),
            access_expires_at: now + ACCESS,
            replaces: Some((key, now)),
            ..Stored::default()
        });
        true
    }

    /// `Table::delete_session_of`
    fn delete_session_of(&mut self, key: usize, generation: u64) -> bool {
        let is_deleted = self.table[key].as_ref().is_some_and(|stored| stored.generation == generation);
        if is_deleted {
            self.table[key] = None;
        }
        is_deleted
    }

    /// `Table::end_session`. Returns the session, and whether it is gone.
    fn end_session(&mut self, key: usize, known: &[SessionKey]) -> (Option<SessionItem>, bool) {
        let Some(stored) = &self.table[key] else { return (None, true) };
        let item = stored.item();
        let links = [&item.replaced_by, &item.replaces];
        let is_known = links.into_iter().flatten().all(|link| known.contains(&link.key));
        if is_known {
            self.table[key] = None;
        }
        (Some(item), is_known)
    }
}

/// The requests.
impl State {
    /// Reads the session. Mirrors `Authenticator::live_session`, `Switcher::switch` and `Sessions::end`.
    fn begin(&mut self, request: usize, key: usize) {
        let now = self.now;
        let stored = self.table[key].clone();
        let running = &mut self.requests[request];
        *running = Running { started_at: now, key, ..Running::new(running.request) };
        if running.request == Request::SignOut {
            let chain = Chain::of(&TOKENS[key..=key]);
            running.step =
                Step::End { pending: vec![key], next: Vec::new(), chain, was_live: false, has_failed: false };
            return;
        }
        let standing = stored.as_ref().map_or(Standing::Ended, |stored| stored.standing(now));
        match (running.request, standing, stored) {
            (Request::Refresh, Standing::Live, Some(stored))
                if stored.access_expires_at > now + REFRESH_AHEAD =>
            {
                running.end(Step::Answered(200));
            }
            (_, Standing::Live, Some(stored)) => running.found(&stored, now),
            (Request::Refresh, Standing::Readable, _) => running.end(Step::Answered(200)),
            _ => running.end(Step::Answered(401)),
        }
    }

    /// Makes the next call of a refresh or a switch.
    fn call(&mut self, request: usize, outcome: Outcome) {
        let now = self.now;
        let Running { request: kind, step, key, generation, refresh_token, .. } =
            self.requests[request].clone();
        let (is_sent, is_answered) = (outcome != Outcome::Dropped, outcome == Outcome::Answered);
        let next = match step {
            Step::Claim => {
                let won = is_sent && self.claim_refresh(request);
                match (is_answered, won, kind) {
                    (true, true, _) => Step::Refresh(Attempt::First),
                    (true, false, Request::Switch(_)) => Step::Reread,
                    // It goes on with the cached claims.
                    _ => Step::Answered(200),
                }
            }
            Step::Reread => match &self.table[key] {
                _ if !is_answered => Step::Answered(503),
                Some(stored) if stored.standing(now) == Standing::Live => {
                    self.requests[request].found(stored, now);
                    return;
                }
                _ => Step::Answered(401),
            },
            Step::Refresh(attempt) => {
                let is_replay = self.workos.refresh_token != refresh_token;
                let answer = is_sent.then(|| self.workos.refresh(refresh_token, now));
                match (answer.filter(|_| is_answered), attempt) {
                    (Some(Some(refresh_token)), _) => {
                        self.history.replayed_after_death |= is_replay && self.history.died;
                        match kind {
                            Request::Switch(_) => Step::Replace { refresh_token },
                            _ => Step::Store { refresh_token, has_failed: false },
                        }
                    }
                    (Some(None), Attempt::First) => Step::Delete,
                    (None, Attempt::First) => Step::Refresh(Attempt::Replay),
                    (_, Attempt::Replay) => {
                        self.history.counted_lost |= outcome != Outcome::Died;
                        Step::Release
                    }
                }
            }
            Step::Store { refresh_token, .. } => {
                let stored = is_sent && self.renew_session(request, refresh_token, Some(now + ACCESS));
                self.history.refreshed |= stored && is_answered;
                if is_answered {
                    Step::Answered(200)
                } else {
                    Step::Store { refresh_token, has_failed: true }
                }
            }
            Step::Delete => {
                let is_deleted = is_sent && self.delete_session_of(key, generation);
                if is_deleted && !self.workos.is_revoked {
                    self.history.lost_after = Some(now - self.workos.rotated_at);
                }
                Step::Answered(401)
            }
            Step::Release => {
                if is_sent {
                    self.release_refresh(key, request, RETRY_PAUSE);
                }
                Step::Answered(200)
            }
            Step::Replace { refresh_token } => {
                let Request::Switch(new) = kind else { unreachable!("only a switch replaces") };
                let replaced = is_sent && self.replace_session(request, new, refresh_token);
                self.history.switch_met_sign_out |= is_answered && !replaced && self.history.signed_out;
                match (is_answered, replaced) {
                    (true, true) => Step::Answered(200),
                    (true, false) => Step::Answered(401),
                    (false, _) => Step::Keep { refresh_token, has_failed: false },
                }
            }
            Step::Keep { refresh_token, .. } => {
                let kept = is_sent && self.renew_session(request, refresh_token, None);
                match (is_answered, kept) {
                    (true, true) => Step::Answered(503),
                    (true, false) => Step::Look,
                    (false, _) => Step::Keep { refresh_token, has_failed: true },
                }
            }
            Step::Look => {
                let replaced_by = self.table[key].as_ref().and_then(|old| old.replaced_by);
                match (replaced_by, kind) {
                    _ if !is_answered => Step::Answered(503),
                    (Some((new, _)), Request::Switch(own)) if new == own => Step::Answered(200),
                    _ => Step::Answered(401),
                }
            }
            Step::Revoke => {
                self.workos.is_revoked |= is_sent;
                Step::Answered(200)
            }
            step @ (Step::Begin | Step::End { .. } | Step::Answered(_) | Step::Dead) => {
                unreachable!("no call of {step:?}")
            }
        };
        self.go_on(request, next);
    }

    fn go_on(&mut self, request: usize, next: Step) {
        self.requests[request].step = next;
        if !self.requests[request].is_active() {
            let step = self.requests[request].step.clone();
            self.requests[request].end(step);
        }
    }

    /// A call of a sign-out: mirrors `Sessions::end`. The SDK repeats it when the answer is lost.
    fn end(&mut self, request: usize, key: usize, outcome: Outcome) {
        let now = self.now;
        let Step::End { mut chain, mut pending, mut next, mut was_live, mut has_failed } =
            self.requests[request].step.clone()
        else {
            unreachable!("only a sign-out ends sessions")
        };
        let ended = (outcome != Outcome::Dropped).then(|| self.end_session(key, chain.known()));
        if let (Some((Some(item), true)), Outcome::AnswerLost) = (&ended, outcome) {
            // The repetition finds nothing.
            was_live |= LIFETIMES.standing(item, now) != Standing::Ended;
        }
        if outcome != Outcome::AnswerLost {
            pending.retain(|each| *each != key);
        }
        match ended {
            _ if outcome == Outcome::AnswerLost => {}
            None => has_failed = true,
            Some((Some(item), true)) => was_live |= LIFETIMES.standing(&item, now) != Standing::Ended,
            Some((None, _)) => {}
            Some((Some(item), false)) => {
                next.push(key);
                next.extend(chain.add_links_of(&item, now).iter().map(index_of));
                self.history.sign_out_met_switch |= self
                    .requests
                    .iter()
                    .any(|running| matches!(running.request, Request::Switch(_)) && running.is_active());
            }
        }
        let step = if !pending.is_empty() {
            Step::End { chain, pending, next, was_live, has_failed }
        } else if has_failed {
            Step::Answered(503)
        } else if !next.is_empty() {
            Step::End { chain, pending: next, next: Vec::new(), was_live, has_failed }
        } else {
            self.history.signed_out |= was_live;
            if was_live { Step::Revoke } else { Step::Answered(401) }
        };
        self.go_on(request, step);
    }

    /// A write that failed to the deadline.
    fn give_up(&mut self, request: usize) {
        match self.requests[request].step {
            Step::Store { .. } => {
                self.history.counted_lost = true;
                self.go_on(request, Step::Answered(200));
            }
            Step::Keep { .. } => {
                self.history.counted_lost = true;
                self.go_on(request, Step::Answered(503));
            }
            _ => self.go_on(request, Step::Answered(409)),
        }
    }

    fn die(&mut self, request: usize) {
        let held = matches!(
            self.requests[request].step,
            Step::Refresh(_) | Step::Store { .. } | Step::Replace { .. } | Step::Keep { .. } | Step::Release
        );
        let is_stored =
            self.table.iter().flatten().any(|stored| stored.refresh_token == self.workos.refresh_token);
        self.history.died |= held && !is_stored;
        self.go_on(request, Step::Dead);
    }

    /// The next moment at which something expires.
    fn next_moment(&self) -> Option<u64> {
        let stored = self.table.iter().flatten().flat_map(|stored| {
            let readable = stored.replaced_by.map(|(_, at)| at + 30);
            [stored.lease.map(|(_, until)| until), stored.pause_until, readable]
        });
        let window = (self.workos.refresh_token > 0).then_some(self.workos.rotated_at + REPLAY_WINDOW);
        let active = self.requests.iter().filter(|running| running.is_active());
        next_moment(self.now, stored.flatten().chain(window), active.map(|running| running.started_at))
    }

    /// Whether a session can be used or read.
    fn is_usable(&self, key: usize) -> bool {
        self.table[key].as_ref().is_some_and(|stored| stored.standing(self.now) != Standing::Ended)
    }

    fn count(&self, is: impl Fn(&Running) -> bool) -> usize {
        self.requests.iter().filter(|running| is(running)).count()
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let first = Stored { access_expires_at: START, ..Stored::default() };
        vec![State {
            now: START,
            table: [Some(first), None, None],
            workos: WorkOs { is_revoked: false, refresh_token: 0, rotated_at: 0 },
            requests: self.requests.iter().copied().map(Running::new).collect(),
            history: History::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let outcomes = || {
            let can_fail = state.history.faults < self.faults;
            Outcome::ALL.into_iter().filter(move |outcome| can_fail || !outcome.is_fault())
        };
        for (request, running) in state.requests.iter().enumerate() {
            match &running.step {
                Step::Begin => {
                    // Requests of one kind begin in order: they are alike.
                    let is_next = state.requests[..request]
                        .iter()
                        .all(|earlier| earlier.step != Step::Begin || earlier.request != running.request);
                    let keys = 0..state.table.len();
                    let keys = keys.filter(|key| is_next && (*key == 0 || state.table[*key].is_some()));
                    actions.extend(keys.map(|key| Action::Begin { request, key }));
                }
                Step::End { pending, .. } => {
                    for key in pending {
                        actions.extend(outcomes().map(|outcome| Action::End { request, key: *key, outcome }));
                    }
                }
                Step::Answered(_) | Step::Dead => {}
                step => {
                    actions.extend(outcomes().map(|outcome| Action::Call { request, outcome }));
                    let has_failed = matches!(
                        step,
                        Step::Store { has_failed: true, .. }
                            | Step::Keep { has_failed: true, .. }
                            | Step::Reread
                    );
                    if has_failed && state.now >= running.started_at + DEADLINE {
                        actions.push(Action::GiveUp { request });
                    }
                }
            }
            if running.is_active() && state.history.faults < self.faults {
                actions.push(Action::Die { request });
            }
        }
        actions.extend(state.next_moment().map(Action::WaitUntil));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Begin { request, key } => next.begin(request, key),
            Action::Call { request, outcome } => {
                next.call(request, outcome);
                next.after(request, outcome);
            }
            Action::End { request, key, outcome } => {
                next.end(request, key, outcome);
                next.after(request, outcome);
            }
            Action::GiveUp { request } => next.give_up(request),
            Action::Die { request } => {
                next.history.faults += 1;
                next.die(request);
            }
            Action::WaitUntil(moment) => next.now = moment,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("one refresh at a time", |_, state: &State| {
                (0..state.table.len()).all(|key| {
                    state.count(|each| each.key == key && matches!(each.step, Step::Refresh(_))) <= 1
                })
            }),
            Property::always("nothing is usable after a sign-out that answered 200", |_, state: &State| {
                !state.history.signed_out || (0..state.table.len()).all(|key| !state.is_usable(key))
            }),
            Property::always(
                "a session is lost only after a death or a count, and 30 s",
                |_, state: &State| {
                    let History { died, counted_lost, lost_after, .. } = state.history;
                    lost_after.is_none_or(|after| after >= REPLAY_WINDOW && (died || counted_lost))
                },
            ),
        ];
        let has = |request| self.requests.contains(&request);
        if has(Request::Refresh) {
            properties.extend([
                Property::sometimes("a refresh is stored", |_, state: &State| state.history.refreshed),
                Property::sometimes("a refresh is replayed after a death", |_, state: &State| {
                    state.history.replayed_after_death
                }),
                Property::sometimes("a session is lost", |_, state: &State| {
                    state.history.lost_after.is_some()
                }),
            ]);
        }
        if has(Request::Switch(1)) {
            properties.push(Property::sometimes("a session is switched", |_, state: &State| {
                state.count(|each| each.request == Request::Switch(1) && each.step == Step::Answered(200))
                    == 1
            }));
        }
        if has(Request::SignOut) {
            properties.push(Property::sometimes("a session is signed out", |_, state: &State| {
                state.history.signed_out
            }));
        }
        if has(Request::SignOut) && has(Request::Switch(1)) {
            properties.extend([
                Property::sometimes("a sign-out meets a switch", |_, state: &State| {
                    state.history.sign_out_met_switch && state.history.signed_out
                }),
                Property::sometimes("a switch meets a sign-out", |_, state: &State| {
                    state.history.switch_met_sign_out
                }),
            ]);
        }
        properties
    }
}

impl State {
    fn after(&mut self, request: usize, outcome: Outcome) {
        self.history.faults += u8::from(outcome.is_fault());
        if outcome == Outcome::Died {
            self.die(request);
        }
    }
}

#[test]
fn refreshes_at_the_same_time_and_one_after_another() {
    check("three refreshes", Protocol { requests: vec![Request::Refresh; 3], faults: 3 });
}

#[test]
fn two_refreshes_a_switch_and_a_sign_out() {
    let requests = vec![Request::Refresh, Request::Refresh, Request::Switch(1), Request::SignOut];
    check("two refreshes, switch, sign-out", Protocol { requests, faults: 2 });
}

#[test]
fn two_switches_and_a_sign_out() {
    let requests = vec![Request::Switch(1), Request::Switch(2), Request::SignOut];
    check("two switches, sign-out", Protocol { requests, faults: 2 });
}
