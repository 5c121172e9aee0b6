//! The calls.

use std::fmt;
use std::sync::Arc;

use api::{ApiError, Client, ConfigError, EmailAddress, Env, Reason, Secret};
use serde::Deserialize;
use upstream::{Http, Roots};
use workos_sdk::user_management::{
    AuthenticateWithCodeParams, AuthenticateWithMagicAuthParams, AuthenticateWithOrganizationSelectionParams,
    AuthenticateWithRefreshTokenParams, CreateMagicAuthParams, CreateUserParams, CreateUserParamsBody,
};
use workos_sdk::{AuthenticateResponse, CreateMagicCodeAndReturn};

use crate::config::{API_KEY, API_URL, CLIENT_ID};
use crate::lookup::{self, ConnectionCache};
use crate::refusal::{Kind, Refusal};
use crate::sign_in::{
    Authentication, MagicAuthError, RefreshError, Refreshed, Selection, SignIn, SsoRequired, User,
};
use crate::transport::Transport;
use crate::verifier::{Rejection, Verifier};
use crate::{AuthCode, ConnectionId, MagicCode, OrganizationId, PendingToken};

/// The most of a `User-Agent` that is passed on, in bytes.
const USER_AGENT_BYTES: usize = 512;

/// WorkOS. One per process: it keeps connections, keys and looked-up domains from request to request.
///
/// No call is repeated once it was sent, except where noted: codes are single use, and mail would go out twice. Calls
/// that could not connect were not sent; those are tried once more by [`upstream::Http`].
pub struct WorkOs {
    client: workos_sdk::Client,
    verifier: Verifier,
    connections: ConnectionCache,
}

impl fmt::Debug for WorkOs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The crate's client holds the key.
        f.debug_struct("WorkOs").field("api_url", &self.client.base_url()).finish_non_exhaustive()
    }
}

/// What was handed in, which decides what an error means.
#[derive(Clone, Copy)]
enum Grant<'a> {
    Code,
    MagicCode,
    Selection(&'a OrganizationId),
}

