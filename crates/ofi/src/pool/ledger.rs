//! What a budget knows: who has how many bytes, who waits, and who is next.
//!
//! Everything here is numbers, changed under the budget's one lock. What has to be done because of
//! a change (wakers to be called, memory to be freed) is noted in a [`Todo`](super::todo::Todo) and
//! done when the lock is gone.
//!
//! Bytes are charged before there is memory for them, and until after it is gone. Waiters are served
//! in order: the first that the budget has no room for stops all behind it. One that only its own
//! pool has no room for stops those of that pool.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, task::Waker};

use super::{
    todo::{Evictor, Todo},
    usage::{Unit, Usage},
};

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    /// So many bytes for memory of one's own.
    Bytes(usize),
    /// A buffer of a pool's class.
    Buffer { pool: usize, class: usize },
}

/// What somebody was given, and has not fetched yet.
#[derive(Debug)]
pub(super) enum Grant {
    /// So many bytes.
    Bytes(usize),
    /// A buffer that there is.
    Idle { pool: usize, slab: usize, unit: u32 },
    /// Bytes for a new slab of so many buffers.
    New { pool: usize, class: usize, units: u32 },
    /// It cannot be had any more: this is the most.
    Never { limit: usize },
}

/// What became of a request.
enum Served {
    Granted(Grant),
    /// Its pool has no room.
    PoolFull,
    /// The budget has no room.
    BudgetFull,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) limit: usize,
    /// Bytes of everything below.
    charged: usize,
    /// Of those: promised to reservations.
    reserved: usize,
    /// Of those: in slabs that are about to be freed.
    leaving: usize,
    /// Of those: in slabs whose registration could not be ended.
    gone: usize,
    pools: Vec<Option<PoolEntry>>,
    /// In the order of their numbers.
    waiting: BTreeMap<u64, Waiting>,
    granted: BTreeMap<u64, Grant>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    want: Want,
    waker: Option<Waker>,
}

/// What the ledger knows of a pool.
#[derive(Debug)]
pub(super) struct PoolEntry {
    limit: usize,
    /// Buffers smaller than this share a slab of about so many bytes.
    slab_bytes: usize,
    charged: usize,
    leaving: usize,
    gone: usize,
    /// Nobody takes from it any more.
    closed: bool,
    classes: Vec<Class>,
    slabs: Vec<Option<SlabEntry>>,
    evictor: Evictor,
}

#[derive(Debug)]
struct Class {
    /// Bytes of a buffer.
    size: usize,
    /// The idle ones; the last was used last.
    idle: Vec<(usize, u32)>,
}

#[derive(Debug)]
struct SlabEntry {
    class: usize,
    units: Arc<[Unit]>,
    /// Buffers of it that are idle.
    idle: usize,
    /// To be freed: its buffers are in no list.
    leaving: bool,
}

impl PoolEntry {
    pub(super) fn new(limit: usize, slab_bytes: usize, sizes: &[usize], evictor: Evictor) -> Self {
        let classes = sizes.iter().map(|size| Class { size: *size, idle: Vec::new() }).collect();
        PoolEntry {
            limit,
            slab_bytes,
            charged: 0,
            leaving: 0,
            gone: 0,
            closed: false,
            classes,
            slabs: Vec::new(),
            evictor,
        }
    }

    /// Whether there are buffers of a class, idle or not.
    fn has_slabs(&self, class: usize) -> bool {
        self.slabs.iter().flatten().any(|slab| slab.class == class)
    }

    /// Slabs that nobody uses: their numbers, and the bytes of a buffer and of all.
    fn evictable(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let here = self.evictor.is_here();
        self.slabs.iter().enumerate().filter_map(move |(index, slab)| {
            let slab = slab.as_ref().filter(|slab| here && !slab.leaving)?;
            let size = self.classes[slab.class].size;
            (slab.idle == slab.units.len()).then_some((index, size, size * slab.idle))
        })
    }
}

/// Room for `more` bytes under a limit.
fn room(limit: usize, charged: usize, more: usize) -> bool {
    limit.checked_sub(charged).is_some_and(|left| more <= left)
}

