//! Every hand-over of a slot between threads, in every order that loom finds (`--cfg loom`).
//!
//! The code under test is what runs in production: posting, the backlog, the queue's reader, the
//! `Op`. Only the provider is a [`Device`], and a poll of descriptors is `wait::bell`'s model.

use std::{
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use loom::{sync::Notify, thread};

use super::{
    Op, Returned, Uses,
    lane::{Habits, Lane},
    post::lay,
    slot::{OP, Part, Slot},
};
use crate::{
    Address, Error, Shared,
    cq::{CqCore, Deferred, LimboClaim},
    fabric::FabricCore,
    threading::Word,
};

mod backlog;
mod close;
mod device;
mod finish;
mod lists;
mod many;

use device::{Device, In, Out, Token};

/// Explores `f` with up to `preemptions` switches that no thread asked for.
fn explore(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(f);
}

/// A device, its queue, and a lane on both.
struct World {
    // Freed in this order.
    cq: Arc<CqCore<Shared>>,
    lane: NonNull<Lane<Shared>>,
    device: Box<Device>,
    tokens: std::sync::Mutex<Vec<Arc<AtomicUsize>>>,
    flags: std::sync::Mutex<Vec<Arc<Flag>>>,
}

// SAFETY: the lane is used by the model for as long as it is open, the device is behind its lock.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

impl World {
    /// With room for that many posts.
    fn new(room: usize) -> Arc<World> {
        let device = Device::new(room);
        // SAFETY: the device lives longer than the queue, and the queue than the model's threads.
        let cq = unsafe {
            let fabric = FabricCore::model(device.fabric());
            CqCore::model(device.cq(), Some(device.fd), fabric)
        };
        let habits = Habits { discards_by_flag: true, ..Habits::default() };
        let lane = Lane::new(device.ep(), Arc::clone(&cq), Arc::clone(&cq), habits);
        cq.attach(lane);
        let (tokens, flags) = Default::default();
        Arc::new(World { cq, lane, device, tokens, flags })
    }

    fn lane(&self) -> &Lane<Shared> {
        // SAFETY: the model has not retired it.
        unsafe { self.lane.as_ref() }
    }

    /// A buffer whose drops are counted.
    fn token(&self) -> Token {
        let drops = Arc::new(AtomicUsize::new(0));
        self.tokens.lock().unwrap().push(Arc::clone(&drops));
        Token(drops)
    }

    fn post<V: Uses<Token>>(&self, verb: V, to: Option<Address>) -> crate::Result<Op<V, Token>> {
        // SAFETY: the model closes its lane when nobody posts.
        unsafe { lay(self.lane(), self.token()).launch(verb, to, true, false) }.map_err(Error::from)
    }

    fn send(&self, number: u64) -> Op<Out, Token> {
        self.post(device::Numbered(number), None).unwrap()
    }

    fn receive(&self, number: u64) -> Op<In, Token> {
        self.post(device::Numbered(number), None).unwrap()
    }

    /// What the end of the endpoint does between the provider's close and the lane's (see
    /// `endpoint::close`).
    fn close(&self) {
        self.cq.detach(self.lane);
        let mut after = Deferred::new();
        self.lane().fail_backlog(&Error::closed("endpoint"), &mut after);
        after.run();
        let limbo = {
            let _reader = self.cq.hold();
            self.lane().shut();
            self.device.close();
            // SAFETY: the device is closed and the reader held off.
            unsafe { self.lane().end_in_limbo(&Error::closed("endpoint"), &mut after) }
        };
        after.run();
        if limbo {
            // SAFETY: once for this lane, after `end_in_limbo` and after its orphans.
            let claim = Arc::new(unsafe { LimboClaim::new(self.lane) });
            self.cq.hold().claim(claim);
        }
        self.cq.progress();
        // SAFETY: closed, and the model posts nothing more.
        unsafe { Lane::retire(self.lane) };
    }

    /// Looks at the queue until it was seen empty.
    fn settle(&self) {
        while self.cq.progress() > 0 {}
    }

    /// Something to be woken by, whose wakers are counted.
    fn flag(&self) -> Arc<Flag> {
        let flag = Arc::new(Flag(Notify::new()));
        self.flags.lock().unwrap().push(Arc::clone(&flag));
        flag
    }

    /// Polls to the end, sleeping until the waker is called. A lost wake-up is a deadlock, which
    /// loom reports.
    fn block_on<F: Future + Unpin>(&self, mut future: F) -> F::Output {
        let flag = self.flag();
        let waker = Waker::from(Arc::clone(&flag));
        loop {
            match poll(&mut future, &waker) {
                Poll::Ready(output) => return output,
                Poll::Pending => flag.0.wait(),
            }
            // It may have been woken to look again soon.
            thread::yield_now();
        }
    }

    /// After [`close`](Self::close), with no `Op` left: every buffer went once, the lane too, and
    /// no waker was lost or taken twice.
    fn check(&self) {
        self.settle();
        for drops in &*self.tokens.lock().unwrap() {
            assert_eq!(drops.load(Ordering::Relaxed), 1, "drops of a buffer");
        }
        for flag in &*self.flags.lock().unwrap() {
            assert_eq!(Arc::strong_count(flag), 1, "users of a waker");
        }
        assert_eq!(Arc::strong_count(&self.cq), 1, "users of the queue: the lane is one");
    }
}

/// Blocks a loom thread until it is woken.
struct Flag(Notify);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}
