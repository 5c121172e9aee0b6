//! Text that must never be printed.

use std::fmt;

use serde::Deserialize;

/// A key, token or code. `Debug` prints `[redacted]` and there is no `Display`. [`Secret::expose`] is the only access to
/// the text, so a search for `expose` finds every place that uses it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_never_prints_the_text() {
        assert_eq!(format!("{:?}", Some(Secret::new("sk_live"))), "Some([redacted])");
    }
}
