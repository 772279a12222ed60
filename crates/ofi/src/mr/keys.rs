//! The keys that a domain gives its regions, where the provider makes none (rule M7).

use std::collections::HashSet;

/// The keys of a domain: each given out once at a time, and as late as possible again, so that a
/// key of a region that is gone rarely names a new one.
#[derive(Debug)]
pub(crate) struct Keys {
    next: u64,
    /// The largest key.
    last: u64,
    used: HashSet<u64>,
}

impl Keys {
    /// Keys of `size` bytes; 0, and more than 8, is as good as 8.
    pub(crate) fn new(size: usize) -> Keys {
        let last = match size {
            1..=7 => (1 << (8 * size)) - 1,
            _ => ofi_sys::FI_KEY_NOTAVAIL - 1,
        };
        Keys { next: 1, last, used: HashSet::new() }
    }

    pub(super) fn take(&mut self) -> Option<u64> {
        // One more try than keys are in use finds a free one, unless there is none.
        for _ in 0..=self.used.len() {
            let key = self.next;
            self.next = if key >= self.last { 1 } else { key + 1 };
            if self.used.insert(key) {
                return Some(key);
            }
        }
        None
    }

    /// Whether a key has the size of this domain's.
    pub(super) fn fits(&self, key: u64) -> bool {
        key <= self.last
    }

    /// Takes this very key, if it is free.
    pub(super) fn claim(&mut self, key: u64) -> bool {
        self.used.insert(key)
    }

    pub(crate) fn release(&mut self, key: u64) {
        self.used.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule: M7
    #[test]
    fn keys_are_unique_and_fit_their_size() {
        let mut keys = Keys::new(1);
        let taken: HashSet<u64> = std::iter::from_fn(|| keys.take()).collect();
        assert_eq!(taken, (1..=255).collect());
        keys.release(77);
        assert_eq!(keys.take(), Some(77));
        assert_eq!(keys.take(), None);
    }

    // rule: M7
    #[test]
    fn a_claimed_key_is_nobody_elses() {
        let mut keys = Keys::new(1);
        assert!(keys.claim(2) && !keys.claim(2));
        assert_eq!((keys.take(), keys.take()), (Some(1), Some(3)));
        assert!(!keys.claim(3));
        keys.release(2);
        assert!(keys.claim(2));
        assert!(keys.fits(255) && !keys.fits(256));
        assert!(!Keys::new(8).fits(u64::MAX));
    }

    // rule: M7
    #[test]
    fn a_key_comes_back_as_late_as_possible() {
        let mut keys = Keys::new(8);
        let first = keys.take().unwrap();
        keys.release(first);
        assert_ne!(keys.take(), Some(first));
        assert_eq!(Keys::new(8).last, u64::MAX - 1);
        assert_eq!(Keys::new(4).last, u64::from(u32::MAX));
        assert_eq!(Keys::new(32).last, u64::MAX - 1);
    }
}
