//! Counters: how many operations of a class have ended, without an entry for each.
//!
//! A counter is opened without a wait object and waiting looks at it, with rests in between:
//! `fi_cntr_wait` on a counter without a wait object crashes on some providers (rule W1), counters
//! with one give no descriptor on most, and on shm 1.17 it ignores its timeout.
//!
//! What a counter sets off when it is reached is in [`work`].

use std::{
    fmt,
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ofi_sys::fid_cntr;

use crate::{
    Domain, Errno, Error, Result, Version,
    abi::Roomy,
    domain::DomainCore,
    error::{Needs, check},
    object::{CloseError, Owned, refuse_fork},
    poll,
    quirks::{Defect, quirk},
    threading::{Lock, Mode, Shared, Threading},
    version::version,
    wait::{self, Parkers, Source},
};

pub(crate) mod work;

pub use work::{CounterWork, Threshold};

/// Counts the operations of the endpoints it is bound to: those that succeeded, and those that
/// failed.
///
/// Bound with [`EndpointBuilder::counter`](crate::EndpointBuilder::counter); it counts besides the
/// completion queue, not instead of it, and what is injected, too. It closes with its handle and the last
/// endpoint bound to it. What it counts may show later than the completion does, and what happens beyond
/// the provider's [`max_cntr_value`](crate::DomainAttr::max_cntr_value) is not defined: set it back before.
///
/// Failures are not to be relied on: shm, sm2 and rxd count none, and rxm counts a failed write or read as a
/// failed send. The completion queue has an entry for each.
///
/// See `fi_cntr(3)`.
#[doc(alias = "fid_cntr")]
#[doc(alias = "fi_cntr_wait")]
pub struct Counter<T: Threading = Shared>(pub(crate) Arc<CounterCore<T>>);

pub(crate) struct CounterCore<T: Threading> {
    // Closed first: fields are dropped in order.
    fid: Owned<fid_cntr, T>,
    /// Its context, see `poll`.
    pub(crate) number: usize,
    /// Held while the counter is read, which drives the endpoints bound to it, and while one of those
    /// is in the making.
    reading: T::Lock<()>,
    /// Failures that the caller was told of.
    told: AtomicU64,
    parkers: Parkers,
    /// What it is for, where that cannot be both.
    role: AtomicU64,
    /// What it changes in other counters once it is reached. These were opened after it, so that no
    /// two keep each other.
    works: T::Lock<Vec<Arc<work::Block<T>>>>,
    domain: Arc<DomainCore<T>>,
}

/// What a counter cannot be at once where the provider starts work under a lock (quirk 62).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It starts work.
    Trigger = 1,
    /// It counts sends.
    CountsSends = 2,
}

impl<T: Threading> Domain<T> {
    /// Opens a counter on this domain.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the provider has none (udp); what the provider says.
    #[doc(alias = "fi_cntr_open")]
    #[doc(alias = "FI_CNTR_EVENTS_COMP")]
    pub fn counter(&self) -> Result<Counter<T>> {
        self.open_counter(ofi_sys::FI_CNTR_EVENTS_COMP)
    }

    /// Opens a counter of bytes: it adds up what the operations that succeed transfer, without immediate
    /// data; one that fails counts one failure, whatever its length.
    ///
    /// # Errors
    ///
    /// `Unsupported` before libfabric 1.21, where the provider has no counters or none of bytes, and where
    /// it is known to count operations instead (quirks 43 to 47); what the provider says.
    #[doc(alias = "FI_CNTR_EVENTS_BYTES")]
    pub fn byte_counter(&self) -> Result<Counter<T>> {
        const NAME: &str = "fi_cntr_open";
        const SINCE: Version = Version::new(1, 21);
        if version() < SINCE {
            return Err(Error::unsupported(NAME, Needs::Version(SINCE)));
        }
        if quirk(self.0.info.provider(), Defect::BytesNotCounted).is_some() {
            return Err(Error::unsupported(NAME, Needs::Property("counters of bytes"))
                .hint("the provider opens one, and it counts operations"));
        }
        self.open_counter(ofi_sys::FI_CNTR_EVENTS_BYTES)
    }

