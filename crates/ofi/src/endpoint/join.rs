//! Joining groups: what multicast and collectives share.
//!
//! ```text
//! Joins::begin -> the provider's call -> Join -- FI_JOIN_COMPLETE --> the group
//! ```
//!
//! The event of a join says no more of ours than the context that the join was begun with, a number that
//! is used once: see `eq::dispatch`. The fid in it is another one with collectives.
//!
//! # Safety
//!
//! What a provider opens goes to one [`Owned`], in [`Joins::begin`]; when it closes is for each kind of
//! group to say, see [`multicast`] and [`collective`](crate::collective).

use std::{
    ffi::c_void,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ofi_sys::fid_mc;

use super::{Connectionless, Core, EndpointBuilder, multicast};
use crate::{
    CollectiveGroup, Error, ErrorKind, EventQueue, MulticastGroup, Result,
    collective::Collectives,
    eq::{EqOpen, mail::Joining},
    error::{Needs, check},
    object::Owned,
    threading::{Lock, Threading},
    wait::{self, Source},
};

/// What an endpoint has for its joins.
pub(crate) struct Joins<T: Threading> {
    /// Where they complete; bound to the endpoint.
    pub(crate) events: Arc<EqOpen<T>>,
    pub(super) multicast: T::Lock<multicast::State<T>>,
    pub(crate) collectives: T::Lock<Collectives<T>>,
}

impl<T: Threading> Joins<T> {
    pub(super) fn new(events: Arc<EqOpen<T>>) -> Box<Self> {
        Box::new(Joins {
            events,
            multicast: T::Lock::new(multicast::State::default()),
            collectives: T::Lock::new(Collectives::default()),
        })
    }

    /// Begins a join by `call`, which gets the place for the group and the context for its event.
    /// `needs` is what the provider lacks if it says that it has no such call.
    ///
    /// # Safety
    ///
    /// Where `call` returns 0 it has opened a group in that place, which nobody else closes.
    pub(crate) unsafe fn begin(
        &self,
        attempted: &'static str,
        needs: Needs,
        call: impl FnOnce(*mut *mut fid_mc, *mut c_void) -> i32,
    ) -> Result<(Owned<fid_mc, T>, Arc<Joining>)> {
        // Whoever reads the event must find it.
        let joining = self.events.core.hold().begin_join();
        let mut fid = std::ptr::null_mut();
        let status = call(&raw mut fid, joining.context());
        check(i64::from(status), attempted)
            .map_err(|error| error.absent(needs))
            // SAFETY: the caller's promise.
            .and_then(|_| unsafe { Owned::new(fid, attempted) })
            .map(|fid| (fid, Arc::clone(&joining)))
            .inspect_err(|_| self.forget(&joining))
    }

    /// Nobody waits for the event of this join any more.
    pub(crate) fn forget(&self, joining: &Joining) {
        self.events.core.hold().end_join(joining);
    }
}

impl<K: Connectionless, T: Threading> EndpointBuilder<K, T> {
    /// The queue that tells of the groups that the endpoint joins. Needed for that alone.
    pub fn event_queue(mut self, queue: &EventQueue<T>) -> Self {
        self.eq = Some(queue.clone());
        self
    }
}

/// Binds the queue that joins complete on, which must be of this fabric.
pub(super) fn bind<T: Threading>(
    fid: *mut ofi_sys::fid_ep,
    events: Option<&EventQueue<T>>,
) -> Result<()> {
    let Some(eq) = events else { return Ok(()) };
    // SAFETY: both are open, and the endpoint is not enabled yet (rule L4).
    let status = unsafe { ofi_sys::fi_ep_bind(fid, eq.0.core.raw(), 0) };
    check(i64::from(status), "fi_ep_bind").map(drop)
}

impl<T: Threading> Core<T> {
    /// What the endpoint has for joins, if it may join: with the capability of this bit and name.
    pub(crate) fn joins(
        &self,
        attempted: &'static str,
        cap: (u64, &'static str),
    ) -> Result<&Joins<T>> {
        if self.limits.caps & cap.0 == 0 {
            return Err(Error::unsupported(attempted, Needs::Capability(cap.1))
                .hint("ask for the capability in the hints"));
        }
        self.joins.as_deref().ok_or_else(|| {
            Error::invalid(attempted, "an event queue is missing: give the builder one")
        })
    }

    /// Closes groups, for an endpoint about to close: all that can be. `false` if one is left that has
    /// to close before its endpoint (rule C8).
    #[must_use]
    pub(super) fn leave_groups(&self) -> bool {
        self.close_idle_collectives();
        self.leave_multicast()
    }

    /// Leaves the groups as they are: the endpoint stays open for good, and what they stand on.
    pub(super) fn leak_groups(&self) {
        let Some(joins) = &self.joins else { return };
        std::mem::forget(Arc::clone(&joins.events));
        joins.multicast.lock().leak();
        joins.collectives.lock().leak();
    }
}

/// What can be joined. Sealed.
pub trait Joinable: sealed::Joinable {}

impl<T: Threading> Joinable for MulticastGroup<T> {}
impl<T: Threading> Joinable for CollectiveGroup<T> {}

pub(crate) mod sealed {
    pub trait Joinable {
        type T: crate::threading::Threading;
        /// The C call, for error texts.
        const CALL: &'static str;
        /// Its join is over, and did not fail.
        fn joined(&mut self);
    }
}

/// A join under way: a future, and something to [`wait`](Self::wait) for. Gives the group, which is a
/// [`MulticastGroup`] or a [`CollectiveGroup`].
///
/// Polling and waiting drive the endpoint's queues, the event queue among them. It keeps the endpoint
/// open.
///
/// # Cancel safety
///
/// Dropping it gives the group up, as dropping that does. The other members of a collective group may
/// see their joins end all the same.
#[must_use = "dropping it gives the group up"]
pub struct Join<G: Joinable> {
    /// `None` once it resolved.
    under_way: Option<UnderWay<G>>,
    key: Option<u64>,
}

struct UnderWay<G: Joinable> {
    group: G,
    core: Arc<Core<G::T>>,
    joining: Arc<Joining>,
}

/// Why [`Join::wait`] did not give a group.
#[expect(clippy::exhaustive_enums, reason = "it has not ended, or it has")]
pub enum JoinError<G: Joinable> {
    /// The timeout passed; the join goes on.
    Expired(Join<G>),
    /// It failed.
    Failed(Error),
}

impl<G: Joinable> Join<G> {
    pub(crate) fn new(group: G, core: &Arc<Core<G::T>>, joining: &Arc<Joining>) -> Join<G> {
        let (core, joining) = (Arc::clone(core), Arc::clone(joining));
        Join { under_way: Some(UnderWay { group, core, joining }), key: None }
    }

    fn under_way(&self) -> &UnderWay<G> {
        self.under_way.as_ref().expect("not used after it resolved")
    }

    /// Whether it has ended, so that [`wait`](Self::wait) or `.await` return at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.under_way().joining.has_answer()
    }

    /// Blocks until the group is joined, driving the endpoint's queues.
    ///
    /// # Errors
    ///
    /// [`JoinError::Expired`] gives it back when `timeout` has passed: it goes on.
    pub fn wait(mut self, timeout: Duration) -> Result<G, JoinError<G>> {
        let deadline = Instant::now().checked_add(timeout);
        let (_, waker) = wait::Parker::current();
        let joining = Arc::clone(&self.under_way().joining);
        // Another thread may dispatch the event while we sleep: it wakes us.
        joining.register(&mut self.key, &waker);
        self.under_way().core.with_join_sources(|sources| {
            wait::park_until(sources, &mut |_| joining.has_answer(), deadline);
        });
        joining.deregister(&mut self.key);
        match joining.answer() {
            Some(answer) => self.settle(answer).map_err(JoinError::Failed),
            None => Err(JoinError::Expired(self)),
        }
    }

    fn settle(&mut self, answer: Result<()>) -> Result<G> {
        let UnderWay { mut group, .. } = self.under_way.take().expect("resolves once");
        answer?;
        group.joined();
        Ok(group)
    }
}

impl<T: Threading> Core<T> {
    /// With what has to be driven for a join to end.
    fn with_join_sources(&self, call: impl FnOnce(&[&dyn Source])) {
        let Some(joins) = &self.joins else { return call(&[]) };
        let sources: [&dyn Source; 3] =
            [&*joins.events.core, &*self.transmit.core, &*self.receive.core];
        let distinct = if Arc::ptr_eq(&self.receive, &self.transmit) { 2 } else { 3 };
        call(&sources[..distinct]);
    }
}

impl<G: Joinable> Future for Join<G> {
    type Output = Result<G>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let joining = Arc::clone(&this.under_way().joining);
        if !joining.has_answer() {
            this.under_way().core.with_join_sources(|sources| {
                for source in sources {
                    source.drive();
                }
            });
            // The waker goes in before the last look: an answer in between calls it.
            joining.register(&mut this.key, context.waker());
        }
        match joining.answer() {
            Some(answer) => {
                joining.deregister(&mut this.key);
                Poll::Ready(this.settle(answer))
            }
            None => {
                let core = &this.under_way().core;
                if let Some(joins) = &core.joins {
                    wait::note_source(&joins.events.core);
                }
                wait::note_source(&core.transmit.core);
                wait::note_source(&core.receive.core);
                Poll::Pending
            }
        }
    }
}

