//! Sign-in codes by mail, for each purpose that an endpoint has.

use api::{ApiError, Client, EmailAddress, Reason, Secret};

use crate::{Authentication, MagicAuthError, MagicCode, OrganizationId, PendingToken, SignIn, WorkOs};

impl WorkOs {
    /// Sends a code to a known address. Where a policy forbids it nothing is sent, and that is no error: an answer that
    /// differs would say who has an account.
    ///
    /// # Errors
    /// `workos_unavailable`, `workos_busy`, `rate_limited`.
    pub async fn send_code(&self, email: &EmailAddress, client: &Client) -> Result<(), ApiError> {
        match self.create_magic_auth(email, client).await {
            // Only known addresses come this far, so this must not show either.
            Err(MagicAuthError::Address(refusal)) => not_refused(Err(MagicAuthError::Refused(refusal))),
            result => not_refused(result),
        }
    }

    /// Sends a code to any address; an account is created where there is none. Refusals are no error, as above;
    /// that an address is none does not depend on who has an account, and is one.
    ///
    /// # Errors
    /// `invalid_email`, `workos_unavailable`, `workos_busy`, `rate_limited`.
    pub async fn invite(&self, email: &EmailAddress, client: &Client) -> Result<(), ApiError> {
        match self.create_magic_auth(email, client).await {
            Err(MagicAuthError::UnknownAddress(_)) => {
                self.create_user(email).await?;
                not_refused(self.create_magic_auth(email, client).await)
            }
            result => not_refused(result),
        }
    }

    /// A code for the development user, who is created where absent.
    ///
    /// # Errors
    /// `sign_in_refused` and what else WorkOS answers.
    pub async fn code_for(&self, email: &EmailAddress, client: &Client) -> Result<MagicCode, ApiError> {
        let code = match self.create_magic_auth(email, client).await {
            Err(MagicAuthError::UnknownAddress(_)) => {
                self.create_user(email).await?;
                self.create_magic_auth(email, client).await
            }
            result => result,
        };
        let code: Secret = code?;
        MagicCode::parse(code.expose()).map_err(|_| {
            ApiError::new(Reason::WorkosUnavailable).because("WorkOS' code is none that we can redeem")
        })
    }

    /// Finishes the sign-in of a person with several organizations in the first of them.
    ///
    /// # Errors
    /// `sso_required`, and what the selection answers.
    pub async fn in_first_organization(
        &self,
        sign_in: SignIn,
        client: &Client,
    ) -> Result<Authentication, ApiError> {
        let selection = match sign_in {
            SignIn::Complete(authentication) => return Ok(*authentication),
            SignIn::SsoRequired(_) => return Err(Reason::SsoRequired.into()),
            SignIn::ChooseOrganization(selection) => selection,
        };
        let not_understood =
            || ApiError::new(Reason::WorkosUnavailable).because("WorkOS' selection is not understood");
        let first = selection.organizations.first().ok_or_else(not_understood)?;
        let pending = PendingToken::parse(selection.pending_authentication_token.expose())
            .map_err(|_| not_understood())?;
        let organization = OrganizationId::parse(&first.id).map_err(|_| not_understood())?;
        match self.select_organization(&pending, &organization, client).await? {
            SignIn::Complete(authentication) => Ok(*authentication),
            SignIn::SsoRequired(_) => Err(Reason::SsoRequired.into()),
            SignIn::ChooseOrganization(_) => Err(not_understood()),
        }
    }
}

/// A refusal by policy is logged and otherwise passes for success.
fn not_refused(result: Result<Secret, MagicAuthError>) -> Result<(), ApiError> {
    match result {
        Ok(_) => Ok(()),
        Err(MagicAuthError::Refused(refusal) | MagicAuthError::UnknownAddress(refusal)) => {
            tracing::info!(reason = refusal.reason().name(), cause = refusal.cause(), "no code was sent");
            Ok(())
        }
        Err(MagicAuthError::Address(error) | MagicAuthError::Failed(error)) => Err(error),
    }
}
