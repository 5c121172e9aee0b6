//! The error policy.
//!
//! Every error that a client sees is a [`Reason`] from the table below. The body is `{"code", "message", "reason",
//! "retryable", "requestId"}`: `code` is the HTTP status, `message` the fixed text of that status, `reason` a stable
//! identifier for programs, `retryable` whether the same request can succeed later. Nothing internal leaks: the cause is attached with [`ApiError::because`] and logged once, at the boundary,
//! with the source location that created the error.
//!
//! Upstream errors are mapped to reasons in one place, next to the upstream's client. Endpoints pass errors on with
//! `?`.

use std::error::Error;
use std::panic::Location;

use serde::Serialize;

use crate::SetCookie;
use crate::auth_data::NextAuthData;

macro_rules! reasons {
    ($($variant:ident $name:literal $status:literal $retry:ident $action:literal;)+) => {
        /// Why a request was refused or failed. docs/errors.md is generated from this table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = concat!("`", $name, "`, ", stringify!($status), ": ", $action)] $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable identifier for programs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// What the caller should do.
            pub const fn action(self) -> &'static str {
                match self { $(Self::$variant => $action,)+ }
            }

            /// Whether the same request can succeed later.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => reasons!(@$retry),)+ }
            }

            /// The reason with this name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
    (@retry) => { true };
    (@final) => { false };
}

reasons! {
    InvalidJson "invalid_json" 400 final "Send a JSON object in UTF-8.";
    MissingField "missing_field" 400 final "Send the field named in `field`. Null and empty values count as missing.";
    InvalidField "invalid_field" 400 final "Correct the type, length or characters of the field named in `field`.";
    InvalidEmail "invalid_email" 400 final "Ask the person to correct the email address.";
    InvalidTransport "invalid_transport" 400 final "Send `Session-Transport: cookie` or `Session-Transport: header`, or omit it.";
    CodeRejected "code_rejected" 400 final "The code is wrong, expired or already used: request a new one.";
    FlowExpired "flow_expired" 400 final "This browser has no matching sign-in in progress: restart the sign-in.";
    SelectionExpired "selection_expired" 400 final "The pending sign-in has expired: restart the sign-in.";
    SignInExpired "sign_in_expired" 400 final "The pending sign-in is unknown, has expired or is used up: restart the sign-in.";
    SignInRefused "sign_in_refused" 400 final "The provider refused this sign-in: restart it, or sign in another way.";
    SignInCancelled "sign_in_cancelled" 400 final "The person cancelled at the provider: offer to sign in again.";
    InvitationInvalid "invitation_invalid" 400 final "The invitation is unknown, expired, revoked or already accepted: ask for a new one, or sign in without it.";
    InvitationEmailMismatch "invitation_email_mismatch" 400 final "The invitation was sent to another address: sign in with that one.";
    NotSignedIn "not_signed_in" 401 final "Sign in, then repeat the request with the session.";
    OriginNotAllowed "origin_not_allowed" 403 final "Send the request from a page on an allowed origin.";
    TransportNotEnabled "transport_not_enabled" 403 final "Use cookies: this API does not enable `Session-Transport: header`.";
    SessionCookiePresent "session_cookie_present" 403 final "Sign out with the session cookie first, or keep using it: with a cookie, `Session-Transport: header` is refused.";
    EmailMismatch "email_mismatch" 403 final "Send the email address of the signed-in person.";
    OrganizationNotAllowed "organization_not_allowed" 403 final "Choose an organization that the person belongs to.";
    SsoRequired "sso_required" 403 final "Send the browser to `authData.redirectURL`.";
    EmailVerificationRequired "email_verification_required" 403 final "Ask for the code that was mailed, and send it to `verify-email`.";
    MfaEnrollment "mfa_enrollment" 403 final "Let the person enroll an authenticator app with `enroll-mfa`.";
    MfaChallenge "mfa_challenge" 403 final "Ask for a code of the authenticator app: `challenge-mfa`, then `verify-mfa`.";
    AuthenticationMethodNotAllowed "authentication_method_not_allowed" 403 final "Follow `authData` if it is there, else offer another sign-in method: `allowedMethods`.";
    WrongStep "wrong_step" 403 final "The pending sign-in waits for another step: see `next`.";
    ChallengeNotIssued "challenge_not_issued" 403 final "Send a `challengeId` that was issued for this pending sign-in.";
    AlreadyEnrolled "already_enrolled" 403 final "The person has an authenticator app already: restart the sign-in and use it.";
    TooManyTries "too_many_tries" 403 final "The pending sign-in has used up its tries: restart the sign-in.";
    ReauthenticationRequired "reauthentication_required" 403 final "Let the person sign in again in this browser, as `next` and `authData` say, then send the request again.";
    NotWhileImpersonating "not_while_impersonating" 403 final "Only the person may do this, not somebody who acts as the person.";
    NotInRoom "not_in_room" 403 final "Join the room first.";
    SessionNotFound "session_not_found" 404 final "List the sessions again: the session has ended already, or is not the person's.";
    RoomNotFound "room_not_found" 404 final "Check the room's name. A room exists only while someone is in it.";
    RecordingNotFound "recording_not_found" 404 final "Check the room, the zone and the egress id.";
    AlreadyRecording "already_recording" 409 final "The room is already being recorded, under the `egressId` in the response.";
    TooManyRecordings "too_many_recordings" 409 final "The person runs as many recordings as allowed: stop one first.";
    EnrollmentInProgress "enrollment_in_progress" 409 retry "Another request is enrolling the person: try again.";
    SessionChanged "session_changed" 409 retry "The session was being refreshed: try again.";
    BodyTooLarge "body_too_large" 413 final "Send at most 16 KiB.";
    JsonRequired "json_required" 415 final "Send the body with `Content-Type: application/json`.";
    RateLimited "rate_limited" 429 retry "Try again after `Retry-After` seconds.";
    Internal "internal" 500 final "Report the `requestId`.";
    WorkosUnavailable "workos_unavailable" 502 retry "The identity provider failed: try again.";
    SignInInterrupted "sign_in_interrupted" 502 final "Restart the sign-in.";
    LivekitUnavailable "livekit_unavailable" 502 retry "The media server failed: try again.";
    WorkosBusy "workos_busy" 503 retry "The identity provider is busy: try again after `Retry-After` seconds.";
    LivekitBusy "livekit_busy" 503 retry "The media server is busy: try again after `Retry-After` seconds.";
    StoreUnavailable "store_unavailable" 503 retry "The session store failed: try again after `Retry-After` seconds.";
    SignOutIncomplete "sign_out_incomplete" 503 final "The cookies are cleared, but the session store failed: the session may remain until it expires.";
    SessionsRemain "sessions_remain" 503 retry "Not all sessions have ended yet, here or at the identity provider: send the same request again after `Retry-After` seconds.";
    DeadlineExceeded "deadline_exceeded" 503 retry "The request took too long: try again after `Retry-After` seconds.";
}

