//! Mailboxes: where an event waits for the object that it names.

use std::{
    collections::VecDeque,
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use ofi_sys::fid;

use crate::{Error, ErrorKind, Info, cm::Refused};

/// The mailbox of an object that is bound to an event queue.
#[derive(Clone)]
pub(crate) enum Mailbox {
    /// An endpoint's.
    Link(Arc<Link>),
    /// A passive endpoint's.
    Door(Arc<Door>),
    /// Of something that is closed: what still comes is nobody's, and nobody can be asked about it.
    Closed,
}

/// What became of a connection.
#[derive(Default)]
pub(crate) struct Link(Mutex<LinkState>);

#[derive(Default)]
pub(crate) struct LinkState {
    /// How the attempt ended; taken by whoever waits for it.
    answer: Option<Answer>,
    /// Whether an answer came, taken or not.
    answered: bool,
    /// The connection is over.
    down: bool,
    /// Why, if there was a reason.
    reason: Option<Error>,
    wakers: Wakers,
}

/// How an attempt to connect ended.
pub(crate) enum Answer {
    /// With the peer's private data.
    Connected(Vec<u8>),
    Refused(Refused),
}

impl Link {
    /// FI_CONNECTED.
    pub(super) fn connected(&self, data: Vec<u8>, woken: &mut Vec<Waker>) {
        let mut state = lock(&self.0);
        state.settle(Answer::Connected(data));
        state.wakers.take(woken);
    }

    /// FI_SHUTDOWN, or our own shutdown. Idempotent (rule C6).
    pub(crate) fn shut_down(&self, woken: &mut Vec<Waker>) {
        let mut state = lock(&self.0);
        state.settle(Answer::Refused(Refused {
            error: Error::new(ErrorKind::Peer, "fi_connect")
                .detail("the connection ended before it was made"),
            data: Vec::new(),
        }));
        state.down = true;
        state.wakers.take(woken);
    }

    /// An error of the connection: the end of the attempt, or of the connection.
    pub(super) fn failed(&self, error: Error, data: Vec<u8>, woken: &mut Vec<Waker>) {
        let mut state = lock(&self.0);
        if state.answered {
            state.reason.get_or_insert(error);
        } else {
            state.settle(Answer::Refused(Refused { error, data }));
        }
        state.down = true;
        state.wakers.take(woken);
    }

    pub(crate) fn has_answer(&self) -> bool {
        lock(&self.0).answer.is_some()
    }

    pub(crate) fn take_answer(&self) -> Option<Answer> {
        lock(&self.0).answer.take()
    }

    pub(crate) fn is_down(&self) -> bool {
        lock(&self.0).down
    }

    pub(crate) fn reason(&self) -> Option<Error> {
        lock(&self.0).reason.clone()
    }

    /// Leaves a waker that the next event calls.
    pub(crate) fn register(&self, key: &mut Option<u64>, waker: &Waker) {
        let waker = waker.clone();
        let old = lock(&self.0).wakers.set(key, waker);
        drop(old);
    }

    pub(crate) fn deregister(&self, key: &mut Option<u64>) {
        let old = lock(&self.0).wakers.remove(key);
        drop(old);
    }
}

impl LinkState {
    /// The first answer stands.
    fn settle(&mut self, answer: Answer) {
        if !self.answered {
            self.answered = true;
            self.answer = Some(answer);
        }
    }
}

/// The requests that came to a passive endpoint.
#[derive(Default)]
pub(crate) struct Door(Mutex<DoorState>);

#[derive(Default)]
struct DoorState {
    arrived: VecDeque<Arrival>,
    /// Errors of the passive endpoint, each told once.
    failed: VecDeque<Error>,
    /// Nothing more will come.
    broken: Option<Error>,
    /// The passive endpoint is closed: what still comes is rejected.
    shut: bool,
    wakers: Wakers,
}

/// A connection request as the event brought it.
pub(crate) struct Arrival {
    /// Its own memory; its handle was taken out (rules C1, D5).
    pub(crate) info: Info,
    pub(crate) handle: Handle,
    /// The peer's private data, perhaps padded (rule C2).
    pub(crate) data: Vec<u8>,
}

/// The provider's end of a connection request: goes to `fi_endpoint` or `fi_reject`, once.
#[derive(Debug)]
pub(crate) struct Handle(pub(super) NonNull<fid>);

// SAFETY: it is only handed back to the provider, whose connection management may be called on any
// thread; nobody looks into it.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub(crate) fn as_ptr(&self) -> *mut fid {
        self.0.as_ptr()
    }
}

