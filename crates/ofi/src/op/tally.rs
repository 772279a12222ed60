//! Operations that leave no entry when they succeed, and how it is known that they have ended.
//!
//! One class of one endpoint's operations (its sends, say) goes through a lane of its own, all of them
//! as batches, and a counter that nobody else can reach counts their successes. What fails leaves an
//! entry, which the reader of the queue counts. Successes and failures together are never more than
//! what was posted, and as many only when every one of them has ended; which have ended before, nothing
//! says: they are counted in any order. So all that a tally ever learns is that everything posted up to
//! some number has ended, and buffers come back by that alone.
//!
//! Failures are counted by their entries and not by the counter, because providers count them in another
//! class (quirks 48 and 49) or not at all; an entry names its slot. So when a slot is given up its
//! entry, if it was to have one, has been read.
//!
//! # Safety
//!
//! The `OP` half of a batch's slot is the [`Batch`](super::Batch)'s, the [`Chain`]'s that it became when it was dropped, or
//! the [`Ended`](super::Ended)'s. A chain owns the bodies of its slots when [`Tally::standing`] said
//! that it has ended: the provider is done with them, and the queue's reader with their entries.
//!
//! That rests on the provider counting each success once, when it is one, and nothing else
//! ([`quirks::counts_each_success`](crate::quirks::counts_each_success)), and on nobody posting operations of the class
//! beside the tally: [`post::check`](super::post::check) refuses them.

use std::{ptr::NonNull, sync::Arc, task::Waker};

use super::{
    chain::Chain,
    lane::Lane,
    slot::{self, Body, DONE, Outcome, PROVIDER, Part, Slot},
};
use crate::{
    BindFlags,
    counter::CounterCore,
    cq::{CqCore, Deferred},
    threading::{Lock, Threading, Word},
};

/// See the module.
pub(crate) struct Tally<T: Threading> {
    /// What it counts: one of the classes that a counter can be bound to.
    pub(crate) class: BindFlags,
    counter: Arc<CounterCore<T>>,
    /// Valid while the endpoint is open, which `Ledger::end` says.
    lane: NonNull<Lane<T>>,
    queue: Arc<CqCore<T>>,
    ledger: T::Lock<Ledger<T>>,
}

/// Held while an operation is posted, so that whoever compares sees it either not at all or counted.
pub(super) struct Ledger<T: Threading> {
    /// Operations that the provider took.
    posted: u64,
    /// All that was posted up to here has ended.
    ended: u64,
    /// The endpoint's end.
    end: End,
    /// Batches that were dropped in flight.
    left: Vec<Chain<T>>,
    /// Who waits, and for which batch.
    waiting: Vec<(u64, Waker)>,
    /// Numbers of batches.
    batches: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// About to be closed: its counter is not read any more.
    Closing,
    /// Closed, and everything has ended.
    Closed,
    /// Gone, and what was in flight may never end.
    Lost,
}

/// How it stands with a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It goes on.
    InFlight,
    /// It has ended: its slots are its owner's alone.
    Ended,
    /// It may never end.
    Lost,
}

impl<T: Threading> Tally<T> {
    /// # Safety
    ///
    /// The counter is bound to the lane's endpoint for `class`, and to nothing else; nobody else changes
    /// it; `posted` operations of the class were posted already. [`close`](Self::close) is called before
    /// the lane is retired.
    pub(crate) unsafe fn new(
        class: BindFlags,
        counter: Arc<CounterCore<T>>,
        lane: NonNull<Lane<T>>,
        queue: Arc<CqCore<T>>,
        posted: u64,
    ) -> Arc<Tally<T>> {
        Arc::new(Tally {
            class,
            counter,
            lane,
            queue,
            ledger: T::Lock::new(Ledger {
                posted,
                ended: 0,
                end: End::Open,
                left: Vec::new(),
                waiting: Vec::new(),
                batches: 0,
            }),
        })
    }

    /// The lane of its operations.
    ///
    /// # Safety
    ///
    /// The endpoint is open, and cannot close meanwhile.
    pub(crate) unsafe fn lane(&self) -> &Lane<T> {
        // SAFETY: the lane is retired after the close.
        unsafe { self.lane.as_ref() }
    }

    pub(crate) fn lane_ptr(&self) -> NonNull<Lane<T>> {
        self.lane
    }

