//! What pieces and views of a pool's buffer have in common: some of its bytes, and the buffer itself
//! among several handles.

use std::sync::Arc;

use super::PoolBuf;
use crate::{Place, Segments, threading::Threading};

/// `len` bytes of a buffer from `start` on. Which of them a handle may reach, and how, is the handle's
/// to say.
pub(super) struct Span<T: Threading> {
    pub(super) whole: Arc<PoolBuf<T>>,
    pub(super) start: usize,
    pub(super) len: usize,
    place: Place,
}

impl<T: Threading> Span<T> {
    pub(super) fn new(whole: &Arc<PoolBuf<T>>, start: usize, len: usize) -> Span<T> {
        Span { whole: Arc::clone(whole), start, len, place: Place::Caller }
    }

    /// Lists the bytes.
    #[inline]
    pub(super) fn list(&self, list: &mut Segments) {
        self.whole.list(self.start, self.len, list);
    }

    /// Notes whose the handle is now.
    #[inline]
    pub(super) fn moved(&mut self, to: Place) {
        self.whole.counts().moved(&mut self.place, to);
    }
}

impl<T: Threading> Drop for Span<T> {
    fn drop(&mut self) {
        self.moved(Place::Caller);
    }
}
