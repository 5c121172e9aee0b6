//! Events for the functions, derived from what each one declares: a new person takes the steps that lead up to its example
//! (see [`Person`]), and the example becomes the event that API Gateway would send.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::Access;
use bytes::Bytes;
use catalog::{Function, Outgoing, Person};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use local::Cloud;
use local_gateway::event::{Call, Matched, authorizer_event, function_event};
use local_runtime::{Account, ids};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use session::{SESSION_COOKIE, SessionToken};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Outcome;
use crate::bed::{AUTHORIZER, account, hosted, workos};

/// The first address of the people; they have one each, so they share no rate limit per source. Linux serves all of
/// 127.0.0.0/8 on the loopback interface.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 0);

/// Makes events.
pub(crate) struct Events<'a> {
    cloud: &'a Cloud,
    account: Account,
    people: Mutex<People>,
}

#[derive(Default)]
struct People {
    count: u32,
    /// Email addresses of those who have not been removed.
    emails: Vec<String>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(cloud: &'a Cloud) -> Self {
        Self { cloud, account: account(cloud), people: Mutex::default() }
    }

    /// The event of a new person, to which the function responds with success.
    pub(crate) async fn next(&self, function: &'static Function) -> Outcome<Bytes> {
        let event = match function.route.access {
            Access::Scheduled => json!({ "time": OffsetDateTime::now_utc().format(&Rfc3339)? }),
            Access::Authorizer => self.protected_request().await?.authorizer_event(&self.account),
            Access::Session => {
                let request = self.request(function).await?;
                let context = self.authorize(&request).await?;
                request.function_event(&self.account, Some(&context))
            }
            Access::Public | Access::OwnSession | Access::Signed(_) => {
                self.request(function).await?.function_event(&self.account, None)
            }
        };
        Ok(Bytes::from(event.to_string()))
    }

    /// The event of the bare read: the key of a new session.
    pub(crate) async fn session_key(&self) -> Outcome<Bytes> {
        let (mut person, _) = self.person()?;
        person.prepare(protected()?).await?;
        let token = person.cookies.get(SESSION_COOKIE).and_then(|token| SessionToken::parse(token));
        let key = token.ok_or("there is no session")?.key();
        Ok(Bytes::from(json!({ "key": key.0 }).to_string()))
    }

    /// The request behind [`Events::next`], for the gateway.
    pub(crate) async fn outgoing(&self, function: &'static Function) -> Outcome<Outgoing> {
        let (mut person, _) = self.person()?;
        person.prepare(function).await
    }

    /// Removes the people so far from WorkOS, after their events have been used: its double searches users one by one, so
    /// requests would get slower in the course of a run.
    pub(crate) fn forget_people(&self) -> Outcome<()> {
        let workos = workos(self.cloud)?;
        for email in std::mem::take(&mut self.people().emails) {
            if let Some(id) = workos.user_id(&email) {
                workos.delete_user(&id);
            }
        }
        Ok(())
    }

    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new person, and the address that their requests come from.
    fn person(&self) -> Outcome<(Person<'a>, IpAddr)> {
        let mut people = self.people();
        let source = Ipv4Addr::from(u32::from(FIRST_ADDRESS) + people.count).into();
        let person = Person::new(self.cloud, client(Some(source))?, local::FRONT_ENDS[0])?;
        people.count += 1;
        people.emails.push(person.email.clone());
        Ok((person, source))
    }

    async fn request(&self, function: &'static Function) -> Outcome<Request> {
        let (mut person, source) = self.person()?;
        Request::new(&person.prepare(function).await?, source)
    }

    /// A request that the authorizer is asked about.
    async fn protected_request(&self) -> Outcome<Request> {
        self.request(protected()?).await
    }

