//! Slabs: the memory of a pool's buffers, registered once.
//!
//! # Safety
//!
//! A slab owns one allocation, zeroed at first, until it is dropped; every handle to one of its
//! buffers holds the slab. Which bytes a handle may reach, and whether it may write them, is said in
//! the modules of the handles: a buffer is leased to one [`PoolBuf`](super::PoolBuf) at a time,
//! because the ledger lists it as idle once, when that is dropped.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ptr::NonNull,
    sync::Arc,
};

use libc::iovec;

use super::{PoolBuf, PoolCore, usage::Unit};
use crate::{
    Access, Errno, Error, Result, Segments,
    mr::{
        self,
        register::{Registration, Request},
    },
    object::forked,
    threading::Threading,
};

/// The beginning of a slab is a multiple of this: a page, on most machines.
const ALIGN: usize = 4096;

pub(super) struct Slab<T: Threading> {
    pub(super) pool: Arc<PoolCore<T>>,
    /// Its number in the pool.
    pub(super) index: usize,
    pub(super) units: Arc<[Unit]>,
    /// Bytes of one buffer.
    pub(super) size: usize,
    memory: Memory,
    registration: Option<Registration<T>>,
}

/// One allocation.
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
    /// Whether the device may know it still.
    kept: bool,
}

// SAFETY: owned bytes; who may reach which of them is said in the module.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn zeroed(len: usize) -> Result<Memory> {
        let layout = Layout::from_size_align(len, ALIGN).ok().filter(|layout| layout.size() > 0);
        let layout =
            layout.ok_or_else(|| Error::invalid(NAME, format!("a slab of {len} bytes")))?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) });
        let start = start.ok_or_else(|| {
            Error::from_errno(Errno::ENOMEM, NAME).detail(format!("no memory of {len} bytes"))
        })?;
        Ok(Memory { start, layout, kept: false })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if !self.kept {
            // SAFETY: allocated with this layout; its one owner goes.
            unsafe { dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}

const NAME: &str = "Pool::take";

/// Bytes that were granted for a slab and are given back unless it comes to be.
struct Charge<'a, T: Threading> {
    pool: &'a Arc<PoolCore<T>>,
    class: usize,
    units: u32,
}

impl<T: Threading> Drop for Charge<'_, T> {
    fn drop(&mut self) {
        let (index, class, units) = (self.pool.index, self.class, self.units);
        let grant = super::ledger::Grant::New { pool: index, class, units };
        self.pool.budget.change_in_drop(|ledger, todo| ledger.give_back(grant, todo));
    }
}

impl<T: Threading> Slab<T> {
    /// Makes a slab of so many buffers, whose bytes were granted: the first is returned, the others
    /// are idle.
    pub(super) fn open(
        pool: &Arc<PoolCore<T>>,
        class: usize,
        units: u32,
        len: usize,
    ) -> Result<PoolBuf<T>> {
        let charge = Charge { pool, class, units };
        let size = pool.sizes[class];
        let memory = Memory::zeroed(size * units as usize)?;
        let registration = pool.registers.then(|| register(pool, &memory)).transpose()?;
        let counts: Arc<[Unit]> = (0..units).map(|_| Unit::new()).collect();
        std::mem::forget(charge);
        let entry = Arc::clone(&counts);
        let index = pool.budget.change(|ledger, _| ledger.add_slab(pool.index, class, entry));
        let pool = Arc::clone(pool);
        let slab = Arc::new(Slab { pool, index, units: counts, size, memory, registration });
        slab.pool.enter(&slab);
        let first = PoolBuf::new(Arc::clone(&slab), 0, len);
        if units > 1 {
            slab.pool.budget.change(|ledger, todo| {
                for unit in 1..units {
                    ledger.put_back(slab.pool.index, index, unit, todo);
                }
            });
        }
        Ok(first)
    }

    /// Where a buffer begins.
    pub(super) fn start(&self, unit: u32) -> *mut u8 {
        debug_assert!((unit as usize) < self.units.len());
        // SAFETY: the slab has `units.len()` buffers of `size` bytes.
        unsafe { self.memory.start.as_ptr().add(self.size * unit as usize) }
    }

    /// Lists bytes of a buffer, with the descriptor if the slab was registered for such operations
    /// (rules M3, M15).
    pub(super) fn list(&self, unit: u32, start: usize, len: usize, list: &mut Segments) {
        debug_assert!(start + len <= self.size);
        // SAFETY: within the buffer.
        let bytes = unsafe { self.start(unit).add(start) };
        match &self.registration {
            Some(registration) if registration.access.contains(list.access()) => {
                list.push_region(bytes, len, registration.desc, registration.scope());
            }
            _ => list.push(bytes, len),
        }
    }
}

/// Registers a slab's memory for all that is done with it here.
fn register<T: Threading>(pool: &PoolCore<T>, memory: &Memory) -> Result<Registration<T>> {
    let caps = pool.domain.info.caps().raw();
    // What the domain was not opened for is not asked for.
    let access = match caps & (ofi_sys::FI_RMA | ofi_sys::FI_ATOMIC) {
        0 => Access::SEND | Access::RECV,
        _ => mr::LOCAL,
    };
    let piece = iovec { iov_base: memory.start.as_ptr().cast(), iov_len: memory.layout.size() };
    // SAFETY: the slab keeps its memory until the registration has ended, or for good.
    unsafe { Request::new(&pool.domain, &[piece], access).open() }
}

impl<T: Threading> Drop for Slab<T> {
    fn drop(&mut self) {
        if forked() {
            // The registration is the parent's, and locks may be held by threads left behind.
            self.memory.kept = true;
            return;
        }
        if let Some(registration) = &self.registration {
            // A failure is logged where it happens.
            self.memory.kept |= registration.close().is_err();
        }
        let gone = self.memory.kept;
        if !gone {
            // Before the bytes are anybody else's.
            self.memory = Memory::nothing();
        }
        let (pool, index) = (self.pool.index, self.index);
        self.pool.budget.change_in_drop(|ledger, todo| ledger.strike_slab(pool, index, gone, todo));
    }
}

impl Memory {
    /// In place of memory that is freed.
    fn nothing() -> Memory {
        Memory { start: NonNull::dangling(), layout: Layout::new::<()>(), kept: true }
    }
}
