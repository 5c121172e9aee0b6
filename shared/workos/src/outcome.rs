//! What a failed grant means. Pure decisions: the credential may be used up, or the refresh token rotated, although no
//! answer says so.

use api::{Next, Reason};

use crate::ErrorKind;

/// What was sent to begin or continue a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The code of an OAuth or SSO flow.
    AuthCode,
    /// A code sent by mail.
    MagicCode,
    /// The token of a pending sign-in, with an organization.
    PendingToken,
    /// The token of a pending sign-in, with the code of a step-up.
    StepUpCode,
}

/// What the failure of a grant means to the person who signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantFailure {
    /// The person must choose an organization.
    ChooseOrganization,
    /// The person must sign in through an organization's identity provider.
    UseSso,
    /// The person must take a step before the sign-in continues.
    StepUp(Next),
    /// The organization or the environment does not allow the method.
    UseOtherMethod,
    /// WorkOS provably redeemed nothing: the same request can be sent again.
    NotRedeemed(Reason),
    /// WorkOS refused the credential, or may have redeemed it: only a new sign-in can help.
    Final(Reason),
}

impl GrantFailure {
    /// The meaning of an error of `kind` in response to `credential`.
    ///
    /// Only a refused connection and a rate limit prove that nothing was redeemed. A 503 does not: it may come from a
    /// proxy that lost WorkOS' response.
    pub const fn of(kind: ErrorKind, credential: Credential) -> Self {
        match (kind, credential) {
            (ErrorKind::OrganizationSelectionRequired, _) => Self::ChooseOrganization,
            (ErrorKind::SsoRequired, _) => Self::UseSso,
            (ErrorKind::EmailVerificationRequired, _) => Self::StepUp(Next::VerifyEmail),
            (ErrorKind::MfaEnrollment, _) => Self::StepUp(Next::EnrollMfa),
            (ErrorKind::MfaChallenge, _) => Self::StepUp(Next::ChallengeMfa),
            (ErrorKind::MethodNotAllowed, _) => Self::UseOtherMethod,
            (ErrorKind::Busy | ErrorKind::Unreachable, _) => Self::NotRedeemed(kind.reason()),
            (ErrorKind::InvalidGrant, Credential::AuthCode | Credential::MagicCode) => {
                Self::Final(Reason::CodeRejected)
            }
            // The invitation belongs to the sign-in that is pending: the client named none.
            (ErrorKind::InvitationInvalid | ErrorKind::InvitationEmailMismatch, Credential::PendingToken) => {
                Self::Final(Reason::SignInRefused)
            }
            (ErrorKind::InvalidGrant, Credential::PendingToken) => Self::Final(Reason::SelectionExpired),
            (ErrorKind::InvalidGrant | ErrorKind::InvalidPendingToken, Credential::StepUpCode) => {
                Self::Final(Reason::SignInExpired)
            }
            // No user has the address. The response must not differ from that to a wrong code.
            (ErrorKind::NotFound, Credential::MagicCode) => Self::Final(Reason::CodeRejected),
            (ErrorKind::NotFound, Credential::PendingToken) => Self::Final(Reason::OrganizationNotAllowed),
            _ => match kind.reason() {
                Reason::WorkosUnavailable | Reason::WorkosBusy => Self::Final(Reason::SignInInterrupted),
                reason => Self::Final(reason),
            },
        }
    }
}

/// The tries of one request to refresh a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// The first one.
    First,
    /// The second one, with the same token, after an unanswered first one. WorkOS repeats its answer for 30 s.
    Replay,
}

/// What the failure of a refresh means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshFailure {
    /// Unanswered: send the same token once more.
    Replay,
    /// The session has ended at WorkOS.
    Ended,
    /// The organization requires SSO; the session is unchanged.
    UseSso,
    /// WorkOS refuses the organization; the session is unchanged.
    Refused(Reason),
    /// WorkOS is busy or unavailable. The session keeps its refresh token.
    Transient,
    /// As [`Self::Transient`], but WorkOS may have rotated the token, and the new one is lost unless the session is
    /// refreshed again while WorkOS repeats its answer.
    Lost,
}

