//! Magic Auth: sign-in codes by mail.

use std::time::Instant;

use api::audit::{self, Effect};
use api::{ApiError, Client, EmailAddress, Reason, Secret, metrics};
use workos_sdk::CreateMagicCodeAndReturn;
use workos_sdk::user_management::CreateMagicAuthParams;

use crate::client::{ip_address, user_agent};
use crate::error::{CallError, ErrorKind};
use crate::{MagicCode, WorkOs};

impl WorkOs {
    /// Sends a code to the address of an existing user. If a policy or WorkOS' limit of mails forbids it, nothing is
    /// sent and the result is `Ok`: a different response would reveal that the account exists.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn send_sign_in_code(&self, email: &EmailAddress, client: &Client) -> Result<(), ApiError> {
        match self.create_magic_auth(email, client).await {
            // As with a policy: only addresses of existing users get here.
            Err(error) if error.kind == ErrorKind::InvalidEmail => {
                log_unsent(error);
                Ok(())
            }
            result => hide_refusal(result),
        }
    }

    /// Sends a code to any address, and creates the user if there is none. Refusals by a policy or by WorkOS' limit of
    /// mails return `Ok`. An undeliverable address is an error: it reveals nothing about accounts.
    ///
    /// # Errors
    /// `invalid_email`, `workos_busy`, `workos_unavailable`.
    pub async fn send_sign_up_code(&self, email: &EmailAddress, client: &Client) -> Result<(), ApiError> {
        hide_refusal(self.create_with_user(email, client).await)
    }

    /// A code for the development user, who is created if missing.
    ///
    /// # Errors
    /// `invalid_email`, `rate_limited`, `workos_busy`, `workos_unavailable`, and the refusals of a policy.
    pub async fn create_code(&self, email: &EmailAddress, client: &Client) -> Result<MagicCode, ApiError> {
        let code = self.create_with_user(email, client).await.map_err(into_api_error)?;
        MagicCode::parse(code.expose()).map_err(|_| {
            ApiError::new(Reason::WorkosUnavailable).because("WorkOS created a code in an unknown format")
        })
    }

    /// Creates a code. WorkOS creates a missing user along with it; if it does not, the user is created first.
    async fn create_with_user(&self, email: &EmailAddress, client: &Client) -> Result<Secret, CallError> {
        match self.create_magic_auth(email, client).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.create_user(email).await?;
                self.create_magic_auth(email, client).await
            }
            result => result,
        }
    }

    /// Creates a code, which WorkOS mails and returns. The code must not leave the service.
    async fn create_magic_auth(&self, email: &EmailAddress, client: &Client) -> Result<Secret, CallError> {
        let body = CreateMagicCodeAndReturn {
            email: email.as_str().to_owned(),
            invitation_token: None,
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            radar_auth_attempt_id: None,
            signals_id: None,
        };
        let params = CreateMagicAuthParams::new(body);
        let start = Instant::now();
        let created = self.sdk.user_management().create_magic_auth(params).await;
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = if created.is_ok() { "ok" } else { "failed" };
        metrics::latency("MailLatency", millis, &[("Outcome", outcome)]);
        let created = created?;
        audit::note(|notes| notes.effect = Some(Effect::CodeMailed));
        Ok(Secret::new(created.code.into_inner()))
    }
}

/// Turns a refusal that depends on the person into success: sign-up is off, the method is not allowed for the domain,
/// the person needs an invitation, or WorkOS has sent the address enough mail.
fn hide_refusal(result: Result<Secret, CallError>) -> Result<(), ApiError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_rate_limited() => {
            log_unsent(error);
            Ok(())
        }
        Err(error)
            if matches!(
                error.kind,
                ErrorKind::NotFound
                    | ErrorKind::SignInRefused
                    | ErrorKind::MethodNotAllowed
                    | ErrorKind::SsoRequired
                    | ErrorKind::OrganizationNotAllowed
            ) =>
        {
            log_unsent(error);
            Ok(())
        }
        Err(error) => Err(error.into_api_error()),
    }
}

fn log_unsent(error: CallError) {
    let error = into_api_error(error);
    tracing::info!(reason = error.reason().name(), cause = error.cause(), "no code was sent");
}

/// The error for clients. An address that WorkOS does not know cannot sign in.
#[track_caller]
fn into_api_error(error: CallError) -> ApiError {
    match error.kind {
        ErrorKind::NotFound => error.into_api_error_as(Reason::SignInRefused),
        _ => error.into_api_error(),
    }
}
