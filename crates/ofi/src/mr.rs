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
    ffi::c_void,
    fmt,
    mem::ManuallyDrop,
    ops::{Bound, Deref, DerefMut, RangeBounds},
    ptr::NonNull,
    sync::Arc,
};

use ofi_sys::fid_mr;

mod exposed;
mod keys;
mod remote;

pub use exposed::{ExposedRegion, RegionBuilder, RegionSlice};
pub(crate) use keys::Keys;
pub use remote::{RemoteRegion, RemoteSlice};

use crate::{
    Access, Buf, BufMut, Domain, Errno, Error, Failed, MrMode, Result, Segments,
    domain::DomainCore,
    error::{Needs, check},
    object::{CloseError, Owned, refuse_fork},
    threading::{Lock, Shared, Threading},
};

/// The rights that a registration can have: what is done here, nothing that peers do.
const LOCAL: Access = Access::SEND
    .union(Access::RECV)
    .union(Access::READ)
    .union(Access::WRITE)
    .union(Access::COLLECTIVE);

/// Registered memory, owned alone: sent from, received into, and read and written as bytes in
/// between.
///
/// As an operation's buffer it brings its descriptor along, on endpoints of its domain and within
/// its [`Access`]; on an endpoint of another domain it is refused. [`split_off`](Self::split_off)
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
    fid: Owned<fid_mr, T>,
    /// Taken out when the registration has ended; never looked at before.
    buffer: Option<ManuallyDrop<B>>,
    base: NonNull<u8>,
    desc: *mut c_void,
    key: u64,
    /// What the domain's allocator gave, where the key is ours to choose.
    requested: Option<u64>,
    access: Access,
    domain: Arc<DomainCore<T>>,
}

// SAFETY: parts reach bytes that are theirs, or that nobody writes; the last one drops the buffer
// on whatever thread it is, and the buffer is `Send`. Everything else may be used on any thread
// under `Shared` (rule W10).
unsafe impl<B: Send> Send for RegionCore<B, Shared> {}
// SAFETY: as above; the buffer itself is never reached through a shared reference.
unsafe impl<B: Send> Sync for RegionCore<B, Shared> {}

impl<T: Threading> Domain<T> {
    /// Registers `buffer` for these uses: `SEND`, `RECV`, `COLLECTIVE`, and as the local side of remote
    /// reads and writes `READ`, `WRITE`. The region owns it from here on.
    ///
    /// The buffer is one contiguous piece of at least one byte (rule M14). Any number of regions
    /// can be registered; keys are chosen by the domain (rule M7).
    ///
    /// # Errors
    ///
    /// With the buffer: `Invalid` for an empty or scattered buffer or no right at all;
    /// `Unsupported` for rights of peers, and where the provider registers nothing; what the
    /// provider says.
    #[doc(alias = "fi_mr_reg")]
    #[doc(alias = "fi_mr_desc")]
    pub fn register<B: BufMut>(
        &self,
        mut buffer: B,
        access: Access,
    ) -> Result<MemoryRegion<B, T>, Failed<B>> {
        let mut list = Segments::new();
        buffer.segments_mut(&mut list);
        Part::register(self, buffer, &list, access).map(MemoryRegion)
    }

    /// Registers memory that is only read from: `SEND`, as what is given to a `COLLECTIVE`, and, as the
    /// local source of remote writes, `WRITE`. Others may hold the same memory, and more than one region may stand on it.
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
        let writes = access & (Access::RECV | Access::READ);
        if !writes.is_empty() {
            let error = Error::invalid(NAME, format!("{writes} would write into read-only memory"));
            return Err(Failed::back(error, buffer));
        }
        let mut list = Segments::new();
        buffer.segments(&mut list);
        Part::register(self, buffer, &list, access).map(FrozenRegion)
    }
}

const NAME: &str = "fi_mr_reg";

