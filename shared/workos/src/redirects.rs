//! The addresses that WorkOS may send a browser to: after a sign-in (`redirect_uri`) and after a sign-out (`return_to`).

use api::{ApiError, ConfigError, Env, Reason, Variable};
use url::{Host, Url};

use crate::RedirectUri;
use crate::config::{OAUTH_REDIRECT_URI, OAUTH_REDIRECT_URIS, SIGN_OUT_RETURN_TO, SIGN_OUT_RETURN_TOS};

/// The longest additional address, in bytes: four flows with the longest values fit into a cookie (see `flow`).
pub(crate) const MAX_LISTED_BYTES: usize = 180;

/// The allowed addresses.
///
/// A requested address must equal one of them, character by character, as WorkOS compares it with the dashboard's. Only
/// the port of a loopback address may differ: a native app listens on one that is free (RFC 8252, section 7.3).
#[derive(Clone, Debug)]
pub struct RedirectUris {
    default: String,
    others: Vec<String>,
}

impl RedirectUris {
    /// The addresses after a sign-in: `OAUTH_REDIRECT_URI`, the default, and `OAUTH_REDIRECT_URIS`.
    ///
    /// # Errors
    /// If one is not an absolute URL, has a fragment, is plain `http` on another machine, or is too long.
    pub fn after_sign_in(env: &Env) -> Result<Self, ConfigError> {
        Self::load(env, &OAUTH_REDIRECT_URI, &OAUTH_REDIRECT_URIS, |url| {
            if url.fragment().is_some() {
                return Err("must have no fragment");
            }
            if url.scheme() == "http" && !is_this_machine(url) {
                return Err("must be https: the code in it would travel in the clear");
            }
            Ok(())
        })
    }

    /// The addresses after a sign-out: `SIGN_OUT_RETURN_TO`, the default, and `SIGN_OUT_RETURN_TOS`.
    ///
    /// # Errors
    /// If one is not an absolute URL or is too long.
    pub fn after_sign_out(env: &Env) -> Result<Self, ConfigError> {
        Self::load(env, &SIGN_OUT_RETURN_TO, &SIGN_OUT_RETURN_TOS, |_| Ok(()))
    }

    fn load(
        env: &Env,
        default: &'static Variable,
        others: &'static Variable,
        check: fn(&Url) -> Result<(), &'static str>,
    ) -> Result<Self, ConfigError> {
        // Addresses are not normalized.
        let parse = |variable, text: &str| {
            let url = text.parse().map_err(|_| ConfigError::new(variable, "must be an absolute URL"))?;
            check(&url).map_err(|problem| ConfigError::new(variable, problem))
        };
        let list = env.optional(others).unwrap_or_default();
        let list = list.split(',').map(str::trim).filter(|uri| !uri.is_empty());
        let uris = Self { default: env.required(default)?, others: list.map(str::to_owned).collect() };
        parse(default, &uris.default)?;
        for uri in &uris.others {
            parse(others, uri)?;
            if uri.len() > MAX_LISTED_BYTES {
                let problem = format!("must list addresses of at most {MAX_LISTED_BYTES} bytes");
                return Err(ConfigError::new(others, problem));
            }
        }
        Ok(uris)
    }

