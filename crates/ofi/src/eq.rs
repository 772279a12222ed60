//! Event queues: connection requests, connections made and ended, errors.
//!
//! As with completion queues, reading *is* dispatching: one reader at a time hands every event to
//! the mailbox of the object that it names, so that nobody can take another's. An event names its
//! object by the address of its fid alone, and addresses come back. So an object enters the queue's
//! list when it is made, and when it closes, the reader's lock is held from before `fi_close` until
//! every event that the queue had was read and the object struck off: a stale event never meets a
//! new object.
//!
//! # Safety
//!
//! The queue's fid is read under the reader's lock, which closing it takes, too.

use std::{
    collections::VecDeque,
    fmt,
    os::fd::{BorrowedFd, RawFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use ofi_sys::{fid_eq, fid_pep};

use crate::{
    AddressFormat, Error, Info, Result,
    cq::Deferred,
    endpoint::own_name,
    error::check,
    fabric::FabricCore,
    object::{CloseError, Owned},
    threading::{Lock, Shared, Threading},
    wait::{self, Parkers, Source},
    wait_set::WaitCore,
};

mod dispatch;
mod event;
pub(crate) mod mail;
mod open;

pub(crate) use dispatch::Reader;
pub use event::{Event, EventKind};
pub use open::EventQueueBuilder;

/// Events read at once.
const BATCH: usize = 64;

/// An event queue that hands each event to the object it names.
///
/// Connected and passive endpoints are made with one. A clone is another handle to the same queue.
/// It closes with its last handle and the last object bound to it.
///
/// See `fi_eq(3)`.
#[doc(alias = "fid_eq")]
pub struct EventQueue<T: Threading = Shared>(pub(crate) Arc<EqOpen<T>>);

impl<T: Threading> Clone for EventQueue<T> {
    fn clone(&self) -> Self {
        EventQueue(Arc::clone(&self.0))
    }
}

/// What keeps a queue open: its handles and the objects bound to it.
pub(crate) struct EqOpen<T: Threading> {
    pub(crate) core: Arc<EqCore<T>>,
    parked: Mutex<Vec<Parked<T>>>,
}

/// A passive endpoint that this crate's user has closed and the provider must not close before the
/// queue is read no more: it keeps pointers to it in connections whose request is on its way.
struct Parked<T> {
    // Closed first: fields are dropped in order.
    fid: Arc<Owned<fid_pep, T>>,
    info: Info,
}

/// What those who wait keep in memory; closed or not.
pub(crate) struct EqCore<T: Threading> {
    fid: Owned<fid_eq, T>,
    fd: Option<RawFd>,
    /// The longest park between two looks.
    park_limit: Duration,
    pub(crate) fabric: Arc<FabricCore>,
    reader: T::Lock<Reader>,
    unsolicited: Mutex<VecDeque<Event>>,
    unsolicited_lost: AtomicU64,
    parkers: Parkers,
    /// What it was opened with, and what closes after it.
    _set: Option<Arc<WaitCore<T>>>,
}

impl<T: Threading> EventQueue<T> {
    /// Reads and dispatches the events that are there, a batch at most. Returns how many there
    /// were; 0 also when another thread is reading just now.
    ///
    /// Never blocks. Wakers of those who waited for these events are called before it returns.
    ///
    /// # Errors
    ///
    /// If the queue itself failed (an overrun): nothing more will come through it.
    #[doc(alias = "fi_eq_read")]
    #[doc(alias = "fi_eq_readerr")]
    pub fn progress(&self) -> Result<usize> {
        let count = self.0.core.progress();
        if count == 0 {
            self.0.core.healthy()?;
        }
        Ok(count)
    }

    /// Blocks until at least one event was dispatched, [`signal`](Self::signal) was called (both
    /// `true`), or `timeout` has passed (`false`).
    ///
    /// # Errors
    ///
    /// If the queue itself failed.
    #[doc(alias = "fi_eq_sread")]
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let core = &*self.0.core;
        let signals = core.parkers.signals();
        let mut seen = 0;
        let moved = wait::park_until(
            &[core],
            &mut |driven| {
                seen += driven;
                seen > 0 || core.parkers.signals() != signals || core.healthy().is_err()
            },
            Instant::now().checked_add(timeout),
        );
        core.healthy()?;
        Ok(moved)
    }

    /// Wakes every thread that blocks on this queue.
    pub fn signal(&self) {
        self.0.core.parkers.signal();
    }

    /// The descriptor that becomes readable when there may be something to read, where the
    /// provider has one. Only meaningful after [`try_wait`](Self::try_wait) said `true`.
    #[doc(alias = "FI_GETWAIT")]
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor belongs to the queue, which stays open while it is borrowed.
        let borrow = |fd| unsafe { BorrowedFd::borrow_raw(fd) };
        self.0.core.fd.map(borrow)
    }

    /// Whether it is safe to sleep on [`fd`](Self::fd) now (rule W2): `false` means read first.
    #[doc(alias = "fi_trywait")]
    #[must_use]
    pub fn try_wait(&self) -> bool {
        self.0.core.may_park()
    }

    /// The oldest event that no open object waits for.
    #[must_use]
    pub fn unsolicited(&self) -> Option<Event> {
        mail::lock(&self.0.core.unsolicited).pop_front()
    }

    /// How many such events were lost because nobody fetched them in time.
    #[must_use]
    pub fn unsolicited_lost(&self) -> u64 {
        self.0.core.unsolicited_lost.load(Ordering::Relaxed)
    }

    /// Closes the queue now.
    ///
    /// # Errors
    ///
    /// Gives the handle back if others hold the queue, or objects are bound to it.
    pub fn close(self) -> Result<(), CloseError<EventQueue<T>>> {
        CloseError::close(self.0, EventQueue, EqOpen::close)
    }

    /// The C object, for calls that this crate does not wrap. Reading events from it takes them
    /// away from the objects that wait for them.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_eq {
        self.0.core.fid.as_ptr()
    }
}

