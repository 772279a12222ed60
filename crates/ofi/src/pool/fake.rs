//! A pool without memory, for tests and models of what its numbers do.

use std::sync::{Arc, OnceLock, Weak};

use super::{
    Budget, Evictor,
    budget::Claim,
    ledger::{Grant, PoolEntry, Want},
    todo::Evict,
    usage::Unit,
};
use crate::Place;

pub(super) struct Fake {
    pub(super) budget: Budget,
    index: OnceLock<usize>,
    sizes: Vec<usize>,
}

/// A buffer of it.
pub(super) struct Leased {
    pool: Arc<Fake>,
    pub(super) slab: usize,
    unit: u32,
    units: Option<Arc<[Unit]>>,
    place: Place,
}

impl Fake {
    pub(super) fn open(budget: &Budget, limit: usize, slab: usize, sizes: &[usize]) -> Arc<Fake> {
        let (budget, index, sizes) = (budget.clone(), OnceLock::new(), sizes.to_vec());
        let pool = Arc::new(Fake { budget, index, sizes });
        let weak: Weak<Fake> = Arc::downgrade(&pool);
        let entry = PoolEntry::new(limit, slab, &pool.sizes, Evictor::Anywhere(weak));
        let index = pool.budget.change(|ledger, _| ledger.add_pool(entry));
        pool.index.set(index).expect("once");
        pool
    }

    pub(super) fn index(&self) -> usize {
        *self.index.get().expect("it is open")
    }

    pub(super) fn claim(&self, class: usize) -> Claim {
        Claim::new(&self.budget, Want::Buffer { pool: self.index(), class })
    }

    pub(super) fn try_take(self: &Arc<Fake>, class: usize) -> Option<Leased> {
        self.claim(class).look(None).map(|grant| self.lend(grant))
    }

    pub(super) fn lend(self: &Arc<Fake>, grant: Grant) -> Leased {
        let pool = Arc::clone(self);
        let place = Place::Caller;
        match grant {
            Grant::Idle { slab, unit, .. } => Leased { pool, slab, unit, units: None, place },
            Grant::New { class, units, .. } => {
                let counts: Arc<[Unit]> = (0..units).map(|_| Unit::new()).collect();
                let entry = Arc::clone(&counts);
                let index = self.index();
                let slab = self.budget.change(|ledger, _| ledger.add_slab(index, class, entry));
                self.budget.change(|ledger, todo| {
                    (1..units).for_each(|unit| ledger.put_back(index, slab, unit, todo));
                });
                Leased { pool, slab, unit: 0, units: Some(counts), place }
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Leased {
    /// The first that a slab had.
    pub(super) fn moved(&mut self, to: Place) {
        let units = self.units.as_ref().expect("it is new");
        units[self.unit as usize].moved(&mut self.place, to);
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if self.units.is_some() {
            self.moved(Place::Caller);
        }
        let (index, slab, unit) = (self.pool.index(), self.slab, self.unit);
        self.pool.budget.change_in_drop(|ledger, todo| ledger.put_back(index, slab, unit, todo));
    }
}

impl Evict for Fake {
    fn evict(&self, slab: usize) {
        let index = self.index();
        self.budget.change_in_drop(|ledger, todo| ledger.strike_slab(index, slab, false, todo));
    }
}
