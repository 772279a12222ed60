//! Groups: endpoints that joined, for collectives among them.
//!
//! ```text
//! AvSet + Endpoint -- join --> Join -- FI_JOIN_COMPLETE --> Group
//!                                                             .barrier(), .broadcast(), ...
//! ```
//!
//! Only the model in which the provider manages the members is here: the set's own address is joined
//! with (rule X8).
//!
//! # Safety
//!
//! The group and its set stay open under whatever the provider has under way, see [`held`]; the
//! join's event finds it by a number that is used once, see `eq::dispatch`.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ofi_sys::fid_mc;

use crate::{
    Address, Error, Result,
    av::{AvSet, OwnEntry},
    endpoint::{Connectionless, Core, Endpoint},
    eq::{EqOpen, mail::Joining},
    error::{Needs, check},
    object::{CloseError, Owned, refuse_fork},
    op::Failed,
    quirks::{self, Defect, quirk},
    threading::{Lock, Shared, Threading},
    wait::{self, Source},
};

mod calls;
mod held;
mod query;

use held::Held;
pub(crate) use held::Joins;
pub use query::CollectiveLimits;

/// The groups that an endpoint of rxm has numbers for (quirk 32).
const MOST_GROUPS: usize = 255;

impl<K: Connectionless, T: Threading> Endpoint<K, T> {
    /// Joins the group of the members of `set`, one of which is this endpoint itself. Every member
    /// joins with a set of its own that has the same members in the same order; the join ends when all
    /// have.
    ///
    /// Members have one join under way at a time, and begin them in the same order: joins of sets that
    /// have members in common, under way at once, may meet each other's messages. A set serves one
    /// join.
    ///
    /// Begins at once; what it gives is a future, and something to [`wait`](Join::wait) for.
    ///
    /// # Errors
    ///
    /// With the set: `Invalid` if the endpoint has no event queue, or is no member, or the set is of
    /// another vector; `Busy` while an earlier join of this endpoint is under way; `Unsupported`
    /// without `FI_COLLECTIVE`, where the provider's collectives are safe on one thread only
    /// (`tcp;ofi_rxm`: use [`Confined`](crate::Confined); quirk 27), and where it has no number left
    /// for a group (255 joins on `tcp;ofi_rxm`, closed ones included; quirk 32); what the provider says.
    #[doc(alias = "fi_join_collective")]
    pub fn join(&self, set: AvSet<T>) -> Result<Join<T>, Failed<AvSet<T>>> {
        match begin(&self.core, set) {
            Ok(join) => Ok(join),
            Err((error, set)) => Err(Failed::back(error, set)),
        }
    }
}

const JOIN: &str = "fi_join_collective";

fn begin<T: Threading>(core: &Arc<Core<T>>, set: AvSet<T>) -> Result<Join<T>, (Error, AvSet<T>)> {
    let checked = check_join(core, &set);
    let (joins, address, rank) = match checked {
        Ok(checked) => checked,
        Err(error) => return Err((error, set)),
    };
    // An event of an earlier join may be there already.
    let events = &joins.events;
    events.core.progress();
    core.close_idle_groups();
    let mut groups = joins.groups.lock();
    let provider = core.info.provider();
    if quirk(provider, Defect::GroupsRunOut).is_some() {
        if groups.last.as_ref().is_some_and(|last| !last.is_over()) {
            let error = Error::busy().detail("an earlier join of this endpoint is under way");
            return Err((error, set));
        }
        if groups.begun >= MOST_GROUPS {
            let error = Error::unsupported(JOIN, Needs::Property("a number for one more group"))
                .hint("the provider has 255 for each endpoint, and takes none back (quirk 32)");
            return Err((error, set));
        }
    }
    let joining = Arc::new(Joining::default());
    let number = events.core.hold().begin_join(Arc::clone(&joining));
    let mut mc: *mut fid_mc = std::ptr::null_mut();
    // SAFETY: the endpoint is open, has the capability and an event queue; the set is open, of the
    // endpoint's vector, and its address was just asked for; the endpoint is among its members, so that
    // it has a rank. The set stays open for as long as the provider looks at it (see `held`). The
    // context is a number that nobody follows.
    let status = unsafe {
        ofi_sys::fi_join_collective(
            core.fid.as_ptr(),
            address,
            set.as_raw(),
            0,
            &raw mut mc,
            number as *mut std::ffi::c_void,
        )
    };
    let opened = check(i64::from(status), JOIN)
        .map_err(|error| error.absent(Needs::Property("collectives")))
        // SAFETY: it succeeded, so that there is a group, which nobody else closes.
        .and_then(|_| unsafe { Owned::new(mc, JOIN) });
    let mc = match opened {
        Ok(mc) => mc,
        Err(error) => {
            events.core.hold().end_join(number);
            return Err((error, set));
        }
    };
    groups.begun += 1;
    groups.last = Some(Arc::clone(&joining));
    drop(groups);
    let held = Held { mc, set, entry: OwnEntry::new(), joining, number };
    Ok(Join {
        core: Arc::clone(core),
        events: Arc::clone(events),
        held: Some(Box::new(held)),
        rank,
        key: None,
    })
}