    /// The queue that its failures are reported on.
    pub(super) fn queue(&self) -> &Arc<CqCore<T>> {
        &self.queue
    }

    /// A number for a batch.
    pub(super) fn number(&self) -> u64 {
        let mut ledger = self.ledger.lock();
        ledger.batches += 1;
        ledger.batches
    }

    /// Posts an operation, and notes it: `post` returns the slot that the provider took.
    ///
    /// # Safety
    ///
    /// The slot is of this lane, in flight, and its `OP` half is the chain's from now on.
    pub(super) unsafe fn post<E>(
        &self,
        chain: &mut Chain<T>,
        post: impl FnOnce() -> Result<NonNull<Slot<T>>, E>,
    ) -> Result<(), E> {
        let mut ledger = self.ledger.lock();
        let slot = post()?;
        ledger.posted += 1;
        // SAFETY: the caller's promise; the completer touches the outcome alone.
        unsafe {
            let slot = slot.as_ref();
            slot.body(Part::Buffer, |b| Body::number(b, ledger.posted));
            slot.next.store(0);
            if let Some(last) = chain.last {
                last.as_ref().next.store(slot.context() as usize as u64);
            }
        }
        chain.first = chain.first.or(Some(slot));
        chain.last = Some(slot);
        chain.count += 1;
        chain.upto = ledger.posted;
        Ok(())
    }

    /// How it stands with a batch. Looks at the counter, which drives the endpoint.
    pub(super) fn standing(&self, chain: &Chain<T>) -> Standing {
        self.stands(&mut self.ledger.lock(), chain)
    }

    /// The same; if it goes on, `waker` is called when it has ended.
    pub(super) fn await_end(&self, number: u64, chain: &Chain<T>, waker: &Waker) -> Standing {
        // User code, so not under the lock.
        let waker = waker.clone();
        let mut earlier = None;
        let standing = {
            let mut ledger = self.ledger.lock();
            let standing = self.stands(&mut ledger, chain);
            if standing == Standing::InFlight {
                match ledger.waiting.iter_mut().find(|(of, _)| *of == number) {
                    Some((_, left)) => earlier = Some(std::mem::replace(left, waker)),
                    None => {
                        ledger.waiting.push((number, waker));
                        self.queue.backlogged.fetch_add(1);
                    }
                }
            }
            standing
        };
        drop(earlier);
        standing
    }

    /// Nobody waits for this batch any more.
    pub(super) fn forget(&self, number: u64) {
        let waker = {
            let mut ledger = self.ledger.lock();
            let at = ledger.waiting.iter().position(|(of, _)| *of == number);
            at.map(|at| {
                self.queue.backlogged.fetch_add(u64::MAX);
                ledger.waiting.swap_remove(at)
            })
        };
        drop(waker);
    }

    /// Takes in a batch that nobody waits for: its buffers are dropped when it has ended. Gives it
    /// back if it has.
    pub(super) fn leave(&self, chain: Chain<T>) -> Option<Chain<T>> {
        let mut ledger = self.ledger.lock();
        match self.stands(&mut ledger, &chain) {
            Standing::Ended => Some(chain),
            Standing::Lost => {
                drop(ledger);
                chain.lose();
                None
            }
            Standing::InFlight => {
                ledger.left.push(chain);
                self.queue.backlogged.fetch_add(1);
                None
            }
        }
    }

    fn stands(&self, ledger: &mut Ledger<T>, chain: &Chain<T>) -> Standing {
        if chain.upto <= ledger.ended {
            return Standing::Ended;
        }
        match ledger.end {
            End::Closed => Standing::Ended,
            End::Lost => Standing::Lost,
            End::Closing => Standing::InFlight,
            End::Open => {
                self.settle(ledger);
                if chain.upto <= ledger.ended { Standing::Ended } else { Standing::InFlight }
            }
        }
    }

    /// Looks whether everything has ended. The endpoint is open.
    ///
    /// Returns how many operations go on.
    fn settle(&self, ledger: &mut Ledger<T>) -> u64 {
        if ledger.ended == ledger.posted {
            return 0;
        }
        let succeeded = self.counter.read();
        // Neither number ever falls, and their sum is never more than `posted`, which the lock keeps
        // still: if the two make it up, though not read at once, they do now.
        // SAFETY: the endpoint is open; whoever closes it takes the lock first.
        let failed = unsafe { self.lane.as_ref() }.failed.load();
        let ended = succeeded.wrapping_add(failed);
        if ended == ledger.posted {
            ledger.ended = ended;
        }
        ledger.posted.saturating_sub(ended)
    }

