//! Making a registration: what is asked for, what the domain's `mr_mode` asks for, in one place.
//!
//! A region that is only half made (bound and not enabled, say) is closed again; what is returned may
//! be used at once.

use std::{
    ffi::c_void,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use libc::iovec;
use ofi_sys::fid_mr;

use super::{
    Descriptor, NAME,
    bound::{self, BoundRegions, Fid},
    remote::RawKey,
};
use crate::{
    Access, Errno, Error, MrFlags, MrMode, Result, Version,
    abi::Roomy,
    counter::CounterCore,
    domain::DomainCore,
    endpoint::Core,
    error::{Needs, check},
    memory::Place,
    object::{Owned, refuse_fork},
    quirks::{Defect, quirk},
    threading::{Lock, Shared, Threading},
};

/// What peers do.
pub(super) const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);

/// What a registration is asked to be.
pub(crate) struct Request<'a, T: Threading> {
    pub(super) domain: &'a Arc<DomainCore<T>>,
    /// The memory, in this order.
    pub(super) pieces: &'a [iovec],
    pub(super) place: Place,
    pub(super) access: Access,
    /// Beyond those of `place`.
    pub(super) flags: MrFlags,
    /// The key that is wanted.
    pub(super) key: Option<u64>,
    pub(super) page_size: usize,
    /// The region that this is a part of.
    pub(super) base: Option<&'a Registration<T>>,
    /// How many parts it will have, about.
    pub(super) parts: usize,
    pub(super) endpoint: Option<&'a Core<T>>,
    /// Counters and what they count.
    pub(super) counters: &'a [(Arc<CounterCore<T>>, u64)],
    /// Whether the memory may be written to here, as far as pages are concerned.
    pub(super) writable: bool,
}

/// A registration, in use. It ends once: [`close`](Self::close), or drop.
///
/// The memory is not its own: who holds it keeps that until `close` has returned `Ok`.
pub(crate) struct Registration<T: Threading> {
    fid: Arc<Fid<T>>,
    bound: Option<Arc<BoundRegions<T>>>,
    pub(crate) desc: *mut c_void,
    pub(super) key: u64,
    pub(super) raw: Option<RawKey>,
    /// What the domain's allocator gave, where the key is ours to choose.
    requested: Option<u64>,
    pub(crate) access: Access,
    /// BoundRegions to it, so open for as long as it is.
    counters: Vec<Arc<CounterCore<T>>>,
    ended: AtomicBool,
    pub(super) domain: Arc<DomainCore<T>>,
}

// SAFETY: nothing in it is changed but the fid, which may be closed on any thread under `Shared`
// (rule W10); the descriptor is the provider's and only passed on.
unsafe impl Send for Registration<Shared> {}
// SAFETY: as above.
unsafe impl Sync for Registration<Shared> {}

