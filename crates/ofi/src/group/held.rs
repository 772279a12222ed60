//! What a group holds on the provider's side, and when that goes.
//!
//! The provider follows pointers to the group from each of its collectives under way, and from the
//! join, whose event is all that says that it is done. So a group whose handle goes earlier is left to
//! its endpoint: it closes once nothing under way names it, or after the endpoint has closed.
//!
//! # Safety
//!
//! `fi_close` of a group is called when its join is over and no operation in flight names its entry,
//! or when its endpoint's `fi_close` has returned 0.

use std::sync::Arc;

use ofi_sys::fid_mc;

use crate::{
    av::{AvSet, OwnEntry},
    endpoint::Core,
    eq::{EqOpen, mail::Joining},
    object::{Owned, forked},
    op::lane::Lane,
    quirks,
    threading::{Lock, Threading},
};

/// A group on the provider's side.
pub(crate) struct Held<T: Threading> {
    // Closed first, then the set: fields are dropped in order.
    pub(super) mc: Owned<fid_mc, T>,
    pub(super) set: AvSet<T>,
    /// What operations on the group name.
    pub(super) entry: OwnEntry,
    pub(super) joining: Arc<Joining>,
    /// The number that the join's event has as its context.
    pub(super) number: usize,
}

/// What an endpoint has for its joins.
pub(crate) struct Joins<T: Threading> {
    /// Tells what becomes of them; bound to the endpoint.
    pub(super) events: Arc<EqOpen<T>>,
    pub(super) groups: T::Lock<Groups<T>>,
}

impl<T: Threading> Joins<T> {
    pub(crate) fn new(events: Arc<EqOpen<T>>) -> Joins<T> {
        Joins { events, groups: T::Lock::new(Groups { parked: Vec::new(), last: None, begun: 0 }) }
    }
}

/// What an endpoint knows of groups.
pub(super) struct Groups<T: Threading> {
    /// Whose handles are gone.
    #[expect(clippy::vec_box, reason = "they come in boxes, and seldom")]
    parked: Vec<Box<Held<T>>>,
    /// The join under way, or the last one.
    pub(super) last: Option<Arc<Joining>>,
    /// How many joins were begun.
    pub(super) begun: usize,
}

impl<T: Threading> Held<T> {
    /// Whether the provider has nothing under way that looks at the group.
    pub(super) fn is_idle(&self, lane: &Lane<T>) -> bool {
        self.joining.is_over() && !lane.names(self.entry.address(0, 0).entry_word())
    }
}

impl<T: Threading> Core<T> {
    /// Closes the group, or keeps it until nothing names it any more.
    pub(super) fn let_go(&self, held: Box<Held<T>>) {
        if forked() {
            // A thread that the fork left behind may hold the lock; nothing is ours to release.
            std::mem::forget(held);
            return;
        }
        if let Some(joins) = &self.joins {
            joins.groups.lock().parked.push(held);
        }
        self.close_idle_groups();
    }

    /// Closes the groups without a handle that nothing under way names. The endpoint is open.
    pub(crate) fn close_idle_groups(&self) {
        let Some(joins) = &self.joins else { return };
        let lane = self.lane();
        let mut idle = Vec::new();
        {
            let mut groups = joins.groups.lock();
            for held in std::mem::take(&mut groups.parked) {
                let to = if held.is_idle(lane) { &mut idle } else { &mut groups.parked };
                to.push(held);
            }
        }
        // Outside the lock: closing a set takes the vector's.
        drop(idle);
    }

    /// Closes all groups: the endpoint is closed. Where nobody knows whether the provider is done with
    /// the operations that were `left`, their groups stay.
    pub(crate) fn close_groups(&self, left: usize) {
        let Some(joins) = &self.joins else { return };
        let parked = std::mem::take(&mut joins.groups.lock().parked);
        {
            let mut reader = joins.events.core.hold();
            parked.iter().for_each(|held| reader.end_join(held.number));
        }
        let measured = quirks::close_returns_memory(self.info.provider());
        let unsure = |held: &Held<T>| left > 0 || !held.joining.is_over();
        for held in parked {
            if !measured && unsure(&held) {
                held.leak();
            }
        }
    }

    /// Leaves all groups as they are: the endpoint stays open for good.
    pub(crate) fn leak_groups(&self) {
        let Some(joins) = &self.joins else { return };
        std::mem::forget(Arc::clone(&joins.events));
        let parked = std::mem::take(&mut joins.groups.lock().parked);
        parked.into_iter().for_each(|held| held.leak());
    }
}

impl<T: Threading> Held<T> {
    fn leak(self: Box<Self>) {
        self.mc.leak();
        std::mem::forget(self);
    }
}
