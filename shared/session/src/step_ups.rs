//! The steps that WorkOS asks for before a sign-in continues: verify the address, enroll an authenticator app, enter its
//! code.
//!
//! What a step may do is bound to the pending sign-in in the table, see [`store::pending`]. Nothing but the token and the
//! code comes from the client.

use std::time::Duration;

use api::audit::{self, Effect};
use api::{ApiError, Client, ConfigError, EmailAddress, Env, Next, Reason, Request, Response};
use futures_util::future::try_join_all;
use schemars::JsonSchema;
use serde::Serialize;
use store::pending::STEP_SECONDS;
use store::{
    LastEnrollment, Mail, PendingKey, PendingSignIn, SourceLimit, StepTry, StepTryGrant, Table, admit_mail,
    to_deadline,
};
use workos::{ChallengeId, Destination, Factor, GrantError, Grants, PendingToken, SignIn, WorkOs};

use crate::{SignIns, SignedIn};

/// The reasons for which a pending sign-in cannot take a step.
pub const STEP: &[Reason] = &[Reason::RateLimited, Reason::SignInExpired, Reason::WrongStep];

/// Time that the note of an enrollment leaves for deleting the factor, should the note fail.
const RESERVE: Duration = Duration::from_secs(1);

/// A factor that is this much older than the refusal of a sign-in belongs to an enrollment that is over: its pending
/// sign-in has expired on any clock.
const OVER_SECONDS: u64 = STEP_SECONDS + 2 * api::clock::LEEWAY;

/// Prepares steps: mails codes, enrolls authenticator apps, creates challenges.
#[derive(Debug)]
pub struct StepUps {
    table: Table,
    workos: WorkOs,
}

/// A new authenticator app, and the challenge that completes its enrollment.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enrolled {
    /// The WorkOS id of the factor.
    factor_id: String,
    /// A QR code of `uri`: a picture as a data URL.
    qr_code: String,
    /// The secret, in Base32, for typing.
    secret: String,
    /// The `otpauth:` URI of the app.
    uri: String,
    /// For `verify-mfa`, with the app's first code.
    challenge_id: String,
}

/// A challenge of the person's authenticator app.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Challenged {
    /// For `verify-mfa`: the challenge of the first factor.
    challenge_id: String,
    /// The person's authenticator apps, each with a challenge of its own.
    factors: Vec<ChallengedFactor>,
}

/// An authenticator app and its challenge.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChallengedFactor {
    /// The WorkOS id of the factor.
    id: String,
    /// `totp`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// For `verify-mfa`.
    challenge_id: String,
}

