//! A small cache in the memory of a sandbox.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The maximum number of entries.
const MAX: usize = 1024;

/// Values that are used for a limited time after they were fetched.
pub(crate) struct Cache<T> {
    ttl: Duration,
    entries: Mutex<HashMap<String, (Instant, T)>>,
}

impl<T: Clone> Cache<T> {
    /// An empty cache, whose entries are used for `ttl`.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, entries: Mutex::default() }
    }

    /// The cached value; `None` if there is none.
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (cached_at, value) = entries.get(key)?;
        (cached_at.elapsed() < self.ttl).then(|| value.clone())
    }

    pub(crate) fn put(&self, key: &str, value: T) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX {
            entries.retain(|_, (cached_at, _)| cached_at.elapsed() < self.ttl);
        }
        // Still full, of made-up keys. Dropping all entries costs one lookup each.
        if entries.len() >= MAX {
            entries.clear();
        }
        entries.insert(key.to_owned(), (Instant::now(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded() {
        let cache = Cache::new(Duration::from_secs(60));
        for number in 0..3 * MAX {
            cache.put(&format!("{number}.example"), number);
        }
        assert!(cache.entries.lock().unwrap().len() <= MAX);
        cache.put("example.com", 7);
        assert_eq!((cache.get("example.com"), cache.get("other.example")), (Some(7), None));
    }

    #[test]
    fn an_entry_expires() {
        let cache = Cache::new(Duration::ZERO);
        cache.put("example.com", ());
        assert_eq!(cache.get("example.com"), None);
    }
}