impl<'a, T: Threading> Request<'a, T> {
    /// Memory of the host, for these uses, and nothing else.
    pub(crate) fn new(
        domain: &'a Arc<DomainCore<T>>,
        pieces: &'a [iovec],
        access: Access,
    ) -> Request<'a, T> {
        Request {
            domain,
            pieces,
            place: Place::default(),
            access,
            flags: MrFlags::empty(),
            key: None,
            page_size: 0,
            base: None,
            parts: 0,
            endpoint: None,
            counters: &[],
            writable: true,
        }
    }

    /// Registers the memory and does all that the domain wants done before it is used.
    ///
    /// # Safety
    ///
    /// The pieces, and what `place` says of them, stay as they are until the registration has ended;
    /// so does the region `base`, which they are within.
    pub(crate) unsafe fn open(self) -> Result<Registration<T>> {
        refuse_fork(NAME)?;
        self.check()?;
        let mode = self.domain.mr_mode;
        if mode.intersects(MrMode::ALLOCATED | MrMode::MMU_NOTIFY) && self.place.is_host() {
            // SAFETY: memory of the host, the caller's.
            unsafe { populate(self.pieces, self.writable) };
        }
        let flags = self.flags | self.place.flags | self.event_flag();
        // SAFETY: the caller's promise.
        let (fid, requested) = unsafe { self.register(flags)? };
        let fid = Arc::new(Fid::new(fid));
        let bound = self.endpoint.filter(|_| mode.contains(MrMode::ENDPOINT));
        // From here on it closes if anything fails.
        let mut made = Registration {
            fid,
            bound: bound.map(|endpoint| Arc::clone(endpoint.bound())),
            desc: std::ptr::null_mut(),
            key: ofi_sys::FI_KEY_NOTAVAIL,
            raw: None,
            requested,
            access: self.access,
            counters: self.counters.iter().map(|(counter, _)| Arc::clone(counter)).collect(),
            ended: AtomicBool::new(false),
            domain: Arc::clone(self.domain),
        };
        let mr = made.fid.as_ptr();
        if let Some(endpoint) = bound {
            // SAFETY: the region is open; the endpoint is borrowed, so it is, too.
            let bind = || done(unsafe { ofi_sys::fi_mr_bind(mr, endpoint.fid.as_fid(), 0) }, BIND);
            endpoint.bound().add(&made.fid, bind)?;
        }
        for (counter, classes) in self.counters {
            // SAFETY: both are open.
            done(unsafe { ofi_sys::fi_mr_bind(mr, counter.raw(), *classes) }, BIND)
                .map_err(|error| error.absent(Needs::Property("counters of regions")))?;
        }
        // Those two are made disabled, and enabled when all is bound (rules M9, M10).
        let events = mode.contains(MrMode::RMA_EVENT) && flags.contains(MrFlags::RMA_EVENT);
        if bound.is_some() || events {
            // SAFETY: the region is open, and has all that it will be bound to.
            done(unsafe { ofi_sys::fi_mr_enable(mr) }, "fi_mr_enable")?;
        }
        if mode.contains(MrMode::MMU_NOTIFY) {
            // The pages are there: see `populate` (rule M11).
            // SAFETY: the region is open, and nobody uses it yet.
            let status = unsafe { ofi_sys::fi_mr_refresh(mr, std::ptr::null(), 0, 0) };
            done(status, "fi_mr_refresh")?;
        }
        // SAFETY: the region is open and its registration is complete.
        (made.desc, made.key) = unsafe { (ofi_sys::fi_mr_desc(mr), ofi_sys::fi_mr_key(mr)) };
        if mode.contains(MrMode::RAW) && self.access.intersects(REMOTE) {
            made.raw = Some(made.read_raw_key()?);
        }
        Ok(made)
    }

    /// Without it no counter may be bound, where the provider tells such regions from others.
    fn event_flag(&self) -> MrFlags {
        if self.counters.is_empty() { MrFlags::empty() } else { MrFlags::RMA_EVENT }
    }

    /// What must hold before libfabric is asked.
    fn check(&self) -> Result<()> {
        let info = &self.domain.info;
        let invalid = |what: &str| Err(Error::invalid(NAME, what));
        let mut bytes = 0_usize;
        for piece in self.pieces {
            match bytes.checked_add(piece.iov_len) {
                Some(sum) if piece.iov_len > 0 => bytes = sum,
                _ => return invalid("a piece without a byte, or too many bytes"),
            }
        }
        if self.pieces.is_empty() || self.access.is_empty() {
            return invalid("no byte, or no use of it, was named");
        }
        let limit = info.domain().mr_iov_limit().max(1);
        if self.pieces.len() > limit {
            return Err(Error::new(crate::ErrorKind::TooLarge { limit }, NAME)
                .detail(format!("{} pieces of memory in one region", self.pieces.len()))
                .hint("register them one by one"));
        }
        self.check_access()?;
        self.check_newer()?;
        self.check_key()?;
        let granted = |cap: u64| info.caps().raw() & cap != 0;
        if self.place.needs_hmem() && !granted(ofi_sys::FI_HMEM) {
            return Err(Error::unsupported(NAME, Needs::Capability("FI_HMEM"))
                .hint("memory of devices: ask for the capability in the hints"));
        }
        let events = !self.counters.is_empty() || self.flags.contains(MrFlags::RMA_EVENT);
        if events && !granted(ofi_sys::FI_RMA_EVENT) {
            return Err(Error::unsupported(NAME, Needs::Capability("FI_RMA_EVENT"))
                .hint("counting what peers do: ask for the capability in the hints"));
        }
        if !self.counters.iter().all(|(counter, _)| counter.on(self.domain)) {
            return invalid("the counter is of another domain");
        }
        match self.endpoint {
            Some(endpoint) if endpoint.domain() != Arc::as_ptr(self.domain).cast() => {
                invalid("the endpoint is of another domain")
            }
            None if self.domain.mr_mode.contains(MrMode::ENDPOINT) => {
                Err(Error::unsupported(NAME, Needs::Property("an endpoint to bind the region to"))
                    .detail("the domain has FI_MR_ENDPOINT")
                    .hint("register on the endpoint, or name it to the builder"))
            }
            _ => Ok(()),
        }
    }

    fn check_access(&self) -> Result<()> {
        let info = &self.domain.info;
        let granted = |caps: u64| info.caps().raw() & caps != 0;
        let remote = self.access & REMOTE;
        if !remote.is_empty() && !granted(ofi_sys::FI_RMA | ofi_sys::FI_ATOMIC) {
            return Err(Error::unsupported(NAME, Needs::Capability("FI_RMA"))
                .hint("ask for the capability in the hints"));
        }
        if !remote.is_empty() && self.pieces.len() > 1 {
            if let Some(quirk) = quirk(info.provider(), Defect::OnlyFirstPiece) {
                return Err(Error::unsupported(NAME, Needs::Property("regions of several pieces"))
                    .detail(format!("{} (defect #{})", quirk.text, quirk.id))
                    .hint("expose the pieces one by one"));
            }
        }
        if self.access.contains(Access::COLLECTIVE) {
            if !self.access.intersects(Access::SEND | Access::RECV) {
                return Err(Error::invalid(NAME, "FI_COLLECTIVE goes with FI_SEND or FI_RECV"));
            }
            if !granted(ofi_sys::FI_COLLECTIVE) {
                return Err(Error::unsupported(NAME, Needs::Capability("FI_COLLECTIVE"))
                    .hint("ask for the capability in the hints"));
            }
        }
        Ok(())
    }

    /// What the version that the fabric was opened with does not know, it must not be asked for.
    fn check_newer(&self) -> Result<()> {
        let mut needed = (self.flags | self.place.flags).since();
        if self.page_size != 0 {
            needed = needed.max(Version::new(1, 22));
        }
        if self.base.is_some() || self.parts != 0 {
            needed = needed.max(Version::new(2, 0));
        }
        if self.api() < needed {
            return Err(Error::unsupported(NAME, Needs::Version(needed)));
        }
        if self.base.is_some() && self.place.dmabuf.is_some() {
            return Err(Error::invalid(NAME, "a region of a dmabuf has no parts"));
        }
        Ok(())
    }

    /// The version that the fabric was opened with: it says how much of the attributes is read.
    fn api(&self) -> Version {
        // SAFETY: the fabric is open; its version is in every version's layout.
        Version::from_raw(unsafe { (*self.domain.fabric.as_ptr()).api_version })
    }

    fn check_key(&self) -> Result<()> {
        let Some(key) = self.key else { return Ok(()) };
        if self.domain.mr_mode.contains(MrMode::PROV_KEY) {
            return Err(Error::unsupported(NAME, Needs::Property("keys of one's own choice"))
                .detail("the domain has FI_MR_PROV_KEY"));
        }
        if !self.domain.keys.lock().fits(key) {
            let size = self.domain.info.domain().mr_key_size();
            return Err(Error::from_errno(Errno::EKEYREJECTED, NAME)
                .detail(format!("{key:#x} is no key of {size} bytes")));
        }
        Ok(())
    }

    /// Makes the region, with a key of our own choice where the provider makes none (rule M7).
    ///
    /// # Safety
    ///
    /// As [`open`](Self::open).
    unsafe fn register(&self, flags: MrFlags) -> Result<(Owned<fid_mr, T>, Option<u64>)> {
        /// Keys that the provider itself, or calls through `as_raw`, hold already.
        const TAKEN: usize = 1024;
        let dmabuf = self.place.dmabuf.map(|dmabuf| ofi_sys::fi_mr_dmabuf {
            fd: dmabuf.fd,
            offset: dmabuf.offset,
            len: dmabuf.len,
            base_addr: dmabuf.base.cast(),
        });
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_mr_attr>::zeroed() };
        let fields = attr.as_mut();
        match &dmabuf {
            Some(dmabuf) => fields.mem.dmabuf = dmabuf,
            None => fields.mem.mr_iov = self.pieces.as_ptr(),
        }
        fields.iov_count = self.pieces.len();
        fields.access = self.access.raw();
        (fields.iface, fields.device) = self.place.iface.raw(self.api());
        fields.page_size = self.page_size;
        fields.base_mr = self.base.map_or(std::ptr::null(), |base| base.fid.as_ptr().cast_const());
        fields.sub_mr_cnt = self.parts;
        let theirs = self.domain.mr_mode.contains(MrMode::PROV_KEY);
        for _ in 0..TAKEN {
            let requested = if theirs { None } else { Some(self.take_key()?) };
            attr.as_mut().requested_key = requested.unwrap_or(0);
            let mut fid = std::ptr::null_mut();
            let mr = &raw mut fid;
            // SAFETY: the domain is open; the attributes are whole, and what they point to lives
            // during the call; the memory stays, as the caller promises; `fid` receives the region.
            let status = unsafe {
                ofi_sys::fi_mr_regattr(self.domain.as_ptr(), attr.as_ptr(), flags.raw(), mr)
            };
            match check(i64::from(status), NAME) {
                // SAFETY: the call succeeded, so the region is open and nobody else's.
                Ok(_) => return Ok((unsafe { Owned::new(fid, NAME)? }, requested)),
                Err(error) => {
                    let taken = error.errno() == Some(Errno::ENOKEY);
                    // A key that somebody else holds stays out of use.
                    if !theirs && self.key.is_none() && taken {
                        continue;
                    }
                    if let Some(key) = requested {
                        self.domain.keys.lock().release(key);
                    }
                    return Err(if taken {
                        error
                    } else {
                        error.absent(Needs::Property("registration of such memory"))
                    });
                }
            }
        }
        Err(Error::from_errno(Errno::ENOKEY, NAME).detail(format!("{TAKEN} keys were refused")))
    }

    fn take_key(&self) -> Result<u64> {
        let full = |detail: &str| Error::from_errno(Errno::ENOKEY, NAME).detail(detail);
        let mut keys = self.domain.keys.lock();
        match self.key {
            None => keys.take().ok_or_else(|| full("all keys of the domain are in use")),
            Some(key) if keys.claim(key) => Ok(key),
            Some(_) => Err(full("another region of the domain has this key")),
        }
    }
}

