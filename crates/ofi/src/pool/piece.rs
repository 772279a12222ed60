//! Pieces of a pool's buffer: disjoint, each an operation's buffer of its own.
//!
//! # Safety
//!
//! Pieces are made by cutting a whole buffer, once, into ranges that do not overlap; no piece is cut
//! again or cloned. The [`PoolBuf`] that they stand on is inside, where nobody reaches its bytes,
//! until all pieces are one again.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use super::{PoolBuf, span::Span};
use crate::{
    Buf, BufMut, Place, Segments,
    threading::{Shared, Threading},
};

/// A piece of a [`PoolBuf`]: what [`PoolBuf::split`] makes, and [`PoolBuf::join`] takes. Posted,
/// read, written and dropped for itself; the buffer is idle again when its last piece is.
pub struct PoolPiece<T: Threading = Shared>(Span<T>);

impl<T: Threading> PoolPiece<T> {
    pub(super) fn cut(whole: PoolBuf<T>, chunk: usize) -> Vec<PoolPiece<T>> {
        let len = whole.len();
        let whole = Arc::new(whole);
        let piece = |start| PoolPiece(Span::new(&whole, start, chunk.min(len - start)));
        (0..len.max(1)).step_by(chunk).map(piece).collect()
    }

    pub(super) fn join(pieces: Vec<PoolPiece<T>>) -> Result<PoolBuf<T>, Vec<PoolPiece<T>>> {
        let Some(first) = pieces.first() else { return Err(pieces) };
        let whole = Arc::clone(&first.0.whole);
        let one = pieces.iter().all(|piece| Arc::ptr_eq(&piece.0.whole, &whole));
        // They do not overlap: that many bytes are all of them.
        let len: usize = pieces.iter().map(|piece| piece.0.len).sum();
        if !one || len != whole.len() {
            return Err(pieces);
        }
        // No other piece has bytes, and there is none without bytes beside others.
        drop(pieces);
        Ok(Arc::into_inner(whole).expect("all pieces were here"))
    }

    /// Where it begins in the buffer, in bytes.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0.start
    }

    fn as_ptr(&self) -> *mut u8 {
        // SAFETY: a piece is within its buffer.
        unsafe { self.0.whole.as_ptr().add(self.0.start) }
    }
}

impl<T: Threading> Deref for PoolPiece<T> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: initialised bytes of the buffer that this piece alone has, and it is borrowed.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.0.len) }
    }
}

impl<T: Threading> DerefMut for PoolPiece<T> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), self.0.len) }
    }
}

impl<T: Threading> AsRef<[u8]> for PoolPiece<T> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: Threading> AsMut<[u8]> for PoolPiece<T> {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: the bytes are the slab's, which the buffer keeps where it is; they are initialised, and
// nobody else has them. The descriptor is that of the slab's open registration.
unsafe impl<T: Threading> Buf for PoolPiece<T> {
    #[inline]
    fn segments(&self, list: &mut Segments) {
        self.0.list(list);
    }

    #[inline]
    fn moved(&mut self, to: Place) {
        self.0.moved(to);
    }
}

// SAFETY: as for `Buf`; this piece alone has the bytes, and no two overlap.
unsafe impl<T: Threading> BufMut for PoolPiece<T> {
    #[inline]
    fn segments_mut(&mut self, list: &mut Segments) {
        self.0.list(list);
    }
}

impl<T: Threading> fmt::Debug for PoolPiece<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolPiece")
            .field("offset", &self.0.start)
            .field("len", &self.0.len)
            .finish_non_exhaustive()
    }
}
