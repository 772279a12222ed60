//! Closing an endpoint so that no buffer is handed out while the provider may touch it.
//!
//! 1. Nothing new: the last handle is gone, the backlog's posts end as never posted.
//! 2. Receives are cancelled, and the queues are driven until every operation has ended, or the
//!    bound has passed.
//! 3. If operations remain and the provider is known to crash now, endpoint, domain and buffers are
//!    leaked and counted. Leaking is safe.
//! 4. Regions that are bound to it are closed; then `fi_close`, once, with both queues' readers held
//!    off.
//! 5. Where a close is known to give memory back, what remained ends as `Closed` with its buffer;
//!    its slots stay in limbo until the queues were seen empty, because every provider goes on
//!    handing out entries of a closed endpoint. Elsewhere the buffers are held for good.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr::NonNull,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{Core, parents::Wards};
use crate::{
    Error, Result,
    av::local,
    counter,
    cq::{Deferred, LimboClaim},
    object::{count_leaked_operations, forked, report},
    op::{
        lane::Lane,
        slot::{DONE, PROVIDER},
    },
    quirks::{self, Defect},
    threading::{Threading, Word},
    wait::{self, Source},
};

/// How long a drop waits for operations to end.
pub(super) const DROP_BOUND: Duration = Duration::from_millis(50);

impl<T: Threading> Core<T> {
    /// See the module. Called once; `Drop` does nothing after it.
    pub(super) fn shut_down(&mut self, timeout: Duration) -> Result<()> {
        if self.fid.is_closed() {
            return Ok(());
        }
        if forked() {
            self.fid.leak();
            return Err(Error::new(crate::ErrorKind::Forked, "fi_close"));
        }
        let aliases = self.aliases.close(timeout);
        let one_queue = Arc::ptr_eq(&self.transmit, &self.receive);
        let queues = [&*self.transmit.core, &*self.receive.core];
        let queues = &queues[..if one_queue { 1 } else { 2 }];

        for queue in queues {
            queue.detach(self.lane);
        }
        for tally in &self.tallies {
            self.transmit.core.detach_tally(tally);
        }
        let closed = Error::closed("endpoint");
        let mut after = Deferred::new();
        self.lane().closing();
        self.lane().fail_backlog(&closed, &mut after);
        self.lane().works.cancel_all(self.lane(), &mut after);
        after.run();

        let left = self.drain(queues, timeout);
        let provider = self.provider();
        if !aliases {
            return Err(self.leak(left));
        }
        if left > 0 && self.lane().works.are_queued() {
            // What may yet be started would find the endpoint gone, or what it stands on.
            return Err(self.leak(left));
        }
        if self.parents.keep_open(provider) || left > 0 && self.parents.keep_alias() {
            self.pass_on();
            return Ok(());
        }
        let crashes = || {
            // Where entries come late, another process may have the endpoint's place by then.
            quirks::quirk(provider, Defect::CloseInFlight).is_some()
                || quirks::quirk(provider, Defect::EntriesComeLate).is_some()
                || quirks::has_segments(provider) && self.lane().receives_in_flight()
                || self.parents.minds(provider, !self.lane().receives_in_flight())
        };
        if left > 0 && crashes() {
            return Err(self.leak(left));
        }
        if !self.leave_groups() {
            return Err(self.leak(left));
        }
        self.close_fid(queues, &closed, left)?;
        self.close_collectives(left);
        for lane in self.lanes() {
            if let Some(av) = &self.av {
                av.detach(lane);
            }
            // SAFETY: the fid is closed, nothing is posted, and `is_closed` keeps us from coming here
            // or touching the lane again; nor does a tally, which was closed.
            unsafe { Lane::retire(lane) };
        }
        Ok(())
    }

    /// The lane of its operations, and those of its batches.
    fn lanes(&self) -> Vec<NonNull<Lane<T>>> {
        let batches = self.tallies.iter().map(|tally| tally.lane_ptr());
        std::iter::once(self.lane).chain(batches).collect()
    }

    /// Operations that have not ended, those of batches too.
    fn in_flight(&self) -> usize {
        let batches: usize = self.tallies.iter().map(|tally| tally.in_flight()).sum();
        self.lane().in_flight() + batches
    }

