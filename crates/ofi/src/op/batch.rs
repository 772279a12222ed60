//! Batches: operations that are waited for together, and leave no entry each.

use std::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    AtomicVerb, CompareVerb, Failed, FetchVerb, Operation, ReadVerb, SendVerb, Uses, Verb,
    WriteVerb,
    chain::Chain,
    options::QUIET,
    post,
    tally::{Standing, Tally},
};
use crate::{
    Address, BindFlags, Error, ErrorKind, Place, Result,
    endpoint::{Core, SINGLE},
    mr::KeyKind,
    object::forked,
    threading::{Accepts, Shared, Threading, Word},
    wait::{self, Source},
};

/// A verb whose operations can be posted in batches. Public in name only.
pub trait Batched: Verb {
    /// The class that a counter counts them in.
    const CLASS: BindFlags;
}

macro_rules! classes {
    ($($verb:ident $class:ident;)*) => {$(
        impl Batched for $verb {
            const CLASS: BindFlags = BindFlags::$class;
        }
    )*};
}

classes! {
    SendVerb TRANSMIT;
    WriteVerb WRITE;
    AtomicVerb WRITE;
    ReadVerb READ;
    FetchVerb READ;
    CompareVerb READ;
}

/// Operations of one kind that are posted one by one and waited for together: what
/// [`Endpoint::batch`](crate::Endpoint::batch) returns.
///
/// A success leaves no entry on the completion queue; a counter says when all have ended. It counts in
/// any order, so a batch has ended when everything has that was posted on the endpoint in its class, other
/// batches included: one that is being filled while another is waited for delays it.
///
/// A future, and something to [`wait`](Self::wait) for; both give an [`Ended`], with every buffer.
/// Nothing on the completion queue's descriptor tells of the end: somebody has to drive the queue, as
/// `wait` and [`block_on`](crate::block_on) do.
///
/// # Cancel safety
///
/// Dropping or forgetting a batch in flight frees nothing that the provider may still touch: its
/// operations go on. Dropped buffers are freed when all have ended, by whoever drives the queue, or with
/// the endpoint. A batch keeps the domain open, not the endpoint: when that closes, it ends.
///
/// ```no_run
/// # // Needs an endpoint of a provider that counts, and a peer.
/// # use std::time::Duration;
/// # fn f(ep: ofi::Endpoint<ofi::Rdm>, peer: ofi::Address) -> Result<(), Box<dyn std::error::Error>> {
/// let mut batch = ep.batch()?;
/// for i in 0..64 {
///     batch.post_wait(ep.send(vec![i; 4096], peer), Duration::from_secs(1))?;
/// }
/// for sent in batch.wait(Duration::from_secs(10))? {
///     let buffer = sent?;
///     assert_eq!(buffer.len(), 4096);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it gives up the buffers"]
#[doc(alias = "FI_COMPLETION")]
pub struct Batch<V: Batched, B, T: Threading = Shared> {
    tally: Arc<Tally<T>>,
    chain: Chain<T>,
    number: u64,
    /// A waker may be left.
    awaited: bool,
    kind: PhantomData<(V, B)>,
}

// SAFETY: its slots are of a `Shared` lane, whose words are atomic, and the buffers in them move with it
// and are `Send`.
unsafe impl<V: Batched, B: Send> Send for Batch<V, B, Shared> {}
// SAFETY: `&Batch` allows only `len`.
unsafe impl<V: Batched, B: Send> Sync for Batch<V, B, Shared> {}

impl<V: Batched, B, T: Threading> Unpin for Batch<V, B, T> {}

/// A batch that has not ended, and why it was given back.
pub struct Unended<V: Batched, B, T: Threading = Shared> {
    /// [`ErrorKind::TimedOut`] when the time is over; `Closed` where the endpoint is gone and what was
    /// in flight may never end; what broke the queue.
    pub error: Error,
    /// The batch, still in flight.
    pub batch: Batch<V, B, T>,
}

impl<T: Threading> Core<T> {
    /// The tally of a class.
    fn tally(&self, class: BindFlags) -> Option<&Arc<Tally<T>>> {
        self.tallies.iter().find(|tally| tally.class == class)
    }

    pub(crate) fn batch<V: Batched, B>(&self) -> Result<Batch<V, B, T>> {
        let tally = self.tally(V::CLASS).ok_or_else(|| {
            Error::invalid(V::NAME, "the endpoint was not made for batches of these")
                .hint("ask for them with EndpointBuilder::batches")
        })?;
        let number = tally.number();
        let tally = Arc::clone(tally);
        Ok(Batch { tally, chain: Chain::default(), number, awaited: false, kind: PhantomData })
    }
}

