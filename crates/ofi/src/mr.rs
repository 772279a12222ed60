//! Memory regions: memory that a domain's device knows, in the hands of its owner.
//!
//! A region owns its buffer from the registration to its end. It can be used as an operation's
//! buffer, whole or in parts; parts that can be written never overlap, because a part is made by
//! splitting one in two. Every part, in the caller's hands or in flight, keeps the region open
//! (rule M2), so that a region is closed when nothing can use it any more.
//!
//! # Safety
//!
//! Bytes `start..start + len` of the registered segment belong to one [`MemoryRegion`] alone, or to
//! any number of [`FrozenRegion`]s, which only read. The buffer itself is not touched until the
//! last part is gone, so that the segment it listed stays as it is.

use std::{
    fmt,
    mem::ManuallyDrop,
    ops::{Bound, Deref, DerefMut, RangeBounds},
    ptr::NonNull,
    sync::Arc,
};

use ofi_sys::fid_mr;

mod bound;
mod builder;
mod descriptor;
mod exposed;
mod keys;
mod mapped;
pub(crate) mod register;
mod remote;
mod slice;

pub(crate) use bound::BoundRegions;
pub use builder::RegionBuilder;
pub use descriptor::Descriptor;
pub use exposed::ExposedRegion;
pub(crate) use keys::Keys;
pub use mapped::MappedRegion;
pub(crate) use mapped::{Mapping, Mappings};
use register::{Registration, Request};
pub(crate) use remote::KeyKind;
pub use remote::{RemoteRegion, RemoteSlice};
pub use slice::RegionSlice;

use crate::{
    Access, Buf, BufMut, Domain, Endpoint, Error, Failed, MrMode, Result, Segments,
    domain::DomainCore,
    endpoint::{Core, Kind},
    object::CloseError,
    threading::{Shared, Threading},
};

/// The rights that a registration can have: what is done here, nothing that peers do.
pub(crate) const LOCAL: Access =
    Access::SEND.union(Access::RECV).union(Access::READ).union(Access::WRITE);

/// Registered memory, owned alone: sent from, received into, and read and written as bytes in
/// between.
///
/// As an operation's buffer it brings its descriptor along, on endpoints of its domain and within
/// its [`Access`]; on an endpoint of another domain it is refused, and on another endpoint if it is
/// bound to one ([`Endpoint::register`]). [`split_off`](Self::split_off)
/// makes two of it. The registration ends, and the buffer is dropped, with the last part; no part
/// can be dropped while an operation uses it, because the operation owns it then.
///
/// See `fi_mr(3)`.
///
/// A region of a [`Confined`](crate::Confined) domain stays on its thread:
///
/// ```compile_fail
/// fn elsewhere(region: ofi::MemoryRegion<Vec<u8>, ofi::Confined>) {
///     std::thread::spawn(move || drop(region));
/// }
/// ```
#[doc(alias = "fid_mr")]
pub struct MemoryRegion<B, T: Threading = Shared>(Part<B, T>);

/// Registered memory that is only read: any number of handles to the same bytes, each good for
/// sending.
///
/// Made by [`MemoryRegion::freeze`], or by [`Domain::register_frozen`] from memory that others may
/// hold, too.
pub struct FrozenRegion<B, T: Threading = Shared>(Part<B, T>);

/// Some bytes of a region.
struct Part<B, T: Threading> {
    core: Arc<RegionCore<B, T>>,
    start: usize,
    len: usize,
}

/// The registration and what it stands on.
struct RegionCore<B, T: Threading> {
    registration: Registration<T>,
    /// Taken out when the registration has ended; never looked at before.
    buffer: Option<ManuallyDrop<B>>,
    base: NonNull<u8>,
    /// Bytes of the registered segment.
    len: usize,
}

// SAFETY: parts reach bytes that are theirs, or that nobody writes; the last one drops the buffer
// on whatever thread it is, and the buffer is `Send`. Everything else may be used on any thread
// under `Shared` (rule W10).
unsafe impl<B: Send> Send for RegionCore<B, Shared> {}
// SAFETY: as above; the buffer itself is never reached through a shared reference.
unsafe impl<B: Send> Sync for RegionCore<B, Shared> {}

