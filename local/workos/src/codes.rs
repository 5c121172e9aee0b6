//! Codes sent by mail, authorization codes, and pending authentication tokens.

use super::error::ApiError;
use super::mfa;
use super::model::{CodeKind, MailedCode, PendingSignIn, SignIn, User};
use super::options::Mail;
use super::random;
use super::state::State;

/// Consecutive wrong codes that an address may try. WorkOS does not document its number.
const WRONG_CODES: u32 = 10;

impl State {
    /// Mails a code. Earlier codes remain valid.
    pub(super) fn mail_code(&mut self, kind: CodeKind, user: &User) -> MailedCode {
        let (prefix, subject) = match kind {
            CodeKind::MagicAuth => ("magic_auth", "Your sign-in code"),
            CodeKind::EmailVerification => ("email_verification", "Verify your email address"),
        };
        let code = MailedCode {
            kind,
            id: self.new_id(prefix),
            user_id: user.id.clone(),
            email: user.email.clone(),
            code: random::six_digits(),
            created_at: self.now(),
            expires_at: self.code_expiry(),
            used: false,
        };
        self.mailed_codes.push(code.clone());
        self.send(Mail { to: user.email.clone(), subject, code: code.code.clone() });
        code
    }

    /// Redeems a mailed code; returns the user's id. Wrong Magic Auth codes in a row are limited.
    pub(super) fn redeem(&mut self, kind: CodeKind, email: &str, code: &str) -> Result<String, ApiError> {
        let now = self.now();
        let wrong = self.wrong_codes.entry((kind, email.to_lowercase())).or_default();
        let mut codes = self.mailed_codes.iter_mut().rev();
        let found = codes
            .find(|made| made.kind == kind && made.email.eq_ignore_ascii_case(email) && made.code == code);
        let (error, message) = match found {
            _ if kind == CodeKind::MagicAuth && *wrong >= WRONG_CODES => {
                ("one_time_code_too_many_attempts", "The one-time code has been attempted too many times.")
            }
            None => {
                *wrong = wrong.saturating_add(1);
                ("invalid_one_time_code", "The one-time code is incorrect.")
            }
            Some(made) if made.used => {
                ("one_time_code_previously_used", "The one-time code has already been used.")
            }
            Some(made) if made.expires_at <= now => {
                ("one_time_code_expired", "The one-time code has expired.")
            }
            Some(made) => {
                made.used = true;
                *wrong = 0;
                return Ok(made.user_id.clone());
            }
        };
        Err(ApiError::bad_request(error, message))
    }

    /// What the pages show beside a user: the last code mailed, and the authenticator app's current one.
    pub(super) fn codes_of(&self, user: &User) -> Vec<String> {
        let mailed = self.mails.iter().rev().find(|mail| mail.to.eq_ignore_ascii_case(&user.email));
        let mailed = mailed.map(|mail| format!("{}: {}", mail.subject, mail.code));
        let app = self.factors_of(&user.id).last();
        let app = app.map(|factor| mfa::totp(&factor.secret, mfa::interval(self.now())));
        mailed.into_iter().chain(app.map(|code| format!("Authenticator app: {code}"))).collect()
    }

    /// Issues an authorization code.
    pub(super) fn new_authorization_code(&mut self, sign_in: SignIn, challenge: Option<String>) -> String {
        let code = random::token();
        let pending = PendingSignIn { sign_in, code_challenge: challenge, expires_at: self.code_expiry() };
        self.authorization_codes.insert(code.clone(), pending);
        code
    }

    /// Keeps a sign-in for its next step; returns the pending authentication token.
    pub(super) fn new_pending(&mut self, sign_in: SignIn) -> String {
        let token = random::token();
        let pending = PendingSignIn { sign_in, code_challenge: None, expires_at: self.code_expiry() };
        self.pending.insert(token.clone(), pending);
        token
    }

    /// The sign-in of a pending authentication token. The token stays valid until a session starts, so that the user
    /// can correct a refused step.
    pub(super) fn pending(&self, token: &str) -> Result<SignIn, ApiError> {
        let now = self.now();
        let pending = self.pending.get(token).filter(|pending| pending.expires_at > now);
        let message = "The pending authentication token is invalid or has expired.";
        let invalid = || ApiError::bad_request("invalid_pending_authentication_token", message);
        pending.map(|pending| pending.sign_in.clone()).ok_or_else(invalid)
    }
}
