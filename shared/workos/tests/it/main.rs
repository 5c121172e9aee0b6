//! The adapter against the WorkOS double, over real sockets: what the black-box suite cannot see or provoke.
#![cfg(test)]

mod calls;
mod keys;

use api::{Client, EmailAddress, Env};
use local_workos::{Options, WorkOs as Double, start};
use workos::{Authentication, Grants, MagicCode, SignIn, WorkOs};

/// A double, and an adapter that calls it.
struct Bed {
    double: Double,
    grants: Grants,
}

async fn bed() -> Bed {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let double = start(listener, Options::default()).await;
    Bed { grants: Grants::load(&env(&double)).unwrap(), double }
}

fn env(double: &Double) -> Env {
    Env::fixed([
        ("WORKOS_API_URL", double.url().to_owned()),
        ("WORKOS_API_KEY", double.api_key()),
        ("WORKOS_CLIENT_ID", double.client_id()),
    ])
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
    fn workos(&self) -> &WorkOs {
        self.grants.workos()
    }

    async fn code(&self, address: &str) -> MagicCode {
        self.workos().create_code(&email(address), &client()).await.unwrap()
    }

    async fn sign_in(&self, address: &str) -> SignIn {
        let code = self.code(address).await;
        self.grants.redeem_magic_code(&email(address), &code, None, &client()).await.unwrap()
    }
}
