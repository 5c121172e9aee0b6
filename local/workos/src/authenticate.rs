//! `POST /user_management/authenticate`: every grant. JSON and form bodies; the API key arrives as `client_secret`.

use aws_lc_rs::digest;
use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::Value;

use super::codes::Arrival;
use super::refusal::Refusal;
use super::request::Fields;
use super::seed::Method;
use super::service::{Service, State};
use super::sessions::Client;

const PREFIX: &str = "urn:workos:oauth:grant-type:";

/// The grant's short name, as the calls are counted: `magic_auth`, `organization_selection`, `refresh_token`, …
pub(super) fn short_name(grant_type: &str) -> Option<&'static str> {
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

pub(super) async fn authenticate(service: Service, fields: Fields) -> Result<Response, Refusal> {
    let grant = short_name(fields.required("grant_type")?)
        .ok_or_else(|| Refusal::oauth("invalid_request", "The grant_type is not supported."))?;
    let mut state = service.state();
    let state = &mut *state;
    let has_secret = authenticate_client(state, &fields)?;
    // Only what a public client may do goes without the secret.
    if !has_secret && !matches!(grant, "authorization_code" | "refresh_token") {
        return Err(Refusal::oauth("invalid_client", "The client_secret is required."));
    }
    if fields.text("invitation_token")?.is_some() {
        return Err(Refusal::oauth("invitation_invalid", "The invitation is unknown or no longer valid."));
    }
    let client = Client {
        ip_address: fields.text("ip_address")?.map(str::to_owned),
        user_agent: fields.text("user_agent")?.map(str::to_owned),
    };
    let answer = match grant {
        "authorization_code" => authorization_code(state, &fields, has_secret, client),
        "refresh_token" => state.refresh(fields.required("refresh_token")?, organization(&fields)?),
        "magic_auth" => magic_auth(state, &fields, client),
        "organization_selection" => organization_selection(state, &fields, client),
        "email_verification" => email_verification(state, &fields, client),
        _ => mfa_totp(state, &fields, client),
    }?;
    Ok(Json(answer).into_response())
}

fn authenticate_client(state: &State, fields: &Fields) -> Result<bool, Refusal> {
    if fields.required("client_id")? != state.settings.client_id {
        return Err(Refusal::oauth("invalid_client", "Invalid client ID."));
    }
    match fields.text("client_secret")? {
        None => Ok(false),
        Some(secret) if secret == state.settings.api_key => Ok(true),
        Some(_) => Err(Refusal::oauth("invalid_client", "Invalid client secret.")),
    }
}

fn organization(fields: &Fields) -> Result<Option<&str>, Refusal> {
    Ok(fields.text("organization_id")?.filter(|id| !id.is_empty()))
}

fn authorization_code(
    state: &mut State,
    fields: &Fields,
    has_secret: bool,
    client: Client,
) -> Result<Value, Refusal> {
    let code = fields.required("code")?;
    let verifier = fields.text("code_verifier")?;
    if !has_secret && verifier.is_none() {
        return Err(Refusal::oauth("invalid_request", "The client_secret or the code_verifier is required."));
    }
    let invalid = || Refusal::invalid_grant(&format!("The code '{code}' has expired or is invalid."));
    let made = state.take_authorization_code(code).ok_or_else(invalid)?;
    match (&made.challenge, verifier) {
        (None, None) => {}
        (None, Some(_)) => {
            return Err(Refusal::coded(
                StatusCode::BAD_REQUEST,
                "code_challenge_not_found",
                "A code_verifier was sent for a code that was issued without a code_challenge.",
            ));
        }
        (Some(challenge), Some(verifier)) if *challenge == s256(verifier) => {}
        (Some(_), _) => {
            return Err(Refusal::invalid_grant("The code_verifier does not match the code_challenge."));
        }
    }
    state.admit(made.arrival, client)
}

/// RFC 7636, section 4.2.
pub(super) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn magic_auth(state: &mut State, fields: &Fields, client: Client) -> Result<Value, Refusal> {
    let (email, code) = (fields.email()?, fields.required("code")?);
    state.limit("authenticate", email, 10)?;
    let user_id = state.redeem_magic_code(email, code)?;
    let arrival = Arrival { email_proven: true, ..Arrival::new(&user_id, Method::MagicAuth) };
    state.admit(arrival, client)
}

fn organization_selection(state: &mut State, fields: &Fields, client: Client) -> Result<Value, Refusal> {
    let token = fields.required("pending_authentication_token")?;
    let chosen = fields.required("organization_id")?.to_owned();
    let arrival = Arrival { organization: Some(chosen), ..state.pending(token)? };
    finish(state, token, arrival, client)
}

fn email_verification(state: &mut State, fields: &Fields, client: Client) -> Result<Value, Refusal> {
    let token = fields.required("pending_authentication_token")?;
    let arrival = state.pending(token)?;
    state.redeem_email_verification(&arrival.user_id, fields.required("code")?)?;
    finish(state, token, Arrival { email_proven: true, ..arrival }, client)
}

fn mfa_totp(state: &mut State, fields: &Fields, client: Client) -> Result<Value, Refusal> {
    let token = fields.required("pending_authentication_token")?;
    let challenge = fields.required("authentication_challenge_id")?;
    let arrival = state.pending(token)?;
    state.redeem_challenge(&arrival.user_id, challenge, fields.required("code")?)?;
    finish(state, token, Arrival { second_factor: true, ..arrival }, client)
}

/// A pending token is spent by success alone.
fn finish(state: &mut State, token: &str, arrival: Arrival, client: Client) -> Result<Value, Refusal> {
    let answer = state.admit(arrival, client)?;
    state.pending.remove(token);
    Ok(answer)
}
