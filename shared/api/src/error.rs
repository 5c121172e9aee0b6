//! The error policy.
//!
//! Every error that a client sees is a [`Reason`] from the one table below. The answer's body is
//! `{"code", "message", "reason", "requestId"}`: `code` is the HTTP status, `message` its fixed text, `reason` a stable
//! word for programs. Nothing internal leaks: what went wrong inside travels in [`ApiError::because`] and is logged
//! once, at the boundary, with the place where the error was born.
//!
//! Upstream errors become reasons beside their client, once. An endpoint passes errors on with `?` and matches on none.

use std::error::Error;
use std::panic::Location;

use serde::Serialize;

use crate::{AuthData, SetCookie};

macro_rules! reasons {
    ($($variant:ident $name:literal $status:literal $retry:ident $action:literal;)+) => {
        /// Why a request was refused or failed. The table in this file is the source of docs/errors.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = concat!("`", $name, "`, ", stringify!($status), ": ", $action)] $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable word for programs.
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

            /// Whether the same request can succeed later, unchanged.
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
    MissingField "missing_field" 400 final "Send the field named in `field`; null and empty count as missing.";
    InvalidField "invalid_field" 400 final "Correct the field named in `field`: its type, length or characters.";
    InvalidEmail "invalid_email" 400 final "Ask the person to correct the email address.";
    CodeRejected "code_rejected" 400 final "The code is wrong, expired or already used: ask for a new one.";
    FlowExpired "flow_expired" 400 final "This browser has no sign-in under way that fits: begin again.";
    SelectionExpired "selection_expired" 400 final "The pending sign-in is over: begin again.";
    SignInRefused "sign_in_refused" 400 final "The provider refused this sign-in: begin again, or another way.";
    NotSignedIn "not_signed_in" 401 final "Sign in, then call again with the session.";
    OriginNotAllowed "origin_not_allowed" 403 final "Call from a page of an allowed origin.";
    EmailMismatch "email_mismatch" 403 final "Send the email address of the person who is signed in.";
    OrganizationNotAllowed "organization_not_allowed" 403 final "Choose an organization that the person belongs to.";
    SsoRequired "sso_required" 403 final "Send the browser to `authData.redirectURL`.";
    EmailVerificationRequired "email_verification_required" 403 final "The person must verify the email address first.";
    MfaEnrollment "mfa_enrollment" 403 final "The person must set up a second factor first.";
    MfaChallenge "mfa_challenge" 403 final "The person must pass a second factor first.";
    AuthenticationMethodNotAllowed "authentication_method_not_allowed" 403 final "Offer another way to sign in.";
    NotInRoom "not_in_room" 403 final "Join the room first.";
    RoomNotFound "room_not_found" 404 final "Check the room's name; a room exists while somebody is in it.";
    RecordingNotFound "recording_not_found" 404 final "Check room, zone and egress id.";
    AlreadyRecording "already_recording" 409 final "The room is being recorded under the `egressId` in the answer.";
    SessionChanged "session_changed" 409 retry "The session was being renewed: call again.";
    BodyTooLarge "body_too_large" 413 final "Send at most 16 KiB.";
    JsonRequired "json_required" 415 final "Send the body with `Content-Type: application/json`.";
    RateLimited "rate_limited" 429 retry "Wait for `Retry-After` seconds.";
    Internal "internal" 500 final "Report the `requestId`.";
    WorkosUnavailable "workos_unavailable" 502 retry "The identity provider failed: try again.";
    LivekitUnavailable "livekit_unavailable" 502 retry "The media server failed: try again.";
    WorkosBusy "workos_busy" 503 retry "The identity provider asks to wait: try again after `Retry-After` seconds.";
    LivekitBusy "livekit_busy" 503 retry "The media server asks to wait: try again after `Retry-After` seconds.";
    StoreUnavailable "store_unavailable" 503 retry "The session store failed: try again after `Retry-After` seconds.";
    DeadlineExceeded "deadline_exceeded" 503 retry "The answer took too long: try again after `Retry-After` seconds.";
}

/// The reasons of every endpoint that takes an input.
pub const INPUT: &[Reason] = &[Reason::MissingField, Reason::InvalidField];

impl Reason {
    /// The reasons of every endpoint: they come from what all endpoints share.
    pub const COMMON: &'static [Self] = &[
        Self::InvalidJson,
        Self::OriginNotAllowed,
        Self::BodyTooLarge,
        Self::JsonRequired,
        Self::Internal,
        Self::DeadlineExceeded,
    ];

    /// The reasons of every endpoint behind the authorizer: not signed in, and the failures that leave the authorizer without
    /// a decision, see [`crate::Verdict`].
    pub const PROTECTION: &'static [Self] =
        &[Self::NotSignedIn, Self::WorkosUnavailable, Self::WorkosBusy, Self::StoreUnavailable];

    /// The fixed text of the reason's status.
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

/// What an error answer can carry beside its reason.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The field that is missing or wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// With `sso_required`: how to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_data: Option<AuthData>,
    /// With step-ups: the sign-in that waits for the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_authentication_token: Option<String>,
    /// With `already_recording`: the running recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_id: Option<String>,
}

