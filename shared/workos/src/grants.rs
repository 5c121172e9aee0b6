//! The grants of WorkOS' token endpoint: sign-in, organization selection, refresh and switch.

use std::fmt;
use std::time::Duration;

use api::{ApiError, Client, ConfigError, EmailAddress, Env, Impersonator, Next, Reason, Secret, audit};
use workos_sdk::AuthenticateResponse;
use workos_sdk::user_management::{
    AuthenticateWithCodeParams, AuthenticateWithEmailVerificationParams, AuthenticateWithMagicAuthParams,
    AuthenticateWithOrganizationSelectionParams, AuthenticateWithRefreshTokenParams,
    AuthenticateWithTotpParams,
};

use crate::client::{http, ip_address, sdk, user_agent};
use crate::error::{CallError, ErrorKind};
use crate::outcome::{Credential, GrantFailure, RefreshFailure, Try};
use crate::sign_in::{method, user};
use crate::verifier::{Rejection, Verifier, session_of_unverified};
use crate::{
    AuthCode, Authentication, ChallengeId, Claims, GrantError, InvitationToken, MagicCode, OrganizationId,
    OtherMethod, PendingToken, RefreshError, Refreshed, Selection, SignIn, SsoRequired, StepUp, WorkOs,
};

/// The timeout of one try to refresh a session: two tries, and the write of what they return, fit into a function's
/// deadline.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(3);

/// The time that ending an abandoned session may take: the response waits for it.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(2);

/// Exchanges credentials for tokens, and verifies each access token that it gets. Create one per process: it caches
/// WorkOS' keys.
pub struct Grants {
    workos: WorkOs,
    /// For refreshes, which have a timeout of their own.
    refreshes: workos_sdk::Client,
    verifier: Verifier,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The SDK's client holds the API key.
        f.debug_struct("Grants").field("workos", &self.workos).finish_non_exhaustive()
    }
}