impl<T: Threading> Domain<T> {
    /// Registers `buffer` for these uses: `SEND`, `RECV`, as the local side of remote reads and
    /// writes `READ`, `WRITE`, and `COLLECTIVE` with `SEND` or `RECV`. The region owns it from here on.
    ///
    /// The buffer is one contiguous piece of at least one byte (rule M14). Any number of regions
    /// can be registered; keys are chosen by the domain (rule M7).
    ///
    /// # Errors
    ///
    /// With the buffer: `Invalid` for an empty or scattered buffer or no right at all;
    /// `Unsupported` where the provider registers nothing, and where the domain has `FI_MR_ENDPOINT`
    /// ([`Endpoint::register`] then); what the provider says.
    #[doc(alias = "fi_mr_reg")]
    pub fn register<B: BufMut>(
        &self,
        buffer: B,
        access: Access,
    ) -> Result<MemoryRegion<B, T>, Failed<B>> {
        Part::writable(&self.0, None, buffer, access).map(MemoryRegion)
    }

    /// Registers memory that is only read from: `SEND`, with `COLLECTIVE` as what is given to one, and, as
    /// the local source of remote writes, `WRITE`. Others may hold the same memory, and more than one
    /// region may stand on it.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register), and `Invalid` for rights to write into it.
    #[doc(alias = "fi_mr_reg")]
    pub fn register_frozen<B: Buf>(
        &self,
        buffer: B,
        access: Access,
    ) -> Result<FrozenRegion<B, T>, Failed<B>> {
        Part::frozen(&self.0, None, buffer, access).map(FrozenRegion)
    }
}

impl<K: Kind, T: Threading> Endpoint<K, T> {
    /// As [`Domain::register`], for this endpoint alone where its domain has `FI_MR_ENDPOINT`, which
    /// asks for that; elsewhere it is the same. Closing the endpoint ends the registration.
    ///
    /// # Errors
    ///
    /// As [`Domain::register`].
    #[doc(alias = "fi_mr_reg")]
    #[doc(alias = "fi_mr_bind")]
    #[doc(alias = "fi_mr_enable")]
    pub fn register<B: BufMut>(
        &self,
        buffer: B,
        access: Access,
    ) -> Result<MemoryRegion<B, T>, Failed<B>> {
        let core = &*self.core;
        Part::writable(core.domain_core(), Some(core), buffer, access).map(MemoryRegion)
    }

    /// As [`Domain::register_frozen`], for this endpoint alone where its domain has `FI_MR_ENDPOINT`.
    ///
    /// # Errors
    ///
    /// As [`Domain::register_frozen`].
    pub fn register_frozen<B: Buf>(
        &self,
        buffer: B,
        access: Access,
    ) -> Result<FrozenRegion<B, T>, Failed<B>> {
        let core = &*self.core;
        Part::frozen(core.domain_core(), Some(core), buffer, access).map(FrozenRegion)
    }
}

const NAME: &str = "fi_mr_reg";

impl<B, T: Threading> Part<B, T> {
    fn writable(
        domain: &Arc<DomainCore<T>>,
        endpoint: Option<&Core<T>>,
        mut buffer: B,
        access: Access,
    ) -> Result<Self, Failed<B>>
    where
        B: BufMut,
    {
        let mut list = Segments::new();
        buffer.segments_mut(&mut list);
        // SAFETY: the buffer listed it, and nobody has touched it since.
        unsafe { Part::register(domain, endpoint, buffer, &list, (access, true)) }
    }

    fn frozen(
        domain: &Arc<DomainCore<T>>,
        endpoint: Option<&Core<T>>,
        buffer: B,
        access: Access,
    ) -> Result<Self, Failed<B>>
    where
        B: Buf,
    {
        let writes = access & (Access::RECV | Access::READ);
        if !writes.is_empty() {
            let error = Error::invalid(NAME, format!("{writes} would write into read-only memory"));
            return Err(Failed::back(error, buffer));
        }
        let mut list = Segments::new();
        buffer.segments(&mut list);
        // SAFETY: the buffer listed it, and nobody has touched it since.
        unsafe { Part::register(domain, endpoint, buffer, &list, (access, false)) }
    }

    /// Registers what a buffer listed: `writable` if it may be written to.
    ///
    /// # Safety
    ///
    /// `list` is what the buffer said, and it was not touched since.
    unsafe fn register(
        domain: &Arc<DomainCore<T>>,
        endpoint: Option<&Core<T>>,
        buffer: B,
        list: &Segments,
        (access, writable): (Access, bool),
    ) -> Result<Self, Failed<B>> {
        let (base, len) = match segment(list, access) {
            Ok(segment) => segment,
            Err(error) => return Err(Failed::back(error, buffer)),
        };
        let pieces = [libc::iovec { iov_base: base.as_ptr().cast(), iov_len: len }];
        let request = Request { endpoint, writable, ..Request::new(domain, &pieces, access) };
        // SAFETY: the memory is the buffer's, which the region keeps, untouched, until the
        // registration has ended.
        match unsafe { request.open() } {
            Ok(registration) => {
                let buffer = Some(ManuallyDrop::new(buffer));
                let core = RegionCore { registration, buffer, base, len };
                Ok(Part { start: 0, len, core: Arc::new(core) })
            }
            Err(error) => Err(Failed::back(error, buffer)),
        }
    }

