//! Changes of counters that the provider makes by itself, when another counter is reached, and what
//! is common to all work that it defers: [`fi_trigger(3)`].
//!
//! The end of deferred work is an entry in no queue, but a change of the counter that it names. That
//! counter must be nobody else's: a public one may be changed by anybody, and memory would be freed
//! because of it. So each piece of work has a counter of its own, [`Own`]; where a public counter is
//! to be changed as well, that is a second piece of work, which the first one's counter sets off.
//!
//! # Safety
//!
//! A work structure, and what it points to, stays where it is from the queueing until it is known to
//! have ended: the provider has changed its own counter; or has said that it is cancelled and is
//! known to mean it; or the counter that would set it off is closed, on a provider where that ends
//! it ([`quirks::defers`]). In a second piece of work that is known one step later, after a call that
//! waits for the lock under which the provider makes the change.
//!
//! [`fi_trigger(3)`]: https://ofiwg.github.io/libfabric/main/man/fi_trigger.3.html

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use ofi_sys::{fi_deferred_work, fi_op_cntr, fid_cntr};

use super::{Counter, CounterCore, Role, open};
use crate::{
    Caps, Error, ErrorKind, Result,
    domain::DomainCore,
    error::{Needs, check},
    object::{Owned, forked},
    quirks::{self, Defect, quirk},
    sync::Guarded,
    threading::{Lock, Shared, Threading},
    wait,
};

const NAME: &str = "fi_control(FI_QUEUE_WORK)";

/// A count of a counter: what the provider waits for with work that is deferred until then.
///
/// [`Operation::when`](crate::Operation::when) takes one; [`add`](Self::add) and [`set`](Self::set)
/// change another counter.
///
/// See `fi_trigger(3)`.
#[must_use = "it says when, and not yet what"]
#[doc(alias = "fi_trigger_threshold")]
#[doc(alias = "FI_TRIGGER_THRESHOLD")]
pub struct Threshold<'a, T: Threading = Shared> {
    pub(crate) counter: &'a Counter<T>,
    pub(crate) value: u64,
}

impl<T: Threading> Clone for Threshold<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Threading> Copy for Threshold<'_, T> {}

/// A change of a counter that the provider is to make, see [`Threshold::add`].
///
/// # Cancel safety
///
/// Dropping it changes nothing: the change is made when it is due.
#[must_use = "it tells when the change was made, and can cancel it"]
pub struct CounterWork<T: Threading = Shared> {
    trigger: Arc<CounterCore<T>>,
    block: Arc<Block<T>>,
}

impl<T: Threading> Counter<T> {
    /// The moment when the count is at least `value`, for work that the provider does then.
    pub fn at(&self, value: u64) -> Threshold<'_, T> {
        Threshold { counter: self, value }
    }
}

impl<T: Threading> Threshold<'_, T> {
    /// Has the provider add to `counter` at that moment. This call returns at once.
    ///
    /// `counter` is one that was opened after the one that is waited for. It stays open until the
    /// next change is asked for after this one was made, or the other one is closed, which cancels the
    /// change.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider has no deferred work, or is not known to do it safely, and
    /// without `FI_TRIGGER`; `Invalid` for a counter of another domain, or opened earlier; what the
    /// provider says.
    #[doc(alias = "FI_QUEUE_WORK")]
    #[doc(alias = "FI_OP_CNTR_ADD")]
    pub fn add(self, counter: &Counter<T>, value: u64) -> Result<CounterWork<T>> {
        self.change(counter, ofi_sys::FI_OP_CNTR_ADD, value)
    }

    /// Has the provider set `counter` at that moment; as [`add`](Self::add), and only exact as
    /// [`Counter::set`] is.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    #[doc(alias = "FI_OP_CNTR_SET")]
    pub fn set(self, counter: &Counter<T>, value: u64) -> Result<CounterWork<T>> {
        self.change(counter, ofi_sys::FI_OP_CNTR_SET, value)
    }

    fn change(self, target: &Counter<T>, kind: u32, value: u64) -> Result<CounterWork<T>> {
        let trigger = &self.counter.0;
        check_threshold(&trigger.domain, trigger, self.value)?;
        if !target.0.on(&trigger.domain) {
            return Err(Error::invalid(NAME, "the counter is of another domain"));
        }
        if target.0.number <= trigger.number {
            return Err(Error::invalid(NAME, "a counter changes those that were opened after it")
                .hint("open the counter that is waited for first; circles are not possible"));
        }
        let domain = &trigger.domain;
        let own = Own::open(domain, Some(Relay::new(&target.0, kind, value)))?;
        let block = Arc::new(Block {
            own,
            // SAFETY: plain C structures.
            first: Guarded::new(unsafe { std::mem::zeroed() }),
        });
        {
            let mut works = trigger.works.lock();
            works.retain(|work| !work.own.is_done());
            works.push(Arc::clone(&block));
        }
        let queued = block.own.queue_relay().and_then(|()| {
            let first = block.first.get();
            // SAFETY: the block stays where it is; nobody else has it until it is queued.
            unsafe {
                (*first).op = fi_op_cntr { cntr: block.own.fid.as_ptr(), value: 1 };
                (*first).work.threshold = self.value;
                (*first).work.triggering_cntr = trigger.as_ptr();
                (*first).work.op_type = ofi_sys::FI_OP_CNTR_ADD;
                (*first).work.op.cntr = &raw mut (*first).op;
                queue(domain, &raw mut (*first).work)
            }
        });
        if let Err(error) = queued {
            trigger.works.lock().retain(|work| !Arc::ptr_eq(work, &block));
            return Err(error);
        }
        Ok(CounterWork { trigger: Arc::clone(trigger), block })
    }
}

