//! A part of the cloud.

/// A double, or the real service at a URL.
#[derive(Debug)]
pub(super) enum Part<T> {
    Local(T),
    Outside(String),
}

impl<T> Part<T> {
    pub(super) fn local(&self) -> Option<&T> {
        match self {
            Self::Local(part) => Some(part),
            Self::Outside(_) => None,
        }
    }

    pub(super) fn url<'p>(&'p self, local: impl FnOnce(&'p T) -> &'p str) -> &'p str {
        match self {
            Self::Local(part) => local(part),
            Self::Outside(url) => url,
        }
    }
}
