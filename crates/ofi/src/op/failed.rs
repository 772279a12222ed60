//! What becomes of a buffer when its operation fails.

use std::{
    fmt,
    pin::Pin,
    ptr::NonNull,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{
    Uses,
    lane::Lane,
    slot::{self, Body, Part, Slot},
};
use crate::{
    Error, Place,
    sync::{Mutex, MutexGuard},
    threading::Threading,
    wait,
};

/// An operation that failed, and its buffer.
///
/// `?` turns it into an [`Error`]; the buffer is dropped then (a [`Held`] one stays with its
/// operation until the provider is done with it).
pub struct Failed<B> {
    /// What went wrong.
    pub error: Error,
    /// The buffer, or the claim on it.
    pub buf: Returned<B>,
}

/// What a failed or abandoned operation gives back.
#[derive(Debug)]
#[must_use = "the buffer, or the claim on it, is lost when this is dropped"]
// Exhaustive: a buffer is either yours or not.
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Returned<B> {
    /// The buffer: the provider never had it, or is done with it.
    Back(B),
    /// The provider may still touch it.
    Held(Held<B>),
}

impl<B> Returned<B> {
    /// The buffer, if it is yours already.
    pub fn into_buffer(self) -> Option<B> {
        match self {
            Returned::Back(buffer) => Some(buffer),
            Returned::Held(_) => None,
        }
    }

    /// Whether the provider may still touch it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Returned::Held(_))
    }
}

impl<B> Failed<B> {
    pub(crate) fn back(error: Error, buffer: B) -> Failed<B> {
        Failed { error, buf: Returned::Back(buffer) }
    }
}

impl<B> fmt::Debug for Failed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buf = if self.buf.is_held() { "Held" } else { "Back" };
        f.debug_struct("Failed").field("error", &self.error).field("buf", &buf).finish()
    }
}

impl<B> fmt::Display for Failed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> std::error::Error for Failed<B> {}

impl<B> From<Failed<B>> for Error {
    fn from(failed: Failed<B>) -> Error {
        failed.error
    }
}

/// A claim on a buffer that the provider may still touch.
///
/// Resolves to the buffer once a completion, or the closed endpoint, has freed it; neither a cancel
/// nor time does. On [`Shared`](crate::Shared) objects, polling it drives the completion queue; on
/// [`Confined`](crate::Confined) ones somebody must drive that on its thread.
///
/// # Cancel safety
///
/// Dropping it gives up the claim: the memory is freed when the provider is done with it.
#[must_use = "the buffer is freed, not returned, when this is dropped"]
pub struct Held<B> {
    cell: Arc<Mutex<Cell<B>>>,
    source: Option<Arc<dyn wait::SharedSource>>,
}

struct Cell<B> {
    buffer: Option<B>,
    /// Tells the buffer that it is the caller's again.
    back: fn(&mut B),
    waker: Option<Waker>,
}

/// What yields the buffer of a [`Held`]: once, by whoever holds it last.
pub(super) struct Delivery<B>(Arc<Mutex<Cell<B>>>);

impl<B> Delivery<B> {
    /// Runs user code.
    pub(super) fn deliver(self, buffer: B) {
        let waker = {
            let mut cell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cell.buffer = Some(buffer);
            cell.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<B> Held<B> {
    /// A claim, and what makes it good; `back` tells the buffer that it is the caller's again.
    pub(super) fn to_come(
        back: fn(&mut B),
        source: Option<Arc<dyn wait::SharedSource>>,
    ) -> (Held<B>, Delivery<B>) {
        let cell = Arc::new(Mutex::new(Cell { buffer: None, back, waker: None }));
        (Held { cell: Arc::clone(&cell), source }, Delivery(cell))
    }

    /// The buffer, if it has come back by now.
    pub fn try_take(&mut self) -> Option<B> {
        if let Some(buffer) = self.delivered() {
            return Some(buffer);
        }
        self.source.as_ref()?.drive();
        self.delivered()
    }

    fn delivered(&self) -> Option<B> {
        let (mut buffer, back) = {
            let mut cell = self.cell();
            (cell.buffer.take()?, cell.back)
        };
        back(&mut buffer);
        Some(buffer)
    }

    fn cell(&self) -> MutexGuard<'_, Cell<B>> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Future for Held<B> {
    type Output = B;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<B> {
        // The waker goes in before the last look: a delivery in between calls it.
        let earlier = self.cell().waker.replace(context.waker().clone());
        // User code, so not under the lock.
        drop(earlier);
        match self.try_take() {
            Some(buffer) => Poll::Ready(buffer),
            None => {
                if let Some(source) = &self.source {
                    wait::note_shared(source);
                }
                Poll::Pending
            }
        }
    }
}

impl<B> Unpin for Held<B> {}

impl<B> fmt::Debug for Held<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

/// Turns an `Op`'s half into a claim on its buffer; the buffer itself if the operation is done.
///
/// # Safety
///
/// The caller is the slot's `Op`, for the last time, and has no waker in it.
pub(super) unsafe fn hold<V: Uses<B>, B: 'static, T: Threading>(
    slot: NonNull<Slot<T>>,
) -> Result<Held<B>, B> {
    // SAFETY: the caller's half keeps the slot and its lane.
    let slot = unsafe { slot.as_ref() };
    let back = |buffer: &mut B| V::moved(buffer, Place::Caller);
    let cell = Arc::new(Mutex::new(Cell { buffer: None, back, waker: None }));
    let ticket = Arc::into_raw(Arc::clone(&cell));
    // SAFETY: written before the post, read only since.
    let receives = unsafe { slot.table() }.receives;
    // SAFETY: our half keeps the lane.
    let source = T::shared_source(unsafe { slot.lane.as_ref() }.queue(receives));
    // SAFETY: we are the Op; `deliver::<B>` takes back exactly this Arc and the `B` that `start`
    // stored. If the operation is DONE nobody else will look at them, and we take both back.
    unsafe {
        slot.leave_ticket(Some(deliver::<B, T>), ticket.cast());
        let place = if slot.lane.as_ref().is_lost() { Place::Lost } else { Place::Held };
        slot.body(Part::Buffer, |b| {
            V::moved(&mut *slot::stored::<B>(&raw mut (*b).buffer), place);
        });
        if slot.leave_unless_done() {
            return Ok(Held { cell, source });
        }
        slot.leave_ticket(None, std::ptr::null());
        drop(Arc::from_raw(ticket));
        let mut buffer = slot.body(Part::Whole, |b| {
            Body::clear_extra(b);
            slot::take::<B>(&raw mut (*b).buffer)
        });
        if slot.leave() {
            Lane::home(slot);
        }
        V::moved(&mut buffer, Place::Caller);
        Err(buffer)
    }
}

/// Hands an orphan's buffer to its claim.
///
/// # Safety
///
/// The body is the caller's, holds a `B`, and its ticket is the one that [`hold`] made.
unsafe fn deliver<B, T: Threading>(body: *mut Body<T>) {
    // SAFETY: the caller's promise.
    let (cell, buffer) = unsafe {
        let cell = Arc::from_raw((*body).ticket.cast::<Mutex<Cell<B>>>());
        (*body).ticket = std::ptr::null();
        (cell, slot::take::<B>(&raw mut (*body).buffer))
    };
    Delivery(cell).deliver(buffer);
}
