//! Collective groups: endpoints that joined, for collectives among them.
//!
//! ```text
//! AvSet + Endpoint -- join_collective --> Join -- FI_JOIN_COMPLETE --> CollectiveGroup
//!                                                                         .barrier(), .broadcast(), ...
//! ```
//!
//! Only the model in which the provider manages the members is here: the set's own address is joined
//! with (rule X8).
//!
//! # Safety
//!
//! The group and its set stay open under whatever the provider has under way, see [`held`].

use std::{fmt, sync::Arc};

use ofi_sys::fid_mc;

use crate::{
    Address, Error, Result,
    av::{AvSet, Own},
    endpoint::{
        Connectionless, Core, Endpoint,
        join::{Join, Joins, sealed::Joinable},
    },
    error::Needs,
    object::{CloseError, refuse_fork},
    op::Failed,
    quirks::{self, Defect, quirk},
    threading::{Lock, Shared, Threading},
};

mod calls;
mod held;
mod query;

pub(crate) use held::Collectives;
use held::Held;
pub use query::CollectiveLimits;

/// The groups that an endpoint of rxm has numbers for (quirk 56).
const MOST_GROUPS: usize = 255;

impl<K: Connectionless, T: Threading> Endpoint<K, T> {
    /// Joins the collective group of the members of `set`, one of which is this endpoint itself. Every
    /// member joins with a set of its own that has the same members in the same order; the join ends when
    /// all have.
    ///
    /// Members have one join under way at a time, and begin them in the same order: joins of sets that
    /// have members in common, under way at once, may meet each other's messages. A set serves one
    /// join.
    ///
    /// Begins at once; what it gives is a future, and something to [`wait`](Join::wait) for. The endpoint
    /// needs `FI_COLLECTIVE` among the capabilities asked for, and an
    /// [event queue](crate::EndpointBuilder::event_queue).
    ///
    /// See `fi_collective(3)`.
    ///
    /// # Errors
    ///
    /// With the set: `Invalid` if the endpoint has no event queue, or is no member, or the set is of
    /// another vector; `Busy` while an earlier join of this endpoint is under way; `Unsupported`
    /// without `FI_COLLECTIVE`, where the provider's collectives are safe on one thread only
    /// (`tcp;ofi_rxm`: use [`Confined`](crate::Confined); quirk 51), and where it has no number left
    /// for a group (255 joins on `tcp;ofi_rxm`, closed ones included; quirk 56); what the provider says.
    #[doc(alias = "fi_join_collective")]
    pub fn join_collective(
        &self,
        set: AvSet<T>,
    ) -> Result<Join<CollectiveGroup<T>>, Failed<AvSet<T>>> {
        begin(&self.core, set).map_err(|(error, set)| Failed::back(error, set))
    }
}

const JOIN: &str = "fi_join_collective";

fn begin<T: Threading>(
    core: &Arc<Core<T>>,
    set: AvSet<T>,
) -> Result<Join<CollectiveGroup<T>>, (Error, AvSet<T>)> {
    let (joins, address, rank) = match check_join(core, &set) {
        Ok(checked) => checked,
        Err(error) => return Err((error, set)),
    };
    // An event of an earlier join may be there already.
    joins.events.core.progress();
    core.close_idle_collectives();
    let mut collectives = joins.collectives.lock();
    if quirk(core.provider(), Defect::GroupsRunOut).is_some() {
        if let Err(error) = collectives.has_number() {
            return Err((error, set));
        }
    }
    // SAFETY: the endpoint is open, has the capability and an event queue; the set is open, of the
    // endpoint's vector, and its address was just asked for; the endpoint is among its members, so that
    // it has a rank. Group and set are closed when the provider looks at them no more (see `held`).
    let begun = unsafe {
        joins.begin(JOIN, Needs::Property("collectives"), |group, context| {
            ofi_sys::fi_join_collective(core.fid.as_ptr(), address, set.as_raw(), 0, group, context)
        })
    };
    let (mc, joining) = match begun {
        Ok(begun) => begun,
        Err(error) => return Err((error, set)),
    };
    collectives.began(&joining);
    drop(collectives);
    let entry = Own::new();
    let address = entry.address(0, core.vector);
    let held = Some(Box::new(Held { mc, set, entry, joining: Arc::clone(&joining) }));
    let group = CollectiveGroup { core: Arc::clone(core), held, address, rank };
    Ok(Join::new(group, core, &joining))
}

/// What the endpoint has for joins, the set's address, and the endpoint's place in the set.
fn check_join<'a, T: Threading>(
    core: &'a Core<T>,
    set: &AvSet<T>,
) -> Result<(&'a Joins<T>, u64, usize)> {
    refuse_fork(JOIN)?;
    let joins = core.joins(JOIN, (ofi_sys::FI_COLLECTIVE, "FI_COLLECTIVE"))?;
    if quirk(core.provider(), Defect::CollectivesUnlocked).is_some() {
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
    if !core.av.as_ref().is_some_and(|av| Arc::ptr_eq(av, &set.av)) {
        return Err(Error::invalid(JOIN, "the set is of another vector than the endpoint's"));
    }
    let name = core.name()?;
    let rank = set.rank_of(name.bytes()).ok_or_else(|| {
        Error::invalid(JOIN, format!("{name}, the endpoint itself, is not in the set"))
    })?;
    Ok((joins, set.raw_address()?, rank))
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
pub struct CollectiveGroup<T: Threading = Shared> {
    pub(crate) core: Arc<Core<T>>,
    /// `None` once it is closed.
    held: Option<Box<Held<T>>>,
    /// What operations name: no peer.
    pub(crate) address: Address,
    rank: usize,
}

impl<T: Threading> CollectiveGroup<T> {
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
    pub fn close(mut self) -> Result<(), CloseError<CollectiveGroup<T>>> {
        // A thread that a fork left behind may hold the locks.
        refuse_fork("fi_close").map_err(CloseError::Failed)?;
        if !self.held().is_idle(self.core.lane()) {
            return Err(CloseError::InUse(self));
        }
        let held = self.held.take().expect("open until it is closed");
        // The set after it.
        held.mc.close().map_err(CloseError::Failed)
    }

    /// The provider's number for the group (`fi_addr_t`), for calls that this crate does not wrap: good
    /// while the group is open, and for collectives alone.
    #[doc(alias = "fi_mc_addr")]
    #[must_use]
    pub fn as_raw_address(&self) -> u64 {
        self.address.raw()
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_mc {
        self.held().mc.as_ptr()
    }
}

impl<T: Threading> Joinable for CollectiveGroup<T> {
    type T = T;
    const CALL: &'static str = JOIN;

    fn joined(&mut self) {
        let held = self.held();
        // SAFETY: the group is open, and its join is over, so that it has an address.
        let raw = unsafe { ofi_sys::fi_mc_addr(held.mc.as_ptr()) };
        self.address = held.entry.address(raw, self.core.vector);
    }
}

impl<T: Threading> Drop for CollectiveGroup<T> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.core.let_go(held);
        }
    }
}

impl<T: Threading> fmt::Debug for CollectiveGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollectiveGroup")
            .field("rank", &self.rank)
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}
