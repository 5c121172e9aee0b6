//! From sign-up to sign-out, with a room token in between.

use http::Method;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::shape::NUMBER;
use super::tour::Tour;
use crate::cli::Failure;

pub(super) const ROOM_AUTH: &str = "/api/v1/livekit/room-auth";

const EMAIL: &str = "new.user@example.com";

pub(super) async fn tell(tour: &Tour<'_>) -> Result<(), Failure> {
    let mut browser = tour.browser()?;
    browser
        .post(
            "A newcomer signs up; WorkOS makes the user and mails a code",
            "/auth/sign-up",
            &json!({ "email": EMAIL }),
        )
        .await?
        .is(201, &json!({ "code": 201, "message": "Created" }))?;

    let code = tour.mailed_code(EMAIL)?;
    let user = browser
        .post(
            "The code proves the address: a session begins, in a cookie that no script can read",
            "/auth/finalize-magic-auth",
            &json!({ "email": EMAIL, "code": code }),
        )
        .await?
        .is(200, &json!({ "user": { "id": "user_…", "email": EMAIL } }))?
        .text("/user/id")?;

    let token = browser
        .post(
            "With the session: a token for a LiveKit room",
            ROOM_AUTH,
            &json!({ "username": "New User", "roomId": "room123" }),
        )
        .await?
        .is(200, &json!({ "token": "ey…" }))?
        .text("/token")?;
    tour.look(
        "What the token says, verified with LiveKit's secret: this room, joining and no more, for ten minutes",
        &room_claims(tour, &token)?,
        &json!({
            "alg": "HS256",
            "claims": {
                "iss": "devkey",
                "sub": user,
                "name": "New User",
                "nbf": NUMBER,
                "exp": NUMBER,
                "video": { "room": "room123", "roomJoin": true },
            },
            "lifetimeSeconds": 600,
        }),
    )?;

    let mut program = tour.program(&browser.session()?)?;
    program
        .post(
            "The same session from a program without cookies, as a bearer token",
            ROOM_AUTH,
            &json!({ "username": "New User", "roomId": "room123" }),
        )
        .await?
        .is(200, &json!({ "token": "ey…" }))?;

    let mut thief = browser.clone();
    let logout =
        format!("{}/user_management/sessions/logout?return_to=http…&session_id=session_…", tour.workos.url());
    let redirect = browser
        .call(
            "Signing out ends the session at once and clears the cookie; the URL ends the one at WorkOS",
            Method::POST,
            "/auth/sign-out",
        )
        .await?
        .is(200, &json!({ "authData": { "redirectURL": logout } }))?
        .text("/authData/redirectURL")?;
    if browser.is_signed_in() {
        return Err("signing out did not clear the session cookie".into());
    }
    browser
        .visit("The browser goes there, and WorkOS sends it back to the front end", &redirect)
        .await?
        .redirects("http…")?;

    let body = json!({ "username": "New User", "roomId": "room123" });
    let forbidden = json!({ "message": "Forbidden" });
    thief.post("The old cookie is dead", ROOM_AUTH, &body).await?.is(403, &forbidden)?;
    program.post("So is the bearer token", ROOM_AUTH, &body).await?.is(403, &forbidden)?;
    Ok(())
}

/// The verified content of a room token.
pub(super) fn room_claims(tour: &Tour<'_>, token: &str) -> Result<Value, Failure> {
    let environment = tour.cloud.environment_of("room-auth").ok_or("the template has no room-auth")?;
    let secret = environment.get("LIVEKIT_API_SECRET").ok_or("room-auth has no LIVEKIT_API_SECRET")?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_nbf = true;
    let token =
        jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(secret.as_bytes()), &validation)?;
    let second = |name: &str| token.claims.get(name).and_then(Value::as_u64).unwrap_or_default();
    Ok(json!({
        "alg": format!("{:?}", token.header.alg),
        "claims": token.claims,
        "lifetimeSeconds": second("exp").saturating_sub(second("nbf")),
    }))
}
