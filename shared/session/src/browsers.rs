//! The two cookies by which a browser is recognized before anybody is signed in. They give a budget of tries and mails,
//! and no other right.
//!
//! | cookie | says that the browser | for |
//! |---|---|---|
//! | `__Host-pending` | asked for a code for an address | ten minutes |
//! | `__Host-device` | signed in as an address before (OWASP, "Device cookies") | 90 days |
//!
//! A cookie holds at most [`MAX_MARKS`] marks, newest first, separated by `~`: a token of 32 random bytes for each
//! address, behind a tag that tells which address it is for. The tag is the beginning of the hash of token and address,
//! so it reveals the address to nobody. A mark counts only if the table has the item that was written with it; invented
//! ones lead to no item, and those for other addresses are never looked up.

use api::{ApiError, Cookies, DEVICE_COOKIE, EmailAddress, PENDING_COOKIE, SetCookie, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use store::BrowserKey;
use store::codes::{DEVICE_SECONDS, PENDING_SECONDS};

pub(crate) const PENDING: Marker = Marker { cookie: PENDING_COOKIE, seconds: PENDING_SECONDS };
pub(crate) const DEVICE: Marker = Marker { cookie: DEVICE_COOKIE, seconds: DEVICE_SECONDS };

/// The maximum number of addresses in a cookie.
const MAX_MARKS: usize = 4;

const TOKEN_BYTES: usize = 32;

/// The length of a tag, in characters of base64url.
const TAG: usize = 6;

/// One of the two cookies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    cookie: &'static str,
    seconds: u64,
}

/// A token for one address.
#[derive(Clone)]
struct Mark {
    tag: String,
    token: [u8; TOKEN_BYTES],
}

impl Marker {
    /// The key of the browser's mark for this address, if it has one. The mark may be invented.
    pub(crate) fn find(self, cookies: &Cookies, email: &EmailAddress) -> Option<BrowserKey> {
        self.marks(cookies).into_iter().find_map(|mark| mark.key_for(email))
    }

    /// A new mark for this address, and the cookie that holds it in front of the browser's other marks.
    ///
    /// # Errors
    /// `internal` if the system returns no random bytes.
    pub(crate) fn issue(
        self,
        cookies: &Cookies,
        email: &EmailAddress,
    ) -> Result<(BrowserKey, SetCookie), ApiError> {
        let token = random::bytes()?;
        let key = key(&token, email);
        let tag = key.0.chars().take(TAG).collect();
        Ok((key, self.cookie(Some(Mark { tag, token }), cookies, email)))
    }

    /// The cookie with the browser's marks as they are, for another lifetime.
    pub(crate) fn renew(self, cookies: &Cookies, email: &EmailAddress) -> SetCookie {
        let mark = self.marks(cookies).into_iter().find(|mark| mark.key_for(email).is_some());
        self.cookie(mark, cookies, email)
    }

    /// The cookie with `first` in place of the browser's marks for the address.
    fn cookie(self, first: Option<Mark>, cookies: &Cookies, email: &EmailAddress) -> SetCookie {
        let others = self.marks(cookies).into_iter().filter(|mark| mark.key_for(email).is_none());
        let marks: Vec<_> = first.into_iter().chain(others).take(MAX_MARKS).map(Mark::encode).collect();
        SetCookie::new(self.cookie, marks.join("~"), self.seconds)
    }

    /// The browser's marks. Malformed ones are ignored.
    fn marks(self, cookies: &Cookies) -> Vec<Mark> {
        let value = cookies.get(self.cookie).unwrap_or_default();
        value.split('~').take(MAX_MARKS).filter_map(Mark::decode).collect()
    }
}

impl Mark {
    fn decode(text: &str) -> Option<Self> {
        let (tag, token) = text.split_at_checked(TAG)?;
        let token = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let is_tag = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_tag.then(|| Self { tag: tag.to_owned(), token })
    }

    fn encode(self) -> String {
        self.tag + &URL_SAFE_NO_PAD.encode(self.token)
    }

    /// Its key, if it is for this address.
    fn key_for(&self, email: &EmailAddress) -> Option<BrowserKey> {
        Some(key(&self.token, email)).filter(|key| key.0.starts_with(&self.tag))
    }
}

fn key(token: &[u8; TOKEN_BYTES], email: &EmailAddress) -> BrowserKey {
    let mut hash = Context::new(&SHA256);
    hash.update(token);
    hash.update(email.folded().as_bytes());
    BrowserKey(URL_SAFE_NO_PAD.encode(hash.finish()))
}

#[cfg(test)]
mod tests {
    use api::SameSite;

    use super::*;

    fn email(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    fn issue(cookies: &mut Cookies, address: &str) -> BrowserKey {
        let (key, cookie) = DEVICE.issue(cookies, &email(address)).unwrap();
        let header = cookie.header(SameSite::None);
        assert!(header.len() < 400, "{header}");
        cookies.apply(&cookie);
        key
    }

    #[test]
    fn a_browser_keeps_a_mark_for_each_of_its_last_four_addresses() {
        let mut cookies = Cookies::default();
        let keys: Vec<_> = (0..5).map(|n| issue(&mut cookies, &format!("{n}@example.com"))).collect();
        assert_eq!(DEVICE.find(&cookies, &email("0@example.com")), None);
        for (n, key) in keys.into_iter().enumerate().skip(1) {
            assert_eq!(DEVICE.find(&cookies, &email(&format!("{n}@EXAMPLE.com"))), Some(key), "{n}");
        }
        assert_eq!(PENDING.find(&cookies, &email("1@example.com")), None);
    }

    #[test]
    fn a_new_mark_replaces_the_old_one_of_its_address_only() {
        let mut cookies = Cookies::default();
        let (old, other) = (issue(&mut cookies, "a@example.com"), issue(&mut cookies, "b@example.com"));
        let new = issue(&mut cookies, "A@example.com");
        assert_ne!(old, new);
        assert_eq!(DEVICE.find(&cookies, &email("a@example.com")), Some(new.clone()));
        assert_eq!(DEVICE.find(&cookies, &email("b@example.com")), Some(other.clone()));
        cookies.apply(&DEVICE.renew(&cookies, &email("b@example.com")));
        assert_eq!(DEVICE.find(&cookies, &email("a@example.com")), Some(new));
        assert_eq!(DEVICE.find(&cookies, &email("b@example.com")), Some(other));
    }

    #[test]
    fn malformed_marks_are_ignored() {
        let token = "A".repeat(43);
        for value in ["", "~", "abc", &token, &format!("ab cde{token}"), &format!("éééééé{token}")] {
            let cookies = Cookies::parse([format!("{DEVICE_COOKIE}={value}")], SameSite::Lax);
            assert!(DEVICE.marks(&cookies).is_empty(), "{value}");
        }
    }
}
