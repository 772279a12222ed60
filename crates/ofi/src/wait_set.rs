//! Wait sets: one wait object for many queues.
//!
//! Deprecated by libfabric since 2.0. `fi_wait` is not called: where the set yields it has no timeout,
//! and it looks at endpoints while others close them. What waits here is this crate's own loop over the
//! set's descriptor, where it has one, with a look at each queue before it sleeps.
//!
//! # Safety
//!
//! Every queue that was opened with a set holds it, so that the set closes last. `fi_trywait` walks the
//! endpoints of all of these queues, which is why their readers are held for it: nobody opens or closes
//! an endpoint on them meanwhile.

#![expect(deprecated, reason = "libfabric marks the whole of it so")]

use std::{
    fmt,
    os::fd::{BorrowedFd, RawFd},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ofi_sys::fid_wait;

use crate::{
    Error, ErrorKind, Fabric, Result, WaitObject,
    abi::Roomy,
    cq::CqCore,
    eq::EqCore,
    error::{Needs, check},
    fabric::FabricCore,
    object::{CloseError, Owned, forked, refuse_fork},
    quirks::{Defect, quirk},
    threading::{Lock, Shared, Threading},
    wait::{self, Parkers, Source},
};

/// One wait object for completion queues and event queues that are opened with it.
///
/// **Deprecated** by libfabric since 2.0; it still works there. Queues have descriptors of their own,
/// which poll(2) takes as many of as one likes.
///
/// A clone is another handle. It closes with its last handle and the last queue opened with it.
///
/// See `fi_poll(3)`.
#[doc(alias = "fid_wait")]
pub struct WaitSet<T: Threading = Shared>(pub(crate) Arc<WaitCore<T>>);

impl<T: Threading> Clone for WaitSet<T> {
    fn clone(&self) -> Self {
        WaitSet(Arc::clone(&self.0))
    }
}

pub(crate) struct WaitCore<T: Threading> {
    // Closed first: fields are dropped in order.
    fid: Owned<fid_wait, T>,
    fd: Option<RawFd>,
    /// The descriptor can be waited on no more (quirk 12).
    fd_lost: AtomicBool,
    members: T::Lock<Members<T>>,
    parkers: Parkers,
    pub(crate) fabric: Arc<FabricCore>,
}

struct Members<T: Threading> {
    completions: Vec<Weak<CqCore<T>>>,
    events: Vec<Weak<EqCore<T>>>,
}

impl Fabric {
    /// Opens a wait set: with `WaitObject::Fd` it has a descriptor, with `WaitObject::Yield` none, and
    /// `WaitObject::Unspec` leaves it to the provider. **Deprecated** by libfabric since 2.0.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the provider has no such wait sets, or none that can be used (quirk 31);
    /// `Invalid` for another wait object; what the provider says.
    #[doc(alias = "fi_wait_open")]
    pub fn wait_set<T: Threading>(&self, object: WaitObject) -> Result<WaitSet<T>> {
        const NAME: &str = "fi_wait_open";
        refuse_fork(NAME)?;
        let sets = || Needs::Property("wait sets of this kind");
        if !matches!(object, WaitObject::Unspec | WaitObject::Fd | WaitObject::Yield) {
            // A mutex is sockets' alone, and unlocked where it must not be.
            return Err(Error::invalid(NAME, format!("a wait set has no {object}")));
        }
        if let Some(quirk) = quirk(self.0.provider(), Defect::WaitSetFills) {
            return Err(Error::unsupported(NAME, sets())
                .detail(format!("{} (defect #{})", quirk.text, quirk.id)));
        }
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_wait_attr>::zeroed() };
        attr.as_mut().wait_obj = object.raw();
        let mut fid = std::ptr::null_mut();
        // SAFETY: the fabric is open, the attributes are whole, `fid` receives the set.
        let status = unsafe { ofi_sys::fi_wait_open(self.0.as_ptr(), attr.as_ptr(), &raw mut fid) };
        check(i64::from(status), NAME).map_err(|error| match status {
            // What the provider's own check of the object says.
            status if status == -ofi_sys::FI_EINVAL => Error::unsupported(NAME, sets()),
            _ => error.absent(sets()),
        })?;
        // SAFETY: fi_wait_open succeeded.
        let fid: Owned<_, T> = unsafe { Owned::new(fid, NAME)? };
        let mut fd: RawFd = -1;
        let has = object == WaitObject::Fd && {
            // SAFETY: the set is open and was opened with FI_WAIT_FD, so the command writes one int.
            let status = unsafe {
                ofi_sys::fi_control(fid.as_fid(), ofi_sys::FI_GETWAIT, (&raw mut fd).cast())
            };
            status == 0 && fd >= 0
        };
        Ok(WaitSet(Arc::new(WaitCore {
            fid,
            fd: has.then_some(fd),
            fd_lost: AtomicBool::new(false),
            members: T::Lock::new(Members { completions: Vec::new(), events: Vec::new() }),
            parkers: Parkers::default(),
            fabric: Arc::clone(&self.0),
        })))
    }
}