    fn open_counter(&self, events: ofi_sys::fi_cntr_events) -> Result<Counter<T>> {
        let number = poll::next_number();
        let fid = open(&self.0, number, events)?;
        Ok(Counter(Arc::new(CounterCore {
            fid,
            number,
            reading: T::Lock::new(()),
            told: AtomicU64::new(0),
            parkers: Parkers::default(),
            role: AtomicU64::new(0),
            works: T::Lock::new(Vec::new()),
            domain: Arc::clone(&self.0),
        })))
    }
}

/// Opens a counter without a wait object.
fn open<T: Threading>(
    domain: &DomainCore<T>,
    number: usize,
    events: ofi_sys::fi_cntr_events,
) -> Result<Owned<fid_cntr, T>> {
    const NAME: &str = "fi_cntr_open";
    refuse_fork(NAME)?;
    // SAFETY: a plain C structure.
    let mut attr = unsafe { Roomy::<ofi_sys::fi_cntr_attr>::zeroed() };
    attr.as_mut().events = events;
    attr.as_mut().wait_obj = ofi_sys::FI_WAIT_NONE;
    let mut fid = std::ptr::null_mut();
    // SAFETY: the domain is open, the attributes are whole, `fid` receives the counter.
    let status = unsafe {
        ofi_sys::fi_cntr_open(
            domain.as_ptr(),
            attr.as_ptr(),
            &raw mut fid,
            poll::as_context(number),
        )
    };
    check(i64::from(status), NAME).map_err(|error| error.absent(Needs::Property("counters")))?;
    // SAFETY: fi_cntr_open succeeded.
    unsafe { Owned::new(fid, NAME) }
}

impl<T: Threading> Counter<T> {
    /// How many operations have succeeded. Makes the endpoints bound to it progress.
    #[doc(alias = "fi_cntr_read")]
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.read()
    }

    /// How many operations have failed. [`wait`](Self::wait) does not report these again.
    #[doc(alias = "fi_cntr_readerr")]
    #[must_use]
    pub fn read_errors(&self) -> u64 {
        let errors = self.0.read_errors();
        self.0.told.store(errors, Ordering::Relaxed);
        errors
    }

    /// Adds to the count.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_cntr_add")]
    pub fn add(&self, value: u64) -> Result<()> {
        // SAFETY: the counter is open.
        done(unsafe { ofi_sys::fi_cntr_add(self.0.fid.as_ptr(), value) }, "fi_cntr_add")
    }

    /// Adds to the count of failures.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_cntr_adderr")]
    pub fn add_errors(&self, value: u64) -> Result<()> {
        // SAFETY: the counter is open.
        done(unsafe { ofi_sys::fi_cntr_adderr(self.0.fid.as_ptr(), value) }, "fi_cntr_adderr")
    }

    /// Sets the count. Takes the counter exclusively, and is only exact while no operation that it
    /// counts is in flight (rule W14): what ends meanwhile may or may not be counted.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_cntr_set")]
    pub fn set(&mut self, value: u64) -> Result<()> {
        // SAFETY: the counter is open.
        done(unsafe { ofi_sys::fi_cntr_set(self.0.fid.as_ptr(), value) }, "fi_cntr_set")
    }

    /// Sets the count of failures; as [`set`](Self::set).
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_cntr_seterr")]
    pub fn set_errors(&mut self, value: u64) -> Result<()> {
        // SAFETY: the counter is open.
        let status = unsafe { ofi_sys::fi_cntr_seterr(self.0.fid.as_ptr(), value) };
        done(status, "fi_cntr_seterr")?;
        self.0.told.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// Blocks until the count is at least `threshold` (`true`) or `timeout` has passed (`false`).
    /// Makes the endpoints bound to it progress, not their completion queues.
    ///
    /// # Errors
    ///
    /// `EAVAIL` if operations failed that neither this nor [`read_errors`](Self::read_errors) has
    /// reported, and the count is not reached; waiting again then goes on.
    pub fn wait(&self, threshold: u64, timeout: Duration) -> Result<bool> {
        let core = &*self.0;
        let mut failed = None;
        let ended = wait::park_until(
            &[core],
            &mut |_| {
                if core.read() >= threshold {
                    return true;
                }
                let errors = core.read_errors();
                let told = core.told.swap(errors, Ordering::Relaxed);
                failed = (errors != told).then(|| errors.wrapping_sub(told));
                failed.is_some()
            },
            Instant::now().checked_add(timeout),
        );
        match failed {
            Some(count) => Err(Error::from_errno(Errno::EAVAIL, "fi_cntr_wait")
                .posted()
                .detail(format!("{count} more operations failed"))
                .hint("the completion queue says which, and why")),
            None => Ok(ended),
        }
    }

    /// Closes the counter now.
    ///
    /// # Errors
    ///
    /// Gives the handle back if endpoints are bound to it.
    pub fn close(self) -> Result<(), CloseError<Counter<T>>> {
        CloseError::close(self.0, Counter, CounterCore::shut)
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_cntr {
        self.0.fid.as_ptr()
    }
}

/// A counter that nobody else reads.
pub(crate) type Held<'a, T> = <<T as Mode>::Lock<()> as Lock<()>>::Guard<'a>;

/// Keeps everybody else from reading these counters. Taken after the readers of queues, in an order
/// of its own.
pub(crate) fn hold<'a, T: Threading>(
    counters: impl Iterator<Item = &'a CounterCore<T>>,
) -> Vec<Held<'a, T>> {
    let mut all: Vec<&CounterCore<T>> = counters.collect();
    all.sort_by_key(|counter| std::ptr::from_ref(*counter) as usize);
    all.dedup_by_key(|counter| std::ptr::from_ref(*counter) as usize);
    all.into_iter().map(|counter| counter.reading.lock()).collect()
}

