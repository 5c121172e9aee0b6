//! The reasons that calls to WorkOS fail with, in the groups that endpoints declare.

use api::Reason;

/// Every call.
pub const FAILURES: &[Reason] = &[Reason::WorkosUnavailable, Reason::WorkosBusy];

/// A grant that redeems a code.
pub const CODE: &[Reason] = &[Reason::CodeRejected, Reason::SignInInterrupted];

/// A grant that accepts an invitation.
pub const INVITATION: &[Reason] = &[Reason::InvitationInvalid, Reason::InvitationEmailMismatch];

/// A grant that redeems the token of a pending sign-in.
pub const PENDING: &[Reason] = &[Reason::SelectionExpired, Reason::SignInInterrupted];

/// A grant that redeems the code of a step-up.
pub const STEP_UP: &[Reason] = &[Reason::CodeRejected, Reason::SignInExpired, Reason::SignInInterrupted];

/// Every grant: refusals, steps that are still needed, and failures.
pub const GRANT: &[Reason] = &[
    Reason::SignInRefused,
    Reason::OrganizationNotAllowed,
    Reason::SsoRequired,
    Reason::EmailVerificationRequired,
    Reason::MfaEnrollment,
    Reason::MfaChallenge,
    Reason::AuthenticationMethodNotAllowed,
    Reason::RateLimited,
    Reason::WorkosUnavailable,
    Reason::WorkosBusy,
];
