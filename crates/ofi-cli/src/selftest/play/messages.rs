//! Messages of every size and kind, and a look at every byte.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ofi::{
    Address, AtomicFetch, AtomicOp, CompletionQueue, Connectionless, Datatype, Endpoint, Msg,
    MultiRecv, MultiRecvOp, Op, ReadOp, RecvOp, RecvVerb, RemoteSlice, SendOp, WriteOp,
};

use super::{Cast, Check, unsupported};

/// The length of a message that is neither injected nor long.
const EAGER: usize = 1024;
const LARGE: usize = 1 << 20;

/// How many messages come into one buffer, and room for them and what providers keep free.
const MANY: u64 = 40;
const MANY_ROOM: usize = 1 << 17;

/// The length of one of many.
fn many_size(number: u64) -> usize {
    number as usize * 29 % EAGER
}

/// A way to a peer.
pub(super) trait Way {
    fn receive(&self, buffer: Vec<u8>) -> RecvOp<'_, Vec<u8>>;
    fn receive_many(&self, buffer: Vec<u8>) -> MultiRecvOp<'_, Vec<u8>>;
    fn send(&self, buffer: Vec<u8>) -> SendOp<'_, Vec<u8>>;
    fn limits(&self) -> (usize, usize);
    fn write(&self, buffer: Vec<u8>, to: RemoteSlice) -> WriteOp<'_, Vec<u8>>;
    fn read(&self, buffer: Vec<u8>, from: RemoteSlice) -> ReadOp<'_, Vec<u8>>;
    /// Adds to the words there, if it can.
    fn add(&self, buffers: Words, at: RemoteSlice) -> Option<AtomicFetch<'_, Vec<u8>, Vec<u8>>>;
}

/// What is added, and room for what was there.
pub(super) type Words = (Vec<u8>, Vec<u8>);

const WORD: Datatype = Datatype::Uint64;
const SUM: AtomicOp = AtomicOp::Sum;

pub(super) struct To<K: Connectionless>(pub(super) Endpoint<K>, pub(super) Address);

impl<K: Connectionless> Way for To<K> {
    fn receive(&self, buffer: Vec<u8>) -> RecvOp<'_, Vec<u8>> {
        self.0.recv(buffer)
    }

    fn receive_many(&self, buffer: Vec<u8>) -> MultiRecvOp<'_, Vec<u8>> {
        self.0.recv_many(buffer)
    }

    fn send(&self, buffer: Vec<u8>) -> SendOp<'_, Vec<u8>> {
        self.0.send(buffer, self.1)
    }

    fn limits(&self) -> (usize, usize) {
        (self.0.inject_size(), self.0.max_message_size())
    }

    fn write(&self, buffer: Vec<u8>, to: RemoteSlice) -> WriteOp<'_, Vec<u8>> {
        self.0.write(buffer, self.1, to)
    }

    fn read(&self, buffer: Vec<u8>, from: RemoteSlice) -> ReadOp<'_, Vec<u8>> {
        self.0.read(buffer, self.1, from)
    }

    fn add(&self, buffers: Words, at: RemoteSlice) -> Option<AtomicFetch<'_, Vec<u8>, Vec<u8>>> {
        let there = self.0.max_fetch_atomic(WORD, SUM) > 0;
        there.then(|| self.0.fetch_atomic(buffers, self.1, at, WORD, SUM))
    }
}