impl Grants {
    /// Reads the configuration. Makes no call.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let http = http()?;
        Ok(Self {
            workos: WorkOs::with_http(env, http.clone())?,
            refreshes: sdk(env, http.clone(), REFRESH_TIMEOUT)?,
            verifier: Verifier::load(env, http)?,
        })
    }

    /// The calls that need no verification, over the same HTTP connections.
    pub fn workos(&self) -> &WorkOs {
        &self.workos
    }

    /// Redeems the code that the browser brought back from WorkOS.
    ///
    /// # Errors
    /// `code_rejected`, `sign_in_refused`, the reason of a step-up, `sign_in_interrupted`, `workos_busy`,
    /// `workos_unavailable`.
    pub async fn redeem_code(
        &self,
        code: &AuthCode,
        verifier: &Secret,
        client: &Client,
    ) -> Result<SignIn, GrantError> {
        let params = AuthenticateWithCodeParams {
            code_verifier: Some(verifier.expose().into()),
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithCodeParams::new(code.as_str())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_code(params)).await;
        self.sign_in(Credential::AuthCode, None, response).await
    }

    /// Redeems a code that was sent by mail, and accepts an invitation.
    ///
    /// # Errors
    /// `code_rejected`, `invitation_invalid`, `invitation_email_mismatch`, `rate_limited`, `sign_in_refused`, the reason of a step-up, `sign_in_interrupted`, `workos_busy`,
    /// `workos_unavailable`.
    pub async fn redeem_magic_code(
        &self,
        email: &EmailAddress,
        code: &MagicCode,
        invitation: Option<&InvitationToken>,
        client: &Client,
    ) -> Result<SignIn, GrantError> {
        let params = AuthenticateWithMagicAuthParams {
            invitation_token: invitation.map(|token| token.as_str().into()),
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithMagicAuthParams::new(code.as_str(), email.as_str())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_magic_auth(params)).await;
        self.sign_in(Credential::MagicCode, None, response).await
    }

    /// Completes a pending sign-in in the chosen organization.
    ///
    /// # Errors
    /// `selection_expired`, `organization_not_allowed`, the reason of a step-up, `sign_in_interrupted`, `workos_busy`,
    /// `workos_unavailable`.
    pub async fn select_organization(
        &self,
        pending: &PendingToken,
        organization: &OrganizationId,
        client: &Client,
    ) -> Result<SignIn, GrantError> {
        audit::note(|notes| notes.organization_id = Some(organization.as_str().to_owned()));
        let params = AuthenticateWithOrganizationSelectionParams {
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithOrganizationSelectionParams::new(pending.as_str(), organization.as_str())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_organization_selection(params)).await;
        self.sign_in(Credential::PendingToken, Some(organization), response).await
    }

    /// Continues a pending sign-in with the code that verifies the address.
    ///
    /// # Errors
    /// `code_rejected`, `sign_in_expired`, `rate_limited`, `sign_in_refused`, `sign_in_interrupted`, `workos_busy`,
    /// `workos_unavailable`.
    pub async fn verify_email(
        &self,
        pending: &PendingToken,
        code: &MagicCode,
        client: &Client,
    ) -> Result<SignIn, GrantError> {
        let params = AuthenticateWithEmailVerificationParams {
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithEmailVerificationParams::new(code.as_str(), pending.as_str())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_email_verification(params)).await;
        self.sign_in(Credential::StepUpCode, None, response).await
    }

    /// Continues a pending sign-in with the code of an authenticator app.
    ///
    /// # Errors
    /// As [`Grants::verify_email`].
    pub async fn verify_totp(
        &self,
        pending: &PendingToken,
        challenge: &ChallengeId,
        code: &MagicCode,
        client: &Client,
    ) -> Result<SignIn, GrantError> {
        let params = AuthenticateWithTotpParams {
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithTotpParams::new(code.as_str(), pending.as_str(), challenge.as_str())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_totp(params)).await;
        self.sign_in(Credential::StepUpCode, None, response).await
    }

    /// Continues `sign_in` in the first organization if there are several.
    ///
    /// # Errors
    /// Those of [`Grants::select_organization`].
    pub async fn in_first_organization(&self, sign_in: SignIn, client: &Client) -> Result<SignIn, ApiError> {
        let malformed =
            || ApiError::new(Reason::SignInInterrupted).because("malformed selection from WorkOS");
        match sign_in {
            SignIn::ChooseOrganization(selection) => {
                let first = selection.organizations.first().ok_or_else(malformed)?;
                let organization = OrganizationId::parse(&first.id).map_err(|_| malformed())?;
                let pending = PendingToken::parse(selection.pending_authentication_token.expose())
                    .map_err(|_| malformed())?;
                Ok(self.select_organization(&pending, &organization, client).await?)
            }
            sign_in => Ok(sign_in),
        }
    }

    /// Refreshes a session in `organization`, its own.
    ///
    /// # Errors
    /// See [`RefreshError`]. A refused organization ends the session.
    pub async fn refresh(
        &self,
        refresh_token: &Secret,
        organization: Option<&str>,
        client: &Client,
    ) -> Result<Refreshed, RefreshError> {
        self.rotate(refresh_token, organization, client).await.map_err(|(error, attempt)| {
            match RefreshFailure::of(error.kind, attempt, false) {
                RefreshFailure::Ended => RefreshError::Ended(error.into_api_error_as(Reason::NotSignedIn)),
                RefreshFailure::Lost => RefreshError::Lost(error.into_outage()),
                _ => RefreshError::Transient(error.into_outage()),
            }
        })
    }

    /// Refreshes a session and switches it to `organization`.
    ///
    /// # Errors
    /// See [`RefreshError`].
    pub async fn switch(
        &self,
        refresh_token: &Secret,
        organization: &OrganizationId,
        client: &Client,
    ) -> Result<Refreshed, RefreshError> {
        let (error, attempt) = match self.rotate(refresh_token, Some(organization.as_str()), client).await {
            Ok(refreshed) => return Ok(refreshed),
            Err(failure) => failure,
        };
        Err(match RefreshFailure::of(error.kind, attempt, true) {
            RefreshFailure::Ended => RefreshError::Ended(error.into_api_error_as(Reason::NotSignedIn)),
            RefreshFailure::UseSso => match self.sso_required(error, Some(organization)).await {
                Ok(required) => RefreshError::SsoRequired(required),
                Err(error) if error.kind == ErrorKind::SsoRequired => {
                    RefreshError::Refused(error.into_api_error())
                }
                Err(error) => RefreshError::Transient(error.into_outage()),
            },
            RefreshFailure::Refused(reason) => RefreshError::Refused(error.into_api_error_as(reason)),
            RefreshFailure::Lost => RefreshError::Lost(error.into_outage()),
            RefreshFailure::Replay | RefreshFailure::Transient => {
                RefreshError::Transient(error.into_outage())
            }
        })
    }

    /// Exchanges a refresh token for a new pair of tokens. For 30 seconds after its use WorkOS returns the same pair
    /// again, so an unanswered try is repeated once. Returns the error of the last try, and which one that was.
    async fn rotate(
        &self,
        refresh_token: &Secret,
        organization: Option<&str>,
        client: &Client,
    ) -> Result<Refreshed, (CallError, Try)> {
        let exchange = || {
            let params = AuthenticateWithRefreshTokenParams {
                organization_id: organization.map(str::to_owned),
                ip_address: ip_address(client),
                user_agent: user_agent(client),
                ..AuthenticateWithRefreshTokenParams::new(refresh_token.expose())
            };
            let users = self.refreshes.user_management();
            self.exchange(async move { users.authenticate_with_refresh_token(params).await })
        };
        let response = match exchange().await {
            Err(error) if RefreshFailure::of(error.kind, Try::First, false) == RefreshFailure::Replay => {
                tracing::warn!(cause = error.into_outage().cause(), "a refresh is replayed");
                exchange().await.map_err(|error| (error, Try::Replay))?
            }
            first => first.map_err(|error| (error, Try::First))?,
        };
        let claims = self.verify(&response).await;
        if let Err(rejection) = &claims {
            tracing::error!(cause = %rejection, "a session was refreshed without new claims");
        }
        Ok(Refreshed {
            refresh_token: Secret::new(response.refresh_token.into_inner()),
            claims: claims.ok(),
            user: user(response.user),
        })
    }

    /// Ends a WorkOS session that no session of ours belongs to, as best it can: WorkOS would end it later by itself.
    pub async fn abandon(&self, session_id: &str) {
        let revocation = tokio::time::timeout(ABANDON_TIMEOUT, self.workos.revoke_session(session_id));
        let cause = match revocation.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.cause(),
            Err(_) => "no response from WorkOS (timeout)".to_owned(),
        };
        tracing::warn!(cause, "an abandoned WorkOS session could not be ended");
    }

    /// Makes the call of a grant, and fetches the keys for its token meanwhile. An error does not wait for the keys.
    async fn exchange(
        &self,
        call: impl Future<Output = Result<AuthenticateResponse, workos_sdk::Error>>,
    ) -> Result<AuthenticateResponse, CallError> {
        let warm = async {
            self.verifier.warm().await;
            Ok(())
        };
        let (response, ()) = tokio::try_join!(call, warm)?;
        Ok(response)
    }

    async fn verify(&self, response: &AuthenticateResponse) -> Result<Claims, Rejection> {
        let claims = self.verifier.verify(&Secret::new(response.access_token.expose())).await?;
        if claims.user_id == response.user.id { Ok(claims) } else { Err(Rejection::Subject) }
    }

    async fn sign_in(
        &self,
        credential: Credential,
        organization: Option<&OrganizationId>,
        response: Result<AuthenticateResponse, CallError>,
    ) -> Result<SignIn, GrantError> {
        let response = match response {
            Ok(response) => response,
            Err(error) => return self.next_step(credential, organization, error).await,
        };
        let claims = match self.verify(&response).await {
            Ok(claims) => claims,
            Err(rejection) => {
                // WorkOS began a session that nobody will use.
                if let Some(session_id) = session_of_unverified(response.access_token.expose()) {
                    self.abandon(&session_id).await;
                }
                return Err(GrantError::Final(ApiError::new(Reason::SignInInterrupted).because(rejection)));
            }
        };
        let impersonator = match response.impersonator {
            Some(person) => Some(Impersonator { email: person.email, reason: person.reason }),
            None => claims.impersonator.clone().map(|email| Impersonator { email, reason: None }),
        };
        Ok(SignIn::Complete(Box::new(Authentication {
            impersonator,
            claims,
            refresh_token: Secret::new(response.refresh_token.into_inner()),
            method: response.authentication_method.map(|wire| method(wire.as_str())),
            user: user(response.user),
        })))
    }

    /// The next step of a sign-in, or why there is none.
    async fn next_step(
        &self,
        credential: Credential,
        organization: Option<&OrganizationId>,
        error: CallError,
    ) -> Result<SignIn, GrantError> {
        match GrantFailure::of(error.kind, credential) {
            GrantFailure::ChooseOrganization => {
                selection(error).map(SignIn::ChooseOrganization).map_err(GrantError::Final)
            }
            GrantFailure::UseSso => match self.sso_required(error, organization).await {
                Ok(required) => Ok(SignIn::SsoRequired(required)),
                Err(error) if error.kind == ErrorKind::SsoRequired => {
                    Err(GrantError::Final(error.into_api_error()))
                }
                // The lookup failed, and the refusal may have used up the credential.
                Err(error) => Err(GrantError::Final(error.into_api_error_as(Reason::SignInInterrupted))),
            },
            GrantFailure::StepUp(step) => step_up(step, error).map(SignIn::StepUp).map_err(GrantError::Final),
            GrantFailure::UseOtherMethod => Ok(SignIn::OtherMethod(other_method(error))),
            GrantFailure::NotRedeemed(reason) => {
                Err(GrantError::NotRedeemed(error.into_api_error_as(reason)))
            }
            GrantFailure::Final(reason) => Err(GrantError::Final(error.into_api_error_as(reason))),
        }
    }

    /// Decodes `sso_required`. If WorkOS does not name the connection, looks up the organization's. Returns `error`
    /// if there is none.
    async fn sso_required(
        &self,
        mut error: CallError,
        organization: Option<&OrganizationId>,
    ) -> Result<SsoRequired, CallError> {
        let mut connection = error.details.connection.take();
        if let (None, Some(organization)) = (&connection, organization) {
            connection = self.workos.connection_of(organization).await?;
        }
        match connection {
            Some(connection_id) => Ok(SsoRequired {
                connection_id,
                pending_authentication_token: error.details.pending,
                email: error.details.email,
            }),
            None => Err(error),
        }
    }
}

