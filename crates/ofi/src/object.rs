//! Owning handles to libfabric's objects, and what happens to them after a fork.

use std::{
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use ofi_sys::fid;

use crate::{Errno, Error, ErrorKind, Result, error::check, threading::Shared};

/// C structures that begin with a `struct fid`.
///
/// # Safety
///
/// The first member is a `struct fid`.
pub(crate) unsafe trait Fid {
    const NAME: &'static str;
}

macro_rules! fids {
    ($($ty:ident = $name:literal;)*) => {$(
        // SAFETY: its first member is `fid`, see libfabric's header.
        unsafe impl Fid for ofi_sys::$ty {
            const NAME: &'static str = $name;
        }
    )*};
}

fids! {
    fid_fabric = "fabric";
    fid_domain = "domain";
    fid_ep = "endpoint";
    fid_stx = "shared transmit context";
    fid_pep = "passive endpoint";
    fid_av = "address vector";
    fid_av_set = "address set";
    fid_cq = "completion queue";
    fid_eq = "event queue";
    fid_cntr = "counter";
    fid_mr = "memory region";
    fid_poll = "poll set";
    fid_mc = "group";
    fid_wait = "wait set";
}

/// An open object. Closed once: by [`Owned::close`], or when dropped; never tried again (rule L2).
///
/// A failed close is logged and leaks, which is safe; the same in the child of a fork (rule L13).
#[derive(Debug)]
pub(crate) struct Owned<F: Fid, T = Shared> {
    fid: NonNull<F>,
    closed: AtomicBool,
    threading: PhantomData<T>,
}

// SAFETY: libfabric's objects may be used and closed on any thread under FI_THREAD_SAFE, which is
// what a domain of `Shared` objects was opened with (rule W10); fabrics always may.
unsafe impl<F: Fid> Send for Owned<F, Shared> {}
// SAFETY: as above.
unsafe impl<F: Fid> Sync for Owned<F, Shared> {}

impl<F: Fid, T> Owned<F, T> {
    /// Takes over what an open call left in `fid`.
    ///
    /// # Safety
    ///
    /// `fid` is a newly opened object that nobody else closes.
    pub(crate) unsafe fn new(fid: *mut F, attempted: &'static str) -> Result<Owned<F, T>> {
        let fid = NonNull::new(fid)
            .ok_or_else(|| Error::new(ErrorKind::Failed, attempted).detail("it left no object"))?;
        Ok(Owned { fid, closed: AtomicBool::new(false), threading: PhantomData })
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut F {
        self.fid.as_ptr()
    }

    pub(crate) fn as_nonnull(&self) -> NonNull<F> {
        self.fid
    }

    pub(crate) fn as_fid(&self) -> *mut fid {
        self.fid.as_ptr().cast()
    }

    /// Closes it now, unless it is closed.
    ///
    /// The object must not be used afterwards: its owner sees to that.
    pub(crate) fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if forked() {
            return Err(Error::new(ErrorKind::Forked, "fi_close"));
        }
        // SAFETY: open until now, `closed` was just set by us alone; F begins with a fid.
        let status = unsafe { ofi_sys::fi_close(self.as_fid()) };
        check(i64::from(status), "fi_close").map(drop).inspect_err(|error| {
            LEAKED_OBJECTS.fetch_add(1, Ordering::Relaxed);
            report(F::NAME, error);
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Passes the object on: from here on another owner closes it.
    pub(crate) fn pass_on(&mut self) -> Owned<F, T> {
        let closed = AtomicBool::new(self.closed.swap(true, Ordering::AcqRel));
        Owned { fid: self.fid, closed, threading: PhantomData }
    }

    /// Leaves it open for good.
    pub(crate) fn leak(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            LEAKED_OBJECTS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<F: Fid, T> Drop for Owned<F, T> {
    fn drop(&mut self) {
        // Already logged; there is nobody to tell.
        let _ = self.close();
    }
}

/// Why an object was not closed by its `close`.
pub enum CloseError<H> {
    /// Other handles, or objects made on it, keep it open. Here is the handle.
    InUse(H),
    /// libfabric's close failed: the object is gone for this process, and leaked.
    Failed(Error),
}

impl<H> CloseError<H> {
    /// Closes the object behind `handle` if this is the last one.
    pub(crate) fn close<C>(
        handle: Arc<C>,
        again: impl FnOnce(Arc<C>) -> H,
        close: impl FnOnce(&C) -> Result<()>,
    ) -> Result<(), CloseError<H>> {
        match Arc::try_unwrap(handle) {
            Ok(core) => close(&core).map_err(CloseError::Failed),
            Err(handle) => Err(CloseError::InUse(again(handle))),
        }
    }
}

impl<H> fmt::Debug for CloseError<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseError::InUse(_) => f.write_str("InUse"),
            CloseError::Failed(error) => write!(f, "Failed({error})"),
        }
    }
}

impl<H> fmt::Display for CloseError<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseError::InUse(_) => f.write_str("not closed: other handles or objects use it"),
            CloseError::Failed(error) => error.fmt(f),
        }
    }
}

impl<H> std::error::Error for CloseError<H> {}

impl<H> From<CloseError<H>> for Error {
    /// The handle of what is in use is dropped: it closes with the last one.
    fn from(error: CloseError<H>) -> Error {
        match error {
            CloseError::InUse(_) => Error::from_errno(Errno::EBUSY, "fi_close")
                .detail("not closed: other handles or objects use it"),
            CloseError::Failed(error) => error,
        }
    }
}

/// Tells of something that has no caller to tell.
pub(crate) fn report(object: &str, error: &Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "ofi", object, %error, "not released");
    #[cfg(not(feature = "tracing"))]
    let _ = (object, error);
}

static LEAKED_OBJECTS: AtomicU64 = AtomicU64::new(0);
static LEAKED_OPERATIONS: AtomicU64 = AtomicU64::new(0);
static FORKED: AtomicBool = AtomicBool::new(false);

/// What was leaked on purpose since the process started, because freeing it was not safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaked {
    /// Objects that could not be closed, or would have crashed.
    pub objects: u64,
    /// Operations whose buffers the provider may still touch.
    pub operations: u64,
}

/// What was leaked on purpose since the process started: an operation that could not be ended
/// before its endpoint had to go, an object whose close failed.
#[must_use]
pub fn leaked() -> Leaked {
    Leaked {
        objects: LEAKED_OBJECTS.load(Ordering::Relaxed),
        operations: LEAKED_OPERATIONS.load(Ordering::Relaxed),
    }
}

pub(crate) fn count_leaked_operations(count: usize) {
    LEAKED_OPERATIONS.fetch_add(count as u64, Ordering::Relaxed);
}

/// Whether this process is the child of a fork made after the first object was opened (rule L13).
pub(crate) fn forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Fails in the child of a fork; called by everything that opens an object.
pub(crate) fn refuse_fork(attempted: &'static str) -> Result<()> {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        extern "C" fn in_child() {
            FORKED.store(true, Ordering::Relaxed);
        }
        // SAFETY: the handler only stores to an atomic, which is allowed in a forked child.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    if forked() { Err(Error::new(ErrorKind::Forked, attempted)) } else { Ok(()) }
}