impl<T: Threading> CounterWork<T> {
    /// Whether the change was made.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.block.own.is_done()
    }

    /// Blocks until the change was made (`true`) or `timeout` has passed (`false`). Makes the
    /// endpoints progress that are bound to the counter which it waits for.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let core = &*self.trigger;
        let deadline = Instant::now().checked_add(timeout);
        let mut done = |_| {
            core.read();
            self.is_done()
        };
        wait::park_until(&[core], &mut done, deadline)
    }

    /// Takes the change back, unless it was made: [`is_done`](Self::is_done) says so.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider cannot (sockets): closing the counter that is waited for
    /// takes it back there; what the provider says.
    #[doc(alias = "FI_CANCEL_WORK")]
    pub fn cancel(&self) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let domain = &self.trigger.domain;
        // SAFETY: the block is queued, and stays.
        unsafe { cancel(domain, &raw mut (*self.block.first.get()).work)? };
        if quirks::cancels_work(domain.info.provider()) {
            self.block.own.cancel_relay();
            let mut works = self.trigger.works.lock();
            works.retain(|work| !Arc::ptr_eq(work, &self.block));
        }
        Ok(())
    }
}

/// Two pieces of work: when its counter is reached, the first one changes the private counter, which
/// sets off the second one.
pub(crate) struct Block<T: Threading> {
    own: Own<T>,
    first: Guarded<Change>,
}

// SAFETY: libfabric's own locks guard the counters, under FI_THREAD_SAFE; the C structures are
// written before they are queued, and by the provider after.
unsafe impl Send for Block<Shared> {}
// SAFETY: as above.
unsafe impl Sync for Block<Shared> {}

#[repr(C)]
struct Change {
    work: fi_deferred_work,
    op: fi_op_cntr,
}

/// The counter that tells of the end of one piece of work: it has no other user, and goes from 0
/// to 1.
pub(crate) struct Own<T: Threading> {
    fid: Owned<fid_cntr, T>,
    relay: Option<Relay<T>>,
    domain: Arc<DomainCore<T>>,
}

/// The public counter that is to be changed then, and how.
pub(crate) struct Relay<T: Threading> {
    /// In a place of its own: it stays there whatever becomes of the block.
    change: Box<Guarded<Change>>,
    /// Open until the change was made.
    _target: Arc<CounterCore<T>>,
}

impl<T: Threading> Relay<T> {
    pub(crate) fn new(target: &Arc<CounterCore<T>>, kind: u32, value: u64) -> Relay<T> {
        // SAFETY: a plain C structure.
        let mut change: Change = unsafe { std::mem::zeroed() };
        change.work.threshold = 1;
        change.work.op_type = kind;
        change.op = fi_op_cntr { cntr: target.as_ptr(), value };
        Relay { change: Box::new(Guarded::new(change)), _target: Arc::clone(target) }
    }
}