    /// Cancels receives and drives the queues. Returns how many operations are left.
    fn drain(&self, queues: &[&crate::cq::CqCore<T>], timeout: Duration) -> usize {
        let lane = self.lane();
        if self.in_flight() == 0 {
            return 0;
        }
        let cancel = |again: bool| {
            for slot in lane.slots() {
                let state = slot.state.load();
                if state & PROVIDER == 0 || state & DONE != 0 || again && !slot.has_many() {
                    continue;
                }
                // SAFETY: the table is written before PROVIDER is set and stays until the slot is
                // used again, which no post does any more: the lane is closing.
                if unsafe { slot.table() }.receives {
                    // Where it cannot be cancelled, the close ends it.
                    let _ = lane.cancel(slot);
                }
            }
        };
        cancel(false);
        let sources: Vec<&dyn Source> = queues.iter().map(|queue| *queue as &dyn Source).collect();
        let deadline = Instant::now().checked_add(timeout);
        // The end of a batch comes without an event.
        let restless = if self.tallies.is_empty() { 0 } else { 1 };
        self.transmit.core.backlogged.fetch_add(restless);
        let ended = &mut |driven| {
            if driven > 0 {
                // A message that was on its way into one has come.
                cancel(true);
            }
            let mut after = Deferred::new();
            lane.works.sweep(lane, &mut after);
            after.run();
            self.in_flight() == 0
        };
        wait::park_until(&sources, ended, deadline);
        self.transmit.core.backlogged.fetch_add(restless.wrapping_neg());
        self.in_flight()
    }

    fn close_fid(
        &self,
        queues: &[&crate::cq::CqCore<T>],
        closed: &Error,
        left: usize,
    ) -> Result<()> {
        let lane = self.lane();
        // An endpoint of shm leaves the vectors of its process first. Whoever inserts there walks
        // the endpoints that are bound, without a lock: the vectors are held for the close.
        let name = match local::concerns(&self.info).then(|| self.name()).transpose() {
            Ok(name) => name,
            Err(_) => return Err(self.leak(left)),
        };
        if name.is_some() {
            local::settle();
        }
        if !self.hang_up() {
            return Err(self.leak(left));
        }
        // Before the endpoint (rule L3). Their memory is held by whoever has them.
        if self.bound.close_all().is_err() {
            return Err(self.leak(left));
        }
        let mut after = Deferred::new();
        let mut taken = Vec::new();
        let mut limbo = Vec::new();
        let result = {
            // Before the queues' readers: nobody who has one of those waits for this one.
            let mut events = self.connection.as_ref().map(|c| (c, c.eq.core.hold()));
            // In the order of their addresses, so that two closing endpoints cannot wait for each
            // other.
            let mut ordered: Vec<_> = queues.iter().collect();
            ordered.sort_by_key(|queue| std::ptr::from_ref(**queue) as usize);
            let mut readers: Vec<_> = ordered.iter().map(|queue| queue.hold()).collect();
            for lane in self.lanes() {
                // SAFETY: none is retired yet.
                unsafe { lane.as_ref() }.shut();
            }
            for tally in &self.tallies {
                // SAFETY: both readers are held off.
                unsafe { tally.sweep() };
            }
            // Those of the tallies too: nobody reads them after the sweep.
            let _counters = counter::hold(self.parents.counters.iter().map(|counter| &**counter));
            if self.minds_unexpected() {
                let receives = |queue: &&&_| std::ptr::eq(**queue, &raw const *self.receive.core);
                let at = ordered.iter().position(receives).expect("one of them");
                self.take_unexpected(&mut readers[at], &mut taken);
            }
            if quirks::quirk(self.provider(), Defect::TrywaitAfterClose).is_some() {
                queues.iter().for_each(|queue| queue.lose_fd());
            }
            let result = match name {
                None => self.fid.close(),
                Some(name) => local::close(&name, || self.fid.close()).unwrap_or_else(|| {
                    Err(Error::closed("fi_close").detail("its name could not be taken back"))
                }),
            };
            if result.is_ok() && quirks::close_returns_memory(self.provider()) {
                for lane in self.lanes() {
                    // SAFETY: closed with 0 on such a provider, both readers are held off; no lane is
                    // retired yet.
                    if unsafe { lane.as_ref().end_in_limbo(closed, &mut after) } {
                        limbo.push(lane);
                    }
                }
            }
            if let (Ok(()), Some((connection, reader))) = (&result, &mut events) {
                // No event of this endpoint is left for whatever comes to its address next.
                let mut woken = Vec::new();
                connection.eq.core.leave(reader, self.fid.as_fid(), &mut woken);
                woken.into_iter().for_each(|waker| after.push_waker(waker));
            }
            result
        };
        taken.iter_mut().for_each(Deferred::run);
        after.run();
        if result.is_err() {
            return Err(self.leak(left));
        }
        let clean = left == 0 || quirks::close_returns_memory(self.provider());
        self.tallies.iter().for_each(|tally| tally.close(clean));
        if !limbo.is_empty() {
            for lane in limbo {
                // SAFETY: once for this lane, after `end_in_limbo` and after its orphans were seen to.
                let claim = Arc::new(unsafe { LimboClaim::new(lane) });
                for queue in queues {
                    queue.hold().claim(Arc::clone(&claim));
                }
            }
            // Mostly they are empty by now.
            for queue in queues {
                queue.progress();
            }
        } else if left > 0 {
            count_leaked_operations(left);
            lane.give_up(queues);
        }
        Ok(())
    }

