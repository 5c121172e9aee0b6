//! Request and response cookies (RFC 6265), in one of two forms.
//!
//! With `COOKIE_SAME_SITE=none` the cookies are partitioned (CHIPS): a browser that blocks third-party cookies keeps one
//! jar for each site on which the front end runs. A browser sends a partitioned cookie and an unpartitioned one of the
//! same name together, and neither clears the other. So the partitioned ones have names of their own:
//!
//! | `COOKIE_SAME_SITE` | name | attributes |
//! |---|---|---|
//! | `lax` | `__Host-session` | `SameSite=Lax` |
//! | `none` | `__Host-session-p` | `SameSite=None; Partitioned` |
//!
//! Endpoints use the names without the ending. Only the configured form counts. After a change of `COOKIE_SAME_SITE`, a
//! browser may hold both forms: [`Cookies::all`] finds both, so that a sign-out ends both sessions, and each response
//! that sets or clears a cookie expires the other form of it.

use std::fmt;
use std::str::FromStr;

/// The cookie with the session token.
pub const SESSION_COOKIE: &str = "__Host-session";

/// The cookie with the sign-ins in progress at an identity provider.
pub const OAUTH_COOKIE: &str = "__Host-oauth";

/// The cookie of a browser that asked for a code.
pub const PENDING_COOKIE: &str = "__Host-pending";

/// The cookie of a browser that signed in before.
pub const DEVICE_COOKIE: &str = "__Host-device";

/// The ending of a partitioned cookie's name.
const PARTITIONED: &str = "-p";

/// The `SameSite` attribute, which also decides the form of the cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Sent with requests from the same site, and with top-level navigations to it.
    #[default]
    Lax,
    /// Sent from every site, and partitioned: for front ends on a different site than the API.
    None,
}

impl FromStr for SameSite {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "lax" => Ok(Self::Lax),
            "none" => Ok(Self::None),
            _ => Err("must be `lax` or `none`"),
        }
    }
}

/// A cookie to set. Its name must begin with `__Host-`: browsers then require `Secure`, `Path=/` and no `Domain`, which
/// this type always writes, so no other host and no plain HTTP page can set or shadow the cookie.
#[derive(Clone)]
pub struct SetCookie {
    name: &'static str,
    value: String,
    max_age: u64,
}

impl SetCookie {
    /// A cookie that expires after `max_age` seconds.
    pub fn new(name: &'static str, value: impl Into<String>, max_age: u64) -> Self {
        Self { name, value: value.into(), max_age }
    }

    /// Removes a cookie from the browser.
    pub fn clear(name: &'static str) -> Self {
        Self::new(name, "", 0)
    }

    /// The name, without the ending of a partitioned cookie.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value; `None` if the cookie is cleared.
    pub fn value(&self) -> Option<&str> {
        (self.max_age > 0).then_some(self.value.as_str())
    }

    /// Adds this cookie to `cookies`, unless there is one of the same name: the innermost caller decides.
    pub(crate) fn add_to(self, cookies: &mut Vec<Self>) {
        if cookies.iter().all(|each| each.name != self.name) {
            cookies.push(self);
        }
    }

    /// The value of the `Set-Cookie` header.
    pub fn header(&self, same_site: SameSite) -> String {
        let Self { name, value, max_age } = self;
        let (ending, attributes) = match same_site {
            SameSite::Lax => ("", "SameSite=Lax"),
            SameSite::None => (PARTITIONED, "SameSite=None; Partitioned"),
        };
        format!("{name}{ending}={value}; Path=/; Secure; HttpOnly; {attributes}; Max-Age={max_age}")
    }

    /// The `Set-Cookie` header that expires the other form of this cookie, if the browser of a request with the cookies
    /// `sent` may have it. A page on another site sends no `SameSite=Lax` cookie, but its responses can expire one.
    pub(crate) fn expiry_of_other_form(&self, same_site: SameSite, sent: &Cookies) -> Option<String> {
        let name = self.name;
        match same_site {
            SameSite::Lax => sent.has_other_form(name).then(|| Self::clear(name).header(SameSite::None)),
            SameSite::None => Some(format!("{name}=; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=0")),
        }
    }
}

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookie({}=[redacted])", self.name)
    }
}