    /// The requested address if it is allowed, or the default if none is requested.
    ///
    /// # Errors
    /// `invalid_field`, which names `field`, if the requested address is not allowed.
    pub fn choose<'a>(
        &'a self,
        requested: Option<&'a RedirectUri>,
        field: &'static str,
    ) -> Result<&'a str, ApiError> {
        let Some(requested) = requested.map(RedirectUri::as_str) else { return Ok(&self.default) };
        let is_requested = |listed: &String| {
            let port_differs = || loopback(listed).is_some_and(|parts| loopback(requested) == Some(parts));
            listed == requested || port_differs()
        };
        if std::iter::once(&self.default).chain(&self.others).any(is_requested) {
            Ok(requested)
        } else {
            Err(ApiError::new(Reason::InvalidField).field(field).because("the address is not listed"))
        }
    }

    /// Whether it is the default.
    pub(crate) fn is_default(&self, uri: &RedirectUri) -> bool {
        uri.as_str() == self.default
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A loopback address without its port: what comes before, and what comes after. Only IP literals: `localhost` can be
/// made to resolve to another machine (RFC 8252, section 8.3).
fn loopback(uri: &str) -> Option<(&str, &str)> {
    ["http://127.0.0.1", "http://[::1]"].into_iter().find_map(|host| {
        let rest = uri.strip_prefix(host)?;
        let (port, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let is_port = port.strip_prefix(':').map_or(port.is_empty(), |digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        });
        is_port.then_some((host, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<RedirectUris, String> {
        let default = ("OAUTH_REDIRECT_URI", "https://app.example.com/callback");
        let env = Env::fixed([default].iter().chain(variables).copied());
        RedirectUris::after_sign_in(&env).map_err(|error| error.to_string())
    }

    fn uris() -> RedirectUris {
        let listed = "https://admin.example.com/callback?a=b, com.example.app:/callback,\
                      http://127.0.0.1/native,http://[::1]:4000/native,http://localhost:3000/callback,";
        load(&[("OAUTH_REDIRECT_URIS", listed)]).unwrap()
    }

    fn allows(uri: &str) -> bool {
        let uri = RedirectUri::parse(uri).unwrap();
        uris().choose(Some(&uri), "redirectUri").is_ok_and(|chosen| chosen == uri.as_str())
    }

    #[test]
    fn without_a_request_the_default_is_chosen() {
        assert_eq!(uris().choose(None, "redirectUri").unwrap(), "https://app.example.com/callback");
    }

    #[test]
    fn a_requested_address_must_equal_a_listed_one() {
        for allowed in [
            "https://app.example.com/callback",
            "https://admin.example.com/callback?a=b",
            "com.example.app:/callback",
            "http://localhost:3000/callback",
        ] {
            assert!(allows(allowed), "{allowed}");
        }
        for refused in [
            "https://app.example.com/callback/",
            "https://app.example.com/callback?a=b",
            "https://APP.example.com/callback",
            "https://app.example.com:443/callback",
            "https://app.example.com/callback#x",
            "https://app.example.com/callback/../evil",
            "https://app.example.com@evil.example/callback",
            "http://app.example.com/callback",
            "https://admin.example.com/callback",
            "com.example.app:/callback2",
            "com.example.app://callback",
            "http://localhost:3001/callback",
            "javascript:alert(1)",
        ] {
            assert!(!allows(refused), "{refused}");
        }
    }

    #[test]
    fn a_loopback_address_may_have_any_port() {
        for allowed in [
            "http://127.0.0.1/native",
            "http://127.0.0.1:1/native",
            "http://127.0.0.1:65535/native",
            "http://[::1]/native",
            "http://[::1]:51004/native",
        ] {
            assert!(allows(allowed), "{allowed}");
        }
        for refused in [
            "http://127.0.0.1:65536/native",
            "http://127.0.0.1:+80/native",
            "http://127.0.0.1:/native",
            "http://127.0.0.1:80",
            "http://127.0.0.1:80/native?x=1",
            "http://127.0.0.1:80@evil.example/native",
            "http://127.0.0.1.evil.example/native",
            "http://127.0.0.2:80/native",
            "https://127.0.0.1:80/native",
            "http://localhost:80/native",
        ] {
            assert!(!allows(refused), "{refused}");
        }
    }

    #[test]
    fn a_configuration_error_names_the_variable_and_not_its_value() {
        let long = format!("https://app.example.com/{}", "x".repeat(MAX_LISTED_BYTES));
        for (name, value) in [
            ("OAUTH_REDIRECT_URI", "/callback"),
            ("OAUTH_REDIRECT_URI", "https://app.example.com/#top"),
            ("OAUTH_REDIRECT_URI", "http://app.example.com/callback"),
            ("OAUTH_REDIRECT_URIS", "https://b.example.com/callback,/callback"),
            ("OAUTH_REDIRECT_URIS", "http://127.0.0.1.example.com/callback"),
            ("OAUTH_REDIRECT_URIS", &long),
        ] {
            let problem = load(&[(name, value)]).unwrap_err();
            assert!(problem.contains(&format!("{name} must")) && !problem.contains(value), "{problem}");
        }
    }
}
