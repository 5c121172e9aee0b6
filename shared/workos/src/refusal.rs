//! What WorkOS' errors mean: the one place that reads them.
//!
//! WorkOS answers errors in three shapes, sometimes on the same endpoint: `{"code", "message"}`,
//! `{"error", "error_description"}` and `{"message"}` alone (OpenAPI document `workos/openapi-spec`, and
//! <https://workos.com/docs/reference/authkit/authentication-errors> for the fields beside them). Which of the two keys
//! carries a code is not relied on, and no field is. An error that is not in the table is never guessed at: it is 502
//! `workos_unavailable`.
//!
//! Only the status, the code and WorkOS' request id reach the log: bodies hold tokens and addresses.

use std::fmt;

use api::{ApiError, Reason, Secret};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use workos_sdk::transport::TransportErrorKind;

use crate::{ConnectionId, Organization};

/// A call to WorkOS that did not do what it was made for.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    pub(crate) details: Details,
    retry_after: Option<u64>,
    cause: Cause,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The code is wrong, expired or used.
    Code,
    /// `invalid_grant`: what it means depends on what was handed in.
    Grant,
    /// The pending authentication token is no longer good.
    Pending,
    /// Step-up: choose an organization.
    Selection,
    /// Step-up: go through the organization's identity provider.
    Sso,
    /// Not a member of the organization, or there is none.
    Organization,
    /// Step-up: verify the address.
    EmailVerification,
    /// Step-up: set up a second factor.
    MfaEnrollment,
    /// Step-up: pass a second factor.
    MfaChallenge,
    /// This way to sign in is not allowed here.
    Method,
    /// Another refusal of this sign-in.
    SignIn,
    /// The address is none that WorkOS could send mail to.
    Address,
    /// There is such a user already.
    Exists,
    /// 404 without a code.
    NotFound,
    /// Too many tries with one code.
    Attempts,
    /// WorkOS asks to wait.
    Busy,
    /// Our key or client id is not accepted.
    Credentials,
    /// No answer, 408, 5xx, an answer that is not understood, an error that is not known.
    Unavailable,
}

impl Kind {
    /// Whether WorkOS refuses the person, knowingly, whatever is handed in.
    pub(crate) const fn refuses_person(self) -> bool {
        matches!(
            self,
            Self::Organization
                | Self::EmailVerification
                | Self::MfaEnrollment
                | Self::MfaChallenge
                | Self::Method
                | Self::SignIn
        )
    }
}

/// What an error can carry beside its code.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) pending: Option<Secret>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) user_id: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) organizations: Vec<Organization>,
}

