//! Tests of the double over HTTP.

mod authorize;
mod directory;
mod events;
mod faults;
mod grants;
mod hosted;
mod invitations;
mod policies;
mod refresh;
mod tokens;
mod webhooks;

use std::error::Error;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::authenticate::s256;
use super::{Options, Seed, WorkOs, start};

type TestResult = Result<(), Box<dyn Error>>;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "http://localhost:3000/callback";

/// A double and a client.
struct TestBed {
    workos: WorkOs,
    client: Client<HttpConnector, Full<Bytes>>,
}

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
    body: Value,
}

impl Response {
    fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    /// The claims of the access token, unverified.
    fn claims(&self) -> Result<Value, Box<dyn Error>> {
        claims(self.text("access_token"))
    }

    /// The query of the redirect.
    fn redirect(&self) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        let location = self.headers.get(header::LOCATION).ok_or("no location")?.to_str()?;
        Ok(Url::parse(location)?.query_pairs().into_owned().collect())
    }

    fn redirected(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let pairs = self.redirect()?;
        Ok(pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default())
    }
}

fn claims(token: &str) -> Result<Value, Box<dyn Error>> {
    use base64::Engine as _;
    let part = token.split('.').nth(1).ok_or("not a token")?;
    Ok(serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part)?)?)
}

impl TestBed {
    async fn new() -> Result<Self, Box<dyn Error>> {
        Self::with(Options { seed: Seed::bundled()?, ..Options::default() }).await
    }

    async fn with(options: Options) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { workos: start(listener, options).await, client })
    }

    async fn send(&self, request: http::request::Builder, body: String) -> Result<Response, Box<dyn Error>> {
        let response = self.client.request(request.body(Full::from(body))?).await?;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Response { status: parts.status, headers: parts.headers, text, body })
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.workos.url()))
    }

    async fn get(&self, path: &str) -> Result<Response, Box<dyn Error>> {
        let request = self.request(Method::GET, path);
        self.send(request.header(header::AUTHORIZATION, "Bearer sk_test_default"), String::new()).await
    }

    async fn delete(&self, path: &str) -> Result<Response, Box<dyn Error>> {
        let request = self.request(Method::DELETE, path);
        self.send(request.header(header::AUTHORIZATION, "Bearer sk_test_default"), String::new()).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Response, Box<dyn Error>> {
        self.with_body(Method::POST, path, body).await
    }

    async fn put(&self, path: &str, body: Value) -> Result<Response, Box<dyn Error>> {
        self.with_body(Method::PUT, path, body).await
    }

    async fn with_body(&self, method: Method, path: &str, body: Value) -> Result<Response, Box<dyn Error>> {
        let request = self
            .request(method, path)
            .header(header::AUTHORIZATION, "Bearer sk_test_default")
            .header(header::CONTENT_TYPE, "application/json");
        self.send(request, body.to_string()).await
    }

    /// Authenticate with a grant and its fields, as a confidential client.
    async fn grant(&self, grant: &str, fields: Value) -> Result<Response, Box<dyn Error>> {
        let mut body =
            json!({"client_id": "client_local", "client_secret": "sk_test_default", "grant_type": grant});
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
            body.extend(fields);
        }
        self.post("/user_management/authenticate", body).await
    }

    async fn redeem(&self, email: &str, code: &str) -> Result<Response, Box<dyn Error>> {
        self.grant("urn:workos:oauth:grant-type:magic-auth:code", json!({"email": email, "code": code})).await
    }

    /// Signs in with a code by mail.
    async fn sign_in(&self, email: &str) -> Result<Response, Box<dyn Error>> {
        self.post("/user_management/magic_auth", json!({"email": email})).await?;
        let code = self.workos.last_code(email).ok_or("no mail")?;
        self.redeem(email, &code).await
    }

    async fn select(&self, pending: &str, organization: &str) -> Result<Response, Box<dyn Error>> {
        self.grant(
            "urn:workos:oauth:grant-type:organization-selection",
            json!({"pending_authentication_token": pending, "organization_id": organization}),
        )
        .await
    }

    async fn refresh(&self, token: &str, organization: Option<&str>) -> Result<Response, Box<dyn Error>> {
        self.grant("refresh_token", json!({"refresh_token": token, "organization_id": organization})).await
    }

    /// Calls an authorize endpoint with PKCE and a state; `pairs` override the defaults.
    async fn authorize(&self, path: &str, pairs: &[(&str, &str)]) -> Result<Response, Box<dyn Error>> {
        self.authorize_with(path, pairs, "").await
    }

    /// As [`TestBed::authorize`], in a browser with this cookie.
    async fn authorize_with(
        &self,
        path: &str,
        pairs: &[(&str, &str)],
        cookie: &str,
    ) -> Result<Response, Box<dyn Error>> {
        let challenge = s256(VERIFIER);
        let defaults = [
            ("client_id", "client_local"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("state", "xyz"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(defaults.iter().filter(|(name, _)| !pairs.iter().any(|(own, _)| own == name)));
        query.extend_pairs(pairs);
        let request = self.request(Method::GET, &format!("{path}?{}", query.finish()));
        self.send(request.header(header::COOKIE, cookie), String::new()).await
    }

    async fn exchange(&self, code: &str) -> Result<Response, Box<dyn Error>> {
        self.grant("authorization_code", json!({"code": code, "code_verifier": VERIFIER})).await
    }

    /// The code of a sign-in through Google.
    async fn google(&self, email: &str) -> Result<String, Box<dyn Error>> {
        self.authorize("/user_management/authorize", &[("provider", "GoogleOAuth"), ("login_hint", email)])
            .await?
            .redirected("code")
    }
}

/// The status and the error code, or the bare message.
fn error(response: &Response) -> (u16, &str) {
    let code = ["code", "error", "message"].into_iter().find_map(|field| response.body[field].as_str());
    (response.status.as_u16(), code.unwrap_or_default())
}