impl Ledger {
    pub(super) fn new(limit: usize) -> Ledger {
        Ledger {
            limit,
            charged: 0,
            reserved: 0,
            leaving: 0,
            gone: 0,
            pools: Vec::new(),
            waiting: BTreeMap::new(),
            granted: BTreeMap::new(),
            next: 0,
        }
    }

    fn pool(&mut self, pool: usize) -> &mut PoolEntry {
        self.pools[pool].as_mut().expect("a pool is struck off with the last that knows its number")
    }

    pub(super) fn add_pool(&mut self, entry: PoolEntry) -> usize {
        let free = self.pools.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.pools.push(None);
            self.pools.len() - 1
        });
        self.pools[index] = Some(entry);
        index
    }

    /// The last of a pool is gone.
    pub(super) fn strike_pool(&mut self, pool: usize) -> Option<PoolEntry> {
        self.pools[pool].take()
    }

    // Asking.

    /// Asks: the answer, or a number to ask again with, and the waker is kept.
    pub(super) fn ask(
        &mut self,
        want: Want,
        waker: &mut Option<Waker>,
        todo: &mut Todo,
    ) -> Result<Grant, u64> {
        if self.waiting.is_empty() || self.too_much(want).is_some() {
            // Mostly so, and nothing is put down for it.
            if let Served::Granted(grant) = self.serve(want, todo) {
                return Ok(grant);
            }
        }
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, Waiting { want, waker: waker.take() });
        self.settle(todo);
        self.granted.remove(&number).ok_or(number)
    }

    /// Fetches what was granted; `None` leaves the waker, and the one before it in its place.
    pub(super) fn ask_again(&mut self, number: u64, waker: &mut Option<Waker>) -> Option<Grant> {
        if let Some(waiting) = self.waiting.get_mut(&number) {
            if waker.is_some() {
                std::mem::swap(&mut waiting.waker, waker);
            }
            return None;
        }
        self.granted.remove(&number)
    }

    /// Nobody will ask again: the place is passed on, and so is what was granted meanwhile.
    pub(super) fn leave(&mut self, number: u64, todo: &mut Todo) {
        if let Some(waiting) = self.waiting.remove(&number) {
            todo.dropped.extend(waiting.waker);
            self.settle(todo);
        } else if let Some(grant) = self.granted.remove(&number) {
            self.give_back(grant, todo);
        }
    }

    /// What was granted is not wanted.
    pub(super) fn give_back(&mut self, grant: Grant, todo: &mut Todo) {
        match grant {
            Grant::Bytes(bytes) => self.release(bytes, todo),
            Grant::Idle { pool, slab, unit } => self.put_back(pool, slab, unit, todo),
            Grant::New { pool, class, units } => {
                let bytes = self.pool(pool).classes[class].size * units as usize;
                self.pool(pool).charged -= bytes;
                self.charged -= bytes;
                self.settle(todo);
            }
            Grant::Never { .. } => {}
        }
    }

    /// The most that there can be, if that is not enough: memory that is gone is never freed.
    fn too_much(&self, want: Want) -> Option<usize> {
        let left = self.limit - self.gone;
        match want {
            Want::Bytes(bytes) => (bytes > left).then_some(left),
            // A pool has no class that is larger than its bound or the budget's.
            Want::Buffer { .. } if self.gone == 0 => None,
            Want::Buffer { pool, class } => {
                let entry = self.pools[pool].as_ref()?;
                let left = left.min(entry.limit - entry.gone);
                // One that there is can be had.
                (entry.classes[class].size > left && !entry.has_slabs(class)).then_some(left)
            }
        }
    }

    /// Tells who waits for what there can never be, wherever in the line.
    fn refuse_hopeless(&mut self, todo: &mut Todo) {
        let hopeless =
            |(number, waiting): (&u64, &Waiting)| Some((*number, self.too_much(waiting.want)?));
        let hopeless: Vec<(u64, usize)> = self.waiting.iter().filter_map(hopeless).collect();
        for (number, limit) in hopeless {
            let waiting = self.waiting.remove(&number);
            todo.wakers.extend(waiting.and_then(|waiting| waiting.waker));
            self.granted.insert(number, Grant::Never { limit });
        }
    }

    /// Serves who waits, in order, as far as it goes.
    fn settle(&mut self, todo: &mut Todo) {
        let mut full = Vec::new();
        let mut from = Bound::Unbounded;
        while let Some((&number, waiting)) = self.waiting.range((from, Bound::Unbounded)).next() {
            from = Bound::Excluded(number);
            let want = waiting.want;
            if let Want::Buffer { pool, .. } = want {
                if full.contains(&pool) {
                    continue;
                }
            }
            match self.serve(want, todo) {
                Served::Granted(grant) => {
                    let waiting = self.waiting.remove(&number);
                    todo.wakers.extend(waiting.and_then(|waiting| waiting.waker));
                    self.granted.insert(number, grant);
                }
                Served::PoolFull => {
                    let Want::Buffer { pool, .. } = want else { unreachable!("it has a pool") };
                    full.push(pool);
                }
                Served::BudgetFull => break,
            }
        }
    }

    fn serve(&mut self, want: Want, todo: &mut Todo) -> Served {
        let (pool, class) = match want {
            Want::Bytes(bytes) => {
                if let Some(limit) = self.too_much(want) {
                    return Served::Granted(Grant::Never { limit });
                }
                if !room(self.limit, self.charged, bytes) {
                    self.evict(None, bytes, todo);
                    return Served::BudgetFull;
                }
                self.charged += bytes;
                self.reserved += bytes;
                return Served::Granted(Grant::Bytes(bytes));
            }
            Want::Buffer { pool, class } => (pool, class),
        };
        let (limit, charged) = (self.limit, self.charged);
        let too_much = self.too_much(want);
        let crowded = self.waiting.len() > 1;
        let entry = self.pool(pool);
        if let Some((slab, unit)) = entry.classes[class].idle.pop() {
            entry.slabs[slab].as_mut().expect("listed buffers have a slab").idle -= 1;
            return Served::Granted(Grant::Idle { pool, slab, unit });
        }
        let size = entry.classes[class].size;
        if let Some(limit) = too_much {
            return Served::Granted(Grant::Never { limit });
        }
        if !room(entry.limit, entry.charged, size) {
            self.evict(Some(pool), size, todo);
            return Served::PoolFull;
        }
        if !room(limit, charged, size) {
            self.evict(None, size, todo);
            return Served::BudgetFull;
        }
        // As many to a slab as there is room for; one where others wait for that, too.
        let left = (limit - charged).min(entry.limit - entry.charged);
        let slab = if crowded { 0 } else { entry.slab_bytes.min(left) };
        let units = (slab / size).clamp(1, u32::MAX as usize);
        entry.charged += size * units;
        self.charged += size * units;
        Served::Granted(Grant::New { pool, class, units: units as u32 })
    }

    /// Has so many idle slabs freed that `want` bytes will find room: in the whole budget, or under
    /// the bound of one pool. None if even all of them are not enough.
    fn evict(&mut self, within: Option<usize>, want: usize, todo: &mut Todo) {
        let (limit, charged, leaving) = match within {
            None => (self.limit, self.charged, self.leaving),
            Some(pool) => {
                let entry = self.pool(pool);
                (entry.limit, entry.charged, entry.leaving)
            }
        };
        let missing = (charged - leaving).saturating_add(want).saturating_sub(limit);
        if missing == 0 {
            return;
        }
        let mut idle = Vec::new();
        for (pool, entry) in self.pools.iter().enumerate() {
            if let Some(entry) = entry.as_ref().filter(|_| within.is_none_or(|one| one == pool)) {
                let slabs = entry.evictable();
                idle.extend(slabs.map(|(slab, size, bytes)| (size, pool, slab, bytes)));
            }
        }
        if idle.iter().map(|(.., bytes)| bytes).sum::<usize>() < missing {
            return;
        }
        // What is too small goes first.
        idle.sort_by_key(|(size, ..)| *size);
        let mut found = 0;
        for (_, pool, slab, bytes) in idle {
            if found >= missing {
                break;
            }
            found += bytes;
            self.evict_slab(pool, slab, todo);
        }
    }

    fn evict_slab(&mut self, pool: usize, slab: usize, todo: &mut Todo) {
        let entry = self.pools[pool].as_mut().expect("it has a slab");
        let evicted = entry.slabs[slab].as_mut().expect("it was found there");
        evicted.leaving = true;
        let class = &mut entry.classes[evicted.class];
        class.idle.retain(|(of, _)| *of != slab);
        let bytes = class.size * evicted.units.len();
        entry.leaving += bytes;
        self.leaving += bytes;
        todo.evictions.push((entry.evictor.clone(), slab));
    }

    /// Has every slab of a pool freed that nobody uses. Returns their bytes.
    pub(super) fn trim(&mut self, pool: usize, todo: &mut Todo) -> usize {
        let idle: Vec<_> = self.pool(pool).evictable().collect();
        for (slab, ..) in &idle {
            self.evict_slab(pool, *slab, todo);
        }
        idle.iter().map(|(.., bytes)| bytes).sum()
    }

    /// Nothing is taken from a pool any more: its slabs go as soon as nobody uses them.
    pub(super) fn close_pool(&mut self, pool: usize, todo: &mut Todo) {
        self.pool(pool).closed = true;
        self.trim(pool, todo);
    }

    // What there is.

    /// Memory was made for a grant: the first of its buffers is leased, the others will be put back
    /// when they can be found.
    pub(super) fn add_slab(&mut self, pool: usize, class: usize, units: Arc<[Unit]>) -> usize {
        let slabs = &mut self.pool(pool).slabs;
        let entry = SlabEntry { class, units, idle: 0, leaving: false };
        match slabs.iter().position(Option::is_none) {
            Some(free) => {
                slabs[free] = Some(entry);
                free
            }
            None => {
                slabs.push(Some(entry));
                slabs.len() - 1
            }
        }
    }

    /// A buffer is idle.
    pub(super) fn put_back(&mut self, pool: usize, slab: usize, unit: u32, todo: &mut Todo) {
        let entry = self.pool(pool);
        let found = entry.slabs[slab].as_mut().expect("a buffer keeps its slab");
        found.idle += 1;
        let unused = found.idle == found.units.len();
        entry.classes[found.class].idle.push((slab, unit));
        if entry.closed && unused {
            self.evict_slab(pool, slab, todo);
        }
        self.settle(todo);
    }

    /// A slab was freed, or (`gone`) its memory cannot be.
    pub(super) fn strike_slab(&mut self, pool: usize, slab: usize, gone: bool, todo: &mut Todo) {
        let entry = self.pool(pool);
        let Some(struck) = entry.slabs[slab].take() else { return };
        let bytes = entry.classes[struck.class].size * struck.units.len();
        let leaving = if struck.leaving { bytes } else { 0 };
        // What is gone is charged for good, to the pool as well.
        let (freed, gone) = if gone { (0, bytes) } else { (bytes, 0) };
        entry.leaving -= leaving;
        entry.charged -= freed;
        entry.gone += gone;
        self.leaving -= leaving;
        self.charged -= freed;
        self.gone += gone;
        if gone > 0 {
            self.refuse_hopeless(todo);
        }
        self.settle(todo);
    }

    /// A reservation ends.
    pub(super) fn release(&mut self, bytes: usize, todo: &mut Todo) {
        self.charged -= bytes;
        self.reserved -= bytes;
        self.settle(todo);
    }

    /// Who has what: of one pool, or of all.
    pub(super) fn usage(&self, only: Option<usize>) -> Usage {
        let mut usage = Usage::default();
        let mut charged = 0;
        for (pool, entry) in self.pools.iter().enumerate() {
            let Some(entry) = entry.as_ref().filter(|_| only.is_none_or(|one| one == pool)) else {
                continue;
            };
            charged += entry.charged;
            for slab in entry.slabs.iter().flatten() {
                let size = entry.classes[slab.class].size;
                usage.idle += slab.idle * size;
                for unit in &*slab.units {
                    unit.add_to(&mut usage, size);
                }
            }
            if only.is_some() {
                usage.limit = entry.limit;
                usage.quarantined += entry.gone;
            }
        }
        if only.is_none() {
            usage.limit = self.limit;
            usage.reserved = self.reserved;
            usage.quarantined += self.gone;
            charged = self.charged;
        }
        // What is in none of the others. A buffer that moves meanwhile is counted where it was seen:
        // the sum is what is charged in any case.
        let others = usage.idle + usage.in_flight + usage.held + usage.quarantined + usage.reserved;
        usage.leased = charged.saturating_sub(others);
        usage
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.granted.len()
    }
}

#[cfg(test)]
mod tests;
