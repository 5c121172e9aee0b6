//! `POST /user_management/authenticate`: every grant. The API key is the `client_secret`.

use aws_lc_rs::digest;
use axum::Json;
use axum::extract::State as Shared;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::{ApiError, Reply};
use super::model::{Client, CodeKind, Grant, SignIn};
use super::request::Fields;
use super::settings::Method;
use super::state::{Service, State};

const PREFIX: &str = "urn:workos:oauth:grant-type:";

/// The name of a grant type in the call counts.
pub(super) fn grant_name(grant_type: &str) -> Option<&'static str> {
    match grant_type.strip_prefix(PREFIX).unwrap_or(grant_type) {
        "authorization_code" => Some("authorization_code"),
        "refresh_token" => Some("refresh_token"),
        "magic-auth:code" => Some("magic_auth"),
        "organization-selection" => Some("organization_selection"),
        "email-verification:code" => Some("email_verification"),
        "mfa-totp" => Some("mfa_totp"),
        _ => None,
    }
}

pub(super) async fn authenticate(Shared(service): Shared<Service>, fields: Fields) -> Reply {
    let grant = grant_name(fields.required("grant_type")?)
        .ok_or_else(|| ApiError::oauth("invalid_request", "The grant_type is not supported."))?;
    let mut state = service.state();
    let has_secret = check_client(&state, &fields)?;
    // Public clients have these two grants only.
    if !has_secret && !matches!(grant, "authorization_code" | "refresh_token") {
        return Err(ApiError::oauth("invalid_client", "The client_secret is required."));
    }
    let invitation = fields.text("invitation_token")?;
    if let Some(token) = invitation {
        state.pending_invitation(token)?;
    }
    let client = Client { ip_address: fields.owned("ip_address")?, user_agent: fields.owned("user_agent")? };
    state.grants.push(Grant {
        name: grant,
        organization_id: fields.owned("organization_id")?,
        ip_address: client.ip_address.clone(),
        user_agent: client.user_agent.clone(),
    });
    let response = match grant {
        "refresh_token" => {
            let organization_id = fields.text("organization_id")?.filter(|id| !id.is_empty());
            state.refresh(fields.required("refresh_token")?, organization_id)?
        }
        "authorization_code" => {
            let mut sign_in = authorization_code(&mut state, &fields, has_secret)?;
            if let Some(token) = invitation {
                sign_in.invitation = Some(state.pending_invitation(token)?.id.clone());
            }
            state.admit(sign_in, client)?
        }
        "magic_auth" => {
            let sign_in = magic_auth(&mut state, &fields)?;
            state.admit(sign_in, client)?
        }
        step => {
            let token = fields.required("pending_authentication_token")?;
            let pending = state.pending(token)?;
            let sign_in = next_step(&mut state, &fields, step, pending)?;
            let response = state.admit(sign_in, client)?;
            state.pending.remove(token);
            response
        }
    };
    Ok(Json(response))
}

/// Checks the client id and the secret, if present; returns whether it is.
fn check_client(state: &State, fields: &Fields) -> Result<bool, ApiError> {
    if fields.required("client_id")? != state.options.client_id {
        return Err(ApiError::oauth("invalid_client", "Invalid client ID."));
    }
    match fields.text("client_secret")? {
        None => Ok(false),
        Some(secret) if secret == state.options.api_key => Ok(true),
        Some(_) => Err(ApiError::oauth("invalid_client", "Invalid client secret.")),
    }
}

fn authorization_code(state: &mut State, fields: &Fields, has_secret: bool) -> Result<SignIn, ApiError> {
    let code = fields.required("code")?;
    let verifier = fields.text("code_verifier")?;
    if !has_secret && verifier.is_none() {
        let message = "The client_secret or the code_verifier is required.";
        return Err(ApiError::oauth("invalid_request", message));
    }
    let invalid = || ApiError::invalid_grant(&format!("The code '{code}' has expired or is invalid."));
    // Any attempt consumes the code.
    let issued = state.authorization_codes.remove(code).filter(|issued| issued.expires_at > state.now());
    let issued = issued.ok_or_else(invalid)?;
    match (issued.code_challenge, verifier) {
        (None, Some(_)) => Err(ApiError::bad_request(
            "code_challenge_not_found",
            "A code_verifier was sent for a code that was issued without a code_challenge.",
        )),
        (challenge, verifier) if challenge == verifier.map(s256) => Ok(issued.sign_in),
        _ => Err(ApiError::invalid_grant("The code_verifier does not match the code_challenge.")),
    }
}

/// RFC 7636, section 4.2.
pub(super) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn magic_auth(state: &mut State, fields: &Fields) -> Result<SignIn, ApiError> {
    let (email, code) = (fields.email()?, fields.required("code")?);
    state.limit("authenticate", email, 10)?;
    // An invitation that is not for this address leaves the code unused.
    let invitation = fields.text("invitation_token")?.map(|token| state.invitation_for(token, email));
    let invitation = invitation.transpose()?;
    let user_id = state.redeem(CodeKind::MagicAuth, email, code)?;
    let method = Method::MagicAuth;
    Ok(SignIn { user_id, method, email_verified: true, invitation, ..SignIn::default() })
}

/// Completes one more step of a pending sign-in.
fn next_step(state: &mut State, fields: &Fields, step: &str, sign_in: SignIn) -> Result<SignIn, ApiError> {
    match step {
        "organization_selection" => {
            let organization_id = Some(fields.required("organization_id")?.to_owned());
            Ok(SignIn { organization_id, ..sign_in })
        }
        "email_verification" => {
            let email = state.users.get(&sign_in.user_id).map(|user| user.email.clone()).unwrap_or_default();
            state.redeem(CodeKind::EmailVerification, &email, fields.required("code")?)?;
            Ok(SignIn { email_verified: true, ..sign_in })
        }
        _ => {
            let challenge = fields.required("authentication_challenge_id")?;
            state.redeem_challenge(&sign_in.user_id, challenge, fields.required("code")?)?;
            Ok(SignIn { second_factor: true, ..sign_in })
        }
    }
}