/// Requests kept for a passive endpoint that nobody asks; further ones are rejected.
pub(super) const ARRIVALS: usize = 4096;

impl Door {
    /// Gives the request back where too many wait already, or nobody asks any more.
    pub(super) fn arrived(&self, arrival: Arrival, woken: &mut Vec<Waker>) -> Option<Arrival> {
        let mut state = lock(&self.0);
        if state.shut || state.arrived.len() >= ARRIVALS {
            return Some(arrival);
        }
        state.arrived.push_back(arrival);
        state.wakers.take(woken);
        None
    }

    pub(super) fn failed(&self, error: Error, woken: &mut Vec<Waker>) {
        /// Errors kept for somebody to ask.
        const KEPT: usize = 64;
        let mut state = lock(&self.0);
        if state.failed.len() < KEPT {
            state.failed.push_back(error);
        }
        state.wakers.take(woken);
    }

    /// The queue is beyond use.
    pub(super) fn broken(&self, error: Error, woken: &mut Vec<Waker>) {
        let mut state = lock(&self.0);
        state.broken.get_or_insert(error);
        state.wakers.take(woken);
    }

    /// The oldest request, or else what went wrong.
    pub(crate) fn next(&self) -> Option<Result<Arrival, Error>> {
        let mut state = lock(&self.0);
        if let Some(arrival) = state.arrived.pop_front() {
            return Some(Ok(arrival));
        }
        if let Some(error) = state.failed.pop_front() {
            return Some(Err(error));
        }
        state.broken.clone().map(Err)
    }

    /// Nobody will ask any more: all that nobody fetched.
    pub(crate) fn shut(&self) -> VecDeque<Arrival> {
        let mut state = lock(&self.0);
        state.shut = true;
        std::mem::take(&mut state.arrived)
    }

    pub(crate) fn register(&self, key: &mut Option<u64>, waker: &Waker) {
        let waker = waker.clone();
        let old = lock(&self.0).wakers.set(key, waker);
        drop(old);
    }

    pub(crate) fn deregister(&self, key: &mut Option<u64>) {
        let old = lock(&self.0).wakers.remove(key);
        drop(old);
    }
}

/// What became of joining a group.
pub(crate) struct Joining {
    /// The context that it was begun with: a number that no other has.
    pub(super) number: usize,
    state: Mutex<JoinState>,
}

#[derive(Default)]
struct JoinState {
    /// Its event came: the provider is done with it.
    over: bool,
    /// Why it failed, if it did; told once.
    error: Option<Error>,
    /// What broke the queue, so that no event will come.
    broken: Option<Error>,
    wakers: Wakers,
}

impl Joining {
    pub(super) fn new(number: usize) -> Joining {
        Joining { number, state: Mutex::default() }
    }

    /// What the join's event is known by.
    pub(crate) fn context(&self) -> *mut std::ffi::c_void {
        std::ptr::without_provenance_mut(self.number)
    }

    /// FI_JOIN_COMPLETE, or an error in its place.
    pub(super) fn end(&self, error: Option<Error>, woken: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.over = true;
        state.error = error;
        state.wakers.take(woken);
    }

    /// The queue is beyond use: the provider may still be at it.
    pub(super) fn broken(&self, error: Error, woken: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.broken.get_or_insert(error);
        state.wakers.take(woken);
    }

