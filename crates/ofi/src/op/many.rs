//! Multi-receives: one buffer, many messages. `fi_msg(3)`, `FI_MULTI_RECV`.
//!
//! There are two ways to take them, behind one handle:
//!
//! - *Whole*: the buffer is posted once with `FI_MULTI_RECV`, and the provider places messages in it
//!   until too little is left. Its operation is an [`Op`] like any other, which ends when the provider
//!   lets go of the buffer; until then the completer puts messages in an [`Inbox`].
//! - *By pieces*: what is left of the buffer is posted as an ordinary receive, and again after each
//!   message. A message that is too long for it is an error then, as always.
//!
//! Most providers write behind a buffer that is posted whole when a message is longer than what is left
//! of it (quirks 58 to 60, 70 and 71), so that this is for providers that are known not to, and for callers who vouch for
//! the lengths of messages ([`MultiRecvOp::no_longer_than`]).
//!
//! # Safety
//!
//! A [`Block`] holds the buffer until nobody is left who may use it: the provider (by the operation's
//! buffer), the handle, every message. Meanwhile there are references to bytes of messages alone. Those
//! do not overlap: the inbox looks at what the provider says, and pieces begin where the last message
//! ended.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    Failed, Held, Op, Returned, Verb, Wide,
    lane::{Lane, RECEIVES},
    post::{check, lay},
    recv::{Received, RecvVerb},
};
use crate::{
    BufMut, Errno, Error, ErrorKind, Result,
    buf::Segments,
    endpoint::Core,
    error::Needs,
    quirks,
    threading::{Accepts, Shared, Threading},
    wait::{self, Source},
};

mod block;
mod inbox;
mod message;
mod verb;

use block::{Block, Rest};
use inbox::Item;
pub(crate) use inbox::{Inbox, Taken};
pub use message::MultiRecvMessage;
pub(crate) use verb::MultiRecvVerb;
use verb::Posted;

/// A buffer for many messages, to be posted: what [`Endpoint::recv_many`](crate::Endpoint::recv_many)
/// returns.
#[must_use = "nothing is received until it is posted"]
pub struct MultiRecvOp<'ep, B, T: Threading = Shared> {
    core: &'ep Core<T>,
    buffer: B,
    matching: RecvVerb,
    /// No message is longer, the caller says.
    longest: Option<usize>,
    fault: Option<Error>,
}

/// A buffer that messages come into: what [`MultiRecvOp::post`] returns.
///
/// Messages are taken one after the other, with [`next_message`](Self::next_message), [`wait`](Self::wait) or
/// [`poll_next`](Self::poll_next). Each keeps the buffer, and may outlive this and the endpoint. Those
/// that nobody takes stay here.
///
/// It ends, with `None`, when less than the endpoint's
/// [`min_multi_recv`](crate::Endpoint::min_multi_recv) is left of the buffer. Several may be posted, so
/// that there is always one: where each is posted as one ([`is_whole`](Self::is_whole)) the provider
/// fills them in order; by pieces they take messages in turns, and none while nobody takes those that
/// have come. Messages without bytes use no room: any number of them may wait here.
///
/// Dropping it cancels the receive: messages that are in it, or still come into it, are lost. To get
/// the buffer back use [`into_buffer`](Self::into_buffer).
#[must_use = "dropping it ends the receive"]
pub struct MultiRecv<B, T: Threading = Shared> {
    block: Arc<Block<B>>,
    way: Way<B, T>,
    whole: bool,
    /// Less than this is not posted again.
    least: usize,
    cancelled: bool,
    /// How it ended, until that was told.
    end: Option<Error>,
}

enum Way<B, T: Threading> {
    Whole {
        op: Op<MultiRecvVerb, Posted<B, T>, T>,
        inbox: Arc<Inbox<T>>,
        /// Taken out of the inbox.
        taken: VecDeque<Item>,
    },
    ByPieces {
        op: Op<RecvVerb, Rest<B>, T>,
        matching: RecvVerb,
        /// Where its piece begins.
        at: usize,
    },
    /// Nothing comes any more.
    Over,
}

/// The next message, or that there will be none: see [`MultiRecv::next_message`].
///
/// # Cancel safety
///
/// Dropping it loses no message.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct NextMessage<'a, B: 'static, T: Threading = Shared>(&'a mut MultiRecv<B, T>);

