//! Messages there and back over an endpoint.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use ofi::{Caps, CompletionLevel, Confined, Info, Op, RecvOp, RecvVerb, SendOp};

use super::{Args, Role, sizes};

/// The tag of every message of a tagged run.
const TAG: u64 = 1234;

/// The farewell.
const FAREWELL: &[u8; 4] = b"fin\0";

/// Receives are at least this long.
const SHORTEST_RECEIVE: usize = 64;

/// A way to one peer.
pub(super) trait Path {
    fn receive(&self, buffer: Vec<u8>) -> RecvOp<'_, Vec<u8>, Confined>;
    fn send(&self, buffer: Vec<u8>) -> SendOp<'_, Vec<u8>, Confined>;
}

type Receive = Op<RecvVerb, Vec<u8>, Confined>;

/// The receives that are posted before the peer may send, oldest first.
pub(super) struct Posted {
    receives: VecDeque<Receive>,
}

/// A run of messages with one peer.
pub(super) struct Exchange<P> {
    path: P,
    role: Role,
    tagged: bool,
    inject_below: usize,
    longest: usize,
    timeout: Duration,
    /// What was sent and received so far, if contents are checked.
    patterns: Option<(Pattern, Pattern)>,
    posted: Posted,
    acknowledged: u64,
}

impl<P: Path> Exchange<P> {
    /// Posts the receives that must be there before the peer may send.
    pub(super) fn post<'ep>(
        args: &Args,
        info: &Info,
        count: usize,
        receive: impl Fn(Vec<u8>) -> RecvOp<'ep, Vec<u8>, Confined>,
    ) -> anyhow::Result<Posted> {
        let length = longest(args, info).max(SHORTEST_RECEIVE);
        let receives = (0..count)
            .map(|_| {
                let receive = receive(vec![0; length]);
                let receive = if is_tagged(info) { receive.tag(TAG) } else { receive };
                receive.post().map_err(ofi::Error::from)
            })
            .collect::<Result<_, _>>()
            .context("posting a receive")?;
        Ok(Posted { receives })
    }

    pub(super) fn new(args: &Args, info: &Info, path: P, posted: Posted) -> Exchange<P> {
        Exchange {
            path,
            role: args.role(),
            tagged: is_tagged(info),
            inject_below: info.tx().inject_size(),
            longest: longest(args, info),
            timeout: args.timeout(),
            patterns: args.check.then(|| (Pattern::new(), Pattern::new())),
            posted,
            acknowledged: 0,
        }
    }

    /// The longest message, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// How many messages of the last run came in.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// `count` messages of `size` bytes each way: the client's first. Returns how long it took.
    pub(super) fn run(
        &mut self,
        size: usize,
        count: u32,
        tick: &mut dyn FnMut(u32),
    ) -> anyhow::Result<Duration> {
        self.acknowledged = 0;
        let mut buffer = vec![0; size];
        let start = Instant::now();
        for done in 0..count {
            if self.role == Role::Client {
                buffer = self.send(buffer)?;
                self.receive(size)?;
            } else {
                self.receive(size)?;
                buffer = self.send(buffer)?;
            }
            tick(done + 1);
        }
        Ok(start.elapsed())
    }

    /// Both sides say farewell and wait for the other's.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.operation(FAREWELL.to_vec())
            .level(CompletionLevel::Transmit)
            .wait(self.timeout)
            .map_err(ofi::Error::from)
            .context("sending the farewell")?;
        let (length, buffer) = self.next()?;
        if buffer[..length] != FAREWELL[..] {
            bail!("a message of {length} bytes came where the peer's farewell belongs");
        }
        Ok(())
    }

    fn operation(&self, buffer: Vec<u8>) -> SendOp<'_, Vec<u8>, Confined> {
        let send = self.path.send(buffer);
        if self.tagged { send.tag(TAG) } else { send }
    }

    fn send(&mut self, mut buffer: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        if let Some((sent, _)) = &mut self.patterns {
            sent.fill(&mut buffer);
        }
        if buffer.len() < self.inject_below {
            match self.operation(buffer).inject() {
                Ok(buffer) => return Ok(buffer),
                Err(failed) if failed.error.is_busy() => {
                    // No room now: an ordinary send waits for it.
                    buffer = failed.buf.into_buffer().context("an injected buffer was held")?;
                }
                Err(failed) => return Err(failed.error).context("injecting a message"),
            }
        }
        let sent = self.operation(buffer).wait(self.timeout);
        let (_, buffer) = sent.map_err(ofi::Error::from).context("sending a message")?;
        Ok(buffer)
    }

    /// The next message, which must be `size` bytes long; another receive takes its place.
    fn receive(&mut self, size: usize) -> anyhow::Result<()> {
        let (length, buffer) = self.next()?;
        if length != size {
            bail!("a message of {length} bytes came where {size} were expected");
        }
        if let Some((_, received)) = &mut self.patterns {
            if let Some(at) = received.differs(&buffer[..length]) {
                bail!("byte {at} of a message of {size} bytes is not what the peer sent");
            }
        }
        let receive = self.path.receive(buffer);
        let receive = if self.tagged { receive.tag(TAG) } else { receive };
        let posted = receive.post().map_err(ofi::Error::from);
        self.posted.receives.push_back(posted.context("posting a receive")?);
        self.acknowledged += 1;
        Ok(())
    }

    /// Waits for the oldest receive.
    fn next(&mut self) -> anyhow::Result<(usize, Vec<u8>)> {
        let receive = self.posted.receives.pop_front().context("no receive is posted")?;
        let (received, buffer) = receive
            .wait(self.timeout)
            .map_err(ofi::Error::from)
            .context("waiting for a message")?;
        Ok((received.len(), buffer))
    }
}

