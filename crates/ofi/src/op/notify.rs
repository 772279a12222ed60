//! A write, and a message that says so: the peer that has the message has the bytes.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    CompletionLevel, Data, Failed, Op, Operation, Returned, SendOp, SendVerb, WaitError, Wide,
    WriteOp,
    rma::Targets,
    slot::{DONE, QUEUED},
};
use crate::{
    Buf, Error, MsgOrder,
    threading::{Accepts, Shared, Threading, Word},
};

/// Bytes to be written to a peer's memory, and the message that tells it: what
/// [`WriteOp::notify`] returns. Inert until it is completed or waited for.
#[must_use = "nothing is written or sent until it is completed or waited for"]
pub struct Notify<'ep, B, M, T: Threading = Shared> {
    write: WriteOp<'ep, B, T>,
    message: SendOp<'ep, M, T>,
    ordered: bool,
}

/// That not all of it was done, and both buffers.
pub struct NotifyFailed<B, M> {
    /// What went wrong first.
    pub error: Error,
    /// The bytes that were to be written.
    pub buf: Returned<B>,
    /// The message.
    pub message: Returned<M>,
}

impl<'ep, B, T: Threading> WriteOp<'ep, B, T> {
    /// Tells the peer by a message that the bytes are there: once it has received the message, they
    /// are (rule B39).
    ///
    /// Where the endpoint was granted `FI_ORDER_SAW` in both directions, the message is sent right
    /// behind the write, and arrives in any case: also where the peer's side refuses the write.
    /// Elsewhere it is sent when the write has been delivered, one round trip later.
    #[doc(alias = "FI_ORDER_SAW")]
    pub fn notify<M>(self, message: M) -> Notify<'ep, B, M, T> {
        let Targets { peer: to, .. } = self.verb.targets;
        let verb = SendVerb { to, tag: 0, data: Data::NONE, flags: 0, tagged: Wide::No };
        let message = Operation::new(self.core, verb, message, self.to);
        let (tx, rx) = (self.core.info.tx().msg_order(), self.core.info.rx().msg_order());
        let ordered = (tx & rx).contains(MsgOrder::SAW);
        let write = if ordered { self } else { self.level(CompletionLevel::Delivery) };
        Notify { write, message, ordered }
    }
}

impl<B, M, T: Threading> Notify<'_, B, M, T> {
    /// Sends the message tagged, as [`SendOp::tag`].
    pub fn tag(mut self, tag: u64) -> Self {
        self.message = self.message.tag(tag);
        self
    }

    /// Whether the message goes right behind the write, and does not wait for it.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.ordered
    }
}

impl<B, M, T> Notify<'_, B, M, T>
where
    B: Buf + 'static,
    M: Buf + 'static,
    T: Accepts<B> + Accepts<M>,
{
    /// Writes, and sends the message, as a future; posts wait for room.
    ///
    /// # Errors
    ///
    /// With both buffers: what the write failed with, then what the message did. A write that cannot
    /// be posted is told nobody.
    ///
    /// # Cancel safety
    ///
    /// Dropped, what was posted goes on with its buffer; the rest is not done.
    pub async fn complete(self) -> Result<(B, M), NotifyFailed<B, M>> {
        let Notify { write, message, ordered } = self;
        let write = match write.start(true) {
            Ok(write) => write,
            Err(failed) => return Err(untold(failed, message.buffer)),
        };
        if !ordered || may_be_refused(&write) {
            let buffer = match write.await {
                Ok((_, buffer)) => buffer,
                Err(failed) => return Err(untold(failed, message.buffer)),
            };
            let sent = message.await.map(|(_, message)| message);
            return both(Ok(buffer), sent);
        }
        let sent = message.start(true);
        let written = write.await.map(|(_, buffer)| buffer);
        let sent = match sent {
            Ok(message) => message.await.map(|(_, message)| message),
            Err(failed) => Err(failed),
        };
        both(written, sent)
    }

    /// Writes, and sends the message, and blocks until both are done.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete); `TimedOut` where `timeout` has passed: what was posted goes on,
    /// and its buffer is held.
    pub fn wait(self, timeout: Duration) -> Result<(B, M), NotifyFailed<B, M>> {
        let deadline = Instant::now().checked_add(timeout);
        let Notify { write, message, ordered } = self;
        let write = match write.start(true) {
            Ok(write) => write,
            Err(failed) => return Err(untold(failed, message.buffer)),
        };
        if !ordered || may_be_refused(&write) {
            let buffer = match within(write, deadline) {
                Ok(buffer) => buffer,
                Err(failed) => return Err(untold(failed, message.buffer)),
            };
            let sent = message.start(true).and_then(|message| within(message, deadline));
            return both(Ok(buffer), sent);
        }
        let sent = message.start(true);
        let written = within(write, deadline);
        let sent = sent.and_then(|message| within(message, deadline));
        both(written, sent)
    }
}

/// Whether it may yet be refused, or may have been: it waits for room, or has ended. It must not have
/// been told of then.
fn may_be_refused<V: super::Verb, B, T: Threading>(op: &Op<V, B, T>) -> bool {
    op.slot().state.load() & (QUEUED | DONE) != 0
}

/// The buffer of an operation that ends by then; the others are given up.
fn within<V, B, T>(op: Op<V, B, T>, deadline: Option<Instant>) -> Result<B, Failed<B>>
where
    V: super::Uses<B>,
    B: 'static,
    T: Threading,
{
    match op.wait_deadline(deadline) {
        Ok((_, buffer)) => Ok(buffer),
        Err(WaitError::Failed(failed)) => Err(failed),
        Err(WaitError::Expired(op)) => {
            let error = Error::new(crate::ErrorKind::TimedOut, V::NAME).posted();
            Err(Failed { error, buf: op.abandon() })
        }
    }
}

/// The write failed before the message was sent.
#[cold]
fn untold<B, M>(failed: Failed<B>, message: M) -> NotifyFailed<B, M> {
    NotifyFailed { error: failed.error, buf: failed.buf, message: Returned::Back(message) }
}

fn both<B, M>(
    written: Result<B, Failed<B>>,
    sent: Result<M, Failed<M>>,
) -> Result<(B, M), NotifyFailed<B, M>> {
    match (written, sent) {
        (Ok(buffer), Ok(message)) => Ok((buffer, message)),
        (Ok(buffer), Err(Failed { error, buf: message })) => {
            Err(NotifyFailed { error, buf: Returned::Back(buffer), message })
        }
        (Err(Failed { error, buf }), sent) => {
            let message = sent.map_or_else(|failed| failed.buf, Returned::Back);
            Err(NotifyFailed { error, buf, message })
        }
    }
}

impl<B, M, T: Threading> fmt::Debug for Notify<'_, B, M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify")
            .field("write", &self.write)
            .field("ordered", &self.ordered)
            .finish_non_exhaustive()
    }
}

impl<B, M> fmt::Debug for NotifyFailed<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifyFailed").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<B, M> fmt::Display for NotifyFailed<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B, M> std::error::Error for NotifyFailed<B, M> {}

impl<B, M> From<NotifyFailed<B, M>> for Error {
    fn from(failed: NotifyFailed<B, M>) -> Error {
        failed.error
    }
}

#[allow(dead_code, reason = "that it holds is all that is asked")]
fn is_send(notify: Notify<'_, Vec<u8>, Vec<u8>, Shared>) {
    fn send<X: Send>(_: X) {}
    send(notify.complete());
}
