//! Memory exposed to peers: regions that permit remote access, over [`Memory`].
//!
//! A region is no barrier: on every provider measured a transfer that had begun goes on after
//! `fi_close` of its region returned 0. So memory that peers could reach is not let go of with its
//! region: it stays with the domain until that is closed, and with it every endpoint through which
//! something could still arrive.

use std::{
    fmt,
    ops::RangeBounds,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use libc::iovec;
use ofi_sys::fid_mr;

use super::{
    Descriptor, RegionBuilder, RegionSlice, RemoteRegion, register::Registration, remote::Parts,
};
use crate::{
    Access, Domain, Error, Memory, MrMode, Result,
    memory::part,
    object::CloseError,
    threading::{Lock, Shared, Threading},
};

/// A region of [`Memory`] that peers may access, as its [`Access`] says.
///
/// [`remote`](Self::remote) is what a peer needs to know; [`slice`](Self::slice) is memory for
/// operations of one's own, with the region's descriptor.
///
/// Dropping it ends the registration: new accesses fail. Those that have begun may go on, so the
/// domain keeps the memory until it is closed ([`Domain::parked_bytes`]), unless
/// [`reclaim`](Self::reclaim) says that there are none. Where the domain has `FI_MR_ENDPOINT` the
/// registration ends with its endpoint, if that comes first.
///
/// See `fi_mr(3)`.
#[doc(alias = "fid_mr")]
pub struct ExposedRegion<T: Threading = Shared>(pub(super) Arc<Exposed<T>>);

pub(super) struct Exposed<T: Threading> {
    pub(super) registration: Registration<T>,
    /// What peers may do.
    pub(super) rights: Access,
    /// At least one.
    pub(super) pieces: Vec<Piece>,
    /// The region that this is a part of: it must not be closed before.
    pub(super) base: Option<Arc<Exposed<T>>>,
    pub(super) ended: AtomicBool,
}

/// Some bytes of a memory.
pub(super) struct Piece {
    pub(super) memory: Memory,
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Piece {
    pub(super) fn all(memory: &Memory) -> Piece {
        Piece { memory: memory.clone(), start: 0, len: memory.len() }
    }

    pub(super) fn raw(&self) -> iovec {
        // Within the memory; without an address, nobody looks there.
        let start = self.memory.as_ptr().wrapping_add(self.start);
        iovec { iov_base: start.cast(), iov_len: self.len }
    }

    /// Its address for peers that count from the owner's (rule M6).
    fn virtual_address(&self) -> u64 {
        match &self.memory.place().dmabuf {
            Some(dmabuf) => dmabuf.base.addr() as u64 + dmabuf.offset + self.start as u64,
            None => self.raw().iov_base.addr() as u64,
        }
    }
}

impl<T: Threading> Domain<T> {
    /// Bytes of memory that regions exposed which are gone, and that peers may still reach. Freed
    /// when the domain closes.
    #[must_use]
    pub fn parked_bytes(&self) -> usize {
        self.0.parked.lock().iter().map(Memory::len).sum()
    }
}

impl<T: Threading> ExposedRegion<T> {
    /// What a peer needs to access it; the first piece, of a region of several.
    #[doc(alias = "fi_mr_key")]
    #[doc(alias = "fi_mr_raw_attr")]
    #[doc(alias = "FI_GET_RAW_MR")]
    #[must_use]
    pub fn remote(&self) -> RemoteRegion {
        self.0.remote(&self.0.pieces[0], 0)
    }

    /// The same of each piece, in their order.
    #[must_use]
    pub fn remote_pieces(&self) -> Vec<RemoteRegion> {
        let mut before = 0;
        let remote = |piece: &Piece| {
            let remote = self.0.remote(piece, before);
            before += piece.len as u64;
            remote
        };
        self.0.pieces.iter().map(remote).collect()
    }

    /// Some of its bytes, for operations of one's own.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not within the region.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<RegionSlice<T>> {
        let (start, len) = part(self.0.len(), range)?;
        Ok(RegionSlice { region: Arc::clone(&self.0), start, len })
    }

    /// A region of some of its bytes, with a key and rights of its own, which need not be among this
    /// one's. It shares what the device keeps of this one, and keeps it open. Needs libfabric 2.0.
    pub fn part<'a>(&self, range: impl RangeBounds<usize>) -> RegionBuilder<'a, T> {
        RegionBuilder::within(&self.0, range)
    }

    /// Its length in bytes, all pieces together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: there is no region without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What it was registered for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.0.registration.access
    }

    /// The key that the domain knows it by. `None` where it is longer than 64 bits, or the region is
    /// for nobody else and has none.
    #[doc(alias = "fi_mr_key")]
    #[must_use]
    pub fn key(&self) -> Option<u64> {
        self.0.registration.short_key()
    }

    /// What is known of its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor<'_> {
        self.0.registration.descriptor(self.0.len())
    }

    /// The memory that it is of; the first one, of a region of several pieces.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.0.pieces[0].memory
    }

    /// Tells the device that the pages behind some of its bytes have changed, and are all there.
    /// Needed where the domain has `FI_MR_MMU_NOTIFY`; many providers have no such call.
    ///
    /// # Errors
    ///
    /// `Invalid` if the bytes are not within the region; [`Busy`](crate::ErrorKind::Busy) under
    /// `FI_MR_MMU_NOTIFY` while slices or parts of the region are in use, because the region cannot be
    /// used meanwhile (rule M11); `Unsupported`; what the provider says.
    #[doc(alias = "fi_mr_refresh")]
    #[doc(alias = "FI_REFRESH")]
    pub fn refresh(&mut self, range: impl RangeBounds<usize>) -> Result<()> {
        let (start, len) = part(self.0.len(), range)?;
        let exclusive = self.0.registration.domain.mr_mode.contains(MrMode::MMU_NOTIFY);
        if exclusive && Arc::get_mut(&mut self.0).is_none() {
            return Err(Error::busy().detail("slices or parts of the region are in use"));
        }
        if self.0.pieces[0].memory.place().dmabuf.is_some() {
            return Err(Error::invalid("fi_mr_refresh", "a dmabuf has no addresses to name"));
        }
        let raw = |(piece, start, len): (&Piece, usize, usize)| iovec {
            iov_base: piece.memory.as_ptr().wrapping_add(start).cast(),
            iov_len: len,
        };
        let pieces: Vec<iovec> = self.0.within(start, len).map(raw).collect();
        if pieces.is_empty() {
            // To the provider, none means all.
            return Ok(());
        }
        self.0.registration.refresh(&pieces)
    }

    /// Ends the registration. The memory stays with the domain, see there.
    ///
    /// # Errors
    ///
    /// Gives the handle back if slices or parts of it are in use; what the provider says: then the
    /// memory is kept for good.
    #[doc(alias = "fi_close")]
    pub fn close(self) -> Result<(), CloseError<ExposedRegion<T>>> {
        CloseError::close(self.0, ExposedRegion, |region| region.end(true))
    }

    /// Ends the registration, and does not keep the memory.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    ///
    /// # Safety
    ///
    /// No peer accesses the region any more: each that knew of it has said so after its last
    /// operation had completed, or was never able to.
    pub unsafe fn reclaim(self) -> Result<(), CloseError<ExposedRegion<T>>> {
        CloseError::close(self.0, ExposedRegion, |region| region.end(false))
    }

    /// The C object, for calls that this crate does not wrap. Closed already if the region was bound
    /// to an endpoint that has closed.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_mr {
        self.0.registration.as_ptr()
    }
}

