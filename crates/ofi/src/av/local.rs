//! Endpoints of this very process, in vectors of shared memory.
//!
//! shm reaches an endpoint of its own process by pointers into it, and keeps them in every vector
//! that learned of it: by an insert, or from a message that came from there. Closing the endpoint
//! leaves them behind, and the next send, insert, enable or remove on such a vector would follow
//! them. So before an endpoint of shm closes, its name leaves every such vector of this process,
//! and none of them changes until it is closed. Where that cannot be had (an operation still names
//! the endpoint; a vector is confined to another thread) the endpoint stays open for good. Its name
//! is not taken again afterwards: shm would find what is left of it.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, ThreadId},
};

use super::{AddressTable, AvCore};
use crate::{
    Confined, FabricAddress, Info, Shared,
    cq::CqCore,
    threading::{Lock, Threading},
};

static SHARED: Mutex<Vec<Weak<AvCore<Shared>>>> = Mutex::new(Vec::new());
/// How many confined vectors of shm each thread has open.
static CONFINED: Mutex<Option<HashMap<ThreadId, usize>>> = Mutex::new(None);

/// The names of the endpoints of this process that are open.
static OPEN: Mutex<Option<HashSet<Box<[u8]>>>> = Mutex::new(None);

thread_local! {
    static OURS: RefCell<Vec<Weak<AvCore<Confined>>>> = const { RefCell::new(Vec::new()) };
}

fn lock<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether endpoints of this provider have to leave the vectors of their process.
pub(crate) fn concerns(info: &Info) -> bool {
    info.core_provider() == "shm"
}

/// An endpoint of this process was opened.
pub(crate) fn opened(name: &FabricAddress) {
    lock(&OPEN).get_or_insert_default().insert(name.bytes().into());
}

/// Whether this is the name of an endpoint of this process that is not open any more.
pub(super) fn is_gone(name: &[u8]) -> bool {
    name.starts_with(format!("fi_shm://{}:", std::process::id()).as_bytes())
        && !lock(&OPEN).as_ref().is_some_and(|open| open.contains(name))
}

/// A vector that any thread may change.
pub(crate) fn remember_shared(av: &Arc<AvCore<Shared>>) {
    let mut known = lock(&SHARED);
    known.retain(|other| other.strong_count() > 0);
    known.push(Arc::downgrade(av));
}

/// A vector that only this thread may change.
pub(crate) fn remember_confined(av: &Arc<AvCore<Confined>>) {
    OURS.with_borrow_mut(|ours| {
        ours.retain(|other| other.strong_count() > 0);
        ours.push(Arc::downgrade(av));
    });
}

/// Counts a confined vector for as long as it is open.
#[derive(Debug)]
pub(super) struct Counted(ThreadId);

impl Counted {
    pub(super) fn new() -> Counted {
        let id = thread::current().id();
        *lock(&CONFINED).get_or_insert_default().entry(id).or_default() += 1;
        Counted(id)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut threads = lock(&CONFINED);
        if let Some(count) = threads.get_or_insert_default().get_mut(&self.0) {
            *count -= 1;
        }
    }
}

/// Has all endpoints of this process read what was sent to them so far: a first message asks them to
/// map its sender, which they must have done before that closes (quirk 24). The caller holds no lock.
pub(crate) fn settle() {
    fn queues<T: Threading>(vectors: Vec<Arc<AvCore<T>>>) -> Vec<Arc<CqCore<T>>> {
        let mut all: Vec<Arc<CqCore<T>>> = Vec::new();
        for av in vectors {
            all.extend(av.lanes.lock().iter().map(|lane| {
                // SAFETY: an endpoint leaves the list, under its lock, before its lane may go.
                Arc::clone(unsafe { lane.as_ref() }.queue(true))
            }));
        }
        all
    }
    let shared = lock(&SHARED).iter().filter_map(Weak::upgrade).collect();
    let confined = OURS.with_borrow(|ours| ours.iter().filter_map(Weak::upgrade).collect());
    queues::<Shared>(shared).iter().for_each(|queue| queue.poke());
    queues::<Confined>(confined).iter().for_each(|queue| queue.poke());
}

/// Takes the endpoint of this name out of all vectors and runs `close` while none of them can
/// change. `None`, without having run it, where that cannot be had.
pub(crate) fn close<R>(name: &FabricAddress, close: impl FnOnce() -> R) -> Option<R> {
    // New vectors wait until it is closed.
    let shared = lock(&SHARED);
    let confined = lock(&CONFINED);
    let here = thread::current().id();
    let elsewhere = |(id, count): (&ThreadId, &usize)| *id != here && *count > 0;
    if confined.as_ref().is_some_and(|threads| threads.iter().any(elsewhere)) {
        return None;
    }
    let mut all: Vec<_> = shared.iter().filter_map(Weak::upgrade).collect();
    // Always in the same order, though nobody else takes more than one.
    all.sort_by_key(|av| av.id);
    let ours: Vec<_> = OURS.with_borrow(|ours| ours.iter().filter_map(Weak::upgrade).collect());
    let mut close = Some(close);
    let run = &mut || {
        lock(&OPEN).get_or_insert_default().remove(name.bytes());
        (close.take().expect("run once"))()
    };
    let result = held(&all, name, &mut || held(&ours, name, &mut || Some(run())));
    drop((confined, shared));
    // Their owners may have let go of them meanwhile: they close here, outside the locks.
    drop((all, ours));
    result
}

/// Runs `then` with the name taken out of all of `vectors`, and all of them held.
fn held<T: Threading, R>(
    vectors: &[Arc<AvCore<T>>],
    name: &FabricAddress,
    then: &mut dyn FnMut() -> Option<R>,
) -> Option<R> {
    let Some((first, rest)) = vectors.split_first() else { return then() };
    let mut table = first.table.lock();
    if !first.forget(&mut table, name) {
        return None;
    }
    held(rest, name, then)
}

impl<T: Threading> AvCore<T> {
    /// Takes an endpoint of this process out of the provider's map. `false` if an operation in
    /// flight names it.
    fn forget(&self, table: &mut AddressTable, name: &FabricAddress) -> bool {
        if let Some(address) = table.known.get(name.bytes()).map(|known| known.address) {
            table.retire(address, name.bytes());
            self.sweep(table);
        } else if !table.retired.iter().any(|(_, bytes)| **bytes == *name.bytes()) {
            // Never inserted by the user, but a message may have made it known: inserting it names
            // that entry, and removing it removes it.
            self.visit(name, |_| {});
        }
        !table.retired.iter().any(|(_, bytes)| **bytes == *name.bytes())
    }
}
