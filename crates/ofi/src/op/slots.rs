//! Where slots are in memory: what a context may be, on a provider that hands out those of others.
//!
//! The list is of whole chunks, written when a lane grows and when it goes. It is looked at on such
//! providers alone.

use std::{
    collections::BTreeMap,
    ffi::c_void,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The end of each chunk, and the bytes of a slot in it, by its start.
static CHUNKS: Mutex<BTreeMap<usize, (usize, usize)>> = Mutex::new(BTreeMap::new());

fn chunks() -> MutexGuard<'static, BTreeMap<usize, (usize, usize)>> {
    CHUNKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// There are slots at `start`.
pub(super) fn add<S>(start: *const S, count: usize) {
    let (start, size) = (start as usize, size_of::<S>());
    chunks().insert(start, (start + count * size, size));
}

/// There are none at `start` any more.
pub(super) fn remove<S>(start: *const S) {
    chunks().remove(&(start as usize));
}

/// Whether a slot of this process is there.
#[cold]
pub(crate) fn is_one(context: *mut c_void) -> bool {
    let at = context as usize;
    let chunks = chunks();
    let before = chunks.range(..=at).next_back();
    before.is_some_and(|(start, (end, size))| at < *end && (at - start) % size == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_alone_are_found() {
        let chunk = vec![[0_u64; 16]; 4].into_boxed_slice();
        let at = |byte: usize| chunk.as_ptr().cast::<u8>().wrapping_add(byte).cast_mut().cast();
        assert!(!is_one(at(0)));
        add(chunk.as_ptr(), chunk.len());
        assert!(is_one(at(0)) && is_one(at(3 * 128)));
        assert!(!is_one(at(64)) && !is_one(at(4 * 128)) && !is_one(std::ptr::null_mut()));
        remove(chunk.as_ptr());
        assert!(!is_one(at(0)));
    }
}