impl<T: Threading> Exposed<T> {
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len).sum()
    }

    /// The pieces of memory that have these bytes: each with where they begin in it, and how many.
    pub(super) fn within(
        &self,
        start: usize,
        len: usize,
    ) -> impl Iterator<Item = (&Piece, usize, usize)> {
        let (mut skip, mut left) = (start, len);
        self.pieces.iter().filter_map(move |piece| {
            let before = skip.min(piece.len);
            skip -= before;
            let now = left.min(piece.len - before);
            left -= now;
            (now > 0).then_some((piece, piece.start + before, now))
        })
    }

    /// What a peer needs for a piece that so many bytes of the region are before.
    fn remote(&self, piece: &Piece, before: u64) -> RemoteRegion {
        let registration = &self.registration;
        let virt = registration.domain.mr_mode.contains(MrMode::VIRT_ADDR);
        RemoteRegion::new(Parts {
            // Rule M6.
            base: if virt { piece.virtual_address() } else { before },
            len: piece.len as u64,
            key: registration.key,
            rights: self.rights,
            raw: registration.raw.clone(),
        })
    }

    /// Closes the registration; the memory stays with the domain if peers could reach it.
    fn end(&self, park: bool) -> Result<()> {
        if self.ended.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let result = self.registration.close();
        if result.is_err() {
            // The device may know it still.
            self.pieces.iter().for_each(|piece| std::mem::forget(piece.memory.clone()));
            std::mem::forget(self.base.clone());
        } else if park && !self.rights.is_empty() {
            let mut parked = self.registration.domain.parked.lock();
            for piece in &self.pieces {
                if !parked.iter().any(|memory| memory.is(&piece.memory)) {
                    parked.push(piece.memory.clone());
                }
            }
        }
        result
    }
}

impl<T: Threading> Drop for Exposed<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.end(true);
    }
}

impl<T: Threading> fmt::Debug for ExposedRegion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExposedRegion")
            .field("len", &self.len())
            .field("access", &self.access())
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule: W11
    #[test]
    fn shared_regions_go_anywhere() {
        fn anywhere<X: Send + Sync>() {}
        anywhere::<ExposedRegion>();
        anywhere::<RegionSlice>();
    }
}
