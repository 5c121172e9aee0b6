//! The audit trail: who signed in or out, how, and from where. One log line with `"audit": true` for each request to an
//! endpoint that starts or changes a session ([`Route::is_audited`](crate::Route::is_audited)), and one for each session
//! that ends.
//!
//! The frame writes the line of a request: an endpoint does nothing for it. Shared code [`note`]s what it learns on the
//! way, so a request that fails or times out is logged with everything that was known by then.
//!
//! Field names follow OWASP's "Application Logging Vocabulary". No line contains a secret or an address: a session is
//! identified by the first characters of its key, which is a hash, and an address by its hash.

use std::cell::RefCell;

use tokio::task::futures::TaskLocalFuture;
use tracing::field;

use crate::Client;

tokio::task_local! {
    static NOTES: RefCell<Notes>;
}

/// The most bytes of a `User-Agent` in a line.
const USER_AGENT_BYTES: usize = 256;

/// What is known about a request or a session.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// WorkOS user id.
    pub user_id: Option<String>,
    /// The organization that the session is in, or that the request asks for.
    pub organization_id: Option<String>,
    /// The authentication method (`magic_auth`, `sso`, `google_oauth`, …).
    pub method: Option<String>,
    /// The session: the beginning of its key.
    pub session: Option<String>,
    /// After a switch, the session that was replaced.
    pub previous_session: Option<String>,
    /// [`EmailAddress::hash`](crate::EmailAddress::hash) of the address in the request.
    pub email_hash: Option<String>,
    /// [`Impersonator::hash`](crate::Impersonator::hash) of who acts as the person.
    pub impersonator_hash: Option<String>,
    /// What the request did.
    pub effect: Option<Effect>,
}

/// What a request did. A request that failed may have had an effect as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No code was mailed: the address is unknown, or has had enough mail.
    NoMail,
    /// A code was mailed.
    CodeMailed,
    /// The browser is sent to an identity provider.
    Redirect,
    /// The person must choose an organization.
    ChooseOrganization,
    /// A session has begun.
    SessionBegun,
    /// A session has moved to another organization, under a new token.
    SessionSwitched,
}

impl Effect {
    /// The name in the line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoMail => "no_mail",
            Self::CodeMailed => "code_mailed",
            Self::Redirect => "redirect",
            Self::ChooseOrganization => "choose_organization",
            Self::SessionBegun => "session_begun",
            Self::SessionSwitched => "session_switched",
        }
    }
}

/// Why a session ended. Expiry is not among them: nothing happens when a session expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The person signed out.
    SignOut,
    /// The browser signed in again.
    Replaced,
    /// WorkOS refused to refresh it.
    Workos,
    /// The person ended it from another session.
    Elsewhere,
    /// WorkOS has revoked it.
    Revoked,
    /// The user was deleted at WorkOS.
    UserDeleted,
    /// The person has left the organization.
    MembershipEnded,
    /// The sign-in failed after the session had been stored.
    Discarded,
}

impl Cause {
    /// The name in the line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignOut => "sign_out",
            Self::Replaced => "replaced",
            Self::Workos => "workos",
            Self::Elsewhere => "elsewhere",
            Self::Revoked => "revoked",
            Self::UserDeleted => "user_deleted",
            Self::MembershipEnded => "membership_ended",
            Self::Discarded => "discarded",
        }
    }
}

/// Adds to what is known about the current request.
pub fn note(add: impl FnOnce(&mut Notes)) {
    // Outside a request, in unit tests, there is no line to add to.
    let _ = NOTES.try_with(|notes| add(&mut notes.borrow_mut()));
}

/// Logs the end of a session.
pub fn session_ended(cause: Cause, session: &Notes, client: &Client) {
    write("session-end", "success", Some(cause), session, client);
}

/// Runs `request` with notes of its own.
pub(crate) fn scope<F: Future>(request: F) -> TaskLocalFuture<RefCell<Notes>, F> {
    NOTES.scope(RefCell::default(), request)
}

/// Logs a request to the endpoint `event`: `outcome` is `success` or the name of a reason.
pub(crate) fn request(event: &str, outcome: &str, client: &Client) {
    let _ = NOTES.try_with(|notes| write(event, outcome, None, &notes.borrow(), client));
}

fn write(event: &str, outcome: &str, cause: Option<Cause>, notes: &Notes, client: &Client) {
    let useragent = client.user_agent.as_deref();
    tracing::info!(
        audit = true,
        event,
        outcome,
        effect = notes.effect.map(Effect::name),
        cause = cause.map(Cause::name),
        method = notes.method.as_deref(),
        user_id = notes.user_id.as_deref(),
        organization_id = notes.organization_id.as_deref(),
        session = notes.session.as_deref(),
        previous_session = notes.previous_session.as_deref(),
        email_hash = notes.email_hash.as_deref(),
        impersonator_hash = notes.impersonator_hash.as_deref(),
        source_ip = client.ip.map(field::display),
        useragent = useragent.and_then(|text| text.get(..text.floor_char_boundary(USER_AGENT_BYTES))),
    );
}