/// The reasons of every endpoint that has an input.
pub const INPUT: &[Reason] = &[Reason::MissingField, Reason::InvalidField];

impl Reason {
    /// The reasons of every endpoint, from the code that endpoints share.
    pub const COMMON: &'static [Self] = &[
        Self::InvalidJson,
        Self::InvalidTransport,
        Self::OriginNotAllowed,
        Self::TransportNotEnabled,
        Self::SessionCookiePresent,
        Self::BodyTooLarge,
        Self::JsonRequired,
        Self::Internal,
        Self::DeadlineExceeded,
    ];

    /// The reasons of every endpoint behind the authorizer: not signed in, or a failure that kept the authorizer from
    /// checking the session, see [`crate::Verdict`].
    pub const AUTHORIZER: &'static [Self] =
        &[Self::NotSignedIn, Self::WorkosUnavailable, Self::WorkosBusy, Self::StoreUnavailable];

    /// The fixed text for the reason's status.
    pub const fn message(self) -> &'static str {
        match self.status() {
            400 => "Bad request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not found",
            409 => "Conflict",
            413 => "Payload too large",
            415 => "Unsupported media type",
            429 => "Too many requests",
            502 => "Bad gateway",
            503 => "Service unavailable",
            _ => "Internal server error",
        }
    }
}

/// The next step of a sign-in that an error leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Send the mailed code to `verify-email`.
    VerifyEmail,
    /// Enroll an authenticator app with `enroll-mfa`.
    EnrollMfa,
    /// Get a challenge from `challenge-mfa`.
    ChallengeMfa,
    /// Send the app's code to `verify-mfa`.
    VerifyMfa,
    /// Send the browser to `authData.redirectURL`.
    Redirect,
    /// Choose an organization with `select-organization`.
    ChooseOrganization,
    /// Offer another sign-in method.
    OtherMethod,
    /// Call `sign-in`, and continue as with any sign-in.
    SignIn,
}

impl Next {
    /// Every step.
    pub const ALL: [Self; 8] = [
        Self::VerifyEmail,
        Self::EnrollMfa,
        Self::ChallengeMfa,
        Self::VerifyMfa,
        Self::Redirect,
        Self::ChooseOrganization,
        Self::OtherMethod,
        Self::SignIn,
    ];

    /// The name in responses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::EnrollMfa => "enroll_mfa",
            Self::ChallengeMfa => "challenge_mfa",
            Self::VerifyMfa => "verify_mfa",
            Self::Redirect => "redirect",
            Self::ChooseOrganization => "choose_organization",
            Self::OtherMethod => "other_method",
            Self::SignIn => "sign_in",
        }
    }

    /// The step with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

/// Fields of an error response that depend on the reason.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The field that is missing or invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The next step of a sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// With `next: redirect`: where to send the browser. With `next: sign_in`: how the person signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_data: Option<NextAuthData>,
    /// With `email_verification_required`, `mfa_enrollment` and `mfa_challenge`: the pending sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_authentication_token: Option<String>,
    /// With `authentication_method_not_allowed`: WorkOS' names of the methods that the organization allows, such as
    /// `google_oauth`, if WorkOS names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_methods: Option<Vec<String>>,
    /// With `already_recording`: the running recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_id: Option<String>,
    /// From `finalize-oauth`: the `returnTo` of the sign-in that failed or needs another step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_to: Option<String>,
}

