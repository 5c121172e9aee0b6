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
pub struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Parses `Cookie` header values, or the `cookies` list of a payload 2.0 event. Ignores anything that is not
    /// `name=value`: other applications on the host may set any cookie.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Self {
        let pairs = headers.into_iter().flat_map(|header| header.split(';'));
        Self(
            pairs
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
                .collect(),
        )
    }

    /// Applies `cookie` as the browser will.
    pub fn apply(&mut self, cookie: &SetCookie) {
        self.0.retain(|(name, _)| name != cookie.name);
        if cookie.max_age > 0 {
            self.0.push((cookie.name.to_owned(), cookie.value.clone()));
        }
    }

    /// The value of the cookie `name`: the first, if the client sends several.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
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
    fn the_first_of_two_cookies_wins_and_malformed_pairs_are_ignored() {
        let cookies = Cookies::parse(["junk; a=1; __Host-session=x", "__Host-session=y;b=\"2\""]);
        assert_eq!(cookies.get("__Host-session"), Some("x"));
        assert_eq!(cookies.get("b"), Some("2"));
        assert_eq!(cookies.get("junk"), None);
    }

    #[test]
    fn a_cookie_is_applied_as_a_browser_would() {
        let mut cookies = Cookies::parse(["__Host-oauth=a; __Host-oauth=b; other=c"]);
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