/// A refusal or failure on its way to the client.
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
    /// An error with `reason`, born where this is called.
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

    /// Says what went wrong inside, for the log. The text of `source` must hold no secret.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Names the field that is missing or wrong.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.details.field = Some(field.into());
        self
    }

    /// Says after how many seconds to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Tells the client how to go on with the sign-in.
    #[must_use]
    pub fn auth_data(mut self, auth_data: AuthData) -> Self {
        self.0.details.auth_data = Some(auth_data);
        self
    }

    /// Hands out the token of the sign-in that waits for a step.
    #[must_use]
    pub fn pending(mut self, token: Option<String>) -> Self {
        self.0.details.pending_authentication_token = token;
        self
    }

    /// Names the recording that is running.
    #[must_use]
    pub fn egress_id(mut self, egress_id: impl Into<String>) -> Self {
        self.0.details.egress_id = Some(egress_id.into());
        self
    }

    /// Sets a cookie with the answer. Of two with one name, the first counts.
    #[must_use]
    pub fn cookie(mut self, cookie: SetCookie) -> Self {
        cookie.add_to(&mut self.0.cookies);
        self
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// What the answer carries beside the reason.
    pub fn details(&self) -> &Details {
        &self.0.details
    }

    /// Cookies that go with the answer.
    pub fn cookies(&self) -> &[SetCookie] {
        &self.0.cookies
    }

    /// `Retry-After` in seconds: the one that was set, or 1 for what the server asks to wait for.
    pub fn wait(&self) -> Option<u64> {
        self.0.retry_after.or(matches!(self.0.reason.status(), 429 | 503).then_some(1))
    }

    /// Where the error was born, as `file:line`.
    pub fn at(&self) -> String {
        format!("{}:{}", self.0.at.file(), self.0.at.line())
    }

    /// The causes, outermost first, joined by `: `; empty where none was given.
    pub fn cause(&self) -> String {
        let mut causes = Vec::new();
        let mut next: Option<&dyn Error> = self.0.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors repeat their source's text in their own.
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
        // Details and cookies hold tokens: what is printed is what the log may hold.
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
    fn names_are_unique_and_lead_back_to_their_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.name()), Some(*reason));
        }
    }

    #[test]
    fn debug_prints_no_token() {
        let error = ApiError::new(Reason::MfaChallenge).pending(Some("pending-secret".into()));
        assert!(!format!("{error:?}").contains("pending-secret"));
    }

    #[test]
    fn the_place_of_birth_is_the_caller() {
        let error = ApiError::new(Reason::Internal);
        assert!(error.at().starts_with("shared/api/src/error.rs:"), "{}", error.at());
    }
}
