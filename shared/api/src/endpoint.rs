//! An endpoint: everything that only it knows, declared once.
//!
//! An endpoint is one type in a crate of its own. [`Endpoint::ROUTE`] says what clients, operators and tests must know,
//! and the signature of its `handle` is the contract: input and output are inferred from it, see [`Handler`]. The router,
//! the OpenAPI document, the tables in README.md and docs/, and the test matrices are derived from these two.
//!
//! ```
//! use api::{ApiError, ConfigError, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! pub struct Input {
//!     email: EmailAddress,
//! }
//!
//! #[derive(serde::Serialize, schemars::JsonSchema)]
//! pub struct Output {
//!     domain: String,
//! }
//!
//! pub struct MailDomain;
//!
//! impl Endpoint for MailDomain {
//!     const ROUTE: Route = Route::post("/mail-domain")
//!         .summary("Return the domain of an address")
//!         .reasons(&[api::INPUT, &[Reason::InvalidEmail]])
//!         .example(r#"{ "email": "jane.doe@example.com" }"#)
//!         .success(&[("domain", r#"{ "domain": "example.com" }"#)]);
//!
//!     fn load(_: &Env) -> Result<Self, ConfigError> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl MailDomain {
//!     pub async fn handle(&self, req: Request<Input>) -> Result<Response<Output>, ApiError> {
//!         Ok(Response::new(Output { domain: req.input.email.domain().to_owned() }))
//!     }
//! }
//!
//! // Its whole main.rs: api::main!(mail_domain::MailDomain);
//! assert_eq!(MailDomain::ROUTE.path, "/mail-domain");
//! ```

use crate::{ConfigError, Env, Reason};

/// A Lambda function. Its `handle` is an inherent method, so that its types need not be named twice.
pub trait Endpoint: Sized + Send + Sync + 'static {
    /// What the function serves. Only [`Frame`] of it reaches the binary.
    const ROUTE: Route;

    /// Loads the configuration and builds the clients.
    ///
    /// # Errors
    /// Names the variable that is missing or invalid. The function then does not start.
    fn load(env: &Env) -> Result<Self, ConfigError>;
}

/// What invokes a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads without side effects. The input comes from the path and the query.
    Get,
    /// Everything that acts. The input comes from the JSON body and the path.
    Post,
    /// Deletes. The input comes from the path and the query.
    Delete,
}

impl Method {
    /// The method as HTTP spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may call a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Public,
    /// Someone whom the authorizer identified; others get API Gateway's 403 before the function runs.
    Session,
    /// Someone who is signed in. The route is public; the function checks the session itself.
    OwnSession,
    /// A sender that signs its requests, in the header of this name; the function verifies the signature.
    Signed(&'static str),
    /// EventBridge, on a schedule. There is no route.
    Scheduled,
    /// API Gateway, before each request to a [`Access::Session`] route. There is no route.
    Authorizer,
}

/// The section of the API document that lists an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// Ways into a session.
    SignIn,
    /// The session itself.
    Session,
    /// LiveKit rooms and recordings.
    Rooms,
    /// Requests from other services.
    Webhooks,
}

/// A step that leads up to an endpoint's example, so that generated tests reach its success.
///
/// A generated test acts as one person in one browser. It replaces `email`, `roomId` and `roomName` of every example by
/// the person's address and a room of their own, and signs them in if the access asks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The example of another function succeeds, after its own steps.
    Request(&'static str),
    /// The person joins two organizations.
    JoinOrganizations,
    /// The field `code` is the code that was mailed last.
    MailedCode,
    /// The person signs in at the last `redirectURL`; the fields `code` and `state` are what the browser brings back.
    SignInAtProvider,
    /// The person joins the room with the last `token`.
    JoinRoom,
    /// The field is taken from the latest response that has a value at the JSON pointer: `(field, pointer)`.
    Take(&'static str, &'static str),
    /// LiveKit sends this event about the recording of the last `egressId`, which is active by now, signed.
    LivekitEvent(&'static str),
}

/// A route and what is said about it. Build it with [`Route::get`], [`Route::post`], [`Route::delete`],
/// [`Route::schedule`] or [`Route::authorizer`] and the methods that follow.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method; `POST` if there is no route.
    pub method: Method,
    /// The path, with `{name}` for a parameter and without a trailing slash. Empty if there is no route.
    pub path: &'static str,
    /// The schedule expression of a scheduled function, such as `rate(5 minutes)`.
    pub schedule: Option<&'static str>,
    /// Who may call it.
    pub access: Access,
    /// The status of success.
    pub success: u16,
    /// Groups of reasons beside those of [`Route::all_reasons`].
    pub reasons: &'static [&'static [Reason]],
    /// The section of the API document.
    pub tag: Tag,
    /// One line.
    pub summary: &'static str,
    /// What a caller must know beside it.
    pub details: &'static str,
    /// The request of the API document, as JSON; empty if it has none.
    pub example: &'static str,
    /// What leads up to the example.
    pub steps: &'static [Step],
    /// The responses of the API document, each with a name, as JSON.
    pub responses: &'static [(&'static str, &'static str)],
    /// The cookies that its responses may set or clear.
    pub cookies: &'static [&'static str],
    /// Sequential network rounds on a warm sandbox, the authorizer's aside.
    pub rounds: usize,
}

