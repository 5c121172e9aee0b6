//! The lifetimes of sessions.

use api::{ConfigError, Env, Variable};
use store::session::Link;
use store::{SessionItem, SessionKey};

/// The idle lifetime.
pub static SESSION_IDLE_SECONDS: Variable = Variable::or(
    "SESSION_IDLE_SECONDS",
    "604800",
    "The idle lifetime of a session in seconds: it expires this long after its last use.",
);

/// The absolute lifetime.
pub static SESSION_ABSOLUTE_SECONDS: Variable = Variable::or(
    "SESSION_ABSOLUTE_SECONDS",
    "2592000",
    "The absolute lifetime of a session in seconds, however much it is used.",
);

/// The absolute lifetime of a session in which somebody acts as the person, in seconds. WorkOS ends it then as well.
const IMPERSONATION: u64 = 60 * 60;

/// The last use is stored at most this often per idle lifetime, so most requests cost one read and no write.
const TOUCHES_PER_IDLE_LIFETIME: u64 = 20;

/// After a switch, the replaced token can be read for this long, in seconds: other tabs and requests in flight still
/// send it.
const READABLE_AFTER_SWITCH: u64 = 30;

/// The clocks of two sandboxes differ by less than this, in seconds.
const CLOCK_LEEWAY: u64 = 150;

/// What a session's token may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything.
    Live,
    /// A switch has replaced it: its claims can be read. It is never refreshed, switched or touched.
    Readable,
    /// Nothing.
    Ended,
}

/// Idle and absolute lifetime in seconds. They are applied on every read, so a shorter setting takes effect at once for
/// all sessions.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// `SESSION_IDLE_SECONDS`.
    pub idle: u64,
    /// `SESSION_ABSOLUTE_SECONDS`.
    pub absolute: u64,
}

impl Lifetimes {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is invalid, or the idle lifetime is longer than the absolute one.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let lifetimes = Self {
            idle: env.seconds(&SESSION_IDLE_SECONDS)?,
            absolute: env.seconds(&SESSION_ABSOLUTE_SECONDS)?,
        };
        if lifetimes.idle > lifetimes.absolute {
            return Err(ConfigError::new(
                &SESSION_IDLE_SECONDS,
                "must not be longer than SESSION_ABSOLUTE_SECONDS",
            ));
        }
        Ok(lifetimes)
    }

    /// The expiry of a session, if it is not used again after `last_seen_at`.
    pub fn expiry(&self, session: &SessionItem, last_seen_at: u64) -> u64 {
        last_seen_at.saturating_add(self.idle).min(self.absolute_end(session))
    }

    /// The end of the absolute lifetime of a session.
    pub fn absolute_end(&self, session: &SessionItem) -> u64 {
        let lifetime = match session.impersonator {
            Some(_) => self.absolute.min(IMPERSONATION),
            None => self.absolute,
        };
        session.created_at.saturating_add(lifetime)
    }

    /// When the session ends, unless it is used before: after the idle or the absolute lifetime, or soon after a switch
    /// replaced it.
    pub fn end(&self, session: &SessionItem) -> u64 {
        let expiry = self.expiry(session, session.last_seen_at);
        session.replaced_by.as_ref().map_or(expiry, |link| expiry.min(readable_until(link.at)))
    }

    /// What the session's token may do at `now`.
    pub fn standing(&self, session: &SessionItem, now: u64) -> Standing {
        match &session.replaced_by {
            _ if now >= self.end(session) => Standing::Ended,
            None => Standing::Live,
            Some(_) => Standing::Readable,
        }
    }

    /// Whether it is time to store the last use of the session.
    pub fn is_touch_due(&self, session: &SessionItem, now: u64) -> bool {
        now.saturating_sub(session.last_seen_at) > self.idle / TOUCHES_PER_IDLE_LIFETIME
    }
}

/// The end of a replaced session, for a switch at `at`.
pub(crate) fn readable_until(at: u64) -> u64 {
    at.saturating_add(READABLE_AFTER_SWITCH)
}