    /// Operations that have not ended.
    pub(crate) fn in_flight(&self) -> usize {
        let mut ledger = self.ledger.lock();
        match ledger.end {
            End::Open => self.settle(&mut ledger) as usize,
            End::Closing => (ledger.posted - ledger.ended) as usize,
            End::Closed | End::Lost => 0,
        }
    }

    /// Whether somebody leaves it to others to look.
    pub(crate) fn is_awaited(&self) -> bool {
        self.ledger.try_lock().is_none_or(|ledger| !ledger.waiting.is_empty())
    }

    /// Sees to the batches that were dropped or are awaited: called while the queue is driven.
    #[cold]
    pub(crate) fn tend(&self, after: &mut Deferred<T>) {
        // Somebody else is at it, or posting just now.
        let Some(mut ledger) = self.ledger.try_lock() else { return };
        if ledger.end != End::Open || ledger.left.is_empty() && ledger.waiting.is_empty() {
            return;
        }
        self.settle(&mut ledger);
        let ended = ledger.ended;
        let mut i = 0;
        while i < ledger.left.len() {
            if ledger.left[i].upto > ended {
                i += 1;
                continue;
            }
            let mut chain = ledger.left.swap_remove(i);
            self.queue.backlogged.fetch_add(u64::MAX);
            while let Some(slot) = chain.pop() {
                // SAFETY: it has ended, so its body is the chain's; it is pushed once.
                let slot = unsafe { slot.as_ref() };
                after.push(slot, slot::After::Orphan(None));
            }
        }
        if ended == ledger.posted {
            self.wake_all(&mut ledger, after);
        }
    }

    fn wake_all(&self, ledger: &mut Ledger<T>, after: &mut Deferred<T>) {
        for (_, waker) in ledger.waiting.drain(..) {
            self.queue.backlogged.fetch_add(u64::MAX);
            after.push_waker(waker);
        }
    }

    /// Ends, before the endpoint's lane does, what has ended well: so that its close ends the rest alone.
    ///
    /// # Safety
    ///
    /// The caller holds the reader's lock of the queue, and is about to call `fi_close`.
    pub(crate) unsafe fn sweep(&self) {
        let ended = {
            let mut ledger = self.ledger.lock();
            self.settle(&mut ledger);
            ledger.end = End::Closing;
            ledger.ended
        };
        // SAFETY: the endpoint's lane is not retired yet.
        for slot in unsafe { self.lane.as_ref() }.slots() {
            let state = slot.state.load();
            // SAFETY: nobody posts any more; what is in flight was numbered by its post.
            let number = || slot.body(Part::Buffer, |b| unsafe { Body::numbered(b) });
            if state & PROVIDER != 0 && state & DONE == 0 && number() <= ended {
                // SAFETY: the reader's lock makes us the only completer.
                unsafe { slot.complete(Outcome::default(), None, false) };
            }
        }
    }

    /// The endpoint is gone: `clean` if everything in flight was ended (`Lane::end_in_limbo`). From
    /// here on the lane is not looked at. Runs user code.
    pub(crate) fn close(&self, clean: bool) {
        let mut after = Deferred::new();
        let left = {
            let mut ledger = self.ledger.lock();
            ledger.end = if clean { End::Closed } else { End::Lost };
            self.wake_all(&mut ledger, &mut after);
            let left = std::mem::take(&mut ledger.left);
            self.queue.backlogged.fetch_add((left.len() as u64).wrapping_neg());
            left
        };
        for mut chain in left {
            if clean || chain.upto <= self.ledger.lock().ended {
                // SAFETY: it has ended.
                unsafe { chain.discard() };
            } else {
                chain.lose();
            }
        }
        after.run();
    }
}

// SAFETY: the lane of a `Shared` endpoint is atomic or locked throughout; chains in the ledger hold buffers
// that `Shared` accepted, which are `Send`.
unsafe impl Send for Tally<crate::Shared> {}
// SAFETY: as above; the ledger is behind its lock.
unsafe impl Sync for Tally<crate::Shared> {}