    /// Whether the provider is done with it.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).over
    }

    /// Whether there is something to be told.
    pub(crate) fn has_answer(&self) -> bool {
        let state = lock(&self.state);
        state.over || state.broken.is_some()
    }

    /// How it ended; an error of its own is told once.
    pub(crate) fn answer(&self) -> Option<Result<(), Error>> {
        let mut state = lock(&self.state);
        if state.over {
            return Some(state.error.take().map_or(Ok(()), Err));
        }
        state.broken.clone().map(Err)
    }

    /// Leaves a waker that its end calls.
    pub(crate) fn register(&self, key: &mut Option<u64>, waker: &Waker) {
        let waker = waker.clone();
        let old = lock(&self.state).wakers.set(key, waker);
        drop(old);
    }

    pub(crate) fn deregister(&self, key: &mut Option<u64>) {
        let old = lock(&self.state).wakers.remove(key);
        drop(old);
    }
}

/// Who waits for the next event of an object: several tasks may.
#[derive(Default)]
struct Wakers {
    last: u64,
    list: Vec<(u64, Waker)>,
}

impl Wakers {
    /// Leaves a waker under `key`, which is made where there is none. Gives back the one that was there:
    /// its drop is the user's code, and waits until the lock is let go of.
    #[must_use]
    fn set(&mut self, key: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let key = *key.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.list.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => Some(std::mem::replace(old, waker)),
            None => {
                self.list.push((key, waker));
                None
            }
        }
    }

    /// As [`set`](Self::set), without another.
    #[must_use]
    fn remove(&mut self, key: &mut Option<u64>) -> Option<Waker> {
        let key = key.take()?;
        let at = self.list.iter().position(|(known, _)| *known == key)?;
        Some(self.list.swap_remove(at).1)
    }

    fn take(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.list.drain(..).map(|(_, waker)| waker));
    }
}

pub(super) fn lock<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_stands_and_a_shutdown_after_it_is_remembered() {
        let (link, mut woken) = (Link::default(), Vec::new());
        assert!(!link.has_answer());
        link.connected(b"hello".to_vec(), &mut woken);
        link.shut_down(&mut woken);
        link.failed(Error::closed("x"), Vec::new(), &mut woken);
        assert!(matches!(link.take_answer(), Some(Answer::Connected(d)) if d == b"hello"));
        assert!(link.is_down() && link.take_answer().is_none());
        assert_eq!(link.reason().map(|e| e.kind().clone()), Some(ErrorKind::Closed));
    }

    #[test]
    fn an_attempt_that_ends_without_an_answer_is_refused() {
        let (link, mut woken) = (Link::default(), Vec::new());
        link.shut_down(&mut woken);
        let Some(Answer::Refused(refused)) = link.take_answer() else {
            panic!("no refusal");
        };
        assert_eq!(*refused.error.kind(), ErrorKind::Peer);
    }

    #[test]
    fn a_join_is_over_with_its_event_and_not_with_the_queue() {
        let (joining, mut woken) = (Joining::new(1), Vec::new());
        assert!(!joining.has_answer() && joining.answer().is_none());
        joining.broken(Error::closed("x"), &mut woken);
        assert!(joining.has_answer() && !joining.is_over());
        assert!(joining.answer().is_some_and(|answer| answer.is_err()));
        joining.end(None, &mut woken);
        assert!(joining.is_over() && joining.answer().is_some_and(|answer| answer.is_ok()));
    }

    #[test]
    fn everybody_who_waits_is_woken_and_those_who_left_are_not() {
        let (link, mut woken) = (Link::default(), Vec::new());
        let (mut a, mut b) = (None, None);
        link.register(&mut a, Waker::noop());
        link.register(&mut a, Waker::noop());
        link.register(&mut b, Waker::noop());
        link.deregister(&mut b);
        link.shut_down(&mut woken);
        assert_eq!(woken.len(), 1);
        link.deregister(&mut a);
    }
}
