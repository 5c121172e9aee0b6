//! The meaning of WorkOS' errors. Nothing else interprets them.
//!
//! WorkOS sends errors in three shapes, sometimes from the same endpoint: `{"code", "message"}`,
//! `{"error", "error_description"}` and `{"message"}` alone (OpenAPI document `workos/openapi-spec`; for further fields
//! <https://workos.com/docs/reference/authkit/authentication-errors>). Either key may hold the code, and every field may
//! be missing. An unknown error is 502 `workos_unavailable`, never a guess.
//!
//! Only the status, the code and WorkOS' request id are logged: bodies hold tokens and addresses.

use std::fmt;

use api::{ApiError, Next, Reason, Secret};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use workos_sdk::transport::TransportErrorKind;

use crate::{ConnectionId, Organization};

/// A failed call to WorkOS.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) kind: ErrorKind,
    pub(crate) details: Details,
    retry_after: Option<u64>,
    cause: Cause,
}

/// The kind of a failed call to WorkOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The code is wrong, expired or used.
    InvalidCode,
    /// `invalid_grant`: the meaning depends on the credential that was sent.
    InvalidGrant,
    /// The pending authentication token is unknown, expired or used.
    InvalidPendingToken,
    /// Step-up: choose an organization.
    OrganizationSelectionRequired,
    /// Step-up: sign in through the organization's identity provider.
    SsoRequired,
    /// The organization does not exist, or the person is not a member.
    OrganizationNotAllowed,
    /// Step-up: verify the email address.
    EmailVerificationRequired,
    /// Step-up: enroll a second factor.
    MfaEnrollment,
    /// Step-up: verify a second factor.
    MfaChallenge,
    /// The authentication method is not allowed here.
    MethodNotAllowed,
    /// The invitation is unknown, expired, revoked or already accepted.
    InvitationInvalid,
    /// The invitation was sent to another address.
    InvitationEmailMismatch,
    /// The sign-in is refused for another reason.
    SignInRefused,
    /// WorkOS cannot send mail to the address.
    InvalidEmail,
    /// The user exists already.
    UserExists,
    /// The address is verified already.
    AlreadyVerified,
    /// 404 without a code, or a session that is unknown or has ended.
    NotFound,
    /// Too many attempts with one code.
    TooManyAttempts,
    /// Rate limited: nothing was processed. Try again later.
    Busy,
    /// 503, from WorkOS or from a proxy before or behind it: try again later.
    Overloaded,
    /// Our API key or client id is wrong.
    InvalidCredentials,
    /// No connection: nothing was sent.
    Unreachable,
    /// No response, or a malformed one: WorkOS may have processed the call.
    Unanswered,
    /// 408, another 5xx, or an unknown error.
    Unavailable,
}

impl ErrorKind {
    /// Whether WorkOS refuses this person, rather than the credential that was sent.
    pub(crate) const fn refuses_person(self) -> bool {
        matches!(
            self,
            Self::OrganizationNotAllowed
                | Self::EmailVerificationRequired
                | Self::MfaEnrollment
                | Self::MfaChallenge
                | Self::MethodNotAllowed
                | Self::InvitationInvalid
                | Self::InvitationEmailMismatch
                | Self::SignInRefused
        )
    }

    /// The reason for clients, unless the call gives the error another meaning.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::InvalidCode => Reason::CodeRejected,
            Self::InvalidPendingToken => Reason::SelectionExpired,
            Self::OrganizationNotAllowed => Reason::OrganizationNotAllowed,
            Self::EmailVerificationRequired => Reason::EmailVerificationRequired,
            Self::MfaEnrollment => Reason::MfaEnrollment,
            Self::MfaChallenge => Reason::MfaChallenge,
            // SSO without a connection to send the browser to: only another method can work.
            Self::MethodNotAllowed | Self::SsoRequired => Reason::AuthenticationMethodNotAllowed,
            Self::InvitationInvalid => Reason::InvitationInvalid,
            Self::InvitationEmailMismatch => Reason::InvitationEmailMismatch,
            Self::SignInRefused => Reason::SignInRefused,
            Self::InvalidEmail => Reason::InvalidEmail,
            Self::TooManyAttempts => Reason::RateLimited,
            Self::Busy | Self::Overloaded => Reason::WorkosBusy,
            Self::InvalidGrant
            | Self::OrganizationSelectionRequired
            | Self::UserExists
            | Self::AlreadyVerified
            | Self::NotFound
            | Self::InvalidCredentials
            | Self::Unreachable
            | Self::Unanswered
            | Self::Unavailable => Reason::WorkosUnavailable,
        }
    }
}