/// What the endpoint has for joins, the set's address, and the endpoint's place in the set.
fn check_join<'a, T: Threading>(
    core: &'a Core<T>,
    set: &AvSet<T>,
) -> Result<(&'a Joins<T>, u64, usize)> {
    refuse_fork(JOIN)?;
    if core.limits.caps & ofi_sys::FI_COLLECTIVE == 0 {
        return Err(Error::unsupported(JOIN, Needs::Capability("FI_COLLECTIVE"))
            .hint("ask for the capability in the hints"));
    }
    let provider = core.info.provider();
    if quirk(provider, Defect::CollectivesUnlocked).is_some() {
        if T::SHARED {
            return Err(Error::unsupported(JOIN, Needs::Property("objects of one thread")).hint(
                "the provider's collectives are not safe on several: open Domain<Confined>",
            ));
        }
        if quirks::has_thread(&core.info) {
            return Err(Error::unsupported(JOIN, Needs::Property("progress by the caller alone"))
                .hint("the provider's own thread would get into its way: FI_PROGRESS_MANUAL"));
        }
    }
    let Some(joins) = &core.joins else {
        return Err(Error::invalid(JOIN, "an event queue is missing")
            .hint("give the endpoint's builder one"));
    };
    if !core.av.as_ref().is_some_and(|av| Arc::ptr_eq(av, &set.av)) {
        return Err(Error::invalid(JOIN, "the set is of another vector than the endpoint's"));
    }
    let name = core.name()?;
    let rank = set.rank_of(name.bytes()).ok_or_else(|| {
        Error::invalid(JOIN, format!("{name}, the endpoint itself, is not in the set"))
    })?;
    Ok((&**joins, set.raw_address()?, rank))
}

/// A join under way. Resolves to the [`Group`].
///
/// Polling and waiting drive the endpoint's queues, the event queue among them. It keeps the endpoint
/// open.
///
/// # Cancel safety
///
/// Dropping it does not take the join back: the other members may see it end. What the provider holds
/// for it goes when it has ended, with the endpoint's next join, or when the endpoint closes.
#[must_use = "dropping it gives the group up"]
pub struct Join<T: Threading = Shared> {
    core: Arc<Core<T>>,
    events: Arc<EqOpen<T>>,
    /// `None` once it resolved.
    held: Option<Box<Held<T>>>,
    rank: usize,
    key: Option<u64>,
}

/// Why [`Join::wait`] gave no group.
pub enum JoinError<T: Threading = Shared> {
    /// The timeout passed; the join goes on.
    Expired(Join<T>),
    /// It failed.
    Failed(Error),
}

impl<T: Threading> Join<T> {
    fn joining(&self) -> Arc<Joining> {
        Arc::clone(&self.held.as_ref().expect("not used after it resolved").joining)
    }