impl Route {
    const fn new(method: Method, path: &'static str, access: Access) -> Self {
        Self {
            method,
            path,
            schedule: None,
            access,
            success: 200,
            reasons: &[],
            tag: Tag::SignIn,
            summary: "",
            details: "",
            example: "",
            steps: &[],
            responses: &[],
            cookies: &[],
            rounds: 0,
        }
    }

    /// A public `GET` route.
    pub const fn get(path: &'static str) -> Self {
        Self::new(Method::Get, path, Access::Public)
    }

    /// A public `POST` route.
    pub const fn post(path: &'static str) -> Self {
        Self::new(Method::Post, path, Access::Public)
    }

    /// A public `DELETE` route.
    pub const fn delete(path: &'static str) -> Self {
        Self::new(Method::Delete, path, Access::Public)
    }

    /// A function that EventBridge invokes, with a schedule expression such as `rate(5 minutes)`.
    pub const fn schedule(expression: &'static str) -> Self {
        Self { schedule: Some(expression), ..Self::new(Method::Post, "", Access::Scheduled) }
    }

    /// The function that API Gateway asks before each request to a [`Access::Session`] route.
    pub const fn authorizer() -> Self {
        Self::new(Method::Post, "", Access::Authorizer)
    }

    /// Behind the authorizer.
    #[must_use]
    pub const fn session(self) -> Self {
        Self { access: Access::Session, ..self }
    }

    /// Public, but for someone who is signed in: the function checks the session itself.
    #[must_use]
    pub const fn own_session(self) -> Self {
        Self { access: Access::OwnSession, ..self }
    }

    /// Public, but for a sender that signs its requests in the header of this name, in lower case.
    #[must_use]
    pub const fn signed(self, header: &'static str) -> Self {
        Self { access: Access::Signed(header), ..self }
    }

    /// Success is 201 instead of 200.
    #[must_use]
    pub const fn creates(self) -> Self {
        Self { success: 201, ..self }
    }

    /// The groups of reasons that it can fail with, beside those of [`Route::all_reasons`].
    #[must_use]
    pub const fn reasons(self, reasons: &'static [&'static [Reason]]) -> Self {
        Self { reasons, ..self }
    }

    /// The section of the API document.
    #[must_use]
    pub const fn tag(self, tag: Tag) -> Self {
        Self { tag, ..self }
    }

    /// One line for the API document.
    #[must_use]
    pub const fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// What a caller must know beside the summary.
    #[must_use]
    pub const fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }

    /// The request of the API document, as JSON.
    #[must_use]
    pub const fn example(self, json: &'static str) -> Self {
        Self { example: json, ..self }
    }

    /// What leads up to the example.
    #[must_use]
    pub const fn after(self, steps: &'static [Step]) -> Self {
        Self { steps, ..self }
    }

    /// The responses of the API document, each with a name, as JSON.
    #[must_use]
    pub const fn success(self, responses: &'static [(&'static str, &'static str)]) -> Self {
        Self { responses, ..self }
    }

    /// The cookies that its responses may set or clear.
    #[must_use]
    pub const fn cookies(self, cookies: &'static [&'static str]) -> Self {
        Self { cookies, ..self }
    }

    /// Sequential network rounds on a warm sandbox, the authorizer's aside.
    #[must_use]
    pub const fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }

    /// Every reason that it can fail with, each once, in the order of the table: its own, those of all endpoints, and
    /// those that follow from its access.
    pub fn all_reasons(&self) -> Vec<Reason> {
        let of_access: &[Reason] = match self.access {
            Access::Public | Access::Scheduled | Access::Authorizer => &[],
            Access::Session => Reason::PROTECTION,
            Access::OwnSession | Access::Signed(_) => &[Reason::NotSignedIn],
        };
        let groups = self.reasons.iter().copied().chain([Reason::COMMON, of_access]);
        let mut reasons: Vec<_> = groups.flatten().copied().collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// Whether API Gateway serves it.
    pub const fn is_http(&self) -> bool {
        !self.path.is_empty()
    }

    pub(crate) const fn frame(&self) -> Frame {
        Frame { path: self.path, access: self.access, success: self.success, method: self.method }
    }
}

/// What a running function needs of its [`Route`]. Documentation stays out of the binary.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) success: u16,
    pub(crate) method: Method,
}