pub(crate) fn recv_many<B, T: Threading>(core: &Core<T>, buffer: B) -> MultiRecvOp<'_, B, T> {
    MultiRecvOp { core, buffer, matching: RecvVerb::ANY, longest: None, fault: None }
}

impl<B, T: Threading> MultiRecvOp<'_, B, T> {
    /// Tagged messages with this tag only. Needs `FI_TAGGED_MULTI_RECV`, which libfabric has since 2.0.
    #[doc(alias = "FI_TAGGED_MULTI_RECV")]
    pub fn tag(mut self, tag: u64) -> Self {
        self.fault = self.fault.or_else(|| self.core.limits.refuse_tag(tag));
        self.matching.tag = tag;
        self.matching.tagged = Wide::Yes;
        self
    }

    /// Bits of the tag that do not matter.
    pub fn ignore(mut self, mask: u64) -> Self {
        // As for any receive.
        self.matching.ignore = mask & self.core.limits.tag_bits;
        self.matching.tagged = Wide::Yes;
        self
    }

    /// Vouches for it that no message is longer, in bytes, whoever sends it.
    ///
    /// The buffer is then posted as one where the provider can be trusted with messages of that length:
    /// that is, where it is at most the endpoint's
    /// [`min_multi_recv`](crate::Endpoint::min_multi_recv), which is what is always left of the buffer,
    /// and, on providers that forget the messages they are in the middle of (quirks 61, 72 and 73), what they take
    /// in at once. Otherwise it is received into by pieces, as without this; see
    /// [`is_whole`](MultiRecv::is_whole).
    ///
    /// # Safety
    ///
    /// No message that this endpoint may receive into the buffer is longer. Providers write a longer
    /// one, or the one after it, behind the end of the buffer (quirks 58 to 60, 70 and 71).
    pub unsafe fn no_longer_than(mut self, bytes: usize) -> Self {
        self.longest = Some(bytes);
        self
    }
}

impl<B, T> MultiRecvOp<'_, B, T>
where
    B: BufMut + 'static,
    T: Accepts<B>,
{
    /// Posts the buffer. It belongs to what is returned until it is given back.
    ///
    /// # Errors
    ///
    /// With the buffer: [`ErrorKind::Busy`](crate::ErrorKind::Busy) where there is no room now;
    /// `Unsupported` without the capability `FI_MULTI_RECV` (of tagged messages:
    /// `FI_TAGGED_MULTI_RECV`), or where messages need room for a header; `Invalid` if the buffer is in
    /// several pieces, a device's, one that others may write to, or shorter than the endpoint's
    /// [`min_multi_recv`](crate::Endpoint::min_multi_recv).
    pub fn post(self) -> Result<MultiRecv<B, T>, Failed<B>> {
        let MultiRecvOp { core, buffer, matching, longest, fault } = self;
        if let Some(fault) = fault {
            return Err(Failed::back(fault, buffer));
        }
        let (block, list) = Block::new(buffer);
        let posted = least(core, &list)
            .and_then(|least| {
                let whole = MultiRecvVerb::new(matching);
                check(core, core.limits.caps, whole, &list, None)?;
                match core.lane().must_wait(RECEIVES) {
                    true => Err(Error::busy()),
                    false => Ok(least),
                }
            })
            .map_err(|error| (error, false))
            .and_then(|least| {
                let way = match fits_whole(core, longest, least) {
                    true => Way::whole(
                        core.lane(),
                        &block,
                        matching,
                        quirks::cancel_is_last(core.provider()),
                    )?,
                    false => Way::by_pieces(core, &block, matching)?,
                };
                Ok((way, least))
            });
        match posted {
            Ok((way, least)) => {
                let whole = matches!(way, Way::Whole { .. });
                Ok(MultiRecv { block, way, whole, least, cancelled: false, end: None })
            }
            Err((error, begun)) => {
                let source = T::shared_source(core.lane().queue(true));
                let mut held = Block::into_buffer(block, source);
                let buf = match begun {
                    true => Returned::Held(held),
                    // Whatever was posted has given it back.
                    false => held.try_take().map_or_else(|| Returned::Held(held), Returned::Back),
                };
                Err(Failed { error, buf })
            }
        }
    }
}

