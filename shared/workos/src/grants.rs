//! The grants of WorkOS' token endpoint: sign-in, organization selection, refresh and switch.

use api::{ApiError, Client, ConfigError, EmailAddress, Env, Reason, Secret};
use workos_sdk::AuthenticateResponse;
use workos_sdk::user_management::{
    AuthenticateWithCodeParams, AuthenticateWithMagicAuthParams, AuthenticateWithOrganizationSelectionParams,
    AuthenticateWithRefreshTokenParams,
};

use crate::client::{http, ip_address, user_agent};
use crate::error::{CallError, ErrorKind};
use crate::verifier::{Rejection, Verifier};
use crate::{
    AuthCode, Authentication, Claims, MagicCode, OrganizationId, PendingToken, RefreshError, Refreshed,
    Selection, SignIn, SsoRequired, WorkOs,
};

/// Exchanges credentials for tokens, and verifies each access token that it gets. Create one per process: it caches
/// WorkOS' keys.
#[derive(Debug)]
pub struct Grants {
    workos: WorkOs,
    verifier: Verifier,
}

/// The credential of a grant. It decides what some errors mean.
#[derive(Clone, Copy)]
enum Credential<'a> {
    AuthCode,
    MagicCode,
    PendingToken(&'a OrganizationId),
}