    /// Leaves the endpoint, open as it is, to the shared contexts that it stands on: they close it
    /// once they are closed. What is in flight goes on until then.
    fn pass_on(&mut self) {
        self.lane().shut();
        let parents = std::mem::take(&mut self.parents);
        parents.adopt(Core {
            lane: self.lane,
            vector: self.vector,
            limits: self.limits.clone(),
            validity: OnceLock::new(),
            fid: self.fid.pass_on(),
            transmit: Arc::clone(&self.transmit),
            receive: Arc::clone(&self.receive),
            av: self.av.clone(),
            domain: Arc::clone(&self.domain),
            joins: self.joins.take(),
            bound: Arc::clone(&self.bound),
            connection: self.connection.take(),
            parents: Box::new(parents.let_go()),
            aliases: Box::new(Wards::new()),
            tallies: std::mem::take(&mut self.tallies),
            info: self.info.clone(),
        });
        // `parents` may be the last to hold the contexts, which close then, and it with them.
    }

    /// Leaves the endpoint open for good: closing it would crash, or failed.
    #[cold]
    pub(super) fn leak(&self, left: usize) -> Error {
        self.fid.leak();
        for lane in self.lanes() {
            // SAFETY: a lane is retired only after the close, which is not done.
            unsafe { lane.as_ref() }.shut();
        }
        self.tallies.iter().for_each(|tally| tally.close(false));
        std::mem::forget(self.tallies.clone());
        self.domain.leak();
        count_leaked_operations(left);
        // Whatever the endpoint stands on stays.
        std::mem::forget(Arc::clone(&self.transmit));
        std::mem::forget(Arc::clone(&self.receive));
        std::mem::forget(self.av.clone());
        std::mem::forget(self.parents.clone());
        self.leak_groups();
        std::mem::forget(
            self.connection.as_ref().map(|c| (Arc::clone(&c.eq), Arc::clone(&c.link))),
        );
        std::mem::forget(Arc::clone(&self.domain));
        std::mem::forget(self.info.clone());
        self.lane().give_up(&[&self.transmit.core, &self.receive.core]);
        let error = Error::closed("fi_close").detail(format!(
            "{left} operations were still in flight, and closing then is not safe on {}; the \
             endpoint and their buffers are leaked",
            self.provider()
        ));
        report("endpoint", &error);
        error
    }
}

impl<T: Threading> Drop for Core<T> {
    fn drop(&mut self) {
        // Logged where it matters; there is nobody to tell. Wakers and drops of buffers run on the way,
        // and may panic: the fid is not to be closed behind the lane's back then.
        let close = |core: &mut Core<T>| drop(core.shut_down(DROP_BOUND));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| close(self))) {
            if catch_unwind(AssertUnwindSafe(|| close(self))).is_err() {
                self.fid.leak();
                self.domain.leak();
                let _ = catch_unwind(AssertUnwindSafe(|| self.leak(self.in_flight())));
            }
            resume_unwind(panic);
        }
    }
}
