//! The declaration of an endpoint.
//!
//! An endpoint is one type in a crate of its own. [`Endpoint::ROUTE`] declares what clients, operators and tests need
//! to know. The signature of `handle` is the contract: input and output are inferred from it, see
//! [`Handler`](crate::Handler). The router, the OpenAPI document, the tables in README.md and docs/, and the test
//! matrices are generated from these two.
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
//! // main.rs is one line: api::main!(mail_domain::MailDomain);
//! assert_eq!(MailDomain::ROUTE.path, "/mail-domain");
//! ```

use crate::{ConfigError, Env, Reason};

/// A Lambda function. `handle` is an inherent method, so that its types are written only once.
pub trait Endpoint: Sized + Send + Sync + 'static {
    /// The declaration. Only its [`HttpRoute`] is part of the binary.
    const ROUTE: Route;

    /// Loads the configuration and builds the clients.
    ///
    /// # Errors
    /// If a variable is missing or invalid. The function then does not start, and logs the variable's name.
    fn load(env: &Env) -> Result<Self, ConfigError>;
}

/// The HTTP method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads, without side effects. The input comes from the path and the query.
    Get,
    /// Acts. The input comes from the path and the JSON body.
    Post,
    /// Deletes. The input comes from the path and the query.
    Delete,
}

impl Method {
    /// The method's name in HTTP.
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
    /// A signed-in caller. The authorizer checks the session and passes its [`Verdict`](crate::Verdict) on; without a
    /// session the function responds with 401, before it reads the body.
    Session,
    /// A signed-in caller. The route is public; the function checks the session itself.
    OwnSession,
    /// A service that signs its requests, in the header of this name. The function verifies the signature.
    Signed(&'static str),
    /// EventBridge, on a schedule. The function has no route.
    Scheduled,
    /// API Gateway, before each request to an [`Access::Session`] route. The function has no route.
    Authorizer,
}

/// The section of the API document that lists an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// Starting a session.
    SignIn,
    /// Acting on the session.
    Session,
    /// LiveKit rooms and recordings.
    Rooms,
    /// Called by other services.
    Webhooks,
}