impl WorkOs {
    /// Reads the configuration. It calls nobody yet.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let http = Http::new("WorkOS", Roots::Public).map_err(|error| ConfigError::new(&API_URL, error))?;
        let client = workos_sdk::Client::builder()
            .api_key(env.secret(&API_KEY)?.expose())
            .client_id(env.required(&CLIENT_ID)?)
            .base_url(env.url(&API_URL)?)
            // The crate would sleep for any `Retry-After`, beyond our deadline.
            .max_retries(0)
            .transport(Arc::new(Transport(http.clone())))
            .try_build()
            .map_err(|_| ConfigError::new(&API_KEY, "does not fit into an HTTP header"))?;
        let verifier = Verifier::load(env, http)?;
        Ok(Self { client, verifier, connections: ConnectionCache::default() })
    }

    /// The id of the user with this address, regardless of case; `None` where there is none.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn find_user(&self, email: &EmailAddress) -> Result<Option<String>, ApiError> {
        #[derive(Deserialize)]
        struct Found {
            id: String,
            email: String,
        }
        let query = [("email", email.as_str()), ("limit", "10")];
        match lookup::list::<Found>(&self.client, "/user_management/users", &query).await {
            Ok(users) => Ok(users.into_iter().find(|user| email.is_same_as(&user.email)).map(|user| user.id)),
            // An address that WorkOS does not take is nobody's.
            Err(refusal) if refusal.kind == Kind::Address => Ok(None),
            Err(refusal) => Err(refusal.into_failure()),
        }
    }

    /// Sends a Magic Auth code by mail, and answers it: only [`WorkOs::redeem_magic_code`] may see it. On WorkOS this
    /// also creates a user who does not exist.
    ///
    /// # Errors
    /// See [`MagicAuthError`].
    pub async fn create_magic_auth(
        &self,
        email: &EmailAddress,
        client: &Client,
    ) -> Result<Secret, MagicAuthError> {
        let body = CreateMagicCodeAndReturn {
            email: email.as_str().to_owned(),
            invitation_token: None,
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            radar_auth_attempt_id: None,
            signals_id: None,
        };
        match self.client.user_management().create_magic_auth(CreateMagicAuthParams::new(body)).await {
            Ok(created) => Ok(Secret::new(created.code.into_inner())),
            Err(error) => {
                let refusal = Refusal::from(error);
                Err(match refusal.kind {
                    Kind::NotFound => {
                        MagicAuthError::UnknownAddress(refusal.into_error_with(Reason::SignInRefused))
                    }
                    Kind::SignIn | Kind::Method | Kind::Sso | Kind::Organization => {
                        MagicAuthError::Refused(refusal.into_error())
                    }
                    Kind::Address => MagicAuthError::Address(refusal.into_error()),
                    _ => MagicAuthError::Failed(refusal.into_error()),
                })
            }
        }
    }

    /// Creates a user. A user who exists already is fine.
    ///
    /// # Errors
    /// `invalid_email`, `sign_in_refused`, `workos_busy`, `workos_unavailable`.
    pub async fn create_user(&self, email: &EmailAddress) -> Result<(), ApiError> {
        let params = CreateUserParams::new(CreateUserParamsBody::new(email.as_str()));
        match self.client.user_management().create_user(params).await {
            // What does not read is an answer to success: the user is there.
            Ok(_) | Err(workos_sdk::Error::Decode(_)) => Ok(()),
            Err(error) => match Refusal::from(error) {
                refusal if refusal.kind == Kind::Exists => Ok(()),
                refusal => Err(refusal.into_error()),
            },
        }
    }

    /// The SSO connection for a mail domain: active, and of an organization that has shown that the domain is its own.
    /// One round, remembered for 60 seconds.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn sso_connection(&self, domain: &str) -> Result<Option<ConnectionId>, ApiError> {
        let domain = domain.to_lowercase();
        if let Some(remembered) = self.connections.get(&domain) {
            return Ok(remembered);
        }
        let (by_domain, by_domains) = (
            [("domain", domain.as_str()), ("limit", "100")],
            [("domains", domain.as_str()), ("limit", "100")],
        );
        let found = tokio::try_join!(
            lookup::list(&self.client, "/connections", &by_domain),
            lookup::list(&self.client, "/organizations", &by_domains),
        );
        let (connections, organizations): (Vec<_>, Vec<_>) = found.map_err(Refusal::into_failure)?;
        let connection = lookup::choose(&domain, &connections, &organizations);
        self.connections.put(&domain, connection.clone());
        Ok(connection)
    }

    /// Redeems the code that the browser brought back from WorkOS.
    ///
    /// # Errors
    /// `code_rejected`, a step-up's own reason, `sign_in_refused`, `workos_busy`, `workos_unavailable`.
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
        let grant = self.authenticate(self.client.user_management().authenticate_with_code(params)).await;
        self.sign_in(Grant::Code, grant).await
    }

    /// Redeems the code that came by mail.
    ///
    /// # Errors
    /// `code_rejected`, `rate_limited`, a step-up's own reason, `sign_in_refused`, `workos_busy`,
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
        let grant =
            self.authenticate(self.client.user_management().authenticate_with_magic_auth(params)).await;
        self.sign_in(Grant::MagicCode, grant).await
    }

    /// Goes on with a sign-in that waits for the choice of an organization.
    ///
    /// # Errors
    /// `selection_expired`, `organization_not_allowed`, a step-up's own reason, `workos_busy`, `workos_unavailable`.
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
        let users = self.client.user_management();
        let call = users.authenticate_with_organization_selection(params);
        let grant = self.authenticate(call).await;
        self.sign_in(Grant::Selection(organization), grant).await
    }

    /// Renews a session, in `organization` where one is asked for. WorkOS answers the same pair once more when the
    /// refresh token that was just used comes again within 30 seconds, so a lost answer can be asked for again.
    ///
    /// # Errors
    /// See [`RefreshError`].
    pub async fn refresh(
        &self,
        refresh_token: &Secret,
        organization: Option<&OrganizationId>,
        client: &Client,
    ) -> Result<Refreshed, RefreshError> {
        let params = AuthenticateWithRefreshTokenParams {
            organization_id: organization.map(|id| id.as_str().to_owned()),
            ip_address: ip_address(client),
            user_agent: user_agent(client),
            ..AuthenticateWithRefreshTokenParams::new(refresh_token.expose())
        };
        let users = self.client.user_management();
        let call = users.authenticate_with_refresh_token(params);
        match self.authenticate(call).await {
            Ok(answer) => {
                let claims = self.verify(&answer).await;
                if let Err(rejection) = &claims {
                    tracing::error!(cause = %rejection, "a session was renewed without new claims");
                }
                Ok(Refreshed {
                    refresh_token: Secret::new(answer.refresh_token.into_inner()),
                    claims: claims.ok(),
                    user: answer.user.into(),
                })
            }
            Err(refusal) => Err(self.refused_refresh(refusal, organization).await),
        }
    }

    /// Whether the user is an active member of the organization.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn is_member(&self, user_id: &str, organization: &OrganizationId) -> Result<bool, ApiError> {
        let organization = organization.as_str();
        let query = [("user_id", user_id), ("organization_id", organization), ("statuses", "active")];
        let path = "/user_management/organization_memberships";
        match lookup::list::<lookup::Membership>(&self.client, path, &query).await {
            Ok(memberships) => Ok(memberships.iter().any(|each| each.is_active_of(user_id, organization))),
            // Nobody is a member of what does not exist.
            Err(refusal) if matches!(refusal.kind, Kind::NotFound | Kind::Organization) => Ok(false),
            Err(refusal) => Err(refusal.into_failure()),
        }
    }

    /// Makes a grant, and has the keys for its token at hand when it answers. A refusal does not wait for the keys.
    async fn authenticate(
        &self,
        call: impl Future<Output = Result<AuthenticateResponse, workos_sdk::Error>>,
    ) -> Result<AuthenticateResponse, Refusal> {
        let warm = async {
            self.verifier.warm().await;
            Ok(())
        };
        let (answer, ()) = tokio::try_join!(call, warm)?;
        Ok(answer)
    }

    async fn verify(&self, answer: &AuthenticateResponse) -> Result<crate::Claims, Rejection> {
        let claims = self.verifier.verify(&Secret::new(answer.access_token.expose())).await?;
        if claims.user_id == answer.user.id { Ok(claims) } else { Err(Rejection::Subject) }
    }

    async fn sign_in(
        &self,
        grant: Grant<'_>,
        answer: Result<AuthenticateResponse, Refusal>,
    ) -> Result<SignIn, ApiError> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => return self.step(grant, refusal).await,
        };
        let claims = self
            .verify(&answer)
            .await
            .map_err(|rejection| ApiError::new(Reason::WorkosUnavailable).because(rejection))?;
        Ok(SignIn::Complete(Box::new(Authentication {
            claims,
            refresh_token: Secret::new(answer.refresh_token.into_inner()),
            method: answer.authentication_method.map(|method| method.as_str().to_owned()),
            user: answer.user.into(),
        })))
    }

    /// The next step of a sign-in that is not complete.
    async fn step(&self, grant: Grant<'_>, refusal: Refusal) -> Result<SignIn, ApiError> {
        match (refusal.kind, grant) {
            (Kind::Selection, _) => selection(refusal).map(SignIn::ChooseOrganization),
            (Kind::Sso, _) => {
                let organization = match grant {
                    Grant::Selection(organization) => Some(organization),
                    Grant::Code | Grant::MagicCode => None,
                };
                self.sso_required(refusal, organization)
                    .await
                    .map(SignIn::SsoRequired)
                    .map_err(Refusal::into_error)
            }
            (Kind::Grant, Grant::Code | Grant::MagicCode) => {
                Err(refusal.into_error_with(Reason::CodeRejected))
            }
            // Nobody has the address: the code cannot be good. It must not look different from a wrong one.
            (Kind::NotFound, Grant::MagicCode) => Err(refusal.into_error_with(Reason::CodeRejected)),
            (Kind::Grant, Grant::Selection(_)) => Err(refusal.into_error_with(Reason::SelectionExpired)),
            (Kind::NotFound, Grant::Selection(_)) => {
                Err(refusal.into_error_with(Reason::OrganizationNotAllowed))
            }
            _ => Err(refusal.into_error()),
        }
    }

    /// Reads `sso_required`. WorkOS does not always name the connection; then it is asked for the organization's.
    async fn sso_required(
        &self,
        mut refusal: Refusal,
        organization: Option<&OrganizationId>,
    ) -> Result<SsoRequired, Refusal> {
        let mut connection = refusal.details.connection.take();
        if let (None, Some(organization)) = (&connection, organization) {
            let query = [("organization_id", organization.as_str()), ("limit", "100")];
            let connections: Vec<_> = lookup::list(&self.client, "/connections", &query).await?;
            connection = lookup::first_usable(&connections);
        }
        match connection {
            Some(connection_id) => Ok(SsoRequired {
                connection_id,
                pending_authentication_token: refusal.details.pending,
                email: refusal.details.email,
            }),
            None => Err(refusal),
        }
    }

    /// A refresh that was refused. What WorkOS does not say knowingly ends no session.
    async fn refused_refresh(&self, refusal: Refusal, organization: Option<&OrganizationId>) -> RefreshError {
        match (refusal.kind, organization) {
            (Kind::Grant, _) => RefreshError::Ended(refusal.into_error_with(Reason::NotSignedIn)),
            (Kind::Sso, Some(_)) => match self.sso_required(refusal, organization).await {
                Ok(required) => RefreshError::SsoRequired(required),
                Err(refusal) if refusal.kind == Kind::Sso => RefreshError::Refused(refusal.into_error()),
                Err(refusal) => RefreshError::Transient(refusal.into_failure()),
            },
            (Kind::NotFound, Some(_)) => {
                RefreshError::Refused(refusal.into_error_with(Reason::OrganizationNotAllowed))
            }
            (kind, Some(_)) if kind.refuses_person() => RefreshError::Refused(refusal.into_error()),
            (kind, None) if kind.refuses_person() || matches!(kind, Kind::Sso | Kind::Selection) => {
                RefreshError::Ended(refusal.into_error_with(Reason::NotSignedIn))
            }
            _ => RefreshError::Transient(refusal.into_failure()),
        }
    }
}

/// Reads `organization_selection_required`, which is worth something only as a whole.
fn selection(mut refusal: Refusal) -> Result<Selection, ApiError> {
    let details = std::mem::take(&mut refusal.details);
    match (details.user_id, details.email, details.pending) {
        (Some(id), Some(email), Some(pending_authentication_token)) if !details.organizations.is_empty() => {
            Ok(Selection { id, email, pending_authentication_token, organizations: details.organizations })
        }
        _ => Err(refusal.into_failure()),
    }
}

fn ip_address(client: &Client) -> Option<String> {
    client.ip.map(|ip| ip.to_string())
}

fn user_agent(client: &Client) -> Option<String> {
    let text = client.user_agent.as_deref()?;
    Some(text.get(..text.floor_char_boundary(USER_AGENT_BYTES))?.to_owned())
}

/// Empty counts as missing, as everywhere in our answers.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

impl From<workos_sdk::User> for User {
    fn from(user: workos_sdk::User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            first_name: filled(user.first_name),
            last_name: filled(user.last_name),
            avatar_url: filled(user.profile_picture_url),
        }
    }
}