    fn as_ptr(&self) -> *mut u8 {
        // SAFETY: a part lies within the registered segment.
        unsafe { self.core.base.as_ptr().add(self.start) }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes are initialised (`Buf`), the core keeps the buffer where it is, and
        // nobody writes to a part that is borrowed (see the module).
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len) }
    }

    /// Lists the part, with its descriptor if it was registered for such operations (rule M15).
    fn list(&self, list: &mut Segments) {
        let registration = &self.core.registration;
        if registration.access.contains(list.access()) {
            let scope = registration.scope();
            list.push_region(self.as_ptr(), self.len, registration.desc, scope);
        } else {
            list.push(self.as_ptr(), self.len);
        }
    }

    /// A further handle to some of the bytes.
    ///
    /// Who calls it sees to it that they are not written through two handles.
    fn narrowed(&self, start: usize, len: usize) -> Self {
        debug_assert!(start + len <= self.len);
        Part { core: Arc::clone(&self.core), start: self.start + start, len }
    }

    fn into_buffer<H>(self, again: impl FnOnce(Self) -> H) -> Result<B, CloseError<H>> {
        let Part { core, start, len } = self;
        match Arc::try_unwrap(core) {
            Ok(mut core) => core.end().map_err(CloseError::Failed),
            Err(core) => Err(CloseError::InUse(again(Part { core, start, len }))),
        }
    }

    fn key(&self) -> Option<u64> {
        self.core.registration.short_key()
    }

    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("start", &self.start)
            .field("len", &self.len)
            .field("access", &self.core.registration.access)
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

/// The one segment that is to be registered, if it may be.
fn segment(list: &Segments, access: Access) -> Result<(NonNull<u8>, usize)> {
    let remote = access.difference(LOCAL | Access::COLLECTIVE);
    if !remote.is_empty() {
        return Err(Error::invalid(NAME, format!("{remote} is a peer's to do"))
            .hint("memory that peers reach is exposed: Domain::expose"));
    }
    if access.is_empty() {
        return Err(Error::invalid(NAME, "no use was named"));
    }
    if list.is_shared() {
        // A region gives its bytes out as a slice.
        return Err(Error::invalid(NAME, "others may write to this memory")
            .hint("expose it, and use slices of the region: Domain::expose"));
    }
    list.one_piece(NAME)
}

impl<B, T: Threading> RegionCore<B, T> {
    /// Closes the registration and takes the buffer out. If the close fails, the buffer is leaked:
    /// the device may know the memory still.
    fn end(&mut self) -> Result<B> {
        let buffer = self.buffer.take().ok_or_else(|| Error::closed(NAME))?;
        self.registration.close()?;
        Ok(ManuallyDrop::into_inner(buffer))
    }
}

impl<B, T: Threading> Drop for RegionCore<B, T> {
    fn drop(&mut self) {
        // A failure is logged where it happens, or the buffer is out already.
        drop(self.end());
    }
}

impl<B, T: Threading> MemoryRegion<B, T> {
    /// Tells the device that the pages behind it have changed, and are all there; as
    /// [`ExposedRegion::refresh`].
    ///
    /// # Errors
    ///
    /// As there: under `FI_MR_MMU_NOTIFY` no other part of the region may be in use.
    #[doc(alias = "fi_mr_refresh")]
    pub fn refresh(&mut self) -> Result<()> {
        let (start, len) = (self.0.as_ptr(), self.0.len);
        let exclusive = self.0.core.registration.domain.mr_mode.contains(MrMode::MMU_NOTIFY);
        if exclusive && Arc::get_mut(&mut self.0.core).is_none() {
            return Err(Error::busy().detail("other parts of the region are in use"));
        }
        if len == 0 {
            // To the provider, none means all.
            return Ok(());
        }
        let piece = libc::iovec { iov_base: start.cast(), iov_len: len };
        self.0.core.registration.refresh(&[piece])
    }

    /// Splits in two: this keeps the first `at` bytes, the rest is returned.
    ///
    /// # Panics
    ///
    /// If `at` is beyond its length.
    pub fn split_off(&mut self, at: usize) -> MemoryRegion<B, T> {
        let len = self.0.len;
        assert!(at <= len, "split at {at} of {len} bytes");
        let rest = self.0.narrowed(at, len - at);
        self.0.len = at;
        MemoryRegion(rest)
    }