fn done(status: i32, name: &'static str) -> Result<()> {
    check(i64::from(status), name)
        .map(drop)
        .map_err(|error| error.absent(Needs::Property("counters that can be changed")))
}

impl<T: Threading> CounterCore<T> {
    /// Closes the counter, which ends what it has not set off yet.
    fn shut(&self) -> Result<()> {
        let result = if self.fid.is_closed() { Ok(()) } else { self.fid.close() };
        if result.is_err() {
            // It is open still, and may be reached.
            std::mem::forget(std::mem::take(&mut *self.works.lock()));
        }
        result
    }

    /// Says what the counter is for. `false` if it is for something else already.
    pub(crate) fn take_role(&self, role: Role) -> bool {
        let (new, now) = (role as u64, Ordering::AcqRel);
        let before = self.role.compare_exchange(0, new, now, Ordering::Acquire);
        before.is_ok_and(|_| true) || before == Err(new)
    }

    pub(crate) fn as_ptr(&self) -> *mut fid_cntr {
        self.fid.as_ptr()
    }

    pub(crate) fn read(&self) -> u64 {
        let _reading = self.reading.lock();
        // SAFETY: the counter is open.
        unsafe { ofi_sys::fi_cntr_read(self.fid.as_ptr()) }
    }

    fn read_errors(&self) -> u64 {
        let _reading = self.reading.lock();
        // SAFETY: the counter is open.
        unsafe { ofi_sys::fi_cntr_readerr(self.fid.as_ptr()) }
    }

    pub(crate) fn raw(&self) -> *mut ofi_sys::fid {
        self.fid.as_fid()
    }

    /// Whether the counter is of this domain.
    pub(crate) fn on(&self, domain: &Arc<DomainCore<T>>) -> bool {
        Arc::ptr_eq(&self.domain, domain)
    }
}

impl<T: Threading> Drop for CounterCore<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.shut();
    }
}

/// Looking at the counter is what drives it.
impl<T: Threading> Source for CounterCore<T> {
    fn drive(&self) -> usize {
        0
    }

    fn fd(&self) -> Option<RawFd> {
        None
    }

    fn may_park(&self) -> bool {
        false
    }

    fn park_limit(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn parkers(&self) -> &Parkers {
        &self.parkers
    }
}

impl<T: Threading> fmt::Debug for Counter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").field("fid", &self.0.fid).finish_non_exhaustive()
    }
}