impl Grants {
    /// Reads the configuration. Makes no call.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let http = http()?;
        Ok(Self { workos: WorkOs::with_http(env, http.clone())?, verifier: Verifier::load(env, http)? })
    }

    /// The calls that need no verification, over the same HTTP connections.
    pub fn workos(&self) -> &WorkOs {
        &self.workos
    }

    /// Redeems the code that the browser brought back from WorkOS.
    ///
    /// # Errors
    /// `code_rejected`, `sign_in_refused`, the reason of a step-up, `workos_busy`, `workos_unavailable`.
    pub async fn redeem_code(
        &self,
        code: &AuthCode,
        verifier: &Secret,
        client: &Client,
    ) -> Result<SignIn, ApiError> {
        let params = AuthenticateWithCodeParams {
            code_verifier: Some(verifier.expose().into()),
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithCodeParams::new(code.as_str())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_code(params)).await;
        self.sign_in(Credential::AuthCode, response).await
    }

    /// Redeems a code that was sent by mail.
    ///
    /// # Errors
    /// `code_rejected`, `rate_limited`, `sign_in_refused`, the reason of a step-up, `workos_busy`,
    /// `workos_unavailable`.
    pub async fn redeem_magic_code(
        &self,
        email: &EmailAddress,
        code: &MagicCode,
        client: &Client,
    ) -> Result<SignIn, ApiError> {
        let params = AuthenticateWithMagicAuthParams {
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithMagicAuthParams::new(code.as_str(), email.as_str())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_magic_auth(params)).await;
        self.sign_in(Credential::MagicCode, response).await
    }

    /// Completes a pending sign-in in the chosen organization.
    ///
    /// # Errors
    /// `selection_expired`, `organization_not_allowed`, the reason of a step-up, `workos_busy`, `workos_unavailable`.
    pub async fn select_organization(
        &self,
        pending: &PendingToken,
        organization: &OrganizationId,
        client: &Client,
    ) -> Result<SignIn, ApiError> {
        let params = AuthenticateWithOrganizationSelectionParams {
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithOrganizationSelectionParams::new(pending.as_str(), organization.as_str())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_organization_selection(params)).await;
        self.sign_in(Credential::PendingToken(organization), response).await
    }

    /// Completes `sign_in`, in the first organization if there are several.
    ///
    /// # Errors
    /// `sso_required`, and those of [`Grants::select_organization`].
    pub async fn in_first_organization(
        &self,
        sign_in: SignIn,
        client: &Client,
    ) -> Result<Authentication, ApiError> {
        let malformed =
            || ApiError::new(Reason::WorkosUnavailable).because("malformed selection from WorkOS");
        let sign_in = match sign_in {
            SignIn::ChooseOrganization(selection) => {
                let first = selection.organizations.first().ok_or_else(malformed)?;
                let organization = OrganizationId::parse(&first.id).map_err(|_| malformed())?;
                let pending = PendingToken::parse(selection.pending_authentication_token.expose())
                    .map_err(|_| malformed())?;
                self.select_organization(&pending, &organization, client).await?
            }
            sign_in => sign_in,
        };
        match sign_in {
            SignIn::Complete(authentication) => Ok(*authentication),
            SignIn::SsoRequired(_) => Err(Reason::SsoRequired.into()),
            SignIn::ChooseOrganization(_) => Err(malformed()),
        }
    }

    /// Refreshes a session in its own `organization`, if it has one. It is named because WorkOS documents no default for a
    /// refresh token that comes from a switch.
    ///
    /// # Errors
    /// See [`RefreshError`].
    pub async fn refresh(
        &self,
        refresh_token: &Secret,
        organization: Option<&str>,
        client: &Client,
    ) -> Result<Refreshed, RefreshError> {
        match self.renew(refresh_token, organization, client).await {
            Ok(refreshed) => Ok(refreshed),
            // The organization does not exist any more.
            Err(error) if error.kind == ErrorKind::NotFound && organization.is_some() => {
                Err(RefreshError::Ended(error.into_api_error_as(Reason::NotSignedIn)))
            }
            Err(error) => Err(self.refresh_error(error, None).await),
        }
    }

    /// Refreshes a session in another organization.
    ///
    /// # Errors
    /// See [`RefreshError`].
    pub async fn switch(
        &self,
        refresh_token: &Secret,
        organization: &OrganizationId,
        client: &Client,
    ) -> Result<Refreshed, RefreshError> {
        match self.renew(refresh_token, Some(organization.as_str()), client).await {
            Ok(refreshed) => Ok(refreshed),
            Err(error) => Err(self.refresh_error(error, Some(organization)).await),
        }
    }

    /// For 30 seconds after a refresh token was used, WorkOS returns the same new pair again, so a lost response can be
    /// repeated.
    async fn renew(
        &self,
        refresh_token: &Secret,
        organization: Option<&str>,
        client: &Client,
    ) -> Result<Refreshed, CallError> {
        let params = AuthenticateWithRefreshTokenParams {
            organization_id: organization.map(str::to_owned),
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithRefreshTokenParams::new(refresh_token.expose())
        };
        let users = self.workos.sdk.user_management();
        let response = self.exchange(users.authenticate_with_refresh_token(params)).await?;
        let claims = self.verify(&response).await;
        if let Err(rejection) = &claims {
            tracing::error!(cause = %rejection, "a session was refreshed without new claims");
        }
        Ok(Refreshed {
            refresh_token: Secret::new(response.refresh_token.into_inner()),
            claims: claims.ok(),
            user: response.user.into(),
        })
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
        credential: Credential<'_>,
        response: Result<AuthenticateResponse, CallError>,
    ) -> Result<SignIn, ApiError> {
        let response = match response {
            Ok(response) => response,
            Err(error) => return self.next_step(credential, error).await,
        };
        let claims = self
            .verify(&response)
            .await
            .map_err(|rejection| ApiError::new(Reason::WorkosUnavailable).because(rejection))?;
        Ok(SignIn::Complete(Box::new(Authentication {
            claims,
            refresh_token: Secret::new(response.refresh_token.into_inner()),
            method: response.authentication_method.map(|method| method.as_str().to_owned()),
            user: response.user.into(),
        })))
    }

    /// The next step of a sign-in, or why there is none.
    async fn next_step(&self, credential: Credential<'_>, error: CallError) -> Result<SignIn, ApiError> {
        let reason = match (error.kind, credential) {
            (ErrorKind::OrganizationSelectionRequired, _) => {
                return selection(error).map(SignIn::ChooseOrganization);
            }
            (ErrorKind::SsoRequired, _) => {
                let organization = match credential {
                    Credential::PendingToken(organization) => Some(organization),
                    Credential::AuthCode | Credential::MagicCode => None,
                };
                let required = self.sso_required(error, organization).await;
                return required.map(SignIn::SsoRequired).map_err(CallError::into_api_error);
            }
            (ErrorKind::InvalidGrant, Credential::AuthCode | Credential::MagicCode) => Reason::CodeRejected,
            (ErrorKind::InvalidGrant, Credential::PendingToken(_)) => Reason::SelectionExpired,
            // No user has the address. The response must not differ from that to a wrong code.
            (ErrorKind::NotFound, Credential::MagicCode) => Reason::CodeRejected,
            (ErrorKind::NotFound, Credential::PendingToken(_)) => Reason::OrganizationNotAllowed,
            _ => return Err(error.into_api_error()),
        };
        Err(error.into_api_error_as(reason))
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

    /// Classifies the error of a refresh. Only a definite answer from WorkOS ends a session.
    async fn refresh_error(&self, error: CallError, organization: Option<&OrganizationId>) -> RefreshError {
        match (error.kind, organization) {
            (ErrorKind::InvalidGrant, _) => RefreshError::Ended(error.into_api_error_as(Reason::NotSignedIn)),
            (ErrorKind::SsoRequired, Some(_)) => match self.sso_required(error, organization).await {
                Ok(required) => RefreshError::SsoRequired(required),
                Err(error) if error.kind == ErrorKind::SsoRequired => {
                    RefreshError::Refused(error.into_api_error())
                }
                Err(error) => RefreshError::Transient(error.into_outage()),
            },
            (ErrorKind::NotFound, Some(_)) => {
                RefreshError::Refused(error.into_api_error_as(Reason::OrganizationNotAllowed))
            }
            (kind, Some(_)) if kind.refuses_person() => RefreshError::Refused(error.into_api_error()),
            (kind, None)
                if kind.refuses_person()
                    || matches!(kind, ErrorKind::SsoRequired | ErrorKind::OrganizationSelectionRequired) =>
            {
                RefreshError::Ended(error.into_api_error_as(Reason::NotSignedIn))
            }
            _ => RefreshError::Transient(error.into_outage()),
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
        _ => Err(error.into_outage()),
    }
}