impl Way for Endpoint<Msg> {
    fn receive(&self, buffer: Vec<u8>) -> RecvOp<'_, Vec<u8>> {
        self.recv(buffer)
    }

    fn receive_many(&self, buffer: Vec<u8>) -> MultiRecvOp<'_, Vec<u8>> {
        self.recv_many(buffer)
    }

    fn send(&self, buffer: Vec<u8>) -> SendOp<'_, Vec<u8>> {
        self.send(buffer)
    }

    fn limits(&self) -> (usize, usize) {
        (self.inject_size(), self.max_message_size())
    }

    fn write(&self, buffer: Vec<u8>, to: RemoteSlice) -> WriteOp<'_, Vec<u8>> {
        self.write(buffer, to)
    }

    fn read(&self, buffer: Vec<u8>, from: RemoteSlice) -> ReadOp<'_, Vec<u8>> {
        self.read(buffer, from)
    }

    fn add(&self, buffers: Words, at: RemoteSlice) -> Option<AtomicFetch<'_, Vec<u8>, Vec<u8>>> {
        let there = self.max_fetch_atomic(WORD, SUM) > 0;
        there.then(|| self.fetch_atomic(buffers, at, WORD, SUM))
    }
}

impl Cast<'_> {
    /// The messages of a check, there and back: with `other`, the peer, if it is in this process.
    pub(super) fn messages<W: Way>(
        &mut self,
        queue: &CompletionQueue,
        mine: &W,
        other: Option<&W>,
    ) -> anyhow::Result<()> {
        let (inject, longest) = mine.limits();
        let size = match self.cell.check {
            Check::Inject => inject,
            Check::Large => LARGE,
            _ => EAGER,
        };
        if size == 0 {
            return unsupported("inject_size: 0");
        }
        if size > longest {
            return unsupported(format!("max_msg_size: {longest} bytes"));
        }
        let tags: &[Option<u64>] = match self.cell.check {
            Check::Tagged => &[Some(7), Some(1 << 20)],
            _ => &[None],
        };
        let (patience, check) = (self.patience, self.cell.check);
        let send = |way: &W, from_first: bool| -> anyhow::Result<()> {
            for tag in tags {
                let message = pattern(size, from_first, *tag);
                if check == Check::Inject {
                    inject_message(way, queue, message, patience)?;
                } else {
                    let send = way.send(message);
                    let send = match tag {
                        Some(tag) => send.tag(*tag),
                        None => send,
                    };
                    send.wait(patience).map_err(ofi::Error::from).context("send")?;
                }
            }
            Ok(())
        };
        let exchange = Exchange { size, tags, patience };
        match (other, &mut self.channel) {
            (Some(other), _) => {
                for (from, to, from_first) in [(mine, other, true), (other, mine, false)] {
                    let posted = exchange.post(to)?;
                    send(from, from_first)?;
                    exchange.verify(posted, from_first)?;
                }
                Ok(())
            }
            (None, Some(channel)) => {
                let posted = exchange.post(mine)?;
                // Both have posted their receives: no message comes too early.
                channel.meet()?;
                if self.first {
                    send(mine, true)?;
                    exchange.verify(posted, false)?;
                } else {
                    exchange.verify(posted, true)?;
                    send(mine, false)?;
                }
                // A message that was injected may still be on its way out, and is lost with its
                // endpoint.
                channel.meet_driving(|| Ok(queue.progress().map(drop)?))
            }
            (None, None) => unreachable!("the peer is here or there"),
        }
    }
}

impl Cast<'_> {
    /// Many messages into one buffer, there and back: with `other`, the peer, if it is in this process.
    pub(super) fn many<W: Way>(
        &mut self,
        queue: &CompletionQueue,
        mine: &W,
        other: Option<&W>,
    ) -> anyhow::Result<()> {
        let patience = self.patience;
        let post = |at: &W| {
            let posted = at.receive_many(vec![0; MANY_ROOM]).post();
            posted.map_err(ofi::Error::from).context("post a receive for many messages")
        };
        let send = |way: &W, from_first: bool| -> anyhow::Result<()> {
            for number in 0..MANY {
                let message = pattern(many_size(number), from_first, Some(number));
                way.send(message).wait(patience).map_err(ofi::Error::from).context("send")?;
            }
            Ok(())
        };
        match (other, &mut self.channel) {
            (Some(other), _) => {
                for (from, to, from_first) in [(mine, other, true), (other, mine, false)] {
                    let posted = post(to)?;
                    send(from, from_first)?;
                    verify_many(posted, from_first, patience)?;
                }
                Ok(())
            }
            (None, Some(channel)) => {
                let posted = post(mine)?;
                channel.meet()?;
                if self.first {
                    send(mine, true)?;
                    verify_many(posted, false, patience)?;
                } else {
                    verify_many(posted, true, patience)?;
                    send(mine, false)?;
                }
                channel.meet_driving(|| Ok(queue.progress().map(drop)?))
            }
            (None, None) => unreachable!("the peer is here or there"),
        }
    }
}