impl<T: Threading> WaitSet<T> {
    /// Blocks until one of the queues has something to be read, [`signal`](Self::signal) was called
    /// (both `true`), or `timeout` has passed (`false`). Reads nothing.
    ///
    /// # Errors
    ///
    /// `Forked` in the child of a fork.
    #[doc(alias = "fi_wait")]
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        if forked() {
            return Err(Error::new(ErrorKind::Forked, "fi_wait"));
        }
        let core = &*self.0;
        let signals = core.parkers.signals();
        Ok(wait::park_until(
            &[core],
            &mut |_| core.has_news() || core.parkers.signals() != signals,
            Instant::now().checked_add(timeout),
        ))
    }

    /// Wakes every thread that blocks in [`wait`](Self::wait).
    pub fn signal(&self) {
        self.0.parkers.signal();
    }

    /// The descriptor that becomes readable when one of the queues may have something, where the set
    /// was opened for one. Only meaningful after [`try_wait`](Self::try_wait) said `true`.
    #[doc(alias = "FI_GETWAIT")]
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor belongs to the set, which stays open while it is borrowed.
        self.0.fd.map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Whether it is safe to sleep on [`fd`](Self::fd) now (rule W2): `false` means read the queues
    /// first. On some providers it is `false` for good once an endpoint has closed (quirk 12).
    #[doc(alias = "fi_trywait")]
    #[must_use]
    pub fn try_wait(&self) -> bool {
        !forked() && self.0.may_park()
    }

    /// Closes the set now.
    ///
    /// # Errors
    ///
    /// Gives the handle back if others hold the set, or queues were opened with it.
    pub fn close(self) -> Result<(), CloseError<WaitSet<T>>> {
        CloseError::close(self.0, WaitSet, |core| core.fid.close())
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_wait {
        self.0.fid.as_ptr()
    }
}

impl<T: Threading> WaitCore<T> {
    pub(crate) fn as_ptr(&self) -> *mut fid_wait {
        self.fid.as_ptr()
    }

    pub(crate) fn enter_completions(&self, queue: &Arc<CqCore<T>>) {
        let completions = &mut self.members.lock().completions;
        completions.retain(|other| other.strong_count() > 0);
        completions.push(Arc::downgrade(queue));
    }

    pub(crate) fn enter_events(&self, queue: &Arc<EqCore<T>>) {
        let events = &mut self.members.lock().events;
        events.retain(|other| other.strong_count() > 0);
        events.push(Arc::downgrade(queue));
    }

    /// The descriptor is not to be waited on any more. The caller holds the reader of a queue in it.
    pub(crate) fn lose_fd(&self) {
        self.fd_lost.store(true, Ordering::Release);
    }

    /// The queues, outside the lock.
    #[expect(clippy::type_complexity, reason = "two lists")]
    fn queues(&self) -> (Vec<Arc<CqCore<T>>>, Vec<Arc<EqCore<T>>>) {
        let members = self.members.lock();
        (
            members.completions.iter().filter_map(Weak::upgrade).collect(),
            members.events.iter().filter_map(Weak::upgrade).collect(),
        )
    }

    /// Drives the queues, and looks whether one has something.
    fn has_news(&self) -> bool {
        let (completions, events) = self.queues();
        // All of them are driven, whatever the first one says.
        let completions = completions.iter().filter(|queue| queue.has_news()).count();
        completions + events.iter().filter(|queue| queue.has_news()).count() > 0
    }
}

impl<T: Threading> Source for WaitCore<T> {
    fn drive(&self) -> usize {
        0
    }

    fn fd(&self) -> Option<RawFd> {
        self.fd.filter(|_| !self.fd_lost.load(Ordering::Acquire))
    }

    fn may_park(&self) -> bool {
        if self.fd.is_none() {
            return false;
        }
        let (completions, events) = self.queues();
        // Whoever closes an endpoint, or a queue, holds one of these. Nobody waits for two here.
        let events: Option<Vec<_>> = events.iter().map(|queue| queue.try_hold()).collect();
        let readers: Option<Vec<_>> = completions.iter().map(|queue| queue.try_hold()).collect();
        if events.is_none() || readers.is_none() || self.fd_lost.load(Ordering::Acquire) {
            return false;
        }
        let mut fid = self.fid.as_fid();
        // SAFETY: fabric and set are open, the set has a descriptor; the array has one entry (rule W2).
        // No endpoint of its queues opens or closes while their readers are held, and where the provider
        // goes on looking into closed ones, that was noted under such a lock.
        unsafe { ofi_sys::fi_trywait(self.fabric.as_ptr(), &raw mut fid, 1) == 0 }
    }

    fn park_limit(&self) -> Duration {
        let (completions, events) = self.queues();
        let limits = completions.iter().map(|queue| queue.park_limit());
        let limits = limits.chain(events.iter().map(|queue| queue.park_limit()));
        limits.min().unwrap_or(Duration::MAX)
    }

    fn parkers(&self) -> &Parkers {
        &self.parkers
    }
}

impl<T: Threading> fmt::Debug for WaitSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitSet")
            .field("fid", &self.0.fid)
            .field("fd", &self.0.fd)
            .finish_non_exhaustive()
    }
}
