//! A buffer of a pool, owned alone.
//!
//! # Safety
//!
//! A [`PoolBuf`] is the only handle to the bytes of its buffer: the ledger gave the buffer out, and
//! will not again before [`PoolBuf`]'s drop has listed it as idle. Where it is inside of pieces or of
//! shared bytes it is not reached, and their handles take its place.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use super::{PoolBytes, PoolPiece, slab::Slab, usage::Unit};
use crate::{
    Buf, BufMut, Place, Segments,
    object::forked,
    threading::{Shared, Threading},
};

/// A buffer of a [`Pool`](crate::Pool), leased until it is dropped.
///
/// It derefs to its bytes, [`len`](slice::len) of them, and is an operation's buffer as it is: all
/// `len` bytes are sent, or may be received into. Where the pool is registered it brings its
/// descriptor along, on endpoints of its domain; elsewhere it is refused.
///
/// Dropping it, on any thread where the domain is [`Shared`], makes it idle; an operation that was
/// dropped does so when it ends. It keeps the domain open, so that it is no [`Memory`](crate::Memory)
/// to expose: what peers could reach the domain keeps in turn.
///
/// Its bytes are zero where the memory is new. Otherwise they are what the user before left there,
/// also beyond what was received ([`PoolBuilder::zeroed`](crate::PoolBuilder::zeroed)).
///
/// A buffer of a [`Confined`](crate::Confined) domain stays on its thread:
///
/// ```compile_fail
/// fn elsewhere(buffer: ofi::PoolBuf<ofi::Confined>) {
///     std::thread::spawn(move || drop(buffer));
/// }
/// ```
pub struct PoolBuf<T: Threading = Shared> {
    pub(super) slab: Arc<Slab<T>>,
    len: usize,
    unit: u32,
    place: Place,
}

impl<T: Threading> PoolBuf<T> {
    /// The caller was granted the buffer; `len` is within its capacity.
    pub(super) fn new(slab: Arc<Slab<T>>, unit: u32, len: usize) -> PoolBuf<T> {
        debug_assert!(len <= slab.size);
        PoolBuf { slab, len, unit, place: Place::Caller }
    }

    /// The most bytes that it can have: those of its class.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slab.size
    }

    /// Makes it `len` bytes long. What comes to it are old bytes.
    ///
    /// # Panics
    ///
    /// If `len` is beyond its capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "{len} bytes in a buffer of {}", self.capacity());
        self.len = len;
    }

    /// Cuts it into pieces of `chunk` bytes, the last of what is left, to be posted one by one.
    /// [`join`](Self::join) makes them one again. An empty buffer gives one empty piece.
    ///
    /// # Panics
    ///
    /// If `chunk` is 0.
    #[must_use = "the buffer is idle again when the pieces are dropped"]
    pub fn split(self, chunk: usize) -> Vec<PoolPiece<T>> {
        assert!(chunk > 0, "pieces of no bytes");
        PoolPiece::cut(self, chunk)
    }

    /// Makes one of all pieces of a buffer, in whatever order they are here.
    ///
    /// # Errors
    ///
    /// Gives the pieces back if they are not all pieces of one buffer.
    pub fn join(
        pieces: impl IntoIterator<Item = PoolPiece<T>>,
    ) -> Result<PoolBuf<T>, NotJoined<T>> {
        PoolPiece::join(pieces.into_iter().collect()).map_err(NotJoined)
    }

    /// Gives up writing to it: any number of handles to its first `len` bytes, on any threads. The
    /// last one returns it. This allocates a word or two.
    ///
    /// # Panics
    ///
    /// If `len` is beyond its capacity.
    #[must_use = "the buffer is idle again when the last handle is dropped"]
    pub fn freeze(mut self, len: usize) -> PoolBytes<T> {
        self.set_len(len);
        PoolBytes::new(self)
    }

    /// Overwrites all that it can hold with zeros.
    pub(super) fn clear(&mut self) {
        // SAFETY: the buffer has `capacity` bytes, which this handle alone may reach.
        unsafe { self.as_ptr().write_bytes(0, self.capacity()) }
    }

    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.slab.start(self.unit)
    }

    pub(super) fn counts(&self) -> &Unit {
        &self.slab.units[self.unit as usize]
    }

    /// Lists some of its bytes.
    pub(super) fn list(&self, start: usize, len: usize, list: &mut Segments) {
        self.slab.list(self.unit, start, len, list);
    }
}

impl<T: Threading> Drop for PoolBuf<T> {
    fn drop(&mut self) {
        if forked() {
            // The lock may have been held by a thread that the fork left behind.
            return;
        }
        self.slab.units[self.unit as usize].moved(&mut self.place, Place::Caller);
        let (pool, slab, unit) = (&self.slab.pool, self.slab.index, self.unit);
        pool.budget.change_in_drop(|ledger, todo| ledger.put_back(pool.index, slab, unit, todo));
        // If it is the slab's turn to go, it does so with the handle to it.
    }
}

impl<T: Threading> Deref for PoolBuf<T> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes are within the buffer, initialised, and nobody writes to them while
        // this handle, the only one, is borrowed.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len) }
    }
}

impl<T: Threading> DerefMut for PoolBuf<T> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), self.len) }
    }
}

impl<T: Threading> AsRef<[u8]> for PoolBuf<T> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: Threading> AsMut<[u8]> for PoolBuf<T> {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: the bytes are the slab's, which the handle keeps where it is; they are initialised, and
// nobody else has them. The descriptor is that of the slab's open registration.
unsafe impl<T: Threading> Buf for PoolBuf<T> {
    #[inline]
    fn segments(&self, list: &mut Segments) {
        self.list(0, self.len, list);
    }

    #[inline]
    fn moved(&mut self, to: Place) {
        self.slab.units[self.unit as usize].moved(&mut self.place, to);
    }
}

// SAFETY: as for `Buf`; this handle alone has the bytes.
unsafe impl<T: Threading> BufMut for PoolBuf<T> {
    #[inline]
    fn segments_mut(&mut self, list: &mut Segments) {
        self.list(0, self.len, list);
    }
}

impl<T: Threading> fmt::Debug for PoolBuf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuf")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// Pieces that are not all those of one buffer: what [`PoolBuf::join`] gives back.
pub struct NotJoined<T: Threading = Shared>(pub Vec<PoolPiece<T>>);

impl<T: Threading> fmt::Debug for NotJoined<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NotJoined").field(&self.0.len()).finish()
    }
}

impl<T: Threading> fmt::Display for NotJoined<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not all pieces of one buffer: {} were given", self.0.len())
    }
}

impl<T: Threading> std::error::Error for NotJoined<T> {}