/// What is always left of a buffer while messages come into it, in bytes: or why such a buffer cannot
/// be one.
fn least<T: Threading>(core: &Core<T>, list: &Segments) -> Result<usize> {
    const NAME: &str = MultiRecvVerb::NAME;
    if core.limits.prefix > 0 {
        return Err(Error::unsupported(NAME, Needs::Property("messages without a header"))
            .detail("every message of a multi-receive would have room for one")
            .hint("receive the messages one by one, into buffers with a prefix"));
    }
    if list.is_shared() || list.is_device() {
        return Err(Error::invalid(NAME, "messages in such memory cannot be lent")
            .hint("use memory of this process that nobody else writes to"));
    }
    let (_, len) = list.one_piece(NAME)?;
    let least = core.min_multi_recv()?.unwrap_or(0).max(1);
    if len < least {
        return Err(Error::invalid(
            NAME,
            format!(
                "a buffer of {len} bytes would be given back at once: at least {least} are kept"
            ),
        )
        .hint("EndpointBuilder::min_multi_recv sets how many are kept"));
    }
    Ok(least)
}

/// Whether the provider can be given a buffer as one, `least` bytes of which are always left.
fn fits_whole<T: Threading>(core: &Core<T>, longest: Option<usize>, least: usize) -> bool {
    let provider = core.provider();
    // Where the entry says where a message is.
    core.receive.core.tells_place()
        && (quirks::checks_many(provider)
            || longest.is_some_and(|longest| {
                quirks::holds_many(provider)
                    && longest <= least
                    && longest <= quirks::taken_at_once(provider, &core.info)
            }))
}

impl<B: 'static, T: Threading> Way<B, T> {
    /// `true` beside the error if the provider may have begun to use the buffer.
    ///
    /// What it is posted with has been checked, and the lane's endpoint is open.
    fn whole(
        lane: &Lane<T>,
        block: &Arc<Block<B>>,
        matching: RecvVerb,
        cancel_is_last: bool,
    ) -> Result<Way<B, T>, (Error, bool)> {
        let inbox = Arc::new(Inbox::new(
            block.start.as_ptr() as usize,
            block.len,
            matching.tagged.is_yes(),
            cancel_is_last,
        ));
        let posted = Posted { rest: Rest::of(block, 0), inbox: Arc::clone(&inbox) };
        let verb = MultiRecvVerb::with_inbox(matching, &inbox);
        // SAFETY: `check` found the arguments right, and the endpoint is open: it is borrowed. The
        // buffer holds the inbox until the operation has ended.
        let op = unsafe { lay(lane, posted).launch(verb, None, false, false) }
            .map_err(|failed| (failed.error, failed.buf.is_held()))?;
        Ok(Way::Whole { op, inbox, taken: VecDeque::new() })
    }

    fn by_pieces(
        core: &Core<T>,
        block: &Arc<Block<B>>,
        matching: RecvVerb,
    ) -> Result<Way<B, T>, (Error, bool)> {
        // SAFETY: as above.
        let op =
            unsafe { lay(core.lane(), Rest::of(block, 0)).launch(matching, None, false, false) }
                .map_err(|failed| (failed.error, false))?;
        Ok(Way::ByPieces { op, matching, at: 0 })
    }

    fn queue(&self) -> Option<&Arc<crate::cq::CqCore<T>>> {
        match self {
            Way::Whole { op, .. } => Some(op.queue()),
            Way::ByPieces { op, .. } => Some(op.queue()),
            Way::Over => None,
        }
    }

    /// Leaves a waker for the next message, or the end. `true` if that is there.
    fn leave_waker(&self, waker: &std::task::Waker) -> bool {
        match self {
            Way::Whole { op, .. } => op.leave_waker(waker),
            Way::ByPieces { op, .. } => op.leave_waker(waker),
            Way::Over => true,
        }
    }

    /// Whether nothing will come, or end.
    fn is_stuck(&self) -> bool {
        match self {
            Way::Whole { op, .. } => op.is_stuck(op.queue()),
            Way::ByPieces { op, .. } => op.is_stuck(op.queue()),
            Way::Over => false,
        }
    }
}

/// What a look says: nothing yet, or the next message, or the end.
type Next<B> = Option<Result<MultiRecvMessage<B>>>;

