//! Bytes of a pool's buffer that are only read: any number of handles.
//!
//! # Safety
//!
//! The buffer is inside all handles, where nobody can write to it any more.

use std::{
    fmt,
    ops::{Deref, RangeBounds},
    sync::Arc,
};

use super::PoolBuf;
use crate::{
    Buf, Place, Result, Segments,
    memory::part,
    threading::{Shared, Threading},
};

/// A read-only view of a [`PoolBuf`]'s bytes: what [`PoolBuf::freeze`] makes. Clones cost a count, go
/// to any thread where the domain is [`Shared`], and can be sent from, many at once. The last one
/// returns the buffer to its pool.
pub struct PoolBytes<T: Threading = Shared> {
    whole: Arc<PoolBuf<T>>,
    start: usize,
    len: usize,
    place: Place,
}

impl<T: Threading> PoolBytes<T> {
    pub(super) fn new(whole: PoolBuf<T>) -> PoolBytes<T> {
        let len = whole.len();
        PoolBytes { whole: Arc::new(whole), start: 0, len, place: Place::Caller }
    }

    /// A handle to some of the bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not all here.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<PoolBytes<T>> {
        let (start, len) = part(self.len, range)?;
        let (whole, start) = (Arc::clone(&self.whole), self.start + start);
        Ok(PoolBytes { whole, start, len, place: Place::Caller })
    }

    /// The buffer, to be written to again.
    ///
    /// # Errors
    ///
    /// Gives the handle back if there are others.
    pub fn thaw(mut self) -> Result<PoolBuf<T>, PoolBytes<T>> {
        if Arc::get_mut(&mut self.whole).is_none() {
            return Err(self);
        }
        let whole = Arc::clone(&self.whole);
        drop(self);
        Ok(Arc::into_inner(whole).expect("there was no other handle"))
    }
}

impl<T: Threading> Clone for PoolBytes<T> {
    fn clone(&self) -> Self {
        let whole = Arc::clone(&self.whole);
        PoolBytes { whole, start: self.start, len: self.len, place: Place::Caller }
    }
}

impl<T: Threading> Drop for PoolBytes<T> {
    fn drop(&mut self) {
        self.whole.counts().moved(&mut self.place, Place::Caller);
    }
}

impl<T: Threading> Deref for PoolBytes<T> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole[self.start..self.start + self.len]
    }
}

impl<T: Threading> AsRef<[u8]> for PoolBytes<T> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

// SAFETY: the bytes are the slab's, which the buffer keeps where it is; they are initialised, and
// nobody writes to them. The descriptor is that of the slab's open registration.
unsafe impl<T: Threading> Buf for PoolBytes<T> {
    #[inline]
    fn segments(&self, list: &mut Segments) {
        self.whole.list(self.start, self.len, list);
    }

    #[inline]
    fn moved(&mut self, to: Place) {
        self.whole.counts().moved(&mut self.place, to);
    }
}

impl<T: Threading> fmt::Debug for PoolBytes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBytes").field("len", &self.len).finish_non_exhaustive()
    }
}