impl RefreshFailure {
    /// The meaning of an error of `kind`. Only a definite answer ends a session; one that refuses an organization does
    /// not, if the refresh `switches` to it.
    pub const fn of(kind: ErrorKind, attempt: Try, switches: bool) -> Self {
        match (kind, attempt) {
            (ErrorKind::Unanswered, Try::First) => Self::Replay,
            (ErrorKind::InvalidGrant, Try::First) => Self::Ended,
            _ if switches => match (kind, attempt) {
                (ErrorKind::SsoRequired, _) => Self::UseSso,
                (ErrorKind::NotFound, _) => Self::Refused(Reason::OrganizationNotAllowed),
                _ if kind.refuses_person() => Self::Refused(kind.reason()),
                (_, Try::First) => Self::Transient,
                (_, Try::Replay) => Self::Lost,
            },
            (ErrorKind::SsoRequired | ErrorKind::OrganizationSelectionRequired, _) => Self::Ended,
            _ if kind.refuses_person() => Self::Ended,
            (_, Try::First) => Self::Transient,
            // The first try may have rotated the token. Not even `invalid_grant` is definite: it can be the response to
            // a replay that comes too late.
            (_, Try::Replay) => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refused_connection_and_a_rate_limit_prove_that_nothing_was_redeemed() {
        for credential in
            [Credential::AuthCode, Credential::MagicCode, Credential::PendingToken, Credential::StepUpCode]
        {
            let of = |kind| GrantFailure::of(kind, credential);
            assert_eq!(of(ErrorKind::Unreachable), GrantFailure::NotRedeemed(Reason::WorkosUnavailable));
            assert_eq!(of(ErrorKind::Busy), GrantFailure::NotRedeemed(Reason::WorkosBusy));
            for kind in [
                ErrorKind::Unanswered,
                ErrorKind::Overloaded,
                ErrorKind::Unavailable,
                ErrorKind::InvalidCredentials,
            ] {
                assert_eq!(of(kind), GrantFailure::Final(Reason::SignInInterrupted), "{kind:?}");
            }
        }
    }

    #[test]
    fn a_refusal_depends_on_the_credential() {
        for (kind, credential, reason) in [
            (ErrorKind::InvalidGrant, Credential::AuthCode, Reason::CodeRejected),
            (ErrorKind::InvalidGrant, Credential::MagicCode, Reason::CodeRejected),
            (ErrorKind::InvalidGrant, Credential::PendingToken, Reason::SelectionExpired),
            (ErrorKind::InvalidPendingToken, Credential::PendingToken, Reason::SelectionExpired),
            (ErrorKind::InvalidPendingToken, Credential::StepUpCode, Reason::SignInExpired),
            (ErrorKind::InvalidCode, Credential::StepUpCode, Reason::CodeRejected),
            (ErrorKind::NotFound, Credential::AuthCode, Reason::SignInInterrupted),
            (ErrorKind::NotFound, Credential::MagicCode, Reason::CodeRejected),
            (ErrorKind::NotFound, Credential::PendingToken, Reason::OrganizationNotAllowed),
            (ErrorKind::InvitationInvalid, Credential::MagicCode, Reason::InvitationInvalid),
            (ErrorKind::InvitationInvalid, Credential::PendingToken, Reason::SignInRefused),
        ] {
            assert_eq!(
                GrantFailure::of(kind, credential),
                GrantFailure::Final(reason),
                "{kind:?} {credential:?}"
            );
        }
    }

    #[test]
    fn invalid_grant_ends_a_session_unless_it_answers_a_replay() {
        for switches in [false, true] {
            let of = |kind, attempt| RefreshFailure::of(kind, attempt, switches);
            assert_eq!(of(ErrorKind::InvalidGrant, Try::First), RefreshFailure::Ended);
            assert_eq!(of(ErrorKind::InvalidGrant, Try::Replay), RefreshFailure::Lost);
            assert_eq!(of(ErrorKind::Unanswered, Try::First), RefreshFailure::Replay);
            assert_eq!(of(ErrorKind::Unanswered, Try::Replay), RefreshFailure::Lost);
            for kind in
                [ErrorKind::Busy, ErrorKind::Overloaded, ErrorKind::Unreachable, ErrorKind::Unavailable]
            {
                assert_eq!(of(kind, Try::First), RefreshFailure::Transient, "{kind:?}");
                assert_eq!(of(kind, Try::Replay), RefreshFailure::Lost, "{kind:?}");
            }
        }
    }

    #[test]
    fn a_refused_organization_ends_a_session_only_if_it_is_the_sessions_own() {
        for attempt in [Try::First, Try::Replay] {
            for kind in [ErrorKind::SsoRequired, ErrorKind::MfaEnrollment, ErrorKind::OrganizationNotAllowed]
            {
                assert_eq!(RefreshFailure::of(kind, attempt, false), RefreshFailure::Ended, "{kind:?}");
            }
            let switch = |kind| RefreshFailure::of(kind, attempt, true);
            let not_allowed = RefreshFailure::Refused(Reason::OrganizationNotAllowed);
            assert_eq!(switch(ErrorKind::SsoRequired), RefreshFailure::UseSso);
            assert_eq!(switch(ErrorKind::OrganizationNotAllowed), not_allowed);
            assert_eq!(switch(ErrorKind::NotFound), not_allowed);
        }
    }
}