/// Whether messages carry the tag: by what was granted, as the peer decides it.
fn is_tagged(info: &Info) -> bool {
    info.supports(Caps::TAGGED)
}

fn longest(args: &Args, info: &Info) -> usize {
    sizes::longest(args.size, info.endpoint().max_msg_size())
}

/// The contents of checked messages: letters and digits in turn, each message starting seven
/// further on than the one before.
#[derive(Clone, Debug)]
struct Pattern {
    messages: u32,
    /// The letters over and over: whole blocks are copied and compared.
    tile: Vec<u8>,
}

const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A block is a whole number of alphabets long, so that each starts with the same letter.
const BLOCK: usize = LETTERS.len() * 1024;

impl Pattern {
    fn new() -> Pattern {
        Pattern { messages: 0, tile: LETTERS.repeat(BLOCK / LETTERS.len() + 1) }
    }

    /// The first block of the next message; all its blocks are the same.
    fn next_block(&mut self) -> &[u8] {
        let start = self.messages.wrapping_mul(7) as usize % LETTERS.len();
        self.messages = self.messages.wrapping_add(1);
        &self.tile[start..start + BLOCK]
    }

    /// Writes the next message.
    fn fill(&mut self, message: &mut [u8]) {
        let block = self.next_block();
        for part in message.chunks_mut(BLOCK) {
            part.copy_from_slice(&block[..part.len()]);
        }
    }

    /// Where a message differs from what the next one must be.
    fn differs(&mut self, message: &[u8]) -> Option<usize> {
        let block = self.next_block();
        let mut parts = message.chunks(BLOCK).enumerate();
        let (index, part) = parts.find(|(_, part)| **part != block[..part.len()])?;
        let within = part.iter().zip(block).position(|(byte, letter)| byte != letter)?;
        Some(index * BLOCK + within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_starts_seven_letters_after_the_last() {
        let mut pattern = Pattern::new();
        let mut message = [0; 64];
        pattern.fill(&mut message);
        assert_eq!((message[0], message[61], message[62]), (b'0', b'Z', b'0'));
        pattern.fill(&mut message);
        assert_eq!(&message[..4], b"789a");
        let mut check = Pattern::new();
        check.messages = 1;
        assert_eq!(check.differs(&message), None);
        assert_eq!(check.differs(&message), Some(0));
    }

    #[test]
    fn a_flipped_byte_is_found() {
        let mut message = vec![0; BLOCK + 1000];
        Pattern::new().fill(&mut message);
        assert_eq!(message[BLOCK], message[0]);
        assert_eq!(Pattern::new().differs(&message), None);
        message[BLOCK + 700] ^= 1;
        assert_eq!(Pattern::new().differs(&message), Some(BLOCK + 700));
    }
}
