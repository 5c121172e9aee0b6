//! What is handed out once and redeemed once: codes by mail, authorization codes, pending sign-ins.

use super::Mail;
use super::clock::{Millis, millis};
use super::random;
use super::refusal::Refusal;
use super::seed::Method;
use super::service::State;
use http::StatusCode;

/// Wrong codes in a row that an address may try; WorkOS' own number is not documented.
const WRONG_CODES: u32 = 10;

/// A Magic Auth code.
#[derive(Clone, Debug)]
pub(super) struct MagicCode {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) email: String,
    pub(super) code: String,
    pub(super) created_at: Millis,
    pub(super) expires_at: Millis,
    pub(super) used: bool,
}

/// The code that arrives at the redirect URI.
#[derive(Clone, Debug)]
pub(super) struct AuthorizationCode {
    pub(super) arrival: Arrival,
    /// S256 of the verifier, where the flow began with PKCE.
    pub(super) challenge: Option<String>,
    pub(super) expires_at: Millis,
}

/// A code that proves an address during a sign-in.
#[derive(Clone, Debug)]
pub(super) struct EmailVerification {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) code: String,
    pub(super) expires_at: Millis,
    pub(super) used: bool,
}

/// A sign-in that waits for one more step.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) arrival: Arrival,
    pub(super) expires_at: Millis,
}

/// Somebody who proved who they are, before the policies are asked.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) user_id: String,
    pub(super) method: Method,
    /// The organization of the SSO connection that was used.
    pub(super) sso_organization: Option<String>,
    /// The organization that is asked for; otherwise the memberships decide.
    pub(super) organization: Option<String>,
    /// Whether the step just taken proved the address.
    pub(super) email_proven: bool,
    /// Whether a second factor was shown.
    pub(super) second_factor: bool,
}

impl Arrival {
    pub(super) fn new(user_id: &str, method: Method) -> Self {
        Self {
            user_id: user_id.to_owned(),
            method,
            sso_organization: None,
            organization: None,
            email_proven: false,
            second_factor: false,
        }
    }
}

impl State {
    fn code_expiry(&self) -> Millis {
        self.now().saturating_add(millis(self.settings.code_lifetime))
    }

    /// Makes a Magic Auth code and mails it. Earlier codes stay good.
    pub(super) fn new_magic_code(&mut self, user_id: &str, email: &str) -> MagicCode {
        let code = MagicCode {
            id: self.new_id("magic_auth"),
            user_id: user_id.to_owned(),
            email: email.to_owned(),
            code: random::six_digits(),
            created_at: self.now(),
            expires_at: self.code_expiry(),
            used: false,
        };
        self.magic_codes.push(code.clone());
        self.send(Mail {
            to: email.to_owned(),
            subject: "Your sign-in code".to_owned(),
            code: code.code.clone(),
        });
        code
    }

    /// Spends a Magic Auth code; gives the user's id.
    pub(super) fn redeem_magic_code(&mut self, email: &str, code: &str) -> Result<String, Refusal> {
        let refuse = |code, message| Err(Refusal::coded(StatusCode::BAD_REQUEST, code, message));
        let subject = email.to_lowercase();
        if self.wrong_codes.get(&subject).is_some_and(|wrong| *wrong >= WRONG_CODES) {
            return refuse(
                "one_time_code_too_many_attempts",
                "The one-time code has been attempted too many times.",
            );
        }
        let now = self.now();
        let found = self
            .magic_codes
            .iter_mut()
            .rev()
            .find(|made| made.email.eq_ignore_ascii_case(email) && made.code == code);
        match found {
            None => {
                let wrong = self.wrong_codes.entry(subject).or_default();
                *wrong = wrong.saturating_add(1);
                refuse("invalid_one_time_code", "The one-time code is incorrect.")
            }
            Some(made) if made.used => {
                refuse("one_time_code_previously_used", "The one-time code has already been used.")
            }
            Some(made) if made.expires_at <= now => {
                refuse("one_time_code_expired", "The one-time code has expired.")
            }
            Some(made) => {
                made.used = true;
                self.wrong_codes.remove(&subject);
                Ok(made.user_id.clone())
            }
        }
    }

    /// Makes an authorization code.
    pub(super) fn new_authorization_code(&mut self, arrival: Arrival, challenge: Option<String>) -> String {
        let code = random::token();
        let expires_at = self.code_expiry();
        self.authorization_codes.insert(code.clone(), AuthorizationCode { arrival, challenge, expires_at });
        code
    }

    /// Takes an authorization code out: whoever shows it spends it.
    pub(super) fn take_authorization_code(&mut self, code: &str) -> Option<AuthorizationCode> {
        let now = self.now();
        self.authorization_codes.remove(code).filter(|made| made.expires_at > now)
    }

    /// Keeps an arrival for its next step; gives the pending authentication token.
    pub(super) fn new_pending(&mut self, arrival: Arrival) -> String {
        let token = random::token();
        let expires_at = self.code_expiry();
        self.pending.insert(token.clone(), Pending { arrival, expires_at });
        token
    }

    /// The arrival behind a pending authentication token. The token stays good until a session begins with it, so
    /// that a refused choice can be followed by a better one.
    pub(super) fn pending(&self, token: &str) -> Result<Arrival, Refusal> {
        let now = self.now();
        self.pending
            .get(token)
            .filter(|pending| pending.expires_at > now)
            .map(|pending| pending.arrival.clone())
            .ok_or_else(|| {
                Refusal::coded(
                    StatusCode::BAD_REQUEST,
                    "invalid_pending_authentication_token",
                    "The pending authentication token is invalid or has expired.",
                )
            })
    }

    /// Mails a code that proves an address; gives the verification's id.
    pub(super) fn new_email_verification(&mut self, user_id: &str, email: &str) -> String {
        let verification = EmailVerification {
            id: self.new_id("email_verification"),
            user_id: user_id.to_owned(),
            code: random::six_digits(),
            expires_at: self.code_expiry(),
            used: false,
        };
        let id = verification.id.clone();
        self.send(Mail {
            to: email.to_owned(),
            subject: "Verify your email address".to_owned(),
            code: verification.code.clone(),
        });
        self.email_verifications.push(verification);
        id
    }

    /// Spends a code that proves the address of `user_id`.
    pub(super) fn redeem_email_verification(&mut self, user_id: &str, code: &str) -> Result<(), Refusal> {
        let refuse = |code, message| Err(Refusal::coded(StatusCode::BAD_REQUEST, code, message));
        let now = self.now();
        let found = self
            .email_verifications
            .iter_mut()
            .rev()
            .find(|made| made.user_id == user_id && made.code == code);
        match found {
            None => refuse("invalid_one_time_code", "The one-time code is incorrect."),
            Some(made) if made.used => {
                refuse("one_time_code_previously_used", "The one-time code has already been used.")
            }
            Some(made) if made.expires_at <= now => {
                refuse("one_time_code_expired", "The one-time code has expired.")
            }
            Some(made) => {
                made.used = true;
                Ok(())
            }
        }
    }
}