const BIND: &str = "fi_mr_bind";

fn done(status: i32, attempted: &'static str) -> Result<()> {
    check(i64::from(status), attempted).map(drop)
}

/// Sees to it that pages are behind the memory before it is registered (rule M4).
///
/// # Safety
///
/// The pieces are memory of the host, initialised; `writable` if they may be written to, and then
/// nobody has a reference to them but the caller.
unsafe fn populate(pieces: &[iovec], writable: bool) {
    /// No page is smaller.
    const PAGE: usize = 4096;
    for piece in pieces {
        let start = piece.iov_base.cast::<u8>();
        let first = start.align_offset(PAGE).min(piece.iov_len);
        // The first byte, and the first of every page behind.
        let places = std::iter::once(0).chain((first..piece.iov_len).step_by(PAGE));
        for at in places {
            // SAFETY: within the piece, which the caller vouches for. Changes nothing, atomically, so
            // that what peers or others write meanwhile is kept.
            unsafe {
                let byte = start.add(at);
                if writable {
                    AtomicU8::from_ptr(byte).fetch_or(0, Ordering::Relaxed);
                } else {
                    byte.read_volatile();
                }
            }
        }
    }
}

impl<T: Threading> Registration<T> {
    /// The C object.
    pub(super) fn as_ptr(&self) -> *mut fid_mr {
        self.fid.as_ptr()
    }