/// Waits for all of many messages, and looks at every byte.
fn verify_many(
    mut posted: MultiRecv<Vec<u8>>,
    from_first: bool,
    patience: Duration,
) -> anyhow::Result<()> {
    for number in 0..MANY {
        let message = posted.wait(patience).context("waiting for one of many messages")?;
        let message = message.context("the buffer was given back before it was full")?;
        let expected = pattern(many_size(number), from_first, Some(number));
        ensure!(*message == expected, "message {number} of many is not what was sent");
    }
    Ok(())
}

/// One message that the provider copies: again while there is no room, as when a connection is made
/// underneath.
fn inject_message<W: Way>(
    way: &W,
    queue: &CompletionQueue,
    mut message: Vec<u8>,
    patience: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let Err(failed) = way.send(message).inject() else {
            return Ok(());
        };
        if !failed.error.is_busy() || Instant::now() >= deadline {
            return Err(failed.error).context("inject");
        }
        message = failed.buf.into_buffer().context("an injected buffer was held")?;
        queue.wait(Duration::from_millis(1))?;
    }
}

/// Messages that are expected.
struct Exchange<'a> {
    size: usize,
    tags: &'a [Option<u64>],
    patience: Duration,
}

type Posted = Vec<(Option<u64>, Op<RecvVerb, Vec<u8>>)>;

impl Exchange<'_> {
    /// Posts a receive for each, the last tag first: only tags can put them in order.
    fn post<W: Way>(&self, at: &W) -> anyhow::Result<Posted> {
        let tags = self.tags.iter().rev();
        tags.map(|tag| {
            let receive = at.receive(vec![0; self.size]);
            let receive = match tag {
                Some(tag) => receive.tag(*tag),
                None => receive,
            };
            let posted = receive.post().map_err(ofi::Error::from).context("post a receive")?;
            Ok((*tag, posted))
        })
        .collect()
    }

    /// Waits for them and looks at every byte.
    fn verify(&self, posted: Posted, from_first: bool) -> anyhow::Result<()> {
        for (tag, receive) in posted {
            let (received, buffer) = receive
                .wait(self.patience)
                .map_err(ofi::Error::from)
                .context("waiting for a message")?;
            let (length, size) = (received.len(), self.size);
            ensure!(length == size, "{length} bytes came of a message of {size}");
            ensure!(received.tag() == tag, "tag {:?} came, not {tag:?}", received.tag());
            let expected = pattern(size, from_first, tag);
            if let Some(at) = buffer.iter().zip(&expected).position(|(got, sent)| got != sent) {
                bail!("byte {at} of a message of {size} bytes is not what was sent");
            }
        }
        Ok(())
    }
}

/// A message that no other looks like.
pub(super) fn pattern(size: usize, from_first: bool, tag: Option<u64>) -> Vec<u8> {
    let mut state = tag.unwrap_or(3) << 1 | u64::from(from_first);
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes()[1..]);
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_patterns_are_alike() {
        let all = [
            pattern(100, true, None),
            pattern(100, false, None),
            pattern(100, true, Some(7)),
            pattern(100, true, Some(1 << 20)),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other != one));
        }
        assert_eq!(pattern(100, true, None)[..50], pattern(50, true, None)[..]);
    }
}