/// A refusal or failure, as an endpoint returns it.
///
/// ```
/// use api::{ApiError, Reason};
///
/// fn percentage(value: u32) -> Result<u32, ApiError> {
///     if value > 100 {
///         return Err(ApiError::new(Reason::InvalidField).field("percentage").because("above 100"));
///     }
///     Ok(value)
/// }
///
/// let error = percentage(101).unwrap_err();
/// assert_eq!(error.reason().status(), 400);
/// assert_eq!(error.details().field.as_deref(), Some("percentage"));
/// assert_eq!(error.cause(), "above 100"); // for the log only
/// ```
pub struct ApiError(Box<Inner>);

struct Inner {
    reason: Reason,
    details: Details,
    retry_after: Option<u64>,
    cookies: Vec<SetCookie>,
    source: Option<Box<dyn Error + Send + Sync>>,
    at: &'static Location<'static>,
}

impl ApiError {
    /// An error with `reason`. Records the caller's source location.
    #[track_caller]
    pub fn new(reason: Reason) -> Self {
        Self(Box::new(Inner {
            reason,
            details: Details::default(),
            retry_after: None,
            cookies: Vec::new(),
            source: None,
            at: Location::caller(),
        }))
    }

    /// Attaches the cause, which is only logged. Its text must not contain a secret.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Names the field that is missing or invalid.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.details.field = Some(field.into());
        self
    }

    /// Sets `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Adds the client's next step.
    #[must_use]
    pub fn auth_data(mut self, auth_data: impl Into<NextAuthData>) -> Self {
        self.0.details.auth_data = Some(auth_data.into());
        self
    }

    /// Adds the token of the pending sign-in.
    #[must_use]
    pub fn pending(mut self, token: Option<String>) -> Self {
        self.0.details.pending_authentication_token = token;
        self
    }

    /// Names the next step.
    #[must_use]
    pub fn next(mut self, next: Next) -> Self {
        self.0.details.next = Some(next);
        self
    }

    /// Names the authentication methods that are allowed.
    #[must_use]
    pub fn allowed_methods(mut self, methods: Vec<String>) -> Self {
        self.0.details.allowed_methods = (!methods.is_empty()).then_some(methods);
        self
    }

    /// Names the running recording.
    #[must_use]
    pub fn egress_id(mut self, egress_id: impl Into<String>) -> Self {
        self.0.details.egress_id = Some(egress_id.into());
        self
    }

    /// Adds where the front end continues after the sign-in.
    #[must_use]
    pub fn return_to(mut self, return_to: Option<&str>) -> Self {
        self.0.details.return_to = return_to.map(str::to_owned);
        self
    }

    /// Sets a cookie, unless the error already sets one of the same name.
    #[must_use]
    pub fn cookie(mut self, cookie: SetCookie) -> Self {
        cookie.add_to(&mut self.0.cookies);
        self
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The fields that depend on the reason.
    pub fn details(&self) -> &Details {
        &self.0.details
    }

    /// The cookies to set.
    pub fn cookies(&self) -> &[SetCookie] {
        &self.0.cookies
    }

    /// `Retry-After` in seconds: the value that was set, else 1 if the status is 429 or 503 and a retry can succeed.
    pub fn wait(&self) -> Option<u64> {
        let reason = self.0.reason;
        self.0.retry_after.or((matches!(reason.status(), 429 | 503) && reason.retryable()).then_some(1))
    }

    /// The source location that created the error, as `file:line`.
    pub fn at(&self) -> String {
        format!("{}:{}", self.0.at.file(), self.0.at.line())
    }

    /// The chain of causes, outermost first, joined by `: `; empty if there is none.
    pub fn cause(&self) -> String {
        let mut causes = Vec::new();
        let mut next: Option<&dyn Error> = self.0.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors include the text of their source in their own.
            if causes.last().is_none_or(|last: &String| !last.contains(&text)) {
                causes.push(text);
            }
            next = error.source();
        }
        causes.join(": ")
    }
}

impl From<Reason> for ApiError {
    #[track_caller]
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl std::fmt::Debug for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Details and cookies contain tokens, which must not reach a log.
        f.debug_struct("ApiError")
            .field("reason", &self.0.reason.name())
            .field("at", &self.at())
            .field("cause", &self.cause())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_unique_and_maps_back_to_its_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.name()), Some(*reason));
        }
    }

    #[test]
    fn a_step_is_serialized_as_its_name() {
        for step in Next::ALL {
            assert_eq!(serde_json::to_value(step).unwrap(), step.name());
            assert_eq!(Next::named(step.name()), Some(step));
        }
    }

    #[test]
    fn debug_prints_no_token() {
        let error = ApiError::new(Reason::MfaChallenge).pending(Some("pending-secret".into()));
        assert!(!format!("{error:?}").contains("pending-secret"));
    }

    #[test]
    fn an_error_records_the_location_of_its_caller() {
        let error = ApiError::new(Reason::Internal);
        assert!(error.at().starts_with("shared/api/src/error.rs:"), "{}", error.at());
    }
}
