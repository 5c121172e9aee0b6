//! RSA-2048 keys that sign the access tokens and make up the JWKS.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::clock::Timestamp;
use super::random;

/// The first key of every double in this process, generated once.
pub(super) static FIRST: LazyLock<Arc<SigningKey>> = LazyLock::new(SigningKey::generate);

/// A key that is in no JWKS.
pub(super) static FOREIGN: LazyLock<Arc<SigningKey>> = LazyLock::new(SigningKey::generate);

/// One key of the JWKS.
#[derive(Debug)]
pub(super) struct SigningKey {
    pair: KeyPair,
    kid: String,
    /// SubjectPublicKeyInfo in DER.
    spki: Vec<u8>,
}

impl SigningKey {
    /// A new key; takes some tens of milliseconds.
    #[expect(clippy::expect_used, reason = "fails only without memory or a random source")]
    pub(super) fn generate() -> Arc<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        let spki = pair.public_key().as_der().expect("a public key").as_ref().to_vec();
        Arc::new(Self { pair, kid: format!("sso_oidc_key_pair_{}", random::ulid(Timestamp::now(), 0)), spki })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// A JWS in compact form, always signed with RS256, whatever algorithm `header` names.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        compact(header, claims, |message| self.rs256(message))
    }

    /// A JWS with WorkOS' header.
    pub(super) fn access_token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "RS256", "kid": self.kid}), claims)
    }

    /// The entry in the JWKS. WorkOS certifies its keys; the double has no certificate, so `x5c` is empty and the
    /// thumbprint is the public key's.
    pub(super) fn jwk(&self) -> Value {
        // An RSAPublicKey (RFC 8017, A.1.1) of 2048 bits: nine bytes of tags and lengths, 256 of modulus, then the
        // exponent, which the generator fixes at 65537.
        let modulus = self.pair.public_key().as_ref().get(9..265).unwrap_or_default();
        json!({
            "alg": "RS256",
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(modulus),
            "e": "AQAB",
            "x5c": [],
            "x5t#S256": URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &self.spki)),
        })
    }

    /// The public key in PEM, the secret of the classic attack that presents HS256 instead of RS256.
    pub(super) fn public_key_pem(&self) -> String {
        let encoded = STANDARD.encode(&self.spki);
        let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    #[expect(clippy::expect_used, reason = "the buffer has the modulus' length, the call's only condition")]
    fn rs256(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message, &mut signature)
            .expect("an RSA signature into a buffer of the modulus' length");
        signature
    }
}

/// A JWS signed with HMAC-SHA-256.
pub(super) fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    compact(header, claims, |message| hmac::sign(&key, message).as_ref().to_vec())
}

/// An unsecured JWS (RFC 7518, section 3.6): an empty signature.
pub(super) fn unsecured(header: &Value, claims: &Value) -> String {
    compact(header, claims, |_| Vec::new())
}

fn compact(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}