// Nothing is pinned in place.
impl<G: Joinable> Unpin for Join<G> {}

impl<G: Joinable> Drop for Join<G> {
    fn drop(&mut self) {
        if let Some(under_way) = &self.under_way {
            under_way.joining.deregister(&mut self.key);
        }
    }
}

impl<G: Joinable + fmt::Debug> fmt::Debug for Join<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.under_way.as_ref().map(|under_way| &under_way.group);
        f.debug_struct("Join").field("group", &group).finish_non_exhaustive()
    }
}

impl<G: Joinable> fmt::Debug for JoinError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Expired(_) => f.write_str("Expired"),
            JoinError::Failed(error) => write!(f, "Failed({error})"),
        }
    }
}

impl<G: Joinable> fmt::Display for JoinError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Expired(_) => write!(f, "{}: the timeout passed, it goes on", G::CALL),
            JoinError::Failed(error) => error.fmt(f),
        }
    }
}

impl<G: Joinable> std::error::Error for JoinError<G> {}

impl<G: Joinable> From<JoinError<G>> for Error {
    /// A join that expired is dropped: the group is given up.
    fn from(error: JoinError<G>) -> Error {
        match error {
            JoinError::Expired(_) => Error::new(ErrorKind::TimedOut, G::CALL).posted(),
            JoinError::Failed(error) => error,
        }
    }
}