impl StepUps {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { table: Table::load(env)?, workos: WorkOs::load(env)? })
    }

    /// Mails another code to the address that a pending sign-in must verify, within the address's budget of mails. Above
    /// it, no mail is sent and the last code stays valid.
    ///
    /// # Errors
    /// `rate_limited`, `sign_in_expired`, `wrong_step`, `workos_busy`, `workos_unavailable`, `store_unavailable`.
    pub async fn resend_verification(
        &self,
        source: SourceLimit,
        token: &PendingToken,
        client: &Client,
    ) -> Result<(), ApiError> {
        let (_, pending) = self.pending(source, token, Next::VerifyEmail, client).await?;
        let address = pending.email.as_deref().and_then(|email| EmailAddress::parse(email).ok());
        let email = address.ok_or(Reason::SignInExpired)?;
        let user = async {
            match &pending.email_verification_id {
                Some(id) => self.workos.user_of_verification(id).await,
                None => self.workos.find_user(&email).await,
            }
        };
        note_mail(&email, Effect::NoMail);
        let (mail, user) = tokio::join!(admit_mail(&self.table, &email), user);
        let Mail::Granted(grant) = mail? else { return Ok(()) };
        let send = async { self.workos.send_verification(&user?.ok_or(Reason::SignInExpired)?).await };
        let sent = send.await;
        match sent {
            Ok(()) => note_mail(&email, Effect::CodeMailed),
            Err(_) => grant.give_back(&self.table).await,
        }
        sent
    }

    /// Enrolls an authenticator app for a pending sign-in that WorkOS refused with `mfa_enrollment`.
    ///
    /// WorkOS adds a factor to anybody, so that a stolen mail code would be enough to bypass the second factor. Only a
    /// person without one can enroll, asked of WorkOS in the same request. Leftovers of earlier enrollments are deleted
    /// first; any other factor counts as verified.
    ///
    /// # Errors
    /// `rate_limited`, `sign_in_expired`, `wrong_step`, `already_enrolled`, `enrollment_in_progress`, `workos_busy`,
    /// `workos_unavailable`, `store_unavailable`.
    pub async fn enroll(
        &self,
        source: SourceLimit,
        token: &PendingToken,
        client: &Client,
    ) -> Result<Enrolled, ApiError> {
        let (key, pending) = self.pending(source, token, Next::EnrollMfa, client).await?;
        let user_id = pending.user_id.as_deref().ok_or(Reason::SignInExpired)?;
        let (last, factors) =
            tokio::join!(self.table.claim_enrollment(user_id), self.workos.factors(user_id));
        let last = last?;
        let enrolled = async {
            let mut factors = factors?;
            let is_missing = |last: &LastEnrollment| factors.iter().all(|factor| factor.id != last.factor_id);
            if last.as_ref().is_some_and(is_missing) {
                // The list may be older than the claim.
                factors = self.workos.factors(user_id).await?;
            }
            self.delete_leftovers(&factors, last, pending.refused_at).await?;
            self.add_app(&key, user_id).await
        };
        let enrolled = enrolled.await;
        if enrolled.is_err() {
            self.table.release_enrollment(user_id).await;
        }
        enrolled
    }

    /// Deletes the factors that are left of enrollments that nobody completed.
    ///
    /// # Errors
    /// `already_enrolled` if one of `factors` may be verified. Nothing is deleted then.
    async fn delete_leftovers(
        &self,
        factors: &[Factor],
        last: Option<LastEnrollment>,
        refused_at: u64,
    ) -> Result<(), ApiError> {
        let is_last = |factor: &Factor| last.as_ref().is_some_and(|last| last.factor_id == factor.id);
        // Retired last: that ends an enrollment in another tab, which a refusal must leave alone.
        if factors.iter().any(|factor| !is_last(factor) && !is_over(factor, refused_at)) {
            return Err(Reason::AlreadyEnrolled.into());
        }
        if let Some(last) = last.as_ref().filter(|_| factors.iter().any(is_last))
            && !self.table.retire_enrollment(last, refused_at).await?
            && factors.iter().any(|factor| is_last(factor) && !is_over(factor, refused_at))
        {
            return Err(Reason::AlreadyEnrolled.into());
        }
        try_join_all(factors.iter().map(|factor| self.workos.delete_factor(&factor.id))).await.map(drop)
    }

    /// Adds an authenticator app and notes it. If that fails, no factor is left.
    async fn add_app(&self, key: &PendingKey, user_id: &str) -> Result<Enrolled, ApiError> {
        let app = match self.workos.enroll_app(user_id).await {
            Ok(app) => app,
            Err(error) => {
                // The app may have been added. Nobody has its secret, and the claim keeps others out.
                if error.reason() == Reason::WorkosUnavailable {
                    let added = self.workos.factors(user_id).await.unwrap_or_default();
                    self.discard(added.into_iter().map(|factor| factor.id)).await;
                }
                return Err(error);
            }
        };
        let note = || self.table.note_enrollment(key, user_id, &app.factor_id, &app.challenge_id);
        if let Err(error) = to_deadline(RESERVE, note).await {
            self.discard([app.factor_id]).await;
            return Err(error);
        }
        Ok(Enrolled {
            factor_id: app.factor_id,
            qr_code: app.qr_code.expose().to_owned(),
            secret: app.secret.expose().to_owned(),
            uri: app.uri.expose().to_owned(),
            challenge_id: app.challenge_id,
        })
    }

    async fn discard(&self, factors: impl IntoIterator<Item = String>) {
        for id in factors {
            if let Err(error) = self.workos.delete_factor(&id).await {
                tracing::warn!(cause = error.cause(), "an authenticator app that nobody uses may remain");
            }
        }
    }

    /// Creates challenges of the person's authenticator apps.
    ///
    /// # Errors
    /// `rate_limited`, `sign_in_expired`, `wrong_step`, `workos_busy`, `workos_unavailable`, `store_unavailable`.
    pub async fn challenge(
        &self,
        source: SourceLimit,
        token: &PendingToken,
        client: &Client,
    ) -> Result<Challenged, ApiError> {
        let (key, pending) = self.pending(source, token, Next::ChallengeMfa, client).await?;
        let challenges = pending.apps.iter().map(|app| self.workos.challenge(app));
        let challenges = try_join_all(challenges).await?;
        let first = challenges.first().ok_or(Reason::SignInExpired)?.clone();
        self.table.note_challenges(&key, pending.user_id.as_deref(), challenges.clone()).await?;
        let factors = pending.apps.into_iter().zip(challenges);
        let factors = factors.map(|(id, challenge_id)| ChallengedFactor { id, kind: "totp", challenge_id });
        Ok(Challenged { challenge_id: first, factors: factors.collect() })
    }

    /// Counts the request against its source, and loads the pending sign-in.
    async fn pending(
        &self,
        source: SourceLimit,
        token: &PendingToken,
        step: Next,
        client: &Client,
    ) -> Result<(PendingKey, PendingSignIn), ApiError> {
        let key = PendingKey::of(token.as_str());
        let (admitted, pending) =
            tokio::join!(source.admit(&self.table, client), self.table.pending_step(&key, step));
        admitted?;
        let pending = pending?;
        audit::note(|notes| notes.user_id.clone_from(&pending.user_id));
        Ok((key, pending))
    }
}