/// The fields of an error beside its code.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) pending: Option<Secret>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) user_id: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) email_verification_id: Option<String>,
    pub(crate) organizations: Vec<Organization>,
    /// The ids of the authenticator apps. Factors of other types cannot be used here.
    pub(crate) apps: Vec<String>,
    pub(crate) allowed_methods: Vec<String>,
}

/// The loggable part of an error.
#[derive(Debug)]
enum Cause {
    Response { status: StatusCode, code: Option<String>, request_id: Option<String> },
    NoResponse(&'static str),
    Malformed { line: usize, column: usize },
    Other(&'static str),
}

impl CallError {
    /// Decodes an error response.
    pub(crate) fn decode(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let fields = match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let code = ["code", "error"].into_iter().find_map(|key| fields.get(key)?.as_str());
        let kind = kind(status, code, &fields);
        let error = Self {
            kind,
            details: Details::decode(&fields),
            retry_after: upstream::retry_after(headers),
            cause: Cause::Response {
                status,
                code: code.filter(|code| is_word(code)).map(str::to_owned),
                request_id: request_id(headers),
            },
        };
        if kind == ErrorKind::InvalidCredentials {
            tracing::error!(
                cause = %error.cause,
                "WorkOS rejects WORKOS_API_KEY or WORKOS_CLIENT_ID: nobody can sign in"
            );
        }
        error
    }

    /// A 2xx response that fails to decode.
    pub(crate) fn malformed(error: &serde_json::Error) -> Self {
        // The decoder's message can quote the body.
        let cause = Cause::Malformed { line: error.line(), column: error.column() };
        Self::without_response(ErrorKind::Unanswered, cause)
    }

    fn without_response(kind: ErrorKind, cause: Cause) -> Self {
        Self { kind, details: Details::default(), retry_after: None, cause }
    }

    /// The error for clients.
    #[track_caller]
    pub(crate) fn into_api_error(self) -> ApiError {
        let reason = self.kind.reason();
        self.into_api_error_as(reason)
    }

    /// The status of WorkOS' response; `None` without a response.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self.cause {
            Cause::Response { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether WorkOS did nothing, because there were too many calls.
    pub(crate) fn is_rate_limited(&self) -> bool {
        matches!(self.cause, Cause::Response { status: StatusCode::TOO_MANY_REQUESTS, .. })
    }

    /// The error for clients of a call that refuses nobody: WorkOS is busy or unavailable.
    #[track_caller]
    pub(crate) fn into_outage(self) -> ApiError {
        let reason = match self.kind {
            ErrorKind::Busy | ErrorKind::Overloaded => Reason::WorkosBusy,
            _ => Reason::WorkosUnavailable,
        };
        self.into_api_error_as(reason)
    }

    /// The error for clients, with the reason that the call gives it.
    #[track_caller]
    pub(crate) fn into_api_error_as(self, reason: Reason) -> ApiError {
        let wait = match self.kind {
            _ if !reason.retryable() => None,
            ErrorKind::Busy | ErrorKind::Overloaded => Some(self.retry_after.unwrap_or(1)),
            ErrorKind::TooManyAttempts => Some(self.retry_after.unwrap_or(60)),
            _ => None,
        };
        let mut error = ApiError::new(reason).because(self.cause);
        if let Some(seconds) = wait {
            error = error.retry_after(seconds);
        }
        if reason == Reason::InvalidEmail {
            error = error.field("email");
        }
        if reason == Reason::AuthenticationMethodNotAllowed {
            error = error.next(Next::OtherMethod).allowed_methods(self.details.allowed_methods);
        }
        error
    }
}

impl From<workos_sdk::Error> for CallError {
    fn from(error: workos_sdk::Error) -> Self {
        match error {
            workos_sdk::Error::Api(error) => {
                let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
                Self::decode(status, &error.headers, &error.raw_body)
            }
            workos_sdk::Error::Network(error) => {
                let (kind, name) = match error.kind {
                    TransportErrorKind::Connect => (ErrorKind::Unreachable, "connect"),
                    TransportErrorKind::Timeout => (ErrorKind::Unanswered, "timeout"),
                    TransportErrorKind::Other => (ErrorKind::Unanswered, "broken"),
                };
                Self::without_response(kind, Cause::NoResponse(name))
            }
            workos_sdk::Error::Decode(error) => Self::malformed(&error),
            // The other variants belong to parts of the SDK that are not used here; their messages may hold anything.
            _ => {
                Self::without_response(ErrorKind::Unavailable, Cause::Other("the request could not be built"))
            }
        }
    }
}

impl Details {
    fn decode(fields: &Map<String, Value>) -> Self {
        let text = |value: Option<&Value>| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let user = fields.get("user");
        let connection = ["connection_ids", "sso_connection_ids"]
            .into_iter()
            .find_map(|key| fields.get(key)?.as_array()?.iter().find_map(Value::as_str))
            .or_else(|| fields.get("connection_id")?.as_str());
        let organizations = fields.get("organizations").and_then(Value::as_array);
        let factors = fields.get("authentication_factors").and_then(Value::as_array);
        let app = |factor: &Value| text(factor.get("id")).filter(|_| factor["type"] == "totp");
        let methods = fields.get("auth_methods").and_then(Value::as_object);
        let allowed = methods.into_iter().flatten().filter(|(_, allowed)| **allowed == Value::Bool(true));
        Self {
            pending: text(fields.get("pending_authentication_token")).map(Secret::new),
            connection: connection.map(ConnectionId::new),
            user_id: text(user.and_then(|user| user.get("id"))),
            email: text(user.and_then(|user| user.get("email"))).or_else(|| text(fields.get("email"))),
            email_verification_id: text(fields.get("email_verification_id")),
            apps: factors.into_iter().flatten().filter_map(app).collect(),
            allowed_methods: allowed.map(|(name, _)| name.clone()).collect(),
            organizations: organizations
                .into_iter()
                .flatten()
                .filter_map(|each| Organization::deserialize(each).ok())
                .collect(),
        }
    }
}

fn kind(status: StatusCode, code: Option<&str>, fields: &Map<String, Value>) -> ErrorKind {
    let known = code.and_then(|code| known(code, fields));
    match status.as_u16() {
        429 if known == Some(ErrorKind::TooManyAttempts) => ErrorKind::TooManyAttempts,
        429 => ErrorKind::Busy,
        503 => ErrorKind::Overloaded,
        408 | 500.. => ErrorKind::Unavailable,
        number => known.or_else(|| from_message(fields)).unwrap_or(match number {
            401 => ErrorKind::InvalidCredentials,
            404 => ErrorKind::NotFound,
            422 if names_the_email(fields) => ErrorKind::InvalidEmail,
            _ => ErrorKind::Unavailable,
        }),
    }
}

/// The codes that WorkOS documents.
fn known(code: &str, fields: &Map<String, Value>) -> Option<ErrorKind> {
    Some(match code {
        "invalid_one_time_code"
        | "one_time_code_expired"
        | "one_time_code_previously_used"
        | "email_verification_code_incorrect"
        | "email_verification_code_expired"
        | "email_verification_code_previously_used"
        | "invalid_credentials" => ErrorKind::InvalidCode,
        "one_time_code_too_many_attempts" => ErrorKind::TooManyAttempts,
        "too_many_requests" | "daily_quota_exceeded" | "rate_limit_exceeded" => ErrorKind::Busy,
        "invalid_grant" => ErrorKind::InvalidGrant,
        "invalid_pending_authentication_token" => ErrorKind::InvalidPendingToken,
        "organization_selection_required" => ErrorKind::OrganizationSelectionRequired,
        "sso_required" => ErrorKind::SsoRequired,
        // If the organization allows SSO among others, the person can continue with SSO.
        "organization_authentication_methods_required" => {
            let has_connection = fields
                .get("sso_connection_ids")
                .and_then(Value::as_array)
                .is_some_and(|ids| !ids.is_empty());
            if has_connection { ErrorKind::SsoRequired } else { ErrorKind::MethodNotAllowed }
        }
        "organization_membership_not_found" | "organization_not_found" | "invalid_organization_id" => {
            ErrorKind::OrganizationNotAllowed
        }
        "email_verification_required" => ErrorKind::EmailVerificationRequired,
        "mfa_enrollment" => ErrorKind::MfaEnrollment,
        "mfa_challenge" => ErrorKind::MfaChallenge,
        "authentication_method_not_allowed"
        | "email_password_auth_disabled"
        | "passkey_progressive_enrollment" => ErrorKind::MethodNotAllowed,
        "invitation_invalid" => ErrorKind::InvitationInvalid,
        "invitation_cannot_be_used_for_email" => ErrorKind::InvitationEmailMismatch,
        "sign_up_not_allowed"
        | "invalid_connection"
        | "invalid_profile"
        | "profile_not_allowed_outside_organization"
        | "user_mismatch"
        | "access_denied"
        | "extra_attributes_required"
        | "application_consent_required"
        // We always send a challenge, so a code without one was not requested by us.
        | "code_challenge_not_found"
        | "radar_challenge"
        | "radar_sign_up_challenge"
        | "radar_sms_sign_in_challenge" => ErrorKind::SignInRefused,
        "email_domain_not_deliverable" => ErrorKind::InvalidEmail,
        "email_already_verified" | "email_previously_verified" => ErrorKind::AlreadyVerified,
        "user_already_exists" | "user_creation_error" => ErrorKind::UserExists,
        "invalid_client" | "unauthorized_client" => ErrorKind::InvalidCredentials,
        _ => return None,
    })
}

/// The third shape: a message alone. WorkOS' OpenAPI document has these without a code.
fn from_message(fields: &Map<String, Value>) -> Option<ErrorKind> {
    let message = fields.get("message")?.as_str()?.to_ascii_lowercase();
    if message.contains("must use sso") {
        Some(ErrorKind::SsoRequired)
    } else if message.starts_with("organization not found") {
        Some(ErrorKind::OrganizationNotAllowed)
    } else if message.starts_with("session not found") || message.starts_with("session has already") {
        Some(ErrorKind::NotFound)
    } else {
        None
    }
}

/// A 422 names the invalid fields, in `errors` or in its message.
fn names_the_email(fields: &Map<String, Value>) -> bool {
    ["errors", "message"]
        .into_iter()
        .filter_map(|key| fields.get(key))
        .any(|value| value.to_string().to_ascii_lowercase().contains("email"))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (id.len() <= 128).then(|| id.to_owned())
}

/// Codes are snake_case words. Anything else in their place is kept out of the log.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response { status, code, request_id } => {
                write!(f, "WorkOS responded with {}", status.as_u16())?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                match request_id {
                    Some(id) => write!(f, " (request {id})"),
                    None => Ok(()),
                }
            }
            Self::NoResponse(kind) => write!(f, "no response from WorkOS ({kind})"),
            Self::Malformed { line, column } => {
                write!(f, "malformed response from WorkOS (line {line}, column {column})")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Cause {}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn decode(status: u16, body: &str) -> CallError {
        let headers = HeaderMap::from_iter([
            (http::HeaderName::from_static("x-request-id"), http::HeaderValue::from_static("req_1")),
            (header::RETRY_AFTER, http::HeaderValue::from_static("3600")),
        ]);
        CallError::decode(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    #[test]
    fn all_three_error_shapes_are_decoded() {
        for (status, body, kind) in [
            (400, r#"{"code":"invalid_one_time_code","message":"m"}"#, ErrorKind::InvalidCode),
            (400, r#"{"error":"invalid_grant","error_description":"d"}"#, ErrorKind::InvalidGrant),
            (401, r#"{"error":"invalid_grant"}"#, ErrorKind::InvalidGrant),
            (400, r#"{"code":400,"error":"invalid_grant"}"#, ErrorKind::InvalidGrant),
            (400, r#"{"message":"Must use SSO for selected organization"}"#, ErrorKind::SsoRequired),
            (404, r#"{"message":"Organization not found: 'org_1'"}"#, ErrorKind::OrganizationNotAllowed),
            (403, r#"{"code":"sso_required"}"#, ErrorKind::SsoRequired),
            (400, r#"{"error":"sso_required"}"#, ErrorKind::SsoRequired),
            (400, r#"{"error":"mfa_enrollment"}"#, ErrorKind::MfaEnrollment),
            (403, r#"{"code":"mfa_enrollment"}"#, ErrorKind::MfaEnrollment),
            (404, r#"{"message":"Not Found"}"#, ErrorKind::NotFound),
            (400, r#"{"message":"Session not found: 'session_1'."}"#, ErrorKind::NotFound),
            (
                422,
                r#"{"message":"Validation failed","errors":[{"field":"email","code":"email_required"}]}"#,
                ErrorKind::InvalidEmail,
            ),
            (422, r#"{"code":"invalid_request_parameters","message":"m"}"#, ErrorKind::Unavailable),
            (401, r#"{"message":"Unauthorized"}"#, ErrorKind::InvalidCredentials),
            (400, r#"{"error":"invalid_client"}"#, ErrorKind::InvalidCredentials),
            (409, r#"{"code":"user_already_exists"}"#, ErrorKind::UserExists),
            (429, r#"{"error":"too_many_requests"}"#, ErrorKind::Busy),
            (429, r#"{"code":"one_time_code_too_many_attempts"}"#, ErrorKind::TooManyAttempts),
            (
                400,
                r#"{"error":"organization_authentication_methods_required","sso_connection_ids":["conn_1"]}"#,
                ErrorKind::SsoRequired,
            ),
            (
                400,
                r#"{"error":"organization_authentication_methods_required","sso_connection_ids":[]}"#,
                ErrorKind::MethodNotAllowed,
            ),
        ] {
            assert_eq!(decode(status, body).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn an_unknown_error_is_an_outage() {
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
            // A wrong API key is our fault, not the person's.
            (401, r#"{"message":"Unauthorized"}"#),
            (400, r#"{"error":"invalid_client"}"#),
        ] {
            let error = decode(status, body).into_api_error();
            assert_eq!(error.reason(), Reason::WorkosUnavailable, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_is_between_one_second_and_one_minute() {
        let error = decode(429, "").into_api_error();
        assert_eq!((error.reason(), error.wait()), (Reason::WorkosBusy, Some(60)));
        let error = decode(503, "").into_outage();
        assert_eq!((error.reason(), error.wait()), (Reason::WorkosBusy, Some(60)));
        let error = CallError::decode(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), b"").into_api_error();
        assert_eq!((error.reason(), error.wait()), (Reason::WorkosBusy, Some(1)));
        let error = decode(400, r#"{"code":"one_time_code_too_many_attempts"}"#).into_api_error();
        assert_eq!((error.reason(), error.wait()), (Reason::RateLimited, Some(60)));
    }

    #[test]
    fn a_refusal_carries_no_pending_token() {
        let body = |code: &str| {
            format!(r#"{{"code":"{code}","pending_authentication_token":"pending_1","email":"a@b.cc"}}"#)
        };
        for (code, reason) in [
            ("sign_up_not_allowed", Reason::SignInRefused),
            ("invitation_invalid", Reason::InvitationInvalid),
            ("invitation_cannot_be_used_for_email", Reason::InvitationEmailMismatch),
        ] {
            let error = decode(400, &body(code)).into_api_error();
            assert_eq!(error.reason(), reason);
            assert_eq!(error.details().pending_authentication_token, None);
        }
    }

    #[test]
    fn malformed_fields_beside_a_code_are_ignored() {
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
    fn the_cause_holds_status_code_and_request_id_and_nothing_else_of_the_body() {
        let cause = |body: &str| decode(400, body).into_api_error().cause();
        let body = r#"{"error":"invalid_grant","error_description":"The code abc for a@b.cc is used","email":"a@b.cc"}"#;
        assert_eq!(cause(body), "WorkOS responded with 400 invalid_grant (request req_1)");
        assert_eq!(cause(r#"{"code":"sk_live_ABC 123"}"#), "WorkOS responded with 400 (request req_1)");
        let error = decode(403, r#"{"code":"mfa_challenge","pending_authentication_token":"pending_1"}"#);
        assert!(!format!("{error:?}").contains("pending_1"));

        let malformed = serde_json::from_str::<bool>(r#""secret""#).unwrap_err();
        let error = CallError::from(workos_sdk::Error::Decode(malformed)).into_api_error();
        assert!(!error.cause().contains("secret"), "{}", error.cause());
    }

    #[test]
    fn a_missing_response_says_why() {
        let error = workos_sdk::transport::TransportError::timeout("https://api.workos.com?email=a@b.cc");
        let error = CallError::from(workos_sdk::Error::Network(error)).into_api_error();
        assert_eq!(error.reason(), Reason::WorkosUnavailable);
        assert_eq!(error.cause(), "no response from WorkOS (timeout)");
    }
}