impl<V: Batched, B: 'static, T: Threading> Batch<V, B, T> {
    /// Posts an operation of the batch's endpoint. The buffer belongs to the batch until it has ended.
    ///
    /// # Errors
    ///
    /// With the buffer, and nothing posted; the batch is as it was: [`ErrorKind::Busy`] where there is
    /// no room now, `Invalid` for an operation of another endpoint, what else
    /// [`Operation::post`] says.
    pub fn post(&mut self, operation: Operation<'_, V, B, T>) -> Result<(), Failed<B>>
    where
        V: Uses<B>,
        T: Accepts<B>,
    {
        let Operation { core, mut verb, buffer, to, fault } = operation;
        if let Some(fault) = fault {
            return Err(Failed::back(fault, buffer));
        }
        verb.add_flags(QUIET, core.limits.level);
        self.start(core, verb, buffer, to)
    }

    /// Posts an operation, driving the queue for room if there is none.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post); [`ErrorKind::Busy`] if there was no room for as long as `timeout`.
    pub fn post_wait(
        &mut self,
        operation: Operation<'_, V, B, T>,
        timeout: Duration,
    ) -> Result<(), Failed<B>>
    where
        V: Uses<B>,
        T: Accepts<B>,
    {
        let Operation { core, mut verb, buffer, to, fault } = operation;
        if let Some(fault) = fault {
            return Err(Failed::back(fault, buffer));
        }
        verb.add_flags(QUIET, core.limits.level);
        let mut result = self.start(core, verb, buffer, to);
        if result.as_ref().is_err_and(|failed| failed.error.is_busy()) {
            let queue = Arc::clone(self.tally.queue());
            let _looked_at = Restless::new(&queue);
            let mut tried = result.map_err(Some);
            let _ = wait::park_until(
                &[&*queue as &dyn Source],
                &mut |_| {
                    let Err(failed) = &mut tried else { return true };
                    let buffer = failed.take().and_then(|failed| failed.buf.into_buffer());
                    let buffer = buffer.expect("it was not posted");
                    tried = self.start(core, verb, buffer, to).map_err(Some);
                    !matches!(&tried, Err(Some(failed)) if failed.error.is_busy())
                },
                Instant::now().checked_add(timeout),
            );
            result = tried.map_err(|failed| failed.expect("put back by the last try"));
        }
        result
    }

    fn start(
        &mut self,
        core: &Core<T>,
        mut verb: V,
        buffer: B,
        to: Option<Address>,
    ) -> Result<(), Failed<B>>
    where
        V: Uses<B>,
        T: Accepts<B>,
    {
        if !core.tally(V::CLASS).is_some_and(|tally| Arc::ptr_eq(tally, &self.tally)) {
            let error = Error::invalid(V::NAME, "the operation is of another endpoint");
            return Err(Failed::back(error, buffer));
        }
        if core.lane().must_wait(verb.class()) {
            return Err(Failed::back(Error::busy(), buffer));
        }
        // SAFETY: the tally is the endpoint's, which is borrowed and so open.
        let lane = unsafe { self.tally.lane() };
        let laid = post::lay::<V, B, T>(lane, buffer);
        if let Err(error) = post::check(core, core.limits.caps | SINGLE, verb, &laid.list, to) {
            return Err(laid.lift(error));
        }
        let mapped = verb.keys() == KeyKind::Mapped as u64;
        if mapped {
            if let Err(error) = laid.map_keys(core, &mut verb) {
                return Err(laid.lift(error));
            }
        }
        // SAFETY: `check` found the arguments right, and the endpoint is open: it is borrowed. The slot is
        // of its lane, and the half of the `Op` that is forgotten is the chain's.
        unsafe {
            self.tally.post(&mut self.chain, || {
                let op = ManuallyDrop::new(laid.launch(verb, to, false, mapped)?);
                Ok(op.slot)
            })
        }
    }

    /// How many operations were posted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chain.count
    }

    /// Whether none were.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    /// Blocks until every operation has ended, driving the completion queue.
    ///
    /// # Errors
    ///
    /// [`Unended`] gives the batch back, still in flight, when `timeout` has passed, or where it may
    /// never end. An operation that failed is not an error here: see [`Ended`].
    pub fn wait(self, timeout: Duration) -> Result<Ended<V, B, T>, Unended<V, B, T>> {
        let queue = Arc::clone(self.tally.queue());
        let mut standing = self.tally.standing(&self.chain);
        let mut broken = None;
        if standing == Standing::InFlight {
            let _looked_at = Restless::new(&queue);
            wait::park_until(
                &[&*queue as &dyn Source],
                &mut |_| {
                    standing = self.tally.standing(&self.chain);
                    broken = queue.healthy().err();
                    standing != Standing::InFlight || broken.is_some()
                },
                Instant::now().checked_add(timeout),
            );
        }
        self.outcome(
            standing,
            broken.unwrap_or_else(|| Error::new(ErrorKind::TimedOut, V::NAME).posted()),
        )
    }

    /// `error` if it goes on.
    fn outcome(
        mut self,
        standing: Standing,
        error: Error,
    ) -> Result<Ended<V, B, T>, Unended<V, B, T>> {
        match standing {
            Standing::Ended => {
                Ok(Ended { chain: std::mem::take(&mut self.chain), kind: PhantomData })
            }
            Standing::InFlight => Err(Unended { error, batch: self }),
            Standing::Lost => {
                Err(Unended { error: Error::closed("endpoint").posted(), batch: self })
            }
        }
    }

    /// The batch out of a borrowed future, which is an empty one then.
    fn hand_over(&mut self) -> Self {
        Batch {
            tally: Arc::clone(&self.tally),
            chain: std::mem::take(&mut self.chain),
            number: std::mem::replace(&mut self.number, self.tally.number()),
            awaited: std::mem::take(&mut self.awaited),
            kind: PhantomData,
        }
    }
}

