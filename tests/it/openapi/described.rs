//! What the types do not say of an endpoint: what it is for, and the examples of the API document.

use serde_json::{Value, json};

/// What is said of an endpoint beside its types.
pub struct Description {
    /// The group it is shown in.
    pub tag: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What a caller must know beside it.
    pub details: &'static str,
    /// The request of the API document; `null` where it takes none.
    pub request: Value,
    /// The successes of the API document, each with a name.
    pub responses: Vec<(&'static str, Value)>,
    /// The cookies that its answers can set or clear.
    pub cookies: &'static [&'static str],
}

pub const SIGN_IN: &str = "Sign-in";
pub const SESSION: &str = "Session";
pub const ROOMS: &str = "Rooms and recordings";
pub const WEBHOOKS: &str = "Webhooks";

const SESSION_COOKIE: &str = session::SESSION_COOKIE;
const OAUTH_COOKIE: &str = workos::OAUTH_COOKIE;
const BOTH: &[&str] = &[SESSION_COOKIE, OAUTH_COOKIE];

/// The description of the endpoint `name`.
///
/// # Panics
/// Where there is none: write one.
pub fn of(name: &str) -> Description {
    let (tag, summary, details, cookies): (_, _, _, &[&str]) = match name {
        "sign-in" => (
            SIGN_IN,
            "Begin the sign-in of an existing user",
            "The mail domain decides: with `sso` the browser goes to `redirectURL`; with `magic_auth` a code was sent by mail. \
             An unknown address gets the same answer and no mail.",
            &[OAUTH_COOKIE],
        ),
        "dev-sign-in" => (
            SIGN_IN,
            "Sign in the development user",
            "For development and tests; it does not exist in production.",
            &[SESSION_COOKIE],
        ),
        "sign-up" => (
            SIGN_IN,
            "Create an account",
            "Sends a sign-in code to the address, which `finalize-magic-auth` takes. A known address gets the same answer.",
            &[],
        ),
        "finalize-oauth" => (
            SIGN_IN,
            "Complete a sign-in by SSO, Google or Microsoft",
            "The code counts only in the browser that began the sign-in. A person with several organizations gets the list to \
             choose from, for `select-organization`.",
            BOTH,
        ),
        "resend-magic-auth" => (
            SIGN_IN,
            "Send another sign-in code",
            "Once a minute per address. An unknown address gets the same answer and no mail.",
            &[],
        ),
        "finalize-magic-auth" => (
            SIGN_IN,
            "Complete a sign-in by mail code",
            "Five tries per address in ten minutes. A person with several organizations gets the list to choose from, for \
             `select-organization`.",
            BOTH,
        ),
        "continue-with-google" => (
            SIGN_IN,
            "Begin a sign-in with Google",
            "The browser goes to `redirectURL` and comes back with `code` and `state`, for `finalize-oauth`.",
            &[OAUTH_COOKIE],
        ),
        "continue-with-microsoft" => (
            SIGN_IN,
            "Begin a sign-in with Microsoft",
            "The browser goes to `redirectURL` and comes back with `code` and `state`, for `finalize-oauth`.",
            &[OAUTH_COOKIE],
        ),
        "select-organization" => (
            SIGN_IN,
            "Choose an organization to complete a sign-in",
            "For a person with several organizations, with the token that came with their list.",
            BOTH,
        ),
        "switch-organization" => (
            SESSION,
            "Move the session to another organization",
            "Needs a session, and its own `email`. The session gets a new token; a refusal leaves it as it was.",
            BOTH,
        ),
        "sign-out" => (
            SESSION,
            "Sign out",
            "The session ends at once. The browser goes to `redirectURL`, which ends the one at WorkOS.",
            BOTH,
        ),
        "room-auth" => (
            ROOMS,
            "Get a token to join a room",
            "A LiveKit access token for one room, valid for 10 minutes. The room need not exist yet.",
            &[],
        ),
        "start-recording" => (
            ROOMS,
            "Start recording a room",
            "A room has one recording at a time. By default only somebody who is in the room may start one.",
            &[],
        ),
        "stop-recording" => (
            ROOMS,
            "Stop a recording",
            "Room and zone must be those of the start. Stopping again gives the same answer.",
            &[],
        ),
        "livekit-webhook" => (
            WEBHOOKS,
            "Take news of recordings from LiveKit",
            "Called by LiveKit, which signs each webhook with the API secret.",
            &[],
        ),
        other => panic!("{other} is not described"),
    };
    let (request, responses) = examples(name);
    Description { tag, summary, details, request, responses, cookies }
}