impl<B: 'static, T: Threading> MultiRecv<B, T> {
    /// The next message; `None` once there will be no more.
    ///
    /// An error is that of one message, which is lost (too long for what was left of the buffer, its
    /// connection broken in the middle of it), or that of the end; go on until there is `None`.
    pub fn next_message(&mut self) -> NextMessage<'_, B, T> {
        NextMessage(self)
    }

    /// As [`next_message`](Self::next_message), in the manner of a stream. Drives the completion queue for one batch.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next<B>> {
        if let Some(next) = self.look() {
            return Poll::Ready(next);
        }
        if let Some(queue) = self.way.queue() {
            queue.progress();
        }
        if let Some(next) = self.look() {
            return Poll::Ready(next);
        }
        self.way.leave_waker(context.waker());
        // What came in between has called no waker.
        if let Some(next) = self.look() {
            return Poll::Ready(next);
        }
        if self.way.is_stuck() {
            return Poll::Ready(self.give_up());
        }
        Poll::Pending
    }

    /// The next message if there is one by now; otherwise `None`, which is not the end. Drives the
    /// completion queue for one batch.
    pub fn try_next(&mut self) -> Option<Result<MultiRecvMessage<B>>> {
        if let Some(next) = self.look() {
            return next;
        }
        if let Some(queue) = self.way.queue() {
            queue.progress();
        }
        self.look().flatten()
    }

    /// Blocks until there is a message, or the end, driving the completion queue.
    ///
    /// # Errors
    ///
    /// `TimedOut` when `timeout` has passed: nothing is lost; otherwise as [`next_message`](Self::next_message) says.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<MultiRecvMessage<B>>> {
        let deadline = Instant::now().checked_add(timeout);
        if let Some(next) = self.look() {
            return next.transpose();
        }
        let Some(queue) = self.way.queue().map(Arc::clone) else { return Ok(None) };
        let (_, waker) = wait::Parker::current();
        let mut found = None;
        let mut broken = false;
        wait::park_until(
            &[&*queue as &dyn Source],
            &mut |_| {
                // Another thread may dispatch it while we sleep: it wakes us.
                self.way.leave_waker(&waker);
                found = self.look();
                broken = found.is_none() && self.way.is_stuck();
                found.is_some() || broken
            },
            deadline,
        );
        match found {
            Some(next) => next.transpose(),
            None if broken => self.give_up().transpose(),
            None => Err(Error::new(ErrorKind::TimedOut, MultiRecvVerb::NAME).posted()),
        }
    }

    /// Asks the provider to give the buffer back early. Messages that have come, or come until it does,
    /// are taken as before.
    ///
    /// # Errors
    ///
    /// The provider cannot, or not now ([`Busy`](crate::ErrorKind::Busy): a message is on its way into
    /// the buffer); the endpoint is closed.
    #[doc(alias = "fi_cancel")]
    pub fn cancel(&mut self) -> Result<()> {
        self.cancelled = true;
        match &self.way {
            Way::Whole { op, .. } => op.cancel(),
            Way::ByPieces { op, .. } => op.cancel(),
            Way::Over => Ok(()),
        }
    }

    /// Whether the provider has the buffer as one (`FI_MULTI_RECV`), or had; otherwise what is left of
    /// it is posted anew when a message is taken.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Gives up what may still come, and what was not taken. The buffer comes back once the provider is
    /// done with it and the last message is gone.
    pub fn into_buffer(self) -> Held<B> {
        let MultiRecv { block, way, .. } = self;
        let source = way.queue().and_then(T::shared_source);
        let held = Block::into_buffer(block, source);
        // Cancels it.
        drop(way);
        held
    }

    /// What there is, without driving anything.
    fn look(&mut self) -> Option<Next<B>> {
        loop {
            match &mut self.way {
                Way::Whole { op, inbox, taken } => {
                    // In this order: what has come is there before it has ended.
                    let over = op.is_done();
                    match inbox.next(taken) {
                        Some(Item::Message { offset, received }) => {
                            return Some(Some(Ok(self.message(offset, received))));
                        }
                        Some(Item::Failed(error)) => return Some(Some(Err(error))),
                        None if over => self.finish_whole(),
                        None => return None,
                    }
                }
                Way::ByPieces { op, .. } if !op.is_done() => return None,
                Way::ByPieces { .. } => {
                    if let Some(next) = self.finish_piece() {
                        return Some(Some(next));
                    }
                }
                Way::Over => return Some(self.end.take().map(Err)),
            }
        }
    }

    /// The message whose bytes begin at `offset`.
    fn message(&self, offset: usize, received: Received) -> MultiRecvMessage<B> {
        // SAFETY: the inbox found it in the buffer, and where no other message is; or it is the
        // beginning of the piece that was received into, and the next piece begins behind it. The
        // provider has said that it is complete.
        unsafe { MultiRecvMessage::new(&self.block, offset, received) }
    }

    /// The provider has let go of the buffer.
    fn finish_whole(&mut self) {
        if let Way::Whole { op, .. } = std::mem::replace(&mut self.way, Way::Over) {
            op.deregister();
            self.over(Op::end(Ok(op)).err().map(Error::from));
        }
    }

    /// The receive of a piece has ended: the next one is posted. `None` if that was the end.
    fn finish_piece(&mut self) -> Option<Result<MultiRecvMessage<B>>> {
        let Way::ByPieces { op, matching, at } = std::mem::replace(&mut self.way, Way::Over) else {
            return None;
        };
        op.deregister();
        // SAFETY: it is done, and ours.
        let (lost, len) = match unsafe { op.slot().ended::<RecvVerb>() } {
            Ok(received) => (false, received.len()),
            // The message is, and the receive with it; the room is as it was.
            Err(Errno::ETRUNC) => (true, 0),
            Err(_) => {
                self.over(Op::end(Ok(op)).err().map(Error::from));
                return None;
            }
        };
        let next = at + len;
        if !self.cancelled && self.block.len - next >= self.least {
            self.post_piece(op.lane(), matching, next);
        }
        // Its half has kept the lane until here.
        match Op::end(Ok(op)) {
            Ok((received, _)) => Some(Ok(self.message(at, received))),
            Err(failed) if lost => Some(Err(failed.error)),
            Err(failed) => {
                self.over(Some(failed.error));
                None
            }
        }
    }

    /// Posts what is left of the buffer from `at` on.
    fn post_piece(&mut self, lane: &Lane<T>, matching: RecvVerb, at: usize) {
        let rest = Rest::of(&self.block, at);
        // SAFETY: `while_open` holds off the close; the arguments were checked with the first piece.
        let posted =
            lane.while_open(|| unsafe { lay(lane, rest).launch(matching, None, true, false) });
        match posted {
            Some(Ok(op)) => self.way = Way::ByPieces { op, matching, at },
            Some(Err(failed)) => self.over(Some(failed.error)),
            None => self.over(Some(Error::closed(RecvVerb::NAME))),
        }
    }

    fn over(&mut self, error: Option<Error>) {
        let asked = |error: &Error| self.cancelled && *error.kind() == ErrorKind::Cancelled;
        self.end = error.filter(|error| !asked(error));
    }

    /// The end of what is stuck.
    #[cold]
    fn give_up(&mut self) -> Next<B> {
        let error = self.way.queue().and_then(|queue| queue.healthy().err());
        let error = error.unwrap_or_else(|| Error::closed("endpoint").posted());
        self.way = Way::Over;
        Some(Err(error))
    }
}

#[cfg(all(test, loom))]
impl<B: BufMut + 'static> MultiRecv<B, Shared> {
    /// One that is posted as one, on a device that loom can see through.
    pub(super) fn model(lane: &Lane<Shared>, buffer: B) -> Self {
        let (block, _) = Block::new(buffer);
        let Ok(way) = Way::whole(lane, &block, RecvVerb::ANY, true) else {
            panic!("the device has room")
        };
        MultiRecv { block, way, whole: true, least: 1, cancelled: false, end: None }
    }
}

impl<B: 'static, T: Threading> Future for NextMessage<'_, B, T> {
    type Output = Next<B>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next<B>> {
        self.0.poll_next(context)
    }
}

impl<B, T: Threading> fmt::Debug for MultiRecvOp<'_, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiRecvOp").field("longest", &self.longest).finish_non_exhaustive()
    }
}

impl<B, T: Threading> fmt::Debug for MultiRecv<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiRecv")
            .field("len", &self.block.len)
            .field("is_whole", &self.whole)
            .finish_non_exhaustive()
    }
}