/// What the log may hold.
#[derive(Debug)]
enum Cause {
    Answer { status: StatusCode, code: Option<String>, request_id: Option<String> },
    NoAnswer(&'static str),
    Malformed { line: usize, column: usize },
    Other(&'static str),
}

impl Refusal {
    /// Reads an error answer.
    pub(crate) fn decode(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let fields = match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let code = ["code", "error"].into_iter().find_map(|key| fields.get(key)?.as_str());
        let kind = kind(status, code, &fields);
        let refusal = Self {
            kind,
            details: Details::read(&fields),
            retry_after: retry_after(headers),
            cause: Cause::Answer {
                status,
                code: code.filter(|code| is_word(code)).map(str::to_owned),
                request_id: request_id(headers),
            },
        };
        if kind == Kind::Credentials {
            tracing::error!(
                cause = %refusal.cause,
                "WorkOS does not accept WORKOS_API_KEY or WORKOS_CLIENT_ID: nobody can sign in"
            );
        }
        refusal
    }

    /// An answer that says success and does not read as one.
    pub(crate) fn malformed(error: &serde_json::Error) -> Self {
        // The error's own text can quote what it stumbled over.
        Self::without_answer(Cause::Malformed { line: error.line(), column: error.column() })
    }

    /// No answer.
    pub(crate) fn no_answer(kind: &'static str) -> Self {
        Self::without_answer(Cause::NoAnswer(kind))
    }

    fn without_answer(cause: Cause) -> Self {
        Self { kind: Kind::Unavailable, details: Details::default(), retry_after: None, cause }
    }

    /// The reason for clients, where the call gives the error no other meaning.
    fn reason(&self) -> Reason {
        match self.kind {
            Kind::Code => Reason::CodeRejected,
            Kind::Pending => Reason::SelectionExpired,
            Kind::Organization => Reason::OrganizationNotAllowed,
            Kind::EmailVerification => Reason::EmailVerificationRequired,
            Kind::MfaEnrollment => Reason::MfaEnrollment,
            Kind::MfaChallenge => Reason::MfaChallenge,
            // SSO is asked for and there is no connection to send the browser to: another way it must be.
            Kind::Method | Kind::Sso => Reason::AuthenticationMethodNotAllowed,
            Kind::SignIn => Reason::SignInRefused,
            Kind::Address => Reason::InvalidEmail,
            Kind::Attempts => Reason::RateLimited,
            Kind::Busy => Reason::WorkosBusy,
            Kind::Grant
            | Kind::Selection
            | Kind::Exists
            | Kind::NotFound
            | Kind::Credentials
            | Kind::Unavailable => Reason::WorkosUnavailable,
        }
    }

    /// The error for clients.
    #[track_caller]
    pub(crate) fn into_error(self) -> ApiError {
        let reason = self.reason();
        self.into_error_with(reason)
    }

    /// The error for clients of a call that nobody can be refused by: WorkOS is busy, or it failed.
    #[track_caller]
    pub(crate) fn into_failure(self) -> ApiError {
        let reason = if self.kind == Kind::Busy { Reason::WorkosBusy } else { Reason::WorkosUnavailable };
        self.into_error_with(reason)
    }

    /// The error for clients, where the call decides what it means.
    #[track_caller]
    pub(crate) fn into_error_with(self, reason: Reason) -> ApiError {
        let wait = match self.kind {
            Kind::Busy => Some(self.retry_after.unwrap_or(1)),
            Kind::Attempts => Some(self.retry_after.unwrap_or(60)),
            _ => None,
        };
        let is_step_up = matches!(
            reason,
            Reason::EmailVerificationRequired
                | Reason::MfaEnrollment
                | Reason::MfaChallenge
                | Reason::AuthenticationMethodNotAllowed
        );
        let mut error = ApiError::new(reason).because(self.cause);
        if let Some(seconds) = wait {
            error = error.retry_after(seconds);
        }
        if reason == Reason::InvalidEmail {
            error = error.field("email");
        }
        match self.details.pending {
            Some(token) if is_step_up => error.pending(Some(token.expose().to_owned())),
            _ => error,
        }
    }
}

impl From<workos_sdk::Error> for Refusal {
    fn from(error: workos_sdk::Error) -> Self {
        match error {
            workos_sdk::Error::Api(error) => {
                let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
                Self::decode(status, &error.headers, &error.raw_body)
            }
            workos_sdk::Error::Network(error) => Self::no_answer(match error.kind {
                TransportErrorKind::Connect => "connect",
                TransportErrorKind::Timeout => "timeout",
                TransportErrorKind::Other => "broken",
            }),
            workos_sdk::Error::Decode(error) => Self::malformed(&error),
            // The rest is about parts of the crate that are not used here; their texts may hold anything.
            _ => Self::without_answer(Cause::Other("the request could not be built")),
        }
    }
}

impl Details {
    fn read(fields: &Map<String, Value>) -> Self {
        let text = |value: Option<&Value>| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let user = fields.get("user");
        let connection = ["connection_ids", "sso_connection_ids"]
            .into_iter()
            .find_map(|key| fields.get(key)?.as_array()?.iter().find_map(Value::as_str))
            .or_else(|| fields.get("connection_id")?.as_str());
        let organizations = fields.get("organizations").and_then(Value::as_array);
        Self {
            pending: text(fields.get("pending_authentication_token")).map(Secret::new),
            connection: connection.map(ConnectionId::new),
            user_id: text(user.and_then(|user| user.get("id"))),
            email: text(user.and_then(|user| user.get("email"))).or_else(|| text(fields.get("email"))),
            organizations: organizations
                .into_iter()
                .flatten()
                .filter_map(|each| Organization::deserialize(each).ok())
                .collect(),
        }
    }
}

fn kind(status: StatusCode, code: Option<&str>, fields: &Map<String, Value>) -> Kind {
    let known = code.and_then(|code| known(code, fields));
    match status.as_u16() {
        429 if known == Some(Kind::Attempts) => Kind::Attempts,
        429 | 503 => Kind::Busy,
        408 | 500.. => Kind::Unavailable,
        number => known.or_else(|| from_message(fields)).unwrap_or(match number {
            401 => Kind::Credentials,
            404 => Kind::NotFound,
            422 if speaks_of_the_address(fields) => Kind::Address,
            _ => Kind::Unavailable,
        }),
    }
}

/// The table of codes.
fn known(code: &str, fields: &Map<String, Value>) -> Option<Kind> {
    Some(match code {
        "invalid_one_time_code"
        | "one_time_code_expired"
        | "one_time_code_previously_used"
        | "invalid_credentials" => Kind::Code,
        "one_time_code_too_many_attempts" => Kind::Attempts,
        "too_many_requests" | "daily_quota_exceeded" | "rate_limit_exceeded" => Kind::Busy,
        "invalid_grant" => Kind::Grant,
        "invalid_pending_authentication_token" => Kind::Pending,
        "organization_selection_required" => Kind::Selection,
        "sso_required" => Kind::Sso,
        // Where SSO is among the methods that the organization allows, SSO is the way on.
        "organization_authentication_methods_required" => {
            let has_connection = fields
                .get("sso_connection_ids")
                .and_then(Value::as_array)
                .is_some_and(|ids| !ids.is_empty());
            if has_connection { Kind::Sso } else { Kind::Method }
        }
        "organization_membership_not_found" | "organization_not_found" | "invalid_organization_id" => {
            Kind::Organization
        }
        "email_verification_required" => Kind::EmailVerification,
        "mfa_enrollment" => Kind::MfaEnrollment,
        "mfa_challenge" => Kind::MfaChallenge,
        "authentication_method_not_allowed"
        | "email_password_auth_disabled"
        | "passkey_progressive_enrollment" => Kind::Method,
        "sign_up_not_allowed"
        | "invitation_invalid"
        | "invitation_cannot_be_used_for_email"
        | "invalid_connection"
        | "invalid_profile"
        | "profile_not_allowed_outside_organization"
        | "user_mismatch"
        | "access_denied"
        | "extra_attributes_required"
        | "application_consent_required"
        // A code that was begun without a challenge was not begun by us.
        | "code_challenge_not_found"
        | "radar_challenge"
        | "radar_sign_up_challenge"
        | "radar_sms_sign_in_challenge" => Kind::SignIn,
        "email_domain_not_deliverable" => Kind::Address,
        "user_already_exists" | "user_creation_error" => Kind::Exists,
        "invalid_client" | "unauthorized_client" => Kind::Credentials,
        _ => return None,
    })
}

/// The third shape: a message alone. These two are in WorkOS' OpenAPI document with no code.
fn from_message(fields: &Map<String, Value>) -> Option<Kind> {
    let message = fields.get("message")?.as_str()?.to_ascii_lowercase();
    if message.contains("must use sso") {
        Some(Kind::Sso)
    } else if message.starts_with("organization not found") {
        Some(Kind::Organization)
    } else {
        None
    }
}

/// A 422 names the fields that do not fit, in `errors` or in its message.
fn speaks_of_the_address(fields: &Map<String, Value>) -> bool {
    ["errors", "message"]
        .into_iter()
        .filter_map(|key| fields.get(key))
        .any(|value| value.to_string().to_ascii_lowercase().contains("email"))
}

/// `Retry-After` in seconds, between 1 and 60; a date is passed over, WorkOS sends none.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.clamp(1, 60))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (id.len() <= 128).then(|| id.to_owned())
}

/// Codes are words. Anything else in their place stays out of the log.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { status, code, request_id } => {
                write!(f, "WorkOS answered {}", status.as_u16())?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                match request_id {
                    Some(id) => write!(f, " (request {id})"),
                    None => Ok(()),
                }
            }
            Self::NoAnswer(kind) => write!(f, "no answer from WorkOS ({kind})"),
            Self::Malformed { line, column } => {
                write!(f, "WorkOS' answer does not read as one (line {line}, column {column})")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(status: u16, body: &str) -> Refusal {
        let headers = HeaderMap::from_iter([
            (http::HeaderName::from_static("x-request-id"), http::HeaderValue::from_static("req_1")),
            (header::RETRY_AFTER, http::HeaderValue::from_static("3600")),
        ]);
        Refusal::decode(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    #[test]
    fn all_three_shapes_are_read() {
        for (status, body, kind) in [
            (400, r#"{"code":"invalid_one_time_code","message":"m"}"#, Kind::Code),
            (400, r#"{"error":"invalid_grant","error_description":"d"}"#, Kind::Grant),
            (401, r#"{"error":"invalid_grant"}"#, Kind::Grant),
            (400, r#"{"code":400,"error":"invalid_grant"}"#, Kind::Grant),
            (400, r#"{"message":"Must use SSO for selected organization"}"#, Kind::Sso),
            (404, r#"{"message":"Organization not found: 'org_1'"}"#, Kind::Organization),
            (403, r#"{"code":"sso_required"}"#, Kind::Sso),
            (400, r#"{"error":"sso_required"}"#, Kind::Sso),
            (400, r#"{"error":"mfa_enrollment"}"#, Kind::MfaEnrollment),
            (403, r#"{"code":"mfa_enrollment"}"#, Kind::MfaEnrollment),
            (404, r#"{"message":"Not Found"}"#, Kind::NotFound),
            (
                422,
                r#"{"message":"Validation failed","errors":[{"field":"email","code":"email_required"}]}"#,
                Kind::Address,
            ),
            (422, r#"{"code":"invalid_request_parameters","message":"m"}"#, Kind::Unavailable),
            (401, r#"{"message":"Unauthorized"}"#, Kind::Credentials),
            (400, r#"{"error":"invalid_client"}"#, Kind::Credentials),
            (409, r#"{"code":"user_already_exists"}"#, Kind::Exists),
            (429, r#"{"error":"too_many_requests"}"#, Kind::Busy),
            (429, r#"{"code":"one_time_code_too_many_attempts"}"#, Kind::Attempts),
            (
                400,
                r#"{"error":"organization_authentication_methods_required","sso_connection_ids":["conn_1"]}"#,
                Kind::Sso,
            ),
            (
                400,
                r#"{"error":"organization_authentication_methods_required","sso_connection_ids":[]}"#,
                Kind::Method,
            ),
        ] {
            assert_eq!(decode(status, body).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn what_is_not_known_is_never_guessed_at() {
        for (status, body) in [
            (400, ""),
            (400, "<html>Bad request</html>"),
            (400, "[]"),
            (400, r#"{"code":["invalid_grant"]}"#),
            (400, r#"{"code":"something_new"}"#),
            (403, r#"{"message":"Forbidden"}"#),
            (408, r#"{"error":"invalid_grant"}"#),
            (500, r#"{"error":"invalid_grant"}"#),
            (502, "<html></html>"),
            (302, ""),
        ] {
            let error = decode(status, body).into_error();
            assert_eq!(error.reason(), Reason::WorkosUnavailable, "{status} {body}");
        }
    }

    #[test]
    fn a_wait_is_asked_for_between_one_second_and_one_minute() {
        let error = decode(429, "").into_error();
        assert_eq!((error.reason(), error.wait()), (Reason::WorkosBusy, Some(60)));
        let error = decode(503, "").into_failure();
        assert_eq!((error.reason(), error.wait()), (Reason::WorkosBusy, Some(60)));
        let error = Refusal::decode(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), b"").into_error();
        assert_eq!((error.reason(), error.wait()), (Reason::WorkosBusy, Some(1)));
        let error = decode(400, r#"{"code":"one_time_code_too_many_attempts"}"#).into_error();
        assert_eq!((error.reason(), error.wait()), (Reason::RateLimited, Some(60)));
    }

    #[test]
    fn step_ups_hand_out_the_pending_token_and_refusals_do_not() {
        let body = |code: &str| {
            format!(r#"{{"code":"{code}","pending_authentication_token":"pending_1","email":"a@b.cc"}}"#)
        };
        for (code, reason) in [
            ("email_verification_required", Reason::EmailVerificationRequired),
            ("mfa_enrollment", Reason::MfaEnrollment),
            ("mfa_challenge", Reason::MfaChallenge),
            ("authentication_method_not_allowed", Reason::AuthenticationMethodNotAllowed),
        ] {
            let error = decode(403, &body(code)).into_error();
            assert_eq!(error.reason(), reason);
            assert_eq!(error.details().pending_authentication_token.as_deref(), Some("pending_1"));
        }
        let error = decode(400, &body("invitation_invalid")).into_error();
        assert_eq!(error.reason(), Reason::SignInRefused);
        assert_eq!(error.details().pending_authentication_token, None);
    }

    #[test]
    fn the_fields_beside_a_code_are_read_as_far_as_they_fit() {
        let details = decode(
            403,
            r#"{"code":"organization_selection_required","pending_authentication_token":"p",
                "user":{"id":"user_1","email":"a@b.cc","first_name":7},
                "organizations":[{"id":"org_1","name":"A"},{"id":7},{"id":"org_2","name":"B","more":null}]}"#,
        )
        .details;
        assert_eq!((details.user_id.as_deref(), details.email.as_deref()), (Some("user_1"), Some("a@b.cc")));
        assert_eq!(details.organizations.len(), 2);
        let details = decode(
            400,
            r#"{"error":"sso_required","email":"a@b.cc","connection_ids":["conn_1"],"pending_authentication_token":null}"#,
        )
        .details;
        assert_eq!(details.connection, Some(ConnectionId::new("conn_1")));
        assert!(details.pending.is_none());
    }

    #[test]
    fn the_log_gets_status_code_and_request_id_and_nothing_of_the_body() {
        let cause = |body: &str| decode(400, body).into_error().cause();
        let body = r#"{"error":"invalid_grant","error_description":"The code abc for a@b.cc is used","email":"a@b.cc"}"#;
        assert_eq!(cause(body), "WorkOS answered 400 invalid_grant (request req_1)");
        assert_eq!(cause(r#"{"code":"sk_live_ABC 123"}"#), "WorkOS answered 400 (request req_1)");
        let refusal = decode(403, r#"{"code":"mfa_challenge","pending_authentication_token":"pending_1"}"#);
        assert!(!format!("{refusal:?}").contains("pending_1"));

        let malformed = serde_json::from_str::<bool>(r#""secret""#).unwrap_err();
        let error = Refusal::from(workos_sdk::Error::Decode(malformed)).into_error();
        assert!(!error.cause().contains("secret"), "{}", error.cause());
    }

    #[test]
    fn no_answer_says_how() {
        let error = workos_sdk::transport::TransportError::timeout("https://api.workos.com?email=a@b.cc");
        let error = Refusal::from(workos_sdk::Error::Network(error)).into_error();
        assert_eq!(error.reason(), Reason::WorkosUnavailable);
        assert_eq!(error.cause(), "no answer from WorkOS (timeout)");
    }
}