    /// Joins what [`split_off`](Self::split_off) took apart.
    ///
    /// # Errors
    ///
    /// Gives `rest` back if it does not lie right behind this, in the same region.
    pub fn unsplit(&mut self, rest: MemoryRegion<B, T>) -> Result<(), MemoryRegion<B, T>> {
        let end = self.0.start + self.0.len;
        if !Arc::ptr_eq(&self.0.core, &rest.0.core) || rest.0.start != end {
            return Err(rest);
        }
        self.0.len += rest.0.len;
        Ok(())
    }

    /// Gives up writing to it, so that it can be sent many times at once.
    #[must_use]
    pub fn freeze(self) -> FrozenRegion<B, T> {
        FrozenRegion(self.0)
    }
}

impl<B, T: Threading> FrozenRegion<B, T> {
    /// Some of its bytes.
    ///
    /// # Panics
    ///
    /// If the range is beyond its length.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> FrozenRegion<B, T> {
        let len = self.0.len;
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => len,
        };
        assert!(start <= end && end <= len, "{start}..{end} of {len} bytes");
        FrozenRegion(self.0.narrowed(start, end - start))
    }
}

impl<B, T: Threading> Clone for FrozenRegion<B, T> {
    fn clone(&self) -> Self {
        FrozenRegion(self.0.narrowed(0, self.0.len))
    }
}

/// What both kinds have.
macro_rules! regions {
    ($($region:ident)*) => {$(
        impl<B, T: Threading> $region<B, T> {
            /// What it was registered for.
            #[must_use]
            pub fn access(&self) -> Access {
                self.0.core.registration.access
            }

            /// The key that the domain knows it by. `None` where it is longer than 64 bits.
            #[doc(alias = "fi_mr_key")]
            #[must_use]
            pub fn key(&self) -> Option<u64> {
                self.0.key()
            }

            /// What is known of its descriptor.
            #[must_use]
            pub fn descriptor(&self) -> Descriptor<'_> {
                self.0.core.registration.descriptor(self.0.core.len)
            }

            /// Ends the registration and gives the buffer back.
            ///
            /// # Errors
            ///
            /// Gives the handle back if there are other parts of the region. A registration that
            /// cannot be closed keeps its buffer for good.
            #[doc(alias = "fi_close")]
            pub fn into_buffer(self) -> Result<B, CloseError<Self>> {
                self.0.into_buffer($region)
            }

            /// The C object, for calls that this crate does not wrap.
            #[must_use]
            pub fn as_raw(&self) -> *mut fid_mr {
                self.0.core.registration.as_ptr()
            }
        }

        impl<B, T: Threading> Deref for $region<B, T> {
            type Target = [u8];

            fn deref(&self) -> &[u8] {
                self.0.bytes()
            }
        }

        impl<B, T: Threading> AsRef<[u8]> for $region<B, T> {
            fn as_ref(&self) -> &[u8] {
                self.0.bytes()
            }
        }

        // SAFETY: the bytes are the buffer's, which the core keeps where it is and alive; nobody
        // writes to them meanwhile, see the module. The descriptor is that of an open region.
        unsafe impl<B: Buf, T: Threading> Buf for $region<B, T> {
            #[inline]
            fn segments(&self, list: &mut Segments) {
                self.0.list(list);
            }
        }

        impl<B, T: Threading> fmt::Debug for $region<B, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.debug(stringify!($region), f)
            }
        }
    )*};
}

regions! { MemoryRegion FrozenRegion }

impl<B, T: Threading> DerefMut for MemoryRegion<B, T> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: initialised and kept by the core; it came from `BufMut::segments_mut`, and this
        // handle alone has these bytes.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr(), self.0.len) }
    }
}

impl<B, T: Threading> AsMut<[u8]> for MemoryRegion<B, T> {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: as for `Buf`; this handle alone has these bytes, which the buffer owns exclusively.
unsafe impl<B: BufMut, T: Threading> BufMut for MemoryRegion<B, T> {
    #[inline]
    fn segments_mut(&mut self, list: &mut Segments) {
        self.0.list(list);
    }
}

#[cfg(test)]
mod demands;

#[cfg(test)]
mod tests {
    use super::*;

    // rule: W11
    #[test]
    fn shared_regions_go_anywhere() {
        fn anywhere<X: Send + Sync>() {}
        anywhere::<MemoryRegion<Vec<u8>>>();
        anywhere::<FrozenRegion<&'static [u8]>>();
    }
}
