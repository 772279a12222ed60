//! Memory exposed to peers: regions that permit remote access, over [`Memory`].
//!
//! A region is no barrier: on every provider measured a transfer that had begun goes on after
//! `fi_close` of its region returned 0. So memory that peers could reach is not let go of with its
//! region: it stays with the domain until that is closed, and with it every endpoint through which
//! something could still arrive.

use std::{ffi::c_void, fmt, ops::RangeBounds, ptr::NonNull, sync::Arc};

use ofi_sys::fid_mr;

use super::{NAME, RemoteRegion, remote::Parts, with_key};
use crate::{
    Access, Buf, BufMut, Domain, Error, Memory, MrMode, Result, Segments,
    abi::Roomy,
    domain::DomainCore,
    error::Needs,
    memory::part,
    object::{CloseError, Owned, refuse_fork},
    threading::{Lock, Shared, Threading},
};

/// What peers do.
const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);

/// A region of [`Memory`] that peers may access, as its [`Access`] says.
///
/// [`remote`](Self::remote) is what a peer needs to know; [`slice`](Self::slice) is memory for
/// operations of one's own, with the region's descriptor.
///
/// Dropping it ends the registration: new accesses fail. Those that have begun may go on, so the
/// domain keeps the memory until it is closed ([`Domain::parked_bytes`]), unless
/// [`reclaim`](Self::reclaim) says that there are none.
///
/// See `fi_mr(3)`.
#[doc(alias = "fid_mr")]
pub struct ExposedRegion<T: Threading = Shared>(Arc<Exposed<T>>);

struct Exposed<T: Threading> {
    fid: Owned<fid_mr, T>,
    memory: Memory,
    start: usize,
    len: usize,
    desc: *mut c_void,
    key: u64,
    requested: Option<u64>,
    access: Access,
    domain: Arc<DomainCore<T>>,
}

// SAFETY: nothing in it is changed but the fid, which may be closed on any thread under `Shared`
// (rule W10); the descriptor is the provider's and only passed on.
unsafe impl Send for Exposed<Shared> {}
// SAFETY: as above.
unsafe impl Sync for Exposed<Shared> {}

/// What a region is opened with. [`open`](Self::open) opens it.
#[must_use = "a builder does nothing until `open`"]
pub struct RegionBuilder<'a, T: Threading> {
    domain: &'a Domain<T>,
    memory: &'a Memory,
    start: usize,
    len: usize,
    access: Access,
    fault: Option<Error>,
}

impl<T: Threading> Domain<T> {
    /// Exposes memory to peers. Any number of regions, with different rights and of different domains,
    /// may stand on the same memory or parts of it.
    ///
    /// Without further words it can be read by peers and used by operations of one's own.
    #[doc(alias = "fi_mr_regattr")]
    pub fn expose<'a>(&'a self, memory: &'a Memory) -> RegionBuilder<'a, T> {
        RegionBuilder {
            domain: self,
            memory,
            start: 0,
            len: memory.len(),
            access: super::LOCAL | Access::REMOTE_READ,
            fault: None,
        }
    }

    /// Bytes of memory that regions exposed which are gone, and that peers may still reach. Freed
    /// when the domain closes.
    #[must_use]
    pub fn parked_bytes(&self) -> usize {
        self.0.parked.lock().iter().map(Memory::len).sum()
    }
}

impl<'a, T: Threading> RegionBuilder<'a, T> {
    /// What may be done with it: `SEND`, `RECV`, `READ`, `WRITE` here, `REMOTE_READ`, `REMOTE_WRITE`
    /// by peers. Only what is named.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Only these bytes of the memory; peers count from the first of them.
    pub fn range(mut self, range: impl RangeBounds<usize>) -> Self {
        match self.memory.range(range) {
            Ok((start, len)) => (self.start, self.len) = (start, len),
            Err(error) => self.fault = Some(error),
        }
        self
    }

    /// Registers the memory.
    ///
    /// # Errors
    ///
    /// `Invalid` for no byte, no right, or bytes that are not in the memory; `Unsupported` where the
    /// provider registers nothing, or the domain was opened without `FI_RMA`; what the provider says.
    pub fn open(self) -> Result<ExposedRegion<T>> {
        refuse_fork(NAME)?;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let domain = &self.domain.0;
        if self.len == 0 || self.access.is_empty() {
            return Err(Error::invalid(NAME, "no byte, or no use of it, was named"));
        }
        let remote = self.access & REMOTE;
        let caps = domain.info.caps().raw();
        if !remote.is_empty() && caps & (ofi_sys::FI_RMA | ofi_sys::FI_ATOMIC) == 0 {
            return Err(Error::unsupported(NAME, Needs::Capability("FI_RMA"))
                .hint("ask for the capability in the hints"));
        }
        // SAFETY: the range is within the memory.
        let base = unsafe { self.memory.as_ptr().add(self.start) };
        let piece = libc::iovec { iov_base: base.cast(), iov_len: self.len };
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_mr_attr>::zeroed() };
        attr.as_mut().mem.mr_iov = &raw const piece;
        attr.as_mut().iov_count = 1;
        attr.as_mut().access = self.access.raw();
        let (fid, requested) = with_key(domain, |key, fid| {
            attr.as_mut().requested_key = key;
            // SAFETY: the domain is open; the attributes are whole, and what they point to lives
            // during the call; the memory is kept by the region, below; `fid` receives the region.
            unsafe { ofi_sys::fi_mr_regattr(domain.as_ptr(), attr.as_ptr(), 0, fid) }
        })?;
        // SAFETY: the region is open.
        let (desc, key) =
            unsafe { (ofi_sys::fi_mr_desc(fid.as_ptr()), ofi_sys::fi_mr_key(fid.as_ptr())) };
        Ok(ExposedRegion(Arc::new(Exposed {
            fid,
            memory: self.memory.clone(),
            start: self.start,
            len: self.len,
            desc,
            key,
            requested,
            access: self.access,
            domain: Arc::clone(domain),
        })))
    }
}

