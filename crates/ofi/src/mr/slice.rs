//! Parts of exposed regions, as buffers of one's own operations.

use std::{fmt, ops::RangeBounds, sync::Arc};

use super::exposed::Exposed;
use crate::{
    Buf, BufMut, Result, Segments,
    memory::part,
    threading::{Shared, Threading},
};

/// Some bytes of an [`ExposedRegion`](crate::ExposedRegion), as an operation's buffer: sent from,
/// received into, read and written. Keeps the region open.
///
/// Contents are the memory's: [`copy_to`](Self::copy_to) and [`copy_from`](Self::copy_from), or
/// through [`ExposedRegion::memory`](crate::ExposedRegion::memory). Of a region of several pieces it is
/// as many segments as it has bytes in different ones.
pub struct RegionSlice<T: Threading = Shared> {
    pub(super) region: Arc<Exposed<T>>,
    pub(super) start: usize,
    pub(super) len: usize,
}

impl<T: Threading> RegionSlice<T> {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Some of its bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not within the slice.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<RegionSlice<T>> {
        let (start, len) = part(self.len, range)?;
        Ok(RegionSlice { region: Arc::clone(&self.region), start: self.start + start, len })
    }

    /// Copies its first bytes out.
    ///
    /// # Errors
    ///
    /// `Invalid` if it has not so many, or they are a device's.
    pub fn copy_to(&self, into: &mut [u8]) -> Result<()> {
        part(self.len, ..into.len())?;
        let mut rest = into;
        for (piece, start, len) in self.region.within(self.start, rest.len()) {
            let (now, later) = rest.split_at_mut(len);
            piece.memory.read(start, now)?;
            rest = later;
        }
        Ok(())
    }

    /// Copies bytes to its beginning.
    ///
    /// # Errors
    ///
    /// `Invalid` if they do not fit, or the memory is a device's.
    pub fn copy_from(&self, from: &[u8]) -> Result<()> {
        part(self.len, ..from.len())?;
        let mut rest = from;
        for (piece, start, len) in self.region.within(self.start, rest.len()) {
            let (now, later) = rest.split_at(len);
            piece.memory.write(start, now)?;
            rest = later;
        }
        Ok(())
    }

    fn list(&self, list: &mut Segments) {
        list.share();
        let registration = &self.region.registration;
        // Rule M15.
        let registered = registration
            .access
            .contains(list.access())
            .then(|| (registration.desc, registration.scope()));
        let mut any = false;
        for (piece, start, len) in self.region.within(self.start, self.len) {
            piece.memory.list((start, len), registered, list);
            any = true;
        }
        if !any {
            // Nothing, but that of this region.
            let first = &self.region.pieces[0];
            first.memory.list((first.start, 0), registered, list);
        }
    }
}

impl<T: Threading> Clone for RegionSlice<T> {
    fn clone(&self) -> Self {
        RegionSlice { region: Arc::clone(&self.region), start: self.start, len: self.len }
    }
}

// SAFETY: the memory is initialised and stays where it is while the region's handle lives, and nobody
// ever has a reference to it. The descriptor is that of a region that is open, or whose endpoint has
// closed: then it is refused everywhere.
unsafe impl<T: Threading> Buf for RegionSlice<T> {
    #[inline]
    fn segments(&self, list: &mut Segments) {
        self.list(list);
    }
}

// SAFETY: as for `Buf`.
unsafe impl<T: Threading> BufMut for RegionSlice<T> {
    #[inline]
    fn segments_mut(&mut self, list: &mut Segments) {
        self.list(list);
    }
}

impl<T: Threading> fmt::Debug for RegionSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionSlice")
            .field("start", &self.start)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
