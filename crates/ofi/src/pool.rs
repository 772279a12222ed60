//! Pools: buffers that are registered once, lent out, and come back by themselves.
//!
//! ```text
//! Budget            how many bytes, and who is next        ledger.rs, budget.rs, usage.rs
//!   Pool            one domain's size classes              here
//!     Slab          memory and its registration            slab.rs
//!       PoolBuf     a buffer, owned alone                  buffer.rs
//!         PoolPiece, PoolBytes    cut up; shared           piece.rs, bytes.rs
//! ```
//!
//! The ledger knows buffers by their numbers; the pool's table knows the slabs behind these. A slab
//! holds its pool, and the pool its slabs: the circle is cut when the last handle to the pool goes,
//! from when on each slab goes as soon as nobody uses it.
//!
//! No lock is held while memory is registered, freed or looked up, nor while wakers run.

use std::{
    fmt,
    sync::{Arc, Weak},
};

mod budget;
mod buffer;
mod bytes;
#[cfg(test)]
mod fake;
mod ledger;
#[cfg(all(test, loom))]
mod models;
mod piece;
mod slab;
mod span;
mod take;
mod todo;
mod usage;

pub use budget::{Budget, Reservation, Reserve};
pub use buffer::{NotJoined, PoolBuf};
pub use bytes::PoolBytes;
pub use piece::PoolPiece;
pub use take::Take;
pub use usage::Usage;

use budget::Claim;
use ledger::{PoolEntry, Want};
use slab::Slab;
use todo::Evict;
pub(crate) use todo::Evictor;

use crate::{
    Domain, Error, MrMode, Result,
    domain::DomainCore,
    object::{forked, refuse_fork},
    threading::{Lock, Shared, Threading},
};

/// Buffers of a few sizes, registered once on a domain, that come back when they are dropped.
///
/// [`take`](Self::take) lends the smallest buffer that is large enough, new or used before. What is
/// idle is kept, up to the pool's own bound and the [`Budget`]'s, which it may share with pools of
/// other domains and threads; it is freed where somebody waits for the room.
///
/// A clone is another handle. When the last one goes, buffers that are still lent out stay as they
/// are, and are freed as they come back.
///
/// ```
/// use std::time::Duration;
///
/// use ofi::{Budget, Domain, EndpointType, Fabric, Hints, PoolBuf};
///
/// # let hints = Hints::new().provider("tcp").endpoint_type(EndpointType::Rdm);
/// # let info = hints.node("127.0.0.1").source().query()?.into_best();
/// # let fabric = Fabric::open(&info)?;
/// let domain: Domain = fabric.domain(&info)?;
/// let budget = Budget::new(3 << 20);
/// let pool = domain.pool(&budget).classes([4096, 1 << 20]).open()?;
///
/// let window = pool.take(1 << 20).wait(Duration::from_secs(10))?;
/// // Sixteen pieces, to be received into side by side, and one buffer again.
/// let pieces = window.split(1 << 16);
/// assert_eq!(pieces.len(), 16);
/// let window = PoolBuf::join(pieces)?;
/// // Readers on any threads; the last one returns it.
/// let bytes = window.freeze(1 << 20);
/// assert_eq!(budget.usage().leased, 1 << 20);
/// drop(bytes);
/// assert_eq!(budget.usage().idle, 1 << 20);
/// drop(pool);
/// assert_eq!(budget.usage().used(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<T: Threading = Shared>(Arc<Handle<T>>);

/// What all handles of a pool have together.
struct Handle<T: Threading>(Arc<PoolCore<T>>);

/// What a pool's slabs stand on.
pub struct PoolCore<T: Threading> {
    pub(crate) domain: Arc<DomainCore<T>>,
    budget: Budget,
    /// Its number in the budget.
    index: usize,
    /// Bytes of the buffers of each class, rising.
    sizes: Box<[usize]>,
    /// The largest buffer that it can have.
    largest: usize,
    registers: bool,
    zeroes: bool,
    /// By their numbers.
    slabs: T::Lock<Vec<Option<Arc<Slab<T>>>>>,
}