type Pair = (Vec<u8>, Vec<u8>);

/// The cookies of a request.
#[derive(Clone, Default)]
pub struct Cookies {
    /// Those of the configured form, and those of other applications.
    pairs: Vec<Pair>,
    /// Those of the other form. Both lists have the names without the ending of a partitioned cookie.
    other_form: Vec<Pair>,
}

impl Cookies {
    /// Parses the `cookies` list of a payload 2.0 event, or `Cookie` headers. Ignores anything that is not `name=value`:
    /// other applications on the host may set any cookie, in any encoding.
    ///
    /// Names are compared byte by byte. Only spaces and tabs after a `;` are removed: if more were, a cookie whose name
    /// merely resembles `__Host-session`, and which browsers therefore let any page set, would be taken for ours.
    pub fn parse<T: AsRef<[u8]>>(listed: impl IntoIterator<Item = T>, same_site: SameSite) -> Self {
        let mut cookies = Self::default();
        for line in listed {
            for pair in line.as_ref().split(|byte| *byte == b';') {
                let blanks = pair.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                let (_, pair) = pair.split_at(blanks);
                let mut parts = pair.splitn(2, |byte| *byte == b'=');
                if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                    cookies.add(name, value, same_site);
                }
            }
        }
        cookies
    }

    fn add(&mut self, name: &[u8], value: &[u8], same_site: SameSite) {
        let (name, form) = match name.strip_suffix(PARTITIONED.as_bytes()) {
            Some(name) => (name, SameSite::None),
            None => (name, SameSite::Lax),
        };
        let list = if form == same_site { &mut self.pairs } else { &mut self.other_form };
        list.push((name.to_vec(), value.to_vec()));
    }

    /// Applies `cookie` as the browser will.
    pub fn apply(&mut self, cookie: &SetCookie) {
        self.pairs.retain(|(name, _)| name != cookie.name.as_bytes());
        if let Some(value) = cookie.value() {
            self.pairs.push((cookie.name.into(), value.into()));
        }
    }

    /// The value of the cookie `name`; `None` if there are several. A browser holds only one `__Host-` cookie of a name,
    /// so a second one comes from somebody else, and nothing tells which is which.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = values(&self.pairs, name);
        let value = values.next()?;
        if values.next().is_none() { std::str::from_utf8(value).ok() } else { None }
    }

    /// The values of all cookies called `name`, in either form, except those that are not text.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = values(&self.pairs, name).chain(values(&self.other_form, name));
        values.filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Whether there is a cookie called `name`, in either form and with any value.
    pub(crate) fn has(&self, name: &str) -> bool {
        values(&self.pairs, name).next().is_some() || self.has_other_form(name)
    }

    fn has_other_form(&self, name: &str) -> bool {
        values(&self.other_form, name).next().is_some()
    }
}

