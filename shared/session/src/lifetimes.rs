//! The lifetimes of sessions.

use api::{ConfigError, Env, Variable};
use store::SessionItem;

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

/// The last use is stored at most this often per idle lifetime, so most requests cost one read and no write.
const TOUCHES_PER_IDLE_LIFETIME: u64 = 20;

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

    /// The expiry of a session that began at `created_at` and was last used at `last_seen_at`.
    pub fn expiry(&self, created_at: u64, last_seen_at: u64) -> u64 {
        last_seen_at.saturating_add(self.idle).min(created_at.saturating_add(self.absolute))
    }

    /// Whether the session is live at `now`.
    pub fn is_live(&self, session: &SessionItem, now: u64) -> bool {
        now < self.expiry(session.created_at, session.last_seen_at)
    }

    /// Whether it is time to store the last use of the session.
    pub fn is_touch_due(&self, session: &SessionItem, now: u64) -> bool {
        now.saturating_sub(session.last_seen_at) > self.idle / TOUCHES_PER_IDLE_LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes { idle: 100, absolute: 250 };

    fn session(created_at: u64, last_seen_at: u64) -> SessionItem {
        SessionItem {
            user_id: String::new(),
            email: String::new(),
            workos_session_id: String::new(),
            organization_id: None,
            role: None,
            permissions: Vec::new(),
            access_expires_at: 0,
            sealed_refresh_token: Vec::new(),
            generation: 0,
            created_at,
            last_seen_at,
            expires_at: 0,
        }
    }

    #[test]
    fn idle_and_absolute_lifetime_are_exact_to_the_second() {
        assert!(LIFETIMES.is_live(&session(1000, 1000), 1099));
        assert!(!LIFETIMES.is_live(&session(1000, 1000), 1100));
        assert!(LIFETIMES.is_live(&session(1000, 1200), 1249));
        assert!(!LIFETIMES.is_live(&session(1000, 1200), 1250));
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
