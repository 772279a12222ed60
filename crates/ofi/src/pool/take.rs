//! Taking a buffer from a pool: a future, and something to wait for.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Pool, PoolBuf, budget::Claim, ledger::Grant, slab::Slab};
use crate::{
    CompletionQueue, Error, ErrorKind, Result,
    object::refuse_fork,
    threading::{Shared, Threading},
    wait::{self, Source},
};

/// A request for a buffer: what [`Pool::take`] returns. Inert until it is polled or waited for; then
/// it has a place in the budget's line.
///
/// Buffers in flight come back when their operations end, and those end when somebody drives their
/// queue. Where that is nobody else, [`driving`](Self::driving) says which.
///
/// The memory of a new buffer is allocated and registered by whoever waits, outside of all locks.
///
/// # Errors
///
/// `TooLarge`, at once, if no class is large enough, or none that pool and budget can ever have room
/// for; `Forked`; what the system says of the memory, and the provider of its registration: the
/// bytes are given back then.
///
/// # Cancel safety
///
/// Dropping it gives the place in the line to the next, and what was granted meanwhile back.
#[must_use = "it does nothing until it is awaited or waited for"]
pub struct Take<T: Threading = Shared> {
    pool: Pool<T>,
    len: usize,
    /// Or the largest there is.
    claim: Result<Claim, usize>,
    queue: Option<CompletionQueue<T>>,
}

const NAME: &str = "Pool::take";

impl<T: Threading> Take<T> {
    pub(super) fn new(pool: Pool<T>, len: usize, claim: Result<Claim, usize>) -> Take<T> {
        Take { pool, len, claim, queue: None }
    }

    /// Drives a queue whenever this is polled, and while it waits, as operations on that queue do.
    pub fn driving(mut self, queue: &CompletionQueue<T>) -> Self {
        self.queue = Some(queue.clone());
        self
    }

    /// Blocks until there is a buffer.
    ///
    /// # Errors
    ///
    /// `TimedOut` when `timeout` has passed, and see above.
    pub fn wait(mut self, timeout: Duration) -> Result<PoolBuf<T>> {
        refuse_fork(NAME)?;
        let queue = self.queue.as_ref().map(|queue| &*queue.0.core as &dyn Source);
        let grant = match &mut self.claim {
            Ok(claim) => claim.wait(timeout, queue),
            Err(limit) => Some(Grant::Never { limit: *limit }),
        };
        match grant {
            Some(grant) => self.lend(grant),
            None => Err(Error::new(ErrorKind::TimedOut, NAME)),
        }
    }

    pub(super) fn look(&mut self, waker: Option<&Waker>) -> Option<Result<PoolBuf<T>>> {
        if let Err(error) = refuse_fork(NAME) {
            return Some(Err(error));
        }
        let grant = match &mut self.claim {
            Ok(claim) => claim.look(waker)?,
            Err(limit) => Grant::Never { limit: *limit },
        };
        Some(self.lend(grant))
    }

    /// Makes a buffer of what was granted.
    fn lend(&self, grant: Grant) -> Result<PoolBuf<T>> {
        let core = &self.pool.0.0;
        match grant {
            Grant::Idle { slab, unit, .. } => {
                let mut buffer = PoolBuf::new(core.slab(slab), unit, self.len);
                if core.zeroes {
                    buffer.clear();
                }
                Ok(buffer)
            }
            Grant::New { class, units, .. } => Slab::open(core, class, units, self.len),
            Grant::Never { limit } => Err(Error::new(ErrorKind::TooLarge { limit }, NAME)
                .detail(format!("a buffer of {} bytes", self.len))),
            Grant::Bytes(_) => unreachable!("a buffer was asked for"),
        }
    }
}

impl<T: Threading> Future for Take<T> {
    type Output = Result<PoolBuf<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(done) = self.look(Some(context.waker())) {
            return Poll::Ready(done);
        }
        let Some(queue) = &self.queue else { return Poll::Pending };
        // What comes back by this calls the waker.
        queue.0.core.progress();
        wait::note_source(&queue.0.core);
        match self.look(None) {
            Some(done) => Poll::Ready(done),
            None => Poll::Pending,
        }
    }
}

// Nothing in it is pinned.
impl<T: Threading> Unpin for Take<T> {}

impl<T: Threading> fmt::Debug for Take<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Take").field("len", &self.len).finish_non_exhaustive()
    }
}