    /// What the authorizer says of a request.
    async fn authorize(&self, request: &Request) -> Outcome<Value> {
        let event = request.authorizer_event(&self.account).to_string();
        let invocation = hosted(self.cloud)?.invoke(AUTHORIZER, event.into()).await?;
        let mut verdict: Value = serde_json::from_slice(&invocation.payload)?;
        Ok(verdict["context"].take())
    }
}

/// A request as the gateway matches it.
struct Request {
    call: Call,
    route_key: String,
    path_parameters: BTreeMap<String, String>,
}

impl Request {
    fn new(outgoing: &Outgoing, source: IpAddr) -> Outcome<Self> {
        let route = &outgoing.function.route;
        let method = route.method.name();
        let (path, query) = outgoing.target.split_once('?').unwrap_or((&outgoing.target, ""));
        let parameter = |(name, value): (&str, &str)| {
            Some((name.strip_prefix('{')?.strip_suffix('}')?.to_owned(), decode(value)))
        };
        let path_parameters = route.path.split('/').zip(path.split('/')).filter_map(parameter).collect();
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("*/*"));
        for (name, value) in &outgoing.headers {
            headers.append(name.parse::<HeaderName>()?, value.parse()?);
        }
        let call = Call {
            method: Method::from_bytes(method.as_bytes())?,
            path: decode(path),
            query: query.to_owned(),
            version: Version::HTTP_11,
            headers,
            body: outgoing.body.clone().unwrap_or_default().into(),
            source,
            received: OffsetDateTime::now_utc(),
            request_id: ids::gateway_request_id(),
            trace_root: ids::trace_root(),
        };
        Ok(Self { call, route_key: format!("{method} {}", route.path), path_parameters })
    }

    fn matched(&self) -> Matched<'_> {
        Matched { route_key: &self.route_key, path_parameters: &self.path_parameters }
    }

    fn function_event(&self, account: &Account, context: Option<&Value>) -> Value {
        function_event(&self.call, self.matched(), account, context)
    }

    fn authorizer_event(&self, account: &Account) -> Value {
        authorizer_event(&self.call, self.matched(), account, &[])
    }
}

/// API Gateway passes on paths percent-decoded.
fn decode(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// A function behind the authorizer that a person can call as soon as they are signed in.
fn protected() -> Outcome<&'static Function> {
    let mut endpoints = catalog::endpoints().into_iter();
    let function = endpoints.find(|each| each.route.access == Access::Session && each.route.steps.is_empty());
    Ok(function.ok_or("no function is behind the authorizer")?)
}

/// The function `name`.
pub(crate) fn function(name: &str) -> Outcome<&'static Function> {
    Ok(catalog::function(name).ok_or_else(|| format!("there is no function {name}"))?)
}

/// An event with the session of `token` instead of its own.
pub(crate) fn with_session(event: &Bytes, token: &str) -> Outcome<Bytes> {
    let mut event: Value = serde_json::from_slice(event)?;
    event["cookies"] = json!([format!("{SESSION_COOKIE}={token}")]);
    Ok(Bytes::from(event.to_string()))
}

/// An event with another value in a field of its body.
pub(crate) fn with_field(event: &Bytes, field: &str, value: &str) -> Outcome<Bytes> {
    let mut event: Value = serde_json::from_slice(event)?;
    let mut body = body(&event)?;
    *body.pointer_mut(field).ok_or("no such field")? = value.into();
    event["body"] = body.to_string().into();
    Ok(Bytes::from(event.to_string()))
}

/// The body of an event or a response.
pub(crate) fn body(value: &Value) -> Outcome<Value> {
    let text = value["body"].as_str().ok_or_else(|| format!("no body in {value}"))?;
    Ok(serde_json::from_str(text)?)
}

/// An HTTP client without cookies and redirects, whose requests come from `source`.
pub(crate) fn client(source: Option<IpAddr>) -> Outcome<reqwest::Client> {
    // The workspace's reqwest has no default provider; a second call keeps the first one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    Ok(builder.local_address(source).build()?)
}
