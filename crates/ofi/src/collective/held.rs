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

use super::{JOIN, MOST_GROUPS};
use crate::{
    Error, Result,
    av::{AvSet, Own},
    endpoint::Core,
    eq::mail::Joining,
    error::Needs,
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
    pub(super) entry: Own,
    pub(super) joining: Arc<Joining>,
}

/// What an endpoint knows of its collective groups.
pub(crate) struct Collectives<T: Threading> {
    /// Whose handles are gone.
    #[expect(clippy::vec_box, reason = "they come in boxes, and seldom")]
    parked: Vec<Box<Held<T>>>,
    /// The join under way, or the last one.
    last: Option<Arc<Joining>>,
    /// How many joins were begun.
    begun: usize,
}

impl<T: Threading> Default for Collectives<T> {
    fn default() -> Self {
        Collectives { parked: Vec::new(), last: None, begun: 0 }
    }
}

impl<T: Threading> Collectives<T> {
    /// That the provider has a number for one more group, and is not looking for one (quirk 56).
    pub(super) fn has_number(&self) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| !last.is_over()) {
            return Err(Error::busy().detail("an earlier join of this endpoint is under way"));
        }
        if self.begun >= MOST_GROUPS {
            return Err(Error::unsupported(JOIN, Needs::Property("a number for one more group"))
                .hint("the provider has 255 for each endpoint, and takes none back (quirk 56)"));
        }
        Ok(())
    }

    pub(super) fn began(&mut self, joining: &Arc<Joining>) {
        self.begun += 1;
        self.last = Some(Arc::clone(joining));
    }

    /// Leaves all groups as they are: the endpoint stays open for good.
    pub(crate) fn leak(&mut self) {
        std::mem::take(&mut self.parked).into_iter().for_each(|held| held.leak());
    }
}

impl<T: Threading> Held<T> {
    /// Whether the provider has nothing under way that looks at the group.
    pub(super) fn is_idle(&self, lane: &Lane<T>) -> bool {
        self.joining.is_over() && !lane.names(self.entry.word())
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
            joins.collectives.lock().parked.push(held);
        }
        self.close_idle_collectives();
    }

    /// Closes the groups without a handle that nothing under way names. The endpoint is open.
    pub(crate) fn close_idle_collectives(&self) {
        let Some(joins) = &self.joins else { return };
        let lane = self.lane();
        let mut idle = Vec::new();
        {
            let mut collectives = joins.collectives.lock();
            for held in std::mem::take(&mut collectives.parked) {
                let to = if held.is_idle(lane) { &mut idle } else { &mut collectives.parked };
                to.push(held);
            }
        }
        // Outside the lock: closing a set takes the vector's.
        drop(idle);
    }

    /// Closes all groups: the endpoint is closed. Where nobody knows whether the provider is done with
    /// the operations that were `left`, their groups stay.
    pub(crate) fn close_collectives(&self, left: usize) {
        let Some(joins) = &self.joins else { return };
        let parked = std::mem::take(&mut joins.collectives.lock().parked);
        parked.iter().for_each(|held| joins.forget(&held.joining));
        let measured = quirks::close_returns_memory(self.provider());
        let unsure = |held: &Held<T>| left > 0 || !held.joining.is_over();
        for held in parked {
            if !measured && unsure(&held) {
                held.leak();
            }
        }
    }
}

impl<T: Threading> Held<T> {
    fn leak(self: Box<Self>) {
        self.mc.leak();
        std::mem::forget(self);
    }
}