impl<V: Batched, B: 'static, T: Threading> Future for Batch<V, B, T> {
    type Output = Result<Ended<V, B, T>, Unended<V, B, T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let queue = Arc::clone(this.tally.queue());
        queue.progress();
        this.awaited = true;
        let standing = this.tally.await_end(this.number, &this.chain, context.waker());
        let broken = queue.healthy().err();
        if standing == Standing::InFlight && broken.is_none() {
            wait::note_source(&queue);
            return Poll::Pending;
        }
        let error = broken.unwrap_or_else(|| Error::closed("endpoint"));
        Poll::Ready(this.hand_over().outcome(standing, error))
    }
}

impl<V: Batched, B, T: Threading> Drop for Batch<V, B, T> {
    fn drop(&mut self) {
        if forked() {
            // Nothing is ours, and a thread that the fork left behind may hold the lock.
            return;
        }
        if self.awaited {
            self.tally.forget(self.number);
        }
        if !self.chain.is_empty() {
            if let Some(mut chain) = self.tally.leave(std::mem::take(&mut self.chain)) {
                // SAFETY: it has ended.
                unsafe { chain.discard() };
            }
        }
    }
}

/// While it is there, the queue is looked at often: room, and the ends of batches, come without an event.
struct Restless<'a, T: Threading>(&'a crate::cq::CqCore<T>);

impl<'a, T: Threading> Restless<'a, T> {
    fn new(queue: &'a crate::cq::CqCore<T>) -> Self {
        queue.backlogged.fetch_add(1);
        Restless(queue)
    }
}

impl<T: Threading> Drop for Restless<'_, T> {
    fn drop(&mut self) {
        self.0.backlogged.fetch_add(u64::MAX);
    }
}

/// A batch that has ended: its buffers, in the order of the posts, those of operations that failed with
/// their error.
///
/// Iterate over it; what is left when it is dropped is dropped.
#[must_use = "the buffers are in it, and which operations failed"]
pub struct Ended<V: Batched, B, T: Threading = Shared> {
    chain: Chain<T>,
    kind: PhantomData<(V, B)>,
}

// SAFETY: as for `Batch`.
unsafe impl<V: Batched, B: Send> Send for Ended<V, B, Shared> {}
// SAFETY: `&Ended` allows only `len`.
unsafe impl<V: Batched, B: Send> Sync for Ended<V, B, Shared> {}

impl<V: Batched + Uses<B>, B: 'static, T: Threading> Ended<V, B, T> {
    /// All buffers, if no operation failed.
    ///
    /// # Errors
    ///
    /// The first failure, with its buffer; the others are dropped.
    pub fn into_buffers(self) -> Result<Vec<B>, Failed<B>> {
        self.collect()
    }
}

impl<V: Batched + Uses<B>, B: 'static, T: Threading> Iterator for Ended<V, B, T> {
    type Item = Result<B, Failed<B>>;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: it has ended, and only a `Batch` of `B` filled it.
        let (mut buffer, error, _) = unsafe { self.chain.take::<B>() }?;
        V::moved(&mut buffer, Place::Caller);
        Some(match error {
            None => Ok(buffer),
            Some(error) => Err(Failed::back(error, buffer)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.chain.count, Some(self.chain.count))
    }
}

impl<V: Batched + Uses<B>, B: 'static, T: Threading> ExactSizeIterator for Ended<V, B, T> {}

impl<V: Batched, B, T: Threading> Drop for Ended<V, B, T> {
    fn drop(&mut self) {
        // SAFETY: it has ended.
        unsafe { self.chain.discard() };
    }
}

impl<V: Batched, B, T: Threading> fmt::Debug for Batch<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = V::NAME;
        f.debug_struct("Batch").field("verb", &name).field("len", &self.chain.count).finish()
    }
}

impl<V: Batched, B, T: Threading> fmt::Debug for Ended<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = V::NAME;
        f.debug_struct("Ended").field("verb", &name).field("len", &self.chain.count).finish()
    }
}

impl<V: Batched, B, T: Threading> fmt::Debug for Unended<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unended").field("error", &self.error).field("batch", &self.batch).finish()
    }
}

impl<V: Batched, B, T: Threading> fmt::Display for Unended<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<V: Batched, B, T: Threading> std::error::Error for Unended<V, B, T> {}

impl<V: Batched, B, T: Threading> From<Unended<V, B, T>> for Error {
    /// The batch is dropped; its operations go on.
    fn from(unended: Unended<V, B, T>) -> Error {
        unended.error
    }
}