/// A step that generated tests take before they send an endpoint's example, so that the example succeeds.
///
/// A generated test acts as one person in one browser. It replaces `email`, `roomId` and `roomName` in every example
/// with the person's own address and room, and signs the person in if the endpoint requires a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the example of another function, after its own steps.
    Request(&'static str),
    /// Send the example of another function, after its own steps, in another browser of the person's.
    Elsewhere(&'static str),
    /// Make the person a member of two organizations.
    JoinOrganizations,
    /// Send the example of another function, after its own steps. It is refused until another step is taken.
    StepUp(&'static str),
    /// Make the person's address unverified.
    UnverifiedAddress,
    /// Make the person a member of an organization that requires a second factor.
    RequireMfa,
    /// Enroll an authenticator app.
    EnrolledApp,
    /// Set the field `code` to the current one of the authenticator app.
    AppCode,
    /// Set the field `code` to the last code mailed.
    MailedCode,
    /// Sign in at the last `redirectURL`, and set the fields `code` and `state` from the redirect back.
    SignInAtProvider,
    /// Join the room with the last `token`.
    JoinRoom,
    /// Set a field from the latest response that has a value at a JSON pointer: `(field, pointer)`.
    Take(&'static str, &'static str),
    /// Make the request a signed LiveKit event of this type, about the recording of the last `egressId`. The recording
    /// is active.
    LivekitEvent(&'static str),
    /// Make the request a signed WorkOS event of this type, about the person's last session.
    WorkosEvent(&'static str),
}

/// The declaration of a function. Build it with [`Route::get`], [`Route::post`], [`Route::delete`], [`Route::schedule`]
/// or [`Route::authorizer`] and the methods that follow.
///
/// ```
/// use api::{Access, Reason, Route, Tag};
///
/// const ROUTE: Route = Route::get("/rooms/{id}")
///     .session()
///     .tag(Tag::Rooms)
///     .summary("Return a room")
///     .reasons(&[api::INPUT, &[Reason::RoomNotFound]])
///     .rounds(1)
///     .example(r#"{ "id": "test-room" }"#)
///     .success(&[("room", r#"{ "participants": 2 }"#)]);
///
/// assert_eq!(ROUTE.access, Access::Session);
/// assert!(ROUTE.all_reasons().contains(&Reason::NotSignedIn)); // implied by the session
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method; meaningless without a path.
    pub method: Method,
    /// The path, with `{name}` for a parameter and without a trailing slash; empty if the function has no route.
    pub path: &'static str,
    /// The schedule expression of a scheduled function, such as `rate(5 minutes)`.
    pub schedule: Option<&'static str>,
    /// Who may call it.
    pub access: Access,
    /// Whether it runs under every verdict of the authorizer.
    pub any_verdict: bool,
    /// The status of a success.
    pub success: u16,
    /// Its own reasons, in groups. [`Route::all_reasons`] adds the shared ones.
    pub reasons: &'static [&'static [Reason]],
    /// The section of the API document.
    pub tag: Tag,
    /// One line for the API document.
    pub summary: &'static str,
    /// What a caller needs to know beyond the summary.
    pub details: &'static str,
    /// The fields of an example request, as JSON; empty if the endpoint has no input.
    pub example: &'static str,
    /// What must happen before the example can succeed.
    pub steps: &'static [Step],
    /// Example responses, each with a name, as JSON.
    pub responses: &'static [(&'static str, &'static str)],
    /// The cookies that its responses may set or clear.
    pub cookies: &'static [&'static str],
    /// Sequential upstream round trips of the example on a warm sandbox, without the authorizer's.
    pub rounds: usize,
}

impl Route {
    const fn new(method: Method, path: &'static str, access: Access) -> Self {
        Self {
            method,
            path,
            schedule: None,
            access,
            any_verdict: false,
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

    /// The function that API Gateway calls before each request to an [`Access::Session`] route.
    pub const fn authorizer() -> Self {
        Self::new(Method::Post, "", Access::Authorizer)
    }

    /// Behind the authorizer.
    #[must_use]
    pub const fn session(self) -> Self {
        Self { access: Access::Session, ..self }
    }

    /// Behind the authorizer, but it runs under every verdict: the caller is optional.
    #[must_use]
    pub const fn any_verdict(self) -> Self {
        Self { any_verdict: true, ..self.session() }
    }

    /// A public route for signed-in callers: the function checks the session itself.
    #[must_use]
    pub const fn own_session(self) -> Self {
        Self { access: Access::OwnSession, ..self }
    }

    /// A public route for a service that signs its requests, in the header of this name (in lower case).
    #[must_use]
    pub const fn signed(self, header: &'static str) -> Self {
        Self { access: Access::Signed(header), ..self }
    }

    /// A success is 201 instead of 200.
    #[must_use]
    pub const fn creates(self) -> Self {
        Self { success: 201, ..self }
    }

    /// A success is 302: the endpoint returns [`Response::found`](crate::Response::found).
    #[must_use]
    pub const fn redirects(self) -> Self {
        Self { success: 302, ..self }
    }

    /// Its own reasons, in groups. [`Route::all_reasons`] adds the shared ones.
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

    /// What a caller needs to know beyond the summary.
    #[must_use]
    pub const fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }

    /// The fields of an example request, as JSON.
    #[must_use]
    pub const fn example(self, json: &'static str) -> Self {
        Self { example: json, ..self }
    }

    /// What must happen before the example can succeed.
    #[must_use]
    pub const fn after(self, steps: &'static [Step]) -> Self {
        Self { steps, ..self }
    }

    /// Example responses, each with a name, as JSON.
    #[must_use]
    pub const fn success(self, responses: &'static [(&'static str, &'static str)]) -> Self {
        Self { responses, ..self }
    }

    /// The cookies that its responses may set or clear.
    #[must_use]
    pub const fn cookies(self, cookies: &'static [&'static str]) -> Self {
        Self { cookies, ..self }
    }

    /// Sequential upstream round trips of the example on a warm sandbox, without the authorizer's.
    #[must_use]
    pub const fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }

    /// Every reason that it can fail with, without duplicates, in the order of the table: its own, those of all
    /// endpoints, and those implied by its access.
    pub fn all_reasons(&self) -> Vec<Reason> {
        let of_access: &[Reason] = match self.access {
            Access::Public | Access::Scheduled | Access::Authorizer => &[],
            Access::Session if !self.any_verdict => Reason::AUTHORIZER,
            Access::Session | Access::OwnSession | Access::Signed(_) => &[Reason::NotSignedIn],
        };
        let groups = self.reasons.iter().copied().chain([Reason::COMMON, of_access]);
        let mut reasons: Vec<_> = groups.flatten().copied().collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// Whether each request to it is a line of the [audit trail](crate::audit): if it starts a session or changes one.
    pub const fn is_audited(&self) -> bool {
        match self.tag {
            Tag::SignIn => self.is_http(),
            Tag::Session => !matches!(self.method, Method::Get),
            Tag::Rooms | Tag::Webhooks => false,
        }
    }

    /// Whether it has a route.
    pub const fn is_http(&self) -> bool {
        !self.path.is_empty()
    }

    pub(crate) const fn http(&self) -> HttpRoute {
        HttpRoute {
            path: self.path,
            access: self.access,
            any_verdict: self.any_verdict,
            success: self.success,
            method: self.method,
            is_audited: self.is_audited(),
            has_parameters: has_parameters(self.path.as_bytes()),
        }
    }
}

/// The part of a [`Route`] that a running function needs. The documentation stays out of the binary.
#[derive(Clone, Copy, Debug)]
pub struct HttpRoute {
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) any_verdict: bool,
    pub(crate) success: u16,
    pub(crate) method: Method,
    pub(crate) is_audited: bool,
    /// Whether the path has a `{name}` segment.
    pub(crate) has_parameters: bool,
}

const fn has_parameters(path: &[u8]) -> bool {
    match path {
        [] => false,
        [b'{', ..] => true,
        [_, rest @ ..] => has_parameters(rest),
    }
}