    /// Whether it has ended, so that [`wait`](Self::wait) or `.await` return at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.joining().has_answer()
    }

    /// Blocks until all members have joined, driving the endpoint's queues.
    ///
    /// # Errors
    ///
    /// [`JoinError::Expired`] gives it back when `timeout` has passed: it goes on.
    pub fn wait(mut self, timeout: Duration) -> Result<Group<T>, JoinError<T>> {
        let joining = self.joining();
        let (_, waker) = wait::Parker::current();
        // Another thread may dispatch the event while we sleep: it wakes us.
        joining.register(&mut self.key, &waker);
        let core = Arc::clone(&self.core);
        let events = Arc::clone(&self.events);
        let sources: [&dyn Source; 3] = [&*events.core, &*core.transmit.core, &*core.receive.core];
        let distinct = if Arc::ptr_eq(&core.receive, &core.transmit) { 2 } else { 3 };
        let deadline = Instant::now().checked_add(timeout);
        wait::park_until(&sources[..distinct], &mut |_| joining.has_answer(), deadline);
        joining.deregister(&mut self.key);
        match joining.answer() {
            Some(answer) => self.settle(answer).map_err(JoinError::Failed),
            None => Err(JoinError::Expired(self)),
        }
    }

    fn settle(&mut self, answer: Result<()>) -> Result<Group<T>> {
        answer?;
        let held = self.held.take().expect("resolves once");
        // SAFETY: the group is open, and its join is over, so that it has an address.
        let raw = unsafe { ofi_sys::fi_mc_addr(held.mc.as_ptr()) };
        let address = held.entry.address(raw, self.core.vector);
        Ok(Group { core: Arc::clone(&self.core), held: Some(held), address, rank: self.rank })
    }
}

impl<T: Threading> Future for Join<T> {
    type Output = Result<Group<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let joining = this.joining();
        if !joining.has_answer() {
            this.core.transmit.core.progress();
            this.core.receive.core.progress();
            this.events.core.progress();
            // The waker goes in before the last look: an answer in between calls it.
            joining.register(&mut this.key, context.waker());
        }
        match joining.answer() {
            Some(answer) => {
                joining.deregister(&mut this.key);
                Poll::Ready(this.settle(answer))
            }
            None => {
                wait::note_source(&this.core.transmit.core);
                wait::note_source(&this.core.receive.core);
                wait::note_source(&this.events.core);
                Poll::Pending
            }
        }
    }
}

impl<T: Threading> Drop for Join<T> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.joining.deregister(&mut self.key);
            self.core.let_go(held);
        }
    }
}

/// A group that this endpoint is a member of: what collectives go through.
///
/// Collectives are operations like all others: inert, posted in the order of the calls, with buffers
/// that they own until they have ended. Every member makes the same calls in the same order, with the
/// same types, counts and roots; a collective ends on a member when it has all it needs of the others.
/// A member that fails, or goes, leaves the others waiting: give `wait` a limit.
///
/// A collective needs the endpoint's completion queue to be driven on every member that takes part,
/// even where its own part has ended: it may pass on what others sent.
///
/// It keeps the endpoint open, which then says [`CloseError::InUse`]. See `fi_collective(3)`.
#[doc(alias = "fid_mc")]
pub struct Group<T: Threading = Shared> {
    pub(crate) core: Arc<Core<T>>,
    /// `None` once it is closed.
    held: Option<Box<Held<T>>>,
    /// What operations name: no peer.
    pub(crate) address: Address,
    rank: usize,
}

impl<T: Threading> Group<T> {
    fn held(&self) -> &Held<T> {
        self.held.as_ref().expect("open until it is closed")
    }

    /// The members, in the order of their ranks.
    #[must_use]
    pub fn members(&self) -> &[Address] {
        self.held().set.members()
    }

    /// This endpoint's place among the members.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The place of a member.
    #[must_use]
    pub fn rank_of(&self, member: Address) -> Option<usize> {
        self.held().set.rank(member)
    }

    /// Closes the group now. The other members are not told.
    ///
    /// # Errors
    ///
    /// Gives the handle back while operations on the group are in flight; dropping it then leaves them
    /// to go on.
    #[doc(alias = "fi_close")]
    pub fn close(mut self) -> Result<(), CloseError<Group<T>>> {
        if !self.held().is_idle(self.core.lane()) {
            return Err(CloseError::InUse(self));
        }
        let held = self.held.take().expect("open until it is closed");
        // The set after it.
        held.mc.close().map_err(CloseError::Failed)
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_mc {
        self.held().mc.as_ptr()
    }
}

impl<T: Threading> Drop for Group<T> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.core.let_go(held);
        }
    }
}

impl<T: Threading> fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("rank", &self.rank)
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("rank", &self.rank).finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for JoinError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Expired(_) => f.write_str("Expired"),
            JoinError::Failed(error) => write!(f, "Failed({error})"),
        }
    }
}

impl<T: Threading> fmt::Display for JoinError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Expired(_) => f.write_str("not all members have joined in time"),
            JoinError::Failed(error) => error.fmt(f),
        }
    }
}

impl<T: Threading> std::error::Error for JoinError<T> {}