fn values<'a>(pairs: &'a [Pair], name: &str) -> impl Iterator<Item = &'a [u8]> {
    pairs.iter().filter(move |(each, _)| each == name.as_bytes()).map(|(_, value)| value.as_slice())
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_bound_to_the_host() {
        let cookie = SetCookie::new("__Host-session", "abc", 60);
        assert_eq!(
            cookie.header(SameSite::Lax),
            "__Host-session=abc; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"
        );
        assert_eq!(
            cookie.header(SameSite::None),
            "__Host-session-p=abc; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=60"
        );
    }

    #[test]
    fn only_the_configured_form_counts_and_both_can_be_ended() {
        let listed = ["__Host-session=lax; __Host-session-p=none", "other-p=x"];
        for (same_site, own, other) in [(SameSite::Lax, "lax", "none"), (SameSite::None, "none", "lax")] {
            let cookies = Cookies::parse(listed, same_site);
            assert_eq!(cookies.get("__Host-session"), Some(own));
            assert_eq!(cookies.all("__Host-session").collect::<Vec<_>>(), [own, other]);
            assert_eq!(cookies.get("__Host-session-p"), None);
        }
        let stale = Cookies::parse(["__Host-session-p=none"], SameSite::Lax);
        assert!(stale.get("__Host-session").is_none() && stale.has("__Host-session"));
    }

    #[test]
    fn the_other_form_is_expired_where_the_browser_may_have_it() {
        let cookie = SetCookie::new("__Host-session", "abc", 60);
        let (none, both) = (Cookies::default(), Cookies::parse(["__Host-session-p=x"], SameSite::Lax));
        assert_eq!(cookie.expiry_of_other_form(SameSite::Lax, &none), None);
        assert_eq!(
            cookie.expiry_of_other_form(SameSite::Lax, &both).as_deref(),
            Some("__Host-session-p=; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=0")
        );
        assert_eq!(
            cookie.expiry_of_other_form(SameSite::None, &none).as_deref(),
            Some("__Host-session=; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=0")
        );
    }

    #[test]
    fn other_cookies_may_hold_any_bytes() {
        let listed = [
            &b"junk; theme=caf\xe9\xff; __Host-session=x"[..],
            b"control=\x01\x7f;b=\"2\"",
            b"theme=caf\xc3\xa9",
        ];
        let cookies = Cookies::parse(listed, SameSite::Lax);
        assert_eq!(cookies.get("__Host-session"), Some("x"));
        assert_eq!(cookies.get("b"), Some("\"2\""));
        assert_eq!(cookies.get("junk"), None);
    }

    #[test]
    fn only_spaces_and_tabs_after_a_semicolon_are_removed() {
        for blank in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}", "\u{b}", "\u{c}", "\r", "\n", "\0", "."] {
            for listed in [format!("{blank}__Host-session=x"), format!("a=1;{blank}__Host-session=x")] {
                let cookies = Cookies::parse([format!("{listed}; __Host-session=y")], SameSite::Lax);
                assert_eq!(cookies.get("__Host-session"), Some("y"), "{listed:?}");
            }
        }
        for other in ["__Host-session =x", "__host-session=x", "__Host-session\t=x"] {
            assert_eq!(Cookies::parse([other], SameSite::Lax).get("__Host-session"), None, "{other:?}");
        }
        assert_eq!(
            Cookies::parse(["a=1; \t__Host-session=x "], SameSite::Lax).get("__Host-session"),
            Some("x ")
        );
    }

    #[test]
    fn of_two_cookies_with_one_name_neither_counts() {
        for listed in [&["s=1; s=2"][..], &["s=1", "s=2"], &["s=1;\ts=1"]] {
            let cookies = Cookies::parse(listed, SameSite::Lax);
            assert_eq!(cookies.get("s"), None, "{listed:?}");
            assert_eq!(cookies.all("s").count(), 2, "{listed:?}");
        }
        let cookies = Cookies::parse([&b"s=\xff"[..], b"s=1"], SameSite::Lax);
        assert_eq!((cookies.get("s"), cookies.all("s").collect::<Vec<_>>()), (None, vec!["1"]));
    }

    #[test]
    fn a_cookie_is_applied_as_a_browser_would() {
        let mut cookies = Cookies::parse(["__Host-oauth=a; __Host-oauth=b; other=c"], SameSite::Lax);
        assert_eq!(cookies.get("__Host-oauth"), None);
        cookies.apply(&SetCookie::new("__Host-oauth", "d", 60));
        assert_eq!((cookies.get("__Host-oauth"), cookies.get("other")), (Some("d"), Some("c")));
        cookies.apply(&SetCookie::clear("__Host-oauth"));
        assert_eq!(cookies.get("__Host-oauth"), None);
    }

    #[test]
    fn debug_prints_names_only() {
        assert_eq!(format!("{:?}", Cookies::parse(["s=secret"], SameSite::Lax)), "[\"s\"]");
    }
}
