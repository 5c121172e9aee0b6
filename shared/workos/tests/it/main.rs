//! The adapter against the WorkOS double, over real sockets.
#![cfg(test)]

mod calls;
mod tokens;

use std::time::Duration;

use api::{Client, Cookies, EmailAddress, Env, SameSite, Secret};
use http::{HeaderMap, Method, header};
use local_workos::{Options, WorkOs as Double, start};
use upstream::{Http, Roots};
use workos::{AuthCode, Authentication, Authorize, MagicCode, OAuthFlow, Selector, SignIn, WorkOs};

const REDIRECT_URI: &str = "http://localhost:3000/callback";

/// A double and an adapter that talks to it.
struct Bed {
    double: Double,
    workos: WorkOs,
    authorize: Authorize,
}

async fn bed() -> Bed {
    bed_with(&[]).await
}

async fn bed_with(more: &[(&str, &str)]) -> Bed {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let double = start(listener, Options::default()).await;
    let env = env(&double, more);
    Bed { workos: WorkOs::load(&env).unwrap(), authorize: Authorize::load(&env).unwrap(), double }
}

fn env(double: &Double, more: &[(&str, &str)]) -> Env {
    let given = [
        ("WORKOS_API_URL", double.url().to_owned()),
        ("WORKOS_API_KEY", double.api_key()),
        ("WORKOS_CLIENT_ID", double.client_id()),
        ("OAUTH_REDIRECT_URI", REDIRECT_URI.to_owned()),
    ];
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    Env::fixed(given.into_iter().chain(more))
}

fn email(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

fn client() -> Client {
    Client { ip: Some("203.0.113.9".parse().unwrap()), user_agent: Some("Browser/1".into()) }
}

fn complete(sign_in: SignIn) -> Authentication {
    match sign_in {
        SignIn::Complete(authentication) => *authentication,
        other => panic!("{other:?}"),
    }
}

impl Bed {
    /// A Magic Auth code, as the mail brings it.
    async fn mailed_code(&self, address: &str) -> MagicCode {
        self.workos.create_magic_auth(&email(address), &client()).await.unwrap();
        MagicCode::parse(&self.double.last_code(address).unwrap()).unwrap()
    }

    async fn sign_in(&self, address: &str) -> SignIn {
        let code = self.mailed_code(address).await;
        self.workos.redeem_magic_code(&email(address), &code, &client()).await.unwrap()
    }

    /// Goes to the authorization URL as a browser does; gives the code and the verifier.
    async fn authorized(&self, selector: Selector, address: &str) -> (AuthCode, Secret) {
        let started = self.authorize.start(selector, &Cookies::default(), Some(address)).unwrap();
        let http = Http::new("browser", Roots::Public).unwrap();
        let answer = http
            .send(Method::GET, &started.url, HeaderMap::new(), None, Duration::from_secs(5))
            .await
            .unwrap();
        let back: url::Url = answer.headers[header::LOCATION].to_str().unwrap().parse().unwrap();
        let value = |name: &str| back.query_pairs().find(|(each, _)| each == name).unwrap().1.into_owned();
        assert_eq!(value("state"), started.state);
        let cookie = started.cookie.header();
        let cookies = Cookies::parse([cookie.split(';').next().unwrap()]);
        let (flow, _) = OAuthFlow::finish(&cookies, None, SameSite::Lax).unwrap();
        (AuthCode::parse(&value("code")).unwrap(), flow.verifier)
    }
}
