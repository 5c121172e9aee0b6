//! The addresses that WorkOS may send a browser to: the functions' variables, and the double's settings.

use super::options::{CloudOptions, REDIRECT_URI, REDIRECT_URIS, SIGN_OUT_RETURN_TO, SIGN_OUT_RETURN_TOS};

/// After a sign-in, and after a sign-out.
#[derive(Clone, Debug)]
pub(super) struct Redirects {
    pub(super) sign_in: Addresses,
    pub(super) sign_out: Addresses,
}

/// A default, and others in a list with commas.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) default: String,
    pub(super) others: String,
}

impl Redirects {
    pub(super) fn new(options: &CloudOptions) -> Self {
        let get = |name: &str, default: String| options.environment.get(name).cloned().unwrap_or(default);
        Self {
            sign_in: Addresses {
                default: get("OAUTH_REDIRECT_URI", REDIRECT_URI.to_owned()),
                others: get("OAUTH_REDIRECT_URIS", REDIRECT_URIS.join(",")),
            },
            sign_out: Addresses {
                default: get("SIGN_OUT_RETURN_TO", SIGN_OUT_RETURN_TO.to_owned()),
                others: get("SIGN_OUT_RETURN_TOS", SIGN_OUT_RETURN_TOS.join(",")),
            },
        }
    }
}

impl Addresses {
    /// The addresses as they are registered in WorkOS' dashboard, the default first.
    pub(super) fn registered(&self) -> Vec<String> {
        let others = self.others.split(',').map(str::trim).filter(|uri| !uri.is_empty());
        std::iter::once(self.default.as_str()).chain(others).map(registered).collect()
    }
}

/// In the dashboard, a loopback address needs a wildcard to match any port.
fn registered(uri: &str) -> String {
    let wildcard = ["http://127.0.0.1/", "http://[::1]/"].into_iter().find_map(|host| {
        let path = uri.strip_prefix(host)?;
        Some(format!("{}:*/{path}", host.trim_end_matches('/')))
    });
    wildcard.unwrap_or_else(|| uri.to_owned())
}