/// What a pool is opened with. [`open`](Self::open) opens it.
#[must_use = "a builder does nothing until `open`"]
pub struct PoolBuilder<'a, T: Threading> {
    domain: &'a Domain<T>,
    budget: &'a Budget,
    sizes: Vec<usize>,
    limit: usize,
    slab: usize,
    registers: bool,
    zeroes: bool,
}

impl<T: Threading> Domain<T> {
    /// A pool of buffers for the endpoints of this domain, whose bytes `budget` counts.
    ///
    /// Without further words its classes are powers of two from 4 KiB on, and it grows as far as the
    /// budget does. Its memory is registered where the provider wants that (`FI_MR_LOCAL`), for
    /// sending and receiving, and as the local side of reads and writes.
    pub fn pool<'a>(&'a self, budget: &'a Budget) -> PoolBuilder<'a, T> {
        PoolBuilder {
            domain: self,
            budget,
            sizes: Vec::new(),
            limit: usize::MAX,
            slab: 0,
            registers: self.info().domain().mr_mode().contains(MrMode::LOCAL),
            zeroes: false,
        }
    }
}

impl<T: Threading> PoolBuilder<'_, T> {
    /// The sizes of its buffers, in bytes: each request gets one of the smallest size that is large
    /// enough, and is charged all of it.
    pub fn classes(mut self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.sizes = sizes.into_iter().collect();
        self
    }

    /// The most bytes that it may have, idle ones included. The budget bounds it, too.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Buffers smaller than this share slabs of about so many bytes, where there is room: fewer
    /// registrations. A slab is charged, and freed, as a whole: what is idle in it cannot make room
    /// for others while one of its buffers is used. Without, every buffer is a slab of its own.
    pub fn slab(mut self, bytes: usize) -> Self {
        self.slab = bytes;
        self
    }

    /// Registers its memory also where the provider does not want that.
    pub fn registered(mut self) -> Self {
        self.registers = true;
        self
    }

    /// Overwrites buffers with zeros before they are lent out again, for users that must not see
    /// each other's bytes.
    pub fn zeroed(mut self) -> Self {
        self.zeroes = true;
        self
    }

    /// Opens the pool. It has no memory yet.
    ///
    /// # Errors
    ///
    /// `Invalid` for a class of no bytes, or if none fits into pool and budget.
    pub fn open(self) -> Result<Pool<T>> {
        /// The smallest class where none was named.
        const SMALLEST: usize = 4096;
        const NAME: &str = "PoolBuilder::open";
        refuse_fork(NAME)?;
        let bound = self.limit.min(self.budget.limit());
        let mut sizes = self.sizes;
        if sizes.is_empty() {
            let powers = (0..usize::BITS).map(|bits| 1 << bits);
            sizes.extend(powers.filter(|size| (SMALLEST..=bound).contains(size)));
            if sizes.is_empty() {
                sizes.push(bound);
            }
        }
        sizes.sort_unstable();
        sizes.dedup();
        if sizes[0] == 0 {
            return Err(Error::invalid(NAME, "buffers of no bytes"));
        }
        let fitting = sizes.iter().rev().find(|size| **size <= bound);
        let Some(&largest) = fitting else {
            return Err(Error::invalid(
                NAME,
                format!("no buffer of {} bytes fits into {bound}", sizes[0]),
            ));
        };
        let core = Arc::new_cyclic(|weak: &Weak<PoolCore<T>>| {
            let evictor = T::evictor(Weak::clone(weak));
            let entry = PoolEntry::new(self.limit, self.slab, &sizes, evictor);
            PoolCore {
                index: self.budget.change(|ledger, _| ledger.add_pool(entry)),
                domain: Arc::clone(&self.domain.0),
                budget: self.budget.clone(),
                sizes: sizes.into(),
                largest,
                registers: self.registers,
                zeroes: self.zeroes,
                slabs: T::Lock::new(Vec::new()),
            }
        });
        Ok(Pool(Arc::new(Handle(core))))
    }
}