/// The sessions that end together with this one: its successor, and its predecessor while some sandbox may still read it.
pub fn ended_with(session: &SessionItem, now: u64) -> impl Iterator<Item = &SessionKey> {
    let may_be_readable = move |link: &&Link| now < readable_until(link.at).saturating_add(CLOCK_LEEWAY);
    let links = [&session.replaced_by, &session.replaces];
    links.into_iter().flatten().filter(may_be_readable).map(|link| &link.key)
}

#[cfg(test)]
mod tests {
    use api::Impersonator;
    use store::session::{Profile, RefreshState, SessionId};

    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes { idle: 100, absolute: 250 };

    fn session(created_at: u64, last_seen_at: u64) -> SessionItem {
        SessionItem {
            id: SessionId(String::new()),
            user_id: String::new(),
            email: String::new(),
            workos_session_id: String::new(),
            organization_id: None,
            role: None,
            permissions: Vec::new(),
            claims_issued_at: 0,
            access_expires_at: 0,
            claims_stale_at: None,
            profile: Profile::default(),
            organization_name: None,
            method: None,
            sealed_refresh_token: Vec::new(),
            generation: 0,
            refresh: RefreshState::default(),
            created_at,
            authenticated_at: created_at,
            ip_address: None,
            user_agent: None,
            last_seen_at,
            expires_at: 0,
            replaced_by: None,
            replaces: None,
            impersonator: None,
        }
    }

    fn link(key: &str, at: u64) -> Option<Link> {
        Some(Link { key: SessionKey(key.to_owned()), at })
    }

    #[test]
    fn idle_and_absolute_lifetime_are_exact_to_the_second() {
        for (last_seen_at, last, ended) in [(1000, 1099, 1100), (1200, 1249, 1250)] {
            assert_eq!(LIFETIMES.standing(&session(1000, last_seen_at), last), Standing::Live);
            assert_eq!(LIFETIMES.standing(&session(1000, last_seen_at), ended), Standing::Ended);
        }
    }

    #[test]
    fn an_impersonation_ends_after_an_hour_or_with_a_shorter_lifetime() {
        let impersonator = Some(Impersonator { email: String::new(), reason: None });
        let session = SessionItem { impersonator, ..session(1000, 4590) };
        let long = Lifetimes { idle: 100, absolute: 100_000 };
        assert_eq!(long.standing(&session, 4599), Standing::Live);
        assert_eq!(long.standing(&session, 4600), Standing::Ended);
        assert_eq!(LIFETIMES.absolute_end(&session), 1250);
    }

    #[test]
    fn a_replaced_session_is_readable_for_thirty_seconds_and_never_past_its_lifetime() {
        let replaced = |at| SessionItem { replaced_by: link("new", at), ..session(1000, 1000) };
        assert_eq!(LIFETIMES.standing(&replaced(1010), 1039), Standing::Readable);
        assert_eq!(LIFETIMES.standing(&replaced(1010), 1040), Standing::Ended);
        assert_eq!(LIFETIMES.standing(&replaced(1090), 1100), Standing::Ended);
    }

    #[test]
    fn a_session_ends_with_its_successor_and_its_latest_predecessor() {
        let keys = |session: &SessionItem, now| {
            ended_with(session, now).map(|key| key.0.clone()).collect::<Vec<_>>()
        };
        assert!(keys(&session(1000, 1000), 1000).is_empty());
        let middle =
            SessionItem { replaces: link("old", 1000), replaced_by: link("new", 1100), ..session(0, 0) };
        assert_eq!(keys(&middle, 1100), ["new", "old"]);
        assert_eq!(keys(&middle, 1179), ["new", "old"], "a sandbox whose clock is late reads the old one");
        assert_eq!(keys(&middle, 1180), ["new"]);
        assert!(keys(&middle, 1280).is_empty());
    }

    #[test]
    fn the_last_use_is_stored_once_per_twentieth_of_the_idle_lifetime() {
        assert!(!LIFETIMES.is_touch_due(&session(1000, 1000), 1005));
        assert!(LIFETIMES.is_touch_due(&session(1000, 1000), 1006));
    }

    #[test]
    fn an_idle_lifetime_longer_than_the_absolute_one_is_refused() {
        let env = Env::fixed([("SESSION_IDLE_SECONDS", "10"), ("SESSION_ABSOLUTE_SECONDS", "5")]);
        assert!(Lifetimes::load(&env).is_err());
    }
}
