//! What stands between an arrival and a session: proof of the address, the choice of an organization, and what that
//! organization demands.

use http::StatusCode;
use serde_json::{Value, json};

use super::codes::Arrival;
use super::directory::User;
use super::refusal::Refusal;
use super::seed::{MembershipStatus, Method};
use super::service::State;
use super::sessions::{Client, Session};

/// What an organization demands that an arrival does not have.
enum Demand {
    Sso,
    OtherMethod,
    SecondFactor,
}

impl State {
    /// Lets an arrival in, or says which step is missing.
    pub(super) fn admit(&mut self, mut arrival: Arrival, client: Client) -> Result<Value, Refusal> {
        let Some(mut user) = self.users.get(&arrival.user_id).cloned() else {
            return Err(Refusal::invalid_grant("The user no longer exists."));
        };
        if !self.settings.environment.authentication_methods.contains(&arrival.method) {
            return Err(Refusal::coded(
                StatusCode::FORBIDDEN,
                "authentication_method_not_allowed",
                "The authentication method is not allowed.",
            ));
        }
        if arrival.email_proven && !user.email_verified {
            user.email_verified = true;
            self.users.insert(user.id.clone(), user.clone());
        }
        if !user.email_verified && self.settings.environment.email_verification_required {
            let id = self.new_email_verification(&user.id, &user.email);
            let token = self.new_pending(arrival);
            return Err(Refusal::coded(
                StatusCode::FORBIDDEN,
                "email_verification_required",
                "Email ownership must be verified before authentication.",
            )
            .with("pending_authentication_token", token.into())
            .with("email", user.email.into())
            .with("email_verification_id", id.into()));
        }
        match &arrival.organization {
            Some(organization) => self.require_membership(&user.id, organization)?,
            None => arrival.organization = self.choose_organization(&user, &arrival)?,
        }
        if let Some(organization) = arrival.organization.clone()
            && let Some(demand) = self.demand(&organization, &arrival)
        {
            return Err(self.demand_refusal(&demand, &organization, &user, Some(arrival)));
        }
        Ok(self.begin_session(&user, &arrival, client))
    }

    /// One membership decides, several ask, none is no organization.
    fn choose_organization(&mut self, user: &User, arrival: &Arrival) -> Result<Option<String>, Refusal> {
        let candidates: Vec<String> =
            self.active_memberships(&user.id).map(|membership| membership.organization_id.clone()).collect();
        match candidates.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            _ => {
                let organizations: Vec<Value> = candidates
                    .iter()
                    .filter_map(|id| self.organizations.get(id))
                    .map(|organization| json!({"id": organization.id, "name": organization.name}))
                    .collect();
                let token = self.new_pending(arrival.clone());
                Err(Refusal::coded(
                    StatusCode::FORBIDDEN,
                    "organization_selection_required",
                    "The user must choose an organization to finish their authentication.",
                )
                .with("pending_authentication_token", token.into())
                .with("user", user.json())
                .with("organizations", organizations.into()))
            }
        }
    }

    /// 404 for an unknown organization, 400 `organization_membership_not_found` without an active membership.
    pub(super) fn require_membership(&self, user_id: &str, organization_id: &str) -> Result<(), Refusal> {
        if !self.organizations.contains_key(organization_id) {
            return Err(Refusal::not_found("Organization", organization_id));
        }
        match self.membership(user_id, organization_id) {
            Some(membership) if membership.status == MembershipStatus::Active => Ok(()),
            _ => Err(Refusal::oauth(
                "organization_membership_not_found",
                "The user is not an active member of the organization.",
            )),
        }
    }

    /// The policies again, at a refresh: here nothing is pending, so the answers carry no token.
    pub(super) fn check_refresh_policy(&mut self, session: &Session) -> Result<(), Refusal> {
        let (Some(organization), Some(user)) =
            (&session.organization_id, self.users.get(&session.user_id).cloned())
        else {
            return Ok(());
        };
        let arrival = Arrival {
            user_id: session.user_id.clone(),
            method: session.method,
            sso_organization: session.sso_organization.clone(),
            organization: session.organization_id.clone(),
            email_proven: false,
            second_factor: session.second_factor,
        };
        match self.demand(organization, &arrival) {
            None => Ok(()),
            Some(demand) => Err(self.demand_refusal(&demand, organization, &user, None)),
        }
    }

    fn demand(&self, organization_id: &str, arrival: &Arrival) -> Option<Demand> {
        let policy = &self.organizations.get(organization_id)?.policy;
        if arrival.sso_organization.as_deref() == Some(organization_id) {
            return None;
        }
        if policy.sso_required {
            return Some(Demand::Sso);
        }
        if policy.authentication_methods.as_ref().is_some_and(|methods| !methods.contains(&arrival.method)) {
            return Some(Demand::OtherMethod);
        }
        if policy.mfa_required && !arrival.second_factor {
            return Some(Demand::SecondFactor);
        }
        None
    }

    /// `arrival` is there at a sign-in, which can go on after the step, and absent at a refresh.
    fn demand_refusal(
        &mut self,
        demand: &Demand,
        organization_id: &str,
        user: &User,
        arrival: Option<Arrival>,
    ) -> Refusal {
        let connections = self.active_connections(organization_id);
        match demand {
            Demand::Sso if connections.is_empty() => {
                Refusal::plain(StatusCode::BAD_REQUEST, "Must use SSO for selected organization")
            }
            Demand::Sso => Refusal::oauth(
                "sso_required",
                "User must authenticate using one of the matching connections.",
            )
            .with("email", user.email.as_str().into())
            .with("connection_ids", connections.into()),
            Demand::OtherMethod => {
                let methods = self
                    .organizations
                    .get(organization_id)
                    .and_then(|found| found.policy.authentication_methods.clone());
                let takes = |method| methods.as_ref().is_some_and(|methods| methods.contains(&method));
                let auth_methods = json!({
                    "apple_oauth": false,
                    "github_oauth": false,
                    "google_oauth": takes(Method::GoogleOauth),
                    "magic_auth": takes(Method::MagicAuth),
                    "microsoft_oauth": takes(Method::MicrosoftOauth),
                    "password": false,
                });
                Refusal::oauth(
                    "organization_authentication_methods_required",
                    "User must authenticate using one of the methods allowed by the organization.",
                )
                .with("email", user.email.as_str().into())
                .with("sso_connection_ids", connections.into())
                .with("auth_methods", auth_methods)
            }
            Demand::SecondFactor => self.second_factor_refusal(user, arrival),
        }
    }

    fn second_factor_refusal(&mut self, user: &User, arrival: Option<Arrival>) -> Refusal {
        let Some(arrival) = arrival else {
            return Refusal::oauth("mfa_enrollment", "The user must enroll in MFA to finish authenticating.");
        };
        let token = self.new_pending(arrival);
        let refusal = match &user.totp {
            None => Refusal::coded(
                StatusCode::FORBIDDEN,
                "mfa_enrollment",
                "The user must enroll in MFA to finish authenticating.",
            ),
            Some(factor) => Refusal::coded(
                StatusCode::FORBIDDEN,
                "mfa_challenge",
                "The user must complete an MFA challenge to finish authenticating.",
            )
            .with("authentication_factors", json!([{"id": factor.id, "type": "totp"}])),
        };
        refusal.with("pending_authentication_token", token.into()).with("user", user.json())
    }
}