impl<T: Threading> Pool<T> {
    /// A buffer of `len` bytes, once there is one: a future, or [`Take::wait`].
    ///
    /// It is `len` bytes long and can be made as long as its class has it.
    pub fn take(&self, len: usize) -> Take<T> {
        let core = &self.0.0;
        let fitting = core.sizes.iter().position(|size| len <= *size && *size <= core.largest);
        let claim = fitting
            .map(|class| Claim::new(&core.budget, Want::Buffer { pool: core.index, class }))
            .ok_or(core.largest);
        Take::new(self.clone(), len, claim)
    }

    /// A buffer of `len` bytes if there is one now, or room for one, and nobody waits for it.
    ///
    /// # Errors
    ///
    /// `Busy` if not; otherwise as [`Take::wait`].
    pub fn try_take(&self, len: usize) -> Result<PoolBuf<T>> {
        self.take(len).look(None).unwrap_or_else(|| Err(budget::busy()))
    }

    /// Frees what nobody uses. Returns how many bytes. Slabs of which one buffer is used stay.
    pub fn trim(&self) -> usize {
        self.0.0.budget.change(|ledger, todo| ledger.trim(self.0.0.index, todo))
    }

    /// Whose its bytes are just now; its bound is the limit.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.0.budget.usage_of(self.0.0.index)
    }

    /// The budget that counts them.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.0.0.budget
    }

    /// The sizes of its buffers, in bytes, rising.
    #[must_use]
    pub fn classes(&self) -> &[usize] {
        &self.0.0.sizes
    }

    /// The domain that it is on.
    #[must_use]
    pub fn domain(&self) -> Domain<T> {
        Domain(Arc::clone(&self.0.0.domain))
    }
}

impl<T: Threading> PoolCore<T> {
    /// Enters a slab under its number.
    fn enter(&self, slab: &Arc<Slab<T>>) {
        let mut slabs = self.slabs.lock();
        if slabs.len() <= slab.index {
            slabs.resize_with(slab.index + 1, || None);
        }
        slabs[slab.index] = Some(Arc::clone(slab));
    }

    /// The slab of a buffer that was granted.
    fn slab(&self, index: usize) -> Arc<Slab<T>> {
        let slab = self.slabs.lock()[index].clone();
        slab.expect("idle buffers have their slab")
    }
}

impl<T: Threading> fmt::Debug for PoolCore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolCore").field("index", &self.index).finish_non_exhaustive()
    }
}

impl<T: Threading> Evict for PoolCore<T> {
    fn evict(&self, slab: usize) {
        let slab = self.slabs.lock().get_mut(slab).and_then(Option::take);
        // Not under the lock.
        drop(slab);
    }
}

impl<T: Threading> Drop for Handle<T> {
    fn drop(&mut self) {
        if !forked() {
            self.0.budget.change_in_drop(|ledger, todo| ledger.close_pool(self.0.index, todo));
        }
    }
}

impl<T: Threading> Drop for PoolCore<T> {
    fn drop(&mut self) {
        if !forked() {
            drop(self.budget.change_in_drop(|ledger, _| ledger.strike_pool(self.index)));
        }
    }
}

impl<T: Threading> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Pool(Arc::clone(&self.0))
    }
}

impl<T: Threading> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("classes", &self.classes())
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for PoolBuilder<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("classes", &self.sizes)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule: W11
    #[test]
    fn shared_buffers_go_anywhere() {
        fn anywhere<X: Send + Sync>() {}
        anywhere::<Pool>();
        anywhere::<PoolBuf>();
        anywhere::<PoolPiece>();
        anywhere::<PoolBytes>();
        anywhere::<Budget>();
        fn to_any_thread<X: Send>() {}
        to_any_thread::<Take>();
        to_any_thread::<Reserve>();
        to_any_thread::<Reservation>();
    }

    #[test]
    fn handles_fit_into_their_slot() {
        for size in [size_of::<PoolBuf>(), size_of::<PoolPiece>(), size_of::<PoolBytes>()] {
            assert!(size <= 64, "{size} bytes would be an allocation for each operation");
        }
    }
}