impl<T: Threading> fmt::Debug for EventQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue")
            .field("fid", &self.0.core.fid)
            .field("fd", &self.0.core.fd)
            .finish_non_exhaustive()
    }
}

impl<T: Threading> EqCore<T> {
    pub(crate) fn progress(&self) -> usize {
        let mut woken = Vec::new();
        let count = match self.reader.try_lock() {
            Some(mut reader) => self.read(&mut reader, BATCH, &mut woken),
            None => 0,
        };
        wake::<T>(woken);
        count
    }

    /// Keeps everybody else from reading.
    pub(crate) fn hold(&self) -> <T::Lock<Reader> as Lock<Reader>>::Guard<'_> {
        self.reader.lock()
    }

    /// As [`hold`](Self::hold), unless somebody has it.
    pub(crate) fn try_hold(&self) -> Option<impl Sized + '_> {
        self.reader.try_lock()
    }

    /// Drives the queue, and looks whether it has events.
    pub(crate) fn has_news(&self) -> bool {
        let Some(reader) = self.reader.try_lock() else { return false };
        let mut event = 0;
        // SAFETY: the queue is open; the event stays there, and only its number is written.
        let status = unsafe {
            let (eq, none) = (self.fid.as_ptr(), std::ptr::null_mut());
            match reader.open {
                true => ofi_sys::fi_eq_read(eq, &raw mut event, none, 0, ofi_sys::FI_PEEK),
                false => return false,
            }
        };
        status != -(ofi_sys::FI_EAGAIN as isize)
    }

    /// What broke the queue, if anything did.
    fn healthy(&self) -> Result<()> {
        let fatal = self.reader.try_lock().and_then(|reader| reader.fatal.clone());
        fatal.map_or(Ok(()), Err)
    }

    pub(crate) fn raw(&self) -> *mut ofi_sys::fid {
        self.fid.as_fid()
    }
}

/// Calls wakers, once no lock is held: they are user code. A panic loses none of the others.
pub(crate) fn wake<T: Threading>(woken: Vec<Waker>) {
    if woken.is_empty() {
        return;
    }
    let mut after = Deferred::<T>::new();
    woken.into_iter().for_each(|waker| after.push_waker(waker));
    after.run();
}

impl<T: Threading> Source for EqCore<T> {
    fn drive(&self) -> usize {
        self.progress()
    }

    fn fd(&self) -> Option<RawFd> {
        self.fd
    }

    fn may_park(&self) -> bool {
        if self.fd.is_none() {
            return false;
        }
        // Closing the queue takes the reader's lock, so the fid is open while it is held.
        let Some(reader) = self.reader.try_lock() else {
            return false;
        };
        let mut fid: *mut ofi_sys::fid = self.fid.as_fid();
        // SAFETY: fabric and queue are open; the array has one entry (rule W2).
        reader.open && unsafe { ofi_sys::fi_trywait(self.fabric.as_ptr(), &raw mut fid, 1) } == 0
    }

    fn park_limit(&self) -> Duration {
        self.park_limit
    }

    fn parkers(&self) -> &Parkers {
        &self.parkers
    }
}

impl<T: Threading> EqOpen<T> {
    /// Keeps a passive endpoint open until the queue closes.
    pub(crate) fn park(&self, fid: Arc<Owned<fid_pep, T>>, info: Info) {
        mail::lock(&self.parked).push(Parked { fid, info });
    }

    /// A parked passive endpoint that listens at this address, for a new one to take over.
    pub(crate) fn unpark(
        &self,
        format: AddressFormat,
        at: &[u8],
    ) -> Option<(Arc<Owned<fid_pep, T>>, Info)> {
        let mut parked = mail::lock(&self.parked);
        let at = parked.iter().position(|parked| {
            // SAFETY: open, and it listens.
            let name = unsafe { own_name(parked.fid.as_fid(), &parked.info) };
            parked.info.address_format() == format && name.is_ok_and(|name| name.bytes() == at)
        })?;
        let found = parked.swap_remove(at);
        Some((found.fid, found.info))
    }

    fn close(&self) -> Result<()> {
        let result = {
            let mut reader = self.core.reader.lock();
            reader.open = false;
            // Nothing is read any more, so nothing looks at them any more.
            mail::lock(&self.parked).clear();
            self.core.fid.close()
        };
        self.core.parkers.signal();
        result
    }
}

impl<T: Threading> Drop for EqOpen<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.close();
    }
}
