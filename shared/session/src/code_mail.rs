//! Asking for a code by mail: what `sign-in`, `sign-up` and `resend-magic-auth` have in common.
//!
//! Limits first, then the SSO question, then the mail. Everything that a stranger can see (status, headers, body,
//! cookies, time) is the same for known and unknown addresses, and whether a mail was withheld or not.

use api::audit::{self, Effect};
use api::auth_data::AuthData;
use api::{
    ApiError, ConfigError, Done, EmailAddress, Env, OAUTH_COOKIE, PENDING_COOKIE, Request, Response,
    SetCookie,
};
use schemars::JsonSchema;
use serde::Serialize;
use store::{CodeRequest, Mail, SourceLimit, Table};
use workos::{Authorize, Selector, Started, WorkOs};

use crate::browsers::{DEVICE, PENDING};
use crate::floor::Floor;

/// Sends codes by mail.
#[derive(Debug)]
pub struct CodeMail {
    table: Table,
    workos: WorkOs,
    authorize: Authorize,
    floor: Floor,
}

/// Who is sent a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Users.
    Users,
    /// Any address. WorkOS creates a user for a new one.
    Anyone,
}

/// How the person goes on.
#[derive(Debug)]
pub enum NextStep {
    /// At the organization's identity provider.
    Sso(Started),
    /// With the code. The cookie remembers that this browser asked for it.
    Code(SetCookie),
}

/// A success, and with SSO the next step.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    #[serde(flatten)]
    done: Done,
    /// No code was sent: the organization of the email domain has SSO.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<AuthData>,
}

impl CodeMail {
    /// The cookies that a response may set.
    pub const COOKIES: &[&str] = &[OAUTH_COOKIE, PENDING_COOKIE];

    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            table: Table::load(env)?,
            workos: WorkOs::load(env)?,
            authorize: Authorize::load(env)?,
            floor: Floor::load(env)?,
        })
    }

    /// Sends a code, unless the address's organization has SSO or its budget of mails is used up.
    ///
    /// # Errors
    /// `rate_limited` if the source is above its limit; `workos_busy`, `workos_unavailable`, `store_unavailable`; for
    /// [`Recipients::Anyone`], `invalid_email` as well.
    pub async fn request<I>(
        &self,
        source: SourceLimit,
        recipients: Recipients,
        email: &EmailAddress,
        req: &Request<I>,
    ) -> Result<NextStep, ApiError> {
        // What follows may do more than that.
        note_code(email, Some(Effect::NoMail));
        let next_step = async {
            let device = DEVICE.find(&req.cookies, email);
            let (pending, cookie) = PENDING.issue(&req.cookies, email)?;
            let request = CodeRequest { source, client: &req.client, email, device, pending };
            let mail = request.admit(&self.table).await?;
            let may_send = matches!(mail, Mail::Granted(_));
            let sso = self.sso_or_send(may_send, recipients, email, req).await;
            match (sso, mail) {
                (Ok(None), _) => Ok(NextStep::Code(cookie)),
                (sso, mail) => {
                    if let Mail::Granted(grant) = mail {
                        grant.give_back(&self.table).await;
                    }
                    sso.map(|started| started.map_or(NextStep::Code(cookie), NextStep::Sso))
                }
            }
        };
        self.floor.hold(next_step).await
    }

    /// Starts SSO, or sends the code and returns `None`.
    async fn sso_or_send<I>(
        &self,
        may_send: bool,
        recipients: Recipients,
        email: &EmailAddress,
        req: &Request<I>,
    ) -> Result<Option<Started>, ApiError> {
        let is_user = async {
            match recipients {
                Recipients::Users => self.workos.find_user(email).await.map(|user| user.is_some()),
                Recipients::Anyone => Ok(true),
            }
        };
        let (connection, is_recipient) = tokio::join!(self.workos.sso_connection(email.domain()), is_user);
        if let Some(connection) = connection? {
            let selector = Selector::Connection(connection);
            return self.authorize.start(selector, &req.cookies, Some(email.as_str())).map(Some);
        }
        if is_recipient? && may_send {
            match recipients {
                Recipients::Users => self.workos.send_sign_in_code(email, &req.client).await?,
                Recipients::Anyone => self.workos.send_sign_up_code(email, &req.client).await?,
            }
        }
        Ok(None)
    }
}

/// Notes a request for a code, or with one.
pub(crate) fn note_code(email: &EmailAddress, effect: Option<Effect>) {
    audit::note(|notes| {
        notes.method = Some("MagicAuth".to_owned());
        notes.email_hash = Some(email.hash());
        notes.effect = effect;
    });
}

impl NextStep {
    /// The response of an endpoint that only says `done` if a code was sent.
    pub fn respond(self, done: Done) -> Response<Sent> {
        match self {
            Self::Sso(started) => {
                let (auth_data, cookie) = started.into_sso();
                Response::new(Sent { done, auth_data: Some(auth_data) }).cookie(cookie)
            }
            Self::Code(cookie) => Response::new(Sent { done, auth_data: None }).cookie(cookie),
        }
    }

    /// `authData`, and the cookie to set.
    pub fn into_auth_data(self) -> (AuthData, SetCookie) {
        match self {
            Self::Sso(started) => started.into_sso(),
            Self::Code(cookie) => (AuthData::magic_auth(), cookie),
        }
    }
}
