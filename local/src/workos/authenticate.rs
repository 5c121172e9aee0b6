//! `POST /user_management/authenticate`: every grant. JSON and form bodies; the API key arrives as `client_secret`.

use aws_lc_rs::digest;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::Value;

use super::codes::Arrival;
use super::refusal::Refusal;
use super::request::Fields;
use super::seed::Method;
use super::service::{Service, World};
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

pub(super) async fn authenticate(
    State(service): State<Service>,
    fields: Fields,
) -> Result<Response, Refusal> {
    let grant = short_name(fields.required("grant_type")?)
        .ok_or_else(|| Refusal::oauth("invalid_request", "The grant_type is not supported."))?;
    let mut world = service.world();
    let world = &mut *world;
    let has_secret = authenticate_client(world, &fields)?;
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
        "authorization_code" => authorization_code(world, &fields, has_secret, client),
        "refresh_token" => world.refresh(fields.required("refresh_token")?, organization(&fields)?),
        "magic_auth" => magic_auth(world, &fields, client),
        "organization_selection" => organization_selection(world, &fields, client),
        "email_verification" => email_verification(world, &fields, client),
        _ => mfa_totp(world, &fields, client),
    }?;
    Ok(Json(answer).into_response())
}

fn authenticate_client(world: &World, fields: &Fields) -> Result<bool, Refusal> {
    if fields.required("client_id")? != world.settings.client_id {
        return Err(Refusal::oauth("invalid_client", "Invalid client ID."));
    }
    match fields.text("client_secret")? {
        None => Ok(false),
        Some(secret) if secret == world.settings.api_key => Ok(true),
        Some(_) => Err(Refusal::oauth("invalid_client", "Invalid client secret.")),
    }
}

fn organization(fields: &Fields) -> Result<Option<&str>, Refusal> {
    Ok(fields.text("organization_id")?.filter(|id| !id.is_empty()))
}

fn authorization_code(
    world: &mut World,
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
    let made = world.take_authorization_code(code).ok_or_else(invalid)?;
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
    world.admit(made.arrival, client)
}

/// RFC 7636, section 4.2.
pub(super) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn magic_auth(world: &mut World, fields: &Fields, client: Client) -> Result<Value, Refusal> {
    let (email, code) = (fields.email()?, fields.required("code")?);
    world.limit("authenticate", email, 10)?;
    let user_id = world.redeem_magic_code(email, code)?;
    let arrival = Arrival { email_proven: true, ..Arrival::new(&user_id, Method::MagicAuth) };
    world.admit(arrival, client)
}

fn organization_selection(world: &mut World, fields: &Fields, client: Client) -> Result<Value, Refusal> {
    let token = fields.required("pending_authentication_token")?;
    let chosen = fields.required("organization_id")?.to_owned();
    let arrival = Arrival { organization: Some(chosen), ..world.pending(token)? };
    finish(world, token, arrival, client)
}

fn email_verification(world: &mut World, fields: &Fields, client: Client) -> Result<Value, Refusal> {
    let token = fields.required("pending_authentication_token")?;
    let arrival = world.pending(token)?;
    world.redeem_email_verification(&arrival.user_id, fields.required("code")?)?;
    finish(world, token, Arrival { email_proven: true, ..arrival }, client)
}

fn mfa_totp(world: &mut World, fields: &Fields, client: Client) -> Result<Value, Refusal> {
    let token = fields.required("pending_authentication_token")?;
    let challenge = fields.required("authentication_challenge_id")?;
    let arrival = world.pending(token)?;
    world.redeem_challenge(&arrival.user_id, challenge, fields.required("code")?)?;
    finish(world, token, Arrival { second_factor: true, ..arrival }, client)
}

/// A pending token is spent by success alone.
fn finish(world: &mut World, token: &str, arrival: Arrival, client: Client) -> Result<Value, Refusal> {
    let answer = world.admit(arrival, client)?;
    world.pending.remove(token);
    Ok(answer)
}
