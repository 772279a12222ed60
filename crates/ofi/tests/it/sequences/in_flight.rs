//! The operations that a random program has on their way, and what it may do with them.

use std::{future::IntoFuture, time::Duration};

use fastrand::Rng;
use ofi::{Held, Op, RecvOp, RecvVerb, Returned, SendOp, SendVerb, WaitError};

use crate::harness::{Mode, poll_once};

/// Short: sequences are many.
pub(super) const MOMENT: Duration = Duration::from_micros(200);

pub(super) struct InFlight<T: Mode> {
    sends: Vec<Op<SendVerb, Vec<u8>, T>>,
    receives: Vec<Op<RecvVerb, Vec<u8>, T>>,
    held: Vec<Held<Vec<u8>>>,
}

pub(super) fn pick<X>(rng: &mut Rng, list: &[X]) -> Option<usize> {
    (!list.is_empty()).then(|| rng.usize(..list.len()))
}

pub(super) fn size(rng: &mut Rng) -> usize {
    match rng.u8(..10) {
        0 => 0,
        1..=6 => rng.usize(1..512),
        7 | 8 => rng.usize(512..1400),
        _ => rng.usize(1400..70_000),
    }
}

impl<T: Mode> InFlight<T> {
    pub(super) fn new() -> Self {
        InFlight { sends: Vec::new(), receives: Vec::new(), held: Vec::new() }
    }

    pub(super) fn receive(
        &mut self,
        rng: &mut Rng,
        tags: bool,
        mut receive: RecvOp<'_, Vec<u8>, T>,
    ) {
        if tags && rng.bool() {
            receive = receive.tag(rng.u64(..4)).ignore(rng.u64(..4));
        }
        match rng.u8(..3) {
            0 => drop(poll_once(receive.into_future())),
            1 => match receive.wait(MOMENT) {
                Err(WaitError::Expired(op)) => self.receives.push(op),
                done => drop(done),
            },
            _ => self.receives.extend(receive.post()),
        }
    }

    pub(super) fn send(&mut self, rng: &mut Rng, tags: bool, mut send: SendOp<'_, Vec<u8>, T>) {
        if tags && rng.bool() {
            send = send.tag(rng.u64(..4));
        }
        if rng.u8(..4) == 0 {
            send = send.data(rng.u64(..));
        }
        match rng.u8(..4) {
            0 => drop(send.inject()),
            1 => drop(poll_once(send.into_future())),
            2 => match send.wait(MOMENT) {
                Err(WaitError::Expired(op)) => self.sends.push(op),
                done => drop(done),
            },
            _ => self.sends.extend(send.post()),
        }
    }

    pub(super) fn wait(&mut self, rng: &mut Rng) {
        if let Some(at) = pick(rng, &self.receives) {
            match self.receives.swap_remove(at).wait(MOMENT) {
                Err(WaitError::Expired(op)) => self.receives.push(op),
                done => drop(done),
            }
        }
        if let Some(at) = pick(rng, &self.sends) {
            match self.sends.swap_remove(at).wait(MOMENT) {
                Err(WaitError::Expired(op)) => self.sends.push(op),
                done => drop(done),
            }
        }
    }

    /// Drops, forgets, or abandons an operation.
    pub(super) fn give_up(&mut self, rng: &mut Rng) {
        let how = rng.u8(..8);
        if let Some(at) = pick(rng, &self.receives) {
            let receive = self.receives.swap_remove(at);
            match how {
                0 => std::mem::forget(receive),
                1..=3 => drop(receive),
                _ => self.keep(receive.abandon()),
            }
        }
        if let Some(at) = pick(rng, &self.sends) {
            let send = self.sends.swap_remove(at);
            match how {
                0 => std::mem::forget(send),
                1..=3 => drop(send),
                _ => self.keep(send.abandon()),
            }
        }
    }

    fn keep(&mut self, returned: Returned<Vec<u8>>) {
        if let Returned::Held(held) = returned {
            self.held.push(held);
        }
    }

    pub(super) fn cancel(&self, rng: &mut Rng) {
        if let Some(at) = pick(rng, &self.receives) {
            let _ = self.receives[at].cancel();
        }
    }

    pub(super) fn try_take(&mut self) {
        for held in &mut self.held {
            let _ = held.try_take();
        }
    }

    /// Drops one of three kinds.
    pub(super) fn clear(&mut self, what: u8) {
        match what {
            0 => self.sends.clear(),
            1 => self.receives.clear(),
            _ => self.held.clear(),
        }
    }
}
