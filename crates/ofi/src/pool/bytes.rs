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

use super::{PoolBuf, span::Span};
use crate::{
    Buf, Place, Result, Segments,
    memory::part,
    threading::{Shared, Threading},
};

/// A read-only view of a [`PoolBuf`]'s bytes: what [`PoolBuf::freeze`] makes. Clones cost a count, go
/// to any thread where the domain is [`Shared`], and can be sent from, many at once. The last one
/// returns the buffer to its pool.
pub struct PoolBytes<T: Threading = Shared>(Span<T>);

impl<T: Threading> PoolBytes<T> {
    pub(super) fn new(whole: PoolBuf<T>) -> PoolBytes<T> {
        let len = whole.len();
        PoolBytes(Span::new(&Arc::new(whole), 0, len))
    }

    /// A handle to some of the bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not all here.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<PoolBytes<T>> {
        let (start, len) = part(self.0.len, range)?;
        Ok(PoolBytes(Span::new(&self.0.whole, self.0.start + start, len)))
    }

    /// The buffer, to be written to again.
    ///
    /// # Errors
    ///
    /// Gives the handle back if there are others.
    pub fn thaw(mut self) -> Result<PoolBuf<T>, PoolBytes<T>> {
        if Arc::get_mut(&mut self.0.whole).is_none() {
            return Err(self);
        }
        let whole = Arc::clone(&self.0.whole);
        drop(self);
        Ok(Arc::into_inner(whole).expect("there was no other handle"))
    }
}

impl<T: Threading> Clone for PoolBytes<T> {
    fn clone(&self) -> Self {
        PoolBytes(Span::new(&self.0.whole, self.0.start, self.0.len))
    }
}

impl<T: Threading> Deref for PoolBytes<T> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Span { whole, start, len, .. } = &self.0;
        &whole[*start..start + len]
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
        self.0.list(list);
    }

    #[inline]
    fn moved(&mut self, to: Place) {
        self.0.moved(to);
    }
}

impl<T: Threading> fmt::Debug for PoolBytes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBytes").field("len", &self.0.len).finish_non_exhaustive()
    }
}