impl<B, T: Threading> Part<B, T> {
    /// `list` is what the buffer said; the caller has not touched the buffer since.
    fn register(
        domain: &Domain<T>,
        buffer: B,
        list: &Segments,
        access: Access,
    ) -> Result<Self, Failed<B>> {
        match Registered::new(domain, list, access) {
            Ok(registered) => Ok(Part {
                start: 0,
                len: registered.len,
                core: Arc::new(RegionCore {
                    fid: registered.fid,
                    buffer: Some(ManuallyDrop::new(buffer)),
                    base: registered.base,
                    desc: registered.desc,
                    key: registered.key,
                    requested: registered.requested,
                    access,
                    domain: Arc::clone(&domain.0),
                }),
            }),
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
        let core = &*self.core;
        if core.access.contains(list.access()) {
            let domain = Arc::as_ptr(&core.domain).cast();
            list.push_region(self.as_ptr(), self.len, core.desc, domain);
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
        Some(self.core.key).filter(|key| *key != ofi_sys::FI_KEY_NOTAVAIL)
    }

    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("start", &self.start)
            .field("len", &self.len)
            .field("access", &self.core.access)
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

/// What libfabric made of a segment.
struct Registered<T: Threading> {
    fid: Owned<fid_mr, T>,
    base: NonNull<u8>,
    len: usize,
    desc: *mut c_void,
    key: u64,
    requested: Option<u64>,
}

impl<T: Threading> Registered<T> {
    fn new(domain: &Domain<T>, list: &Segments, access: Access) -> Result<Self> {
        refuse_fork(NAME)?;
        let remote = access.difference(LOCAL);
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
        let (base, len) = list.one_piece(NAME)?;
        let (fid, requested) = open(&domain.0, base, len, access)?;
        // SAFETY: the region is open.
        let (desc, key) =
            unsafe { (ofi_sys::fi_mr_desc(fid.as_ptr()), ofi_sys::fi_mr_key(fid.as_ptr())) };
        Ok(Registered { fid, base, len, desc, key, requested })
    }
}

/// Registers memory that the caller keeps until the region is closed.
fn open<T: Threading>(
    domain: &Arc<DomainCore<T>>,
    base: NonNull<u8>,
    len: usize,
    access: Access,
) -> Result<(Owned<fid_mr, T>, Option<u64>)> {
    with_key(domain, |key, fid| {
        // SAFETY: the domain is open; the memory is the caller's, who keeps it; `fid` receives the
        // region.
        unsafe {
            let (base, none) = (base.as_ptr().cast_const().cast(), std::ptr::null_mut());
            ofi_sys::fi_mr_reg(domain.as_ptr(), base, len, access.raw(), 0, key, 0, fid, none)
        }
    })
}

/// Makes a region, with a key of our own choice where the provider makes none (rule M7).
fn with_key<T: Threading>(
    domain: &Arc<DomainCore<T>>,
    mut register: impl FnMut(u64, *mut *mut fid_mr) -> i32,
) -> Result<(Owned<fid_mr, T>, Option<u64>)> {
    /// Keys that the provider itself, or calls through `as_raw`, hold already.
    const TAKEN: usize = 1024;
    let chosen = domain.info.domain().mr_mode().contains(MrMode::PROV_KEY);
    for _ in 0..TAKEN {
        let requested = match chosen {
            true => None,
            false => Some(domain.keys.lock().take().ok_or_else(|| {
                Error::from_errno(Errno::ENOKEY, NAME).detail("all keys of the domain are in use")
            })?),
        };
        let mut fid = std::ptr::null_mut();
        let status = register(requested.unwrap_or(0), &raw mut fid);
        match check(i64::from(status), NAME) {
            // SAFETY: the call succeeded, so the region is open and nobody else's.
            Ok(_) => return Ok((unsafe { Owned::new(fid, NAME)? }, requested)),
            Err(error) => {
                // A key that somebody else holds stays out of use.
                if !chosen && error.errno() == Some(Errno::ENOKEY) {
                    continue;
                }
                if let Some(key) = requested {
                    domain.keys.lock().release(key);
                }
                return Err(error.absent(Needs::Property("memory registration")));
            }
        }
    }
    Err(Error::from_errno(Errno::ENOKEY, NAME).detail(format!("{TAKEN} keys were refused")))
}

impl<B, T: Threading> RegionCore<B, T> {
    /// Closes the registration and takes the buffer out. If the close fails, the buffer is leaked:
    /// the device may know the memory still.
    fn end(&mut self) -> Result<B> {
        let buffer = self.buffer.take().ok_or_else(|| Error::closed(NAME))?;
        self.fid.close()?;
        if let Some(key) = self.requested {
            self.domain.keys.lock().release(key);
        }
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
                self.0.core.access
            }

            /// The key that the domain knows it by. `None` where it is longer than 64 bits.
            #[doc(alias = "fi_mr_key")]
            #[must_use]
            pub fn key(&self) -> Option<u64> {
                self.0.key()
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
                self.0.core.fid.as_ptr()
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