impl<T: Threading> Own<T> {
    pub(crate) fn open(domain: &Arc<DomainCore<T>>, relay: Option<Relay<T>>) -> Result<Own<T>> {
        Ok(Own {
            fid: open(domain, 0, ofi_sys::FI_CNTR_EVENTS_COMP)?,
            relay,
            domain: Arc::clone(domain),
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut fid_cntr {
        self.fid.as_ptr()
    }

    /// Has the provider change the public counter when this one is. Where it is now it stays.
    pub(crate) fn queue_relay(&self) -> Result<()> {
        let Some(relay) = &self.relay else { return Ok(()) };
        let change = relay.change.get();
        // SAFETY: nobody else has the change until it is queued, and it stays.
        unsafe {
            (*change).work.triggering_cntr = self.fid.as_ptr();
            (*change).work.op.cntr = &raw mut (*change).op;
            queue(&self.domain, &raw mut (*change).work)
        }
    }

    /// Takes that back: this counter will not be changed.
    pub(crate) fn cancel_relay(&self) {
        if let Some(relay) = &self.relay {
            // Where it fails, closing this counter ends it.
            // SAFETY: the relay was queued, and stays.
            let _ = unsafe { cancel(&self.domain, &raw mut (*relay.change.get()).work) };
        }
    }

    /// Whether the work has ended, and with it the change of the public counter.
    pub(crate) fn is_done(&self) -> bool {
        // SAFETY: the counter is open; no endpoint is bound to it.
        if unsafe { ofi_sys::fi_cntr_read(self.fid.as_ptr()) } == 0 {
            return false;
        }
        // What it sets off is done under the lock that this takes (see the module).
        // SAFETY: the counter is open.
        self.relay.is_none() || unsafe { ofi_sys::fi_cntr_add(self.fid.as_ptr(), 0) } == 0
    }
}

impl<T: Threading> Drop for Own<T> {
    fn drop(&mut self) {
        if self.fid.close().is_err() {
            // It may yet be set off.
            std::mem::forget(self.relay.take());
        }
    }
}

/// That work may be queued on `trigger` of `domain` at `threshold`, and that its counter is for that
/// from now on.
pub(crate) fn check_threshold<T: Threading>(
    domain: &Arc<DomainCore<T>>,
    trigger: &CounterCore<T>,
    threshold: u64,
) -> Result<()> {
    let provider = domain.info.provider();
    if !trigger.on(domain) {
        return Err(Error::invalid(NAME, "the counter is of another domain"));
    }
    if !domain.info.caps().contains(Caps::TRIGGER) {
        return Err(Error::unsupported(NAME, Needs::Capability("FI_TRIGGER"))
            .hint("ask for the capability in the hints"));
    }
    if !quirks::defers(provider) {
        return Err(Error::unsupported(
            NAME,
            Needs::Property("deferred work that is known to be safe"),
        )
        .detail(format!("nobody has measured what {provider} does with its memory"))
        .hint("wait for the counter, and post the operation then"));
    }
    if quirk(provider, Defect::ThresholdWraps).is_some() && threshold > i32::MAX as u64 {
        return Err(Error::new(ErrorKind::TooLarge { limit: i32::MAX as usize }, NAME)
            .detail(format!("the threshold {threshold} would be taken for a negative number")));
    }
    take_role(provider, trigger, Role::Trigger)
}

/// That a counter may be for this, where it cannot be for everything.
pub(crate) fn take_role<T: Threading>(
    provider: &str,
    counter: &CounterCore<T>,
    role: Role,
) -> Result<()> {
    if quirk(provider, Defect::StartsUnderLock).is_none() || counter.take_role(role) {
        return Ok(());
    }
    let detail = match role {
        Role::Trigger => "it counts sends, and cannot start work too (quirk 62)",
        Role::CountsSends => "it starts work, and cannot count sends too (quirk 62)",
    };
    Err(Error::invalid(NAME, detail).hint("open another counter for one of the two"))
}

/// Hands a piece of work to the provider.
///
/// # Safety
///
/// It is whole, of objects of this domain that stay open, and it and what it points to stay as the
/// module says.
pub(crate) unsafe fn queue<T: Threading>(
    domain: &DomainCore<T>,
    work: *mut fi_deferred_work,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let status = unsafe { control(domain, ofi_sys::FI_QUEUE_WORK, work) };
    check(i64::from(status), NAME)
        .map(drop)
        .map_err(|error| error.absent(Needs::Property("deferred work")))
}

/// Asks the provider to let go of a piece of work.
///
/// # Safety
///
/// It was queued on this domain, and is where it was.
pub(crate) unsafe fn cancel<T: Threading>(
    domain: &DomainCore<T>,
    work: *mut fi_deferred_work,
) -> Result<()> {
    const NAME: &str = "fi_control(FI_CANCEL_WORK)";
    if forked() {
        return Err(Error::new(ErrorKind::Forked, NAME));
    }
    // SAFETY: the caller's promise.
    let status = unsafe { control(domain, ofi_sys::FI_CANCEL_WORK, work) };
    check(i64::from(status), NAME)
        .map(drop)
        .map_err(|error| error.absent(Needs::Property("deferred work that can be cancelled")))
}

/// # Safety
///
/// As [`queue`], or [`cancel`].
pub(crate) unsafe fn control<T: Threading>(
    domain: &DomainCore<T>,
    command: i32,
    work: *mut fi_deferred_work,
) -> i32 {
    // SAFETY: the domain is open; both commands take such a structure.
    unsafe { ofi_sys::fi_control(domain.as_ptr().cast(), command, work.cast()) }
}

impl<T: Threading> fmt::Debug for Threshold<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threshold")
            .field("counter", self.counter)
            .field("value", &self.value)
            .finish()
    }
}

impl<T: Threading> fmt::Debug for CounterWork<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CounterWork").field("done", &self.is_done()).finish_non_exhaustive()
    }
}