impl<T: Threading> ExposedRegion<T> {
    /// What a peer needs to access it.
    #[doc(alias = "fi_mr_key")]
    #[must_use]
    pub fn remote(&self) -> RemoteRegion {
        let region = &*self.0;
        // Rule M6.
        let virt = region.domain.info.domain().mr_mode().contains(MrMode::VIRT_ADDR);
        RemoteRegion::new(Parts {
            base: if virt { region.base().as_ptr() as usize as u64 } else { 0 },
            len: region.len as u64,
            key: region.key,
            rights: region.access & REMOTE,
        })
    }

    /// Some of its bytes, for operations of one's own.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not within the region.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<RegionSlice<T>> {
        let (start, len) = part(self.0.len, range)?;
        Ok(RegionSlice { region: Arc::clone(&self.0), start, len })
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Never: there is no region without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What it was registered for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.0.access
    }

    /// The memory that it is of.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// Ends the registration. The memory stays with the domain, see there.
    ///
    /// # Errors
    ///
    /// Gives the handle back if slices of it are in use; what the provider says: then the memory is
    /// kept for good.
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

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_mr {
        self.0.fid.as_ptr()
    }
}

impl<T: Threading> Exposed<T> {
    fn base(&self) -> NonNull<u8> {
        // SAFETY: the range is within the memory, which is not null.
        unsafe { NonNull::new_unchecked(self.memory.as_ptr().add(self.start)) }
    }

    /// Closes the registration; the memory stays with the domain if peers could reach it.
    fn end(&self, park: bool) -> Result<()> {
        if self.fid.is_closed() {
            return Ok(());
        }
        let result = self.fid.close();
        if result.is_err() {
            // The device may know it still.
            std::mem::forget(self.memory.clone());
        } else if park && !(self.access & REMOTE).is_empty() {
            let mut parked = self.domain.parked.lock();
            if !parked.iter().any(|memory| memory.is(&self.memory)) {
                parked.push(self.memory.clone());
            }
        }
        if let (Ok(()), Some(key)) = (&result, self.requested) {
            self.domain.keys.lock().release(key);
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

/// Some bytes of an [`ExposedRegion`], as an operation's buffer: sent from, received into, read and
/// written. Keeps the region open.
///
/// Contents are the memory's: [`copy_to`](Self::copy_to) and [`copy_from`](Self::copy_from), or
/// through [`ExposedRegion::memory`].
pub struct RegionSlice<T: Threading = Shared> {
    region: Arc<Exposed<T>>,
    start: usize,
    len: usize,
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
    /// `Invalid` if it has not so many.
    pub fn copy_to(&self, into: &mut [u8]) -> Result<()> {
        part(self.len, ..into.len())?;
        self.region.memory.read(self.region.start + self.start, into)
    }

    /// Copies bytes to its beginning.
    ///
    /// # Errors
    ///
    /// `Invalid` if they do not fit.
    pub fn copy_from(&self, from: &[u8]) -> Result<()> {
        part(self.len, ..from.len())?;
        self.region.memory.write(self.region.start + self.start, from)
    }

    fn list(&self, list: &mut Segments) {
        list.share();
        // SAFETY: the slice is within the region.
        let start = unsafe { self.region.base().as_ptr().add(self.start) };
        // Rule M15.
        if self.region.access.contains(list.access()) {
            let domain = Arc::as_ptr(&self.region.domain).cast();
            list.push_region(start, self.len, self.region.desc, domain);
        } else {
            list.push(start, self.len);
        }
    }
}

impl<T: Threading> Clone for RegionSlice<T> {
    fn clone(&self) -> Self {
        RegionSlice { region: Arc::clone(&self.region), start: self.start, len: self.len }
    }
}

// SAFETY: the memory is initialised and stays where it is while the region's handle lives, and nobody
// ever has a reference to it. The descriptor is that of an open region.
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

impl<T: Threading> fmt::Debug for ExposedRegion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExposedRegion")
            .field("len", &self.0.len)
            .field("access", &self.0.access)
            .field("key", &self.0.key)
            .finish_non_exhaustive()
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

impl<T: Threading> fmt::Debug for RegionBuilder<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionBuilder")
            .field("len", &self.len)
            .field("access", &self.access)
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