fn note_mail(email: &EmailAddress, effect: Effect) {
    audit::note(|notes| {
        notes.email_hash = Some(email.hash());
        notes.effect = Some(effect);
    });
}

/// Whether nobody can verify a factor any more: WorkOS asked for an enrollment long after the factor was created.
fn is_over(factor: &Factor, refused_at: u64) -> bool {
    factor.created_at.is_some_and(|at| at + OVER_SECONDS < refused_at)
}

impl SignIns {
    /// Counts a try of the code that verifies an address.
    ///
    /// # Errors
    /// See [`StepTry::admit`].
    pub async fn try_email_code(
        &self,
        source: SourceLimit,
        token: &PendingToken,
        client: &Client,
    ) -> Result<StepTryGrant, ApiError> {
        let (key, steps) = (PendingKey::of(token.as_str()), &[Next::VerifyEmail]);
        StepTry { source, client, key, steps, challenge: None }.admit(self.table()).await
    }

    /// Counts a try of an authenticator app's code. The challenge must have been issued for this pending sign-in: WorkOS
    /// need not compare them.
    ///
    /// # Errors
    /// See [`StepTry::admit`].
    pub async fn try_app_code(
        &self,
        source: SourceLimit,
        token: &PendingToken,
        challenge: &ChallengeId,
        client: &Client,
    ) -> Result<StepTryGrant, ApiError> {
        let (key, steps) = (PendingKey::of(token.as_str()), &[Next::EnrollMfa, Next::ChallengeMfa]);
        StepTry { source, client, key, steps, challenge: Some(challenge.as_str()) }.admit(self.table()).await
    }

    /// Continues a sign-in after WorkOS has seen the code, see [`SignIns::finish`]. A wrong code can be followed by
    /// another one, for `step`.
    ///
    /// # Errors
    /// Those of `outcome` and of [`SignIns::finish`].
    pub async fn finish_step<I>(
        &self,
        grants: &Grants,
        (method, step): (&'static str, Next),
        tried: StepTryGrant,
        outcome: Result<SignIn, GrantError>,
        request: &Request<I>,
    ) -> Result<Response<SignedIn>, ApiError> {
        match outcome {
            Ok(sign_in) => {
                let is_next = match &sign_in {
                    SignIn::StepUp(next) => {
                        PendingKey::of(next.pending_authentication_token.expose()) == *tried.key()
                    }
                    _ => false,
                };
                let end = async {
                    // WorkOS may keep the token for the next step.
                    if !is_next && let Err(error) = self.table().end_step(tried.key()).await {
                        tracing::warn!(cause = error.cause(), "a pending sign-in remains until it expires");
                    }
                };
                // A step does not know where its sign-in began.
                let destination = Destination::default();
                tokio::join!(self.finish(grants, method, sign_in, &destination, request), end).0
            }
            Err(GrantError::NotRedeemed(error)) => {
                tried.was_not_checked(self.table()).await;
                Err(error)
            }
            Err(GrantError::Final(error)) if error.reason() == Reason::CodeRejected => {
                tried.was_wrong(self.table()).await;
                Err(error.next(step))
            }
            Err(GrantError::Final(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_a_leftover_only_if_its_sign_in_has_expired_on_any_clock() {
        let factor = |created_at| Factor { id: "auth_factor_1".into(), created_at };
        assert!(is_over(&factor(Some(1_000)), 1_901));
        assert!(!is_over(&factor(Some(1_000)), 1_900));
        assert!(!is_over(&factor(Some(2_000)), 1_000));
        assert!(!is_over(&factor(None), u64::MAX));
    }
}