    /// What tells where it may be used: its endpoint, or its domain.
    #[inline]
    pub(crate) fn scope(&self) -> *const () {
        match &self.bound {
            Some(bound) => Arc::as_ptr(bound).cast(),
            None => Arc::as_ptr(&self.domain).cast(),
        }
    }

    /// What can be said of its descriptor, which is good for `len` bytes.
    pub(super) fn descriptor(&self, len: usize) -> Descriptor<'_> {
        let provider = self.domain.info.provider();
        Descriptor { present: !self.desc.is_null(), provider, len }
    }

    /// The key, where it has 64 bits.
    pub(super) fn short_key(&self) -> Option<u64> {
        Some(self.key).filter(|key| *key != ofi_sys::FI_KEY_NOTAVAIL)
    }

    /// Ends it, once. An error if the device may know the memory still: it must stay for good.
    pub(crate) fn close(&self) -> Result<()> {
        let result = bound::close(&self.fid, self.bound.as_deref());
        if self.ended.swap(true, Ordering::AcqRel) {
            return result;
        }
        match (&result, self.requested) {
            (Ok(()), Some(key)) => self.domain.keys.lock().release(key),
            (Ok(()), None) => {}
            // They are bound to it still.
            (Err(_), _) => std::mem::forget(self.counters.clone()),
        }
        result
    }

    /// Tells the device that the pages behind some of it, or all, have changed.
    ///
    /// Nobody uses it meanwhile where the domain has `FI_MR_MMU_NOTIFY`; the caller sees to that.
    pub(super) fn refresh(&self, pieces: &[iovec]) -> Result<()> {
        const NAME: &str = "fi_mr_refresh";
        bound::while_open(&self.fid, self.bound.as_deref(), || {
            // SAFETY: the region is open; the pieces are within it.
            let status =
                unsafe { ofi_sys::fi_mr_refresh(self.as_ptr(), pieces.as_ptr(), pieces.len(), 0) };
            done(status, NAME)
                .map_err(|error| error.absent(Needs::Property("refreshing of regions")))
        })
    }

    /// The key in the provider's own form, and the address that goes with it (rule M8).
    fn read_raw_key(&self) -> Result<RawKey> {
        const NAME: &str = "fi_mr_raw_attr";
        let mut key = vec![0_u8; self.domain.info.domain().mr_key_size().clamp(8, RawKey::MOST)];
        for _ in 0..2 {
            let (mut base, mut size) = (0, key.len());
            // SAFETY: the region is open; `size` bytes may be written.
            let status = unsafe {
                ofi_sys::fi_mr_raw_attr(
                    self.as_ptr(),
                    &raw mut base,
                    key.as_mut_ptr(),
                    &raw mut size,
                    0,
                )
            };
            if status == -ofi_sys::FI_ETOOSMALL && (key.len()..=RawKey::MOST).contains(&size) {
                key.resize(size, 0);
                continue;
            }
            done(status, NAME)?;
            key.truncate(size);
            return Ok(RawKey { base, key: key.into() });
        }
        Err(Error::invalid(NAME, format!("the key is longer than {} bytes", RawKey::MOST)))
    }
}

impl<T: Threading> Drop for Registration<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.close();
    }
}
