//! Request and response cookies (RFC 6265).

use std::fmt;
use std::str::FromStr;

/// The `SameSite` attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Sent with requests from the same site, and with top-level navigations to it.
    Lax,
    /// Sent from every site: for front ends on a different site than the API.
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
    same_site: SameSite,
    max_age: u64,
}

impl SetCookie {
    /// A cookie that expires after `max_age` seconds.
    pub fn new(name: &'static str, value: impl Into<String>, same_site: SameSite, max_age: u64) -> Self {
        Self { name, value: value.into(), same_site, max_age }
    }

    /// Removes a cookie from the browser.
    pub fn clear(name: &'static str, same_site: SameSite) -> Self {
        Self::new(name, "", same_site, 0)
    }

    /// Adds this cookie to `cookies`, unless there is one of the same name: the innermost caller decides.
    pub(crate) fn add_to(self, cookies: &mut Vec<Self>) {
        if cookies.iter().all(|each| each.name != self.name) {
            cookies.push(self);
        }
    }

    /// The value of the `Set-Cookie` header.
    pub fn header(&self) -> String {
        let same_site = match self.same_site {
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        format!(
            "{}={}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={}",
            self.name, self.value, self.max_age
        )
    }
}

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookie({}=[redacted])", self.name)
    }
}

/// The cookies of a request.
#[derive(Clone, Default)]
pub struct Cookies(Vec<(Vec<u8>, Vec<u8>)>);

impl Cookies {
    /// Parses the `cookies` list of a payload 2.0 event, or `Cookie` headers. Ignores anything that is not `name=value`:
    /// other applications on the host may set any cookie, in any encoding.
    ///
    /// Names are compared byte by byte. Only spaces and tabs after a `;` are removed: if more were, a cookie whose name
    /// merely resembles `__Host-session`, and which browsers therefore let any page set, would be taken for ours.
    pub fn parse<T: AsRef<[u8]>>(listed: impl IntoIterator<Item = T>) -> Self {
        let mut cookies = Self::default();
        for line in listed {
            for pair in line.as_ref().split(|byte| *byte == b';') {
                let blanks = pair.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                let (_, pair) = pair.split_at(blanks);
                let mut parts = pair.splitn(2, |byte| *byte == b'=');
                if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                    cookies.0.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        cookies
    }

    /// Applies `cookie` as the browser will.
    pub fn apply(&mut self, cookie: &SetCookie) {
        self.0.retain(|(name, _)| name != cookie.name.as_bytes());
        if cookie.max_age > 0 {
            self.0.push((cookie.name.into(), cookie.value.clone().into()));
        }
    }

    /// The value of the cookie `name`; `None` if there are several. A browser holds only one `__Host-` cookie of a name,
    /// so a second one comes from somebody else, and nothing tells which is which.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        let value = values.next()?;
        if values.next().is_none() { std::str::from_utf8(value).ok() } else { None }
    }

    /// The values of all cookies called `name`, except those that are not text.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).filter_map(|value| std::str::from_utf8(value).ok())
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(each, _)| each == name.as_bytes()).map(|(_, value)| value.as_slice())
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_bound_to_the_host() {
        let cookie = SetCookie::new("__Host-session", "abc", SameSite::Lax, 60);
        assert_eq!(cookie.header(), "__Host-session=abc; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60");
    }

    #[test]
    fn other_cookies_may_hold_any_bytes() {
        let cookies = Cookies::parse([
            &b"junk; theme=caf\xe9\xff; __Host-session=x"[..],
            b"control=\x01\x7f;b=\"2\"",
            b"theme=caf\xc3\xa9",
        ]);
        assert_eq!(cookies.get("__Host-session"), Some("x"));
        assert_eq!(cookies.get("b"), Some("\"2\""));
        assert_eq!(cookies.get("junk"), None);
    }

    #[test]
    fn only_spaces_and_tabs_after_a_semicolon_are_removed() {
        for blank in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}", "\u{b}", "\u{c}", "\r", "\n", "\0", "."] {
            for listed in [format!("{blank}__Host-session=x"), format!("a=1;{blank}__Host-session=x")] {
                let cookies = Cookies::parse([format!("{listed}; __Host-session=y")]);
                assert_eq!(cookies.get("__Host-session"), Some("y"), "{listed:?}");
            }
        }
        for other in ["__Host-session =x", "__host-session=x", "__Host-session\t=x"] {
            assert_eq!(Cookies::parse([other]).get("__Host-session"), None, "{other:?}");
        }
        assert_eq!(Cookies::parse(["a=1; \t__Host-session=x "]).get("__Host-session"), Some("x "));
    }

    #[test]
    fn of_two_cookies_with_one_name_neither_counts() {
        for listed in [&["s=1; s=2"][..], &["s=1", "s=2"], &["s=1;\ts=1"]] {
            let cookies = Cookies::parse(listed);
            assert_eq!(cookies.get("s"), None, "{listed:?}");
            assert_eq!(cookies.all("s").count(), 2, "{listed:?}");
        }
        let cookies = Cookies::parse([&b"s=\xff"[..], b"s=1"]);
        assert_eq!((cookies.get("s"), cookies.all("s").collect::<Vec<_>>()), (None, vec!["1"]));
    }

    #[test]
    fn a_cookie_is_applied_as_a_browser_would() {
        let mut cookies = Cookies::parse(["__Host-oauth=a; __Host-oauth=b; other=c"]);
        assert_eq!(cookies.get("__Host-oauth"), None);
        cookies.apply(&SetCookie::new("__Host-oauth", "d", SameSite::Lax, 60));
        assert_eq!((cookies.get("__Host-oauth"), cookies.get("other")), (Some("d"), Some("c")));
        cookies.apply(&SetCookie::clear("__Host-oauth", SameSite::Lax));
        assert_eq!(cookies.get("__Host-oauth"), None);
    }

    #[test]
    fn debug_prints_names_only() {
        assert_eq!(format!("{:?}", Cookies::parse(["s=secret"])), "[\"s\"]");
    }
}