/// Request and successes, as the API document shows them.
fn examples(name: &str) -> (Value, Vec<(&'static str, Value)>) {
    let user = json!({ "user": {
        "id": "user_01HCNYK4PEV6Y1EDZ8EAZG1A1B",
        "email": "johndoe@abc.com",
        "firstName": "John",
        "lastName": "Doe",
        "avatarURL": "https://example.com/avatar.png",
    } });
    let organizations = json!({ "user": {
        "id": "user_01JY16X8FCYMX981HC4GYQ6S01",
        "email": "123@gmail.com",
        "pendingAuthenticationToken": "uMc1tPo4wDjpsnb2mEZlOv8KD",
        "organizations": [
            { "id": "org_01K2Z1R2MEJK6B41WW7428G9YC", "name": "MASADAS" },
            { "id": "org_01K3BK4YS5SDH22RV4P9QYJR7Z", "name": "TAUNTA SCRE" },
        ],
    } });
    let redirect = json!({ "authData": {
        "redirectURL": "https://yourapp.com/redirecturl",
        "state": "xyz123stateToken",
    } });
    match name {
        "sign-in" => (
            json!({ "email": "jane.doe@example.com" }),
            vec![
                (
                    "sso",
                    json!({ "authData": {
                        "authMethod": "sso",
                        "redirectURL": "https://api.workos.com/sso/authorize?client_id=...",
                        "state": "a_random_state_string_for_security",
                    } }),
                ),
                ("magic_auth", json!({ "authData": { "authMethod": "magic_auth" } })),
            ],
        ),
        "dev-sign-in" => (
            json!({}),
            vec![(
                "signed_in",
                json!({ "user": { "id": "user_01HCNYK4PEV6Y1EDZ8EAZG1A1B", "email": "admin@cazzi.com" } }),
            )],
        ),
        "sign-up" => (
            json!({ "email": "new.user@example.com" }),
            vec![("created", json!({ "code": 201, "message": "Created" }))],
        ),
        "finalize-oauth" => (
            json!({ "code": "FHN398YTN3904T309M" }),
            vec![("single_organization", user), ("multiple_organizations", organizations)],
        ),
        "resend-magic-auth" => (
            json!({ "email": "user.with.magic.auth@example.com" }),
            vec![("sent", json!({ "code": 200, "message": "OK" }))],
        ),
        "finalize-magic-auth" => (
            json!({ "email": "user.with.magic.auth@example.com", "code": "123456" }),
            vec![("single_organization", user), ("multiple_organizations", organizations)],
        ),
        "continue-with-google" | "continue-with-microsoft" => (Value::Null, vec![("redirect", redirect)]),
        "select-organization" => (
            json!({
                "pendingAuthenticationToken": "KcFtu30FfyJUfyeeaTwKwU02P",
                "organizationId": "org_01K3BK4YS5SDH22RV4P9QYJR7Z",
            }),
            vec![("signed_in", user)],
        ),
        "switch-organization" => (
            json!({ "email": "johndoe@abc.com", "organizationId": "org_01K2Z1R2MEJK6B41WW7428G9YC" }),
            vec![("switched", user)],
        ),
        "sign-out" => (
            Value::Null,
            vec![(
                "redirect",
                json!({ "authData": {
                    "redirectURL": "https://api.workos.com/user_management/sessions/logout?return_to=...&session_id=session_01JZG38PH9VWFRMCXZB8M5B6SR",
                } }),
            )],
        ),
        "room-auth" => (
            json!({ "username": "Jane Doe", "roomId": "room123" }),
            vec![("token", json!({ "token": "livekitToken" }))],
        ),
        "start-recording" => (
            json!({
                "roomName": "test-room",
                "conferenceTopic": "Weekly Sync Meeting",
                "zoneId": "1",
                "participants": "alice,bob,charlie",
            }),
            vec![("started", json!({ "egressId": "egress-456789", "timestamp": 1_752_486_896 }))],
        ),
        "stop-recording" => (
            json!({ "roomName": "test-room", "egressId": "egress-456789", "zoneId": "1" }),
            vec![("stopped", json!({ "egressId": "egress-456789", "timestamp": 1_752_486_896 }))],
        ),
        _ => (Value::Null, vec![("taken", json!({}))]),
    }
}