/// Decodes `organization_selection_required`, of which every field is needed.
fn selection(mut error: CallError) -> Result<Selection, ApiError> {
    let details = std::mem::take(&mut error.details);
    match (details.user_id, details.email, details.pending) {
        (Some(id), Some(email), Some(pending_authentication_token)) if !details.organizations.is_empty() => {
            Ok(Selection { id, email, pending_authentication_token, organizations: details.organizations })
        }
        _ => Err(error.into_api_error_as(Reason::SignInInterrupted)),
    }
}

/// Decodes a step-up, which cannot go on without the token of the pending sign-in.
fn step_up(step: Next, mut error: CallError) -> Result<StepUp, ApiError> {
    let details = std::mem::take(&mut error.details);
    let Some(pending_authentication_token) = details.pending else {
        return Err(error.into_api_error_as(Reason::AuthenticationMethodNotAllowed));
    };
    Ok(StepUp {
        step,
        pending_authentication_token,
        user_id: details.user_id,
        email: details.email,
        email_verification_id: details.email_verification_id,
        apps: details.apps,
        error: error.into_api_error(),
    })
}

fn other_method(mut error: CallError) -> OtherMethod {
    let email = error.details.email.take();
    let allowed = error.details.allowed_methods.clone();
    OtherMethod { allowed, email, error: error.into_api_error() }
}
