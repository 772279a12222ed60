//! What moves, and when: all of it here, whenever somebody reads a queue or a counter.

use ofi_sys::*;

use crate::{
    atomic,
    cq::Entry,
    memory::{gather, scatter, total},
    op::{Act, Fate, Op, Outcome},
    world::{World, broken, object},
};

/// A message that has arrived.
#[derive(Debug)]
pub(crate) struct Message {
    from: u64,
    tag: Option<u64>,
    data: Option<u64>,
    bytes: Vec<u8>,
}

/// Longer messages stay with their senders until there is a receive.
const BUFFERED: usize = 1 << 16;
/// Rounds for which a batch may stay open.
const PATIENCE: u32 = 64;

impl World {
    /// One round.
    pub(crate) fn progress(&mut self, domain: usize) {
        let demand = self.domains[&domain].demand;
        for ep in self.eps.values_mut().filter(|ep| ep.domain == domain && ep.more.is_some()) {
            ep.rounds += 1;
            if ep.rounds > PATIENCE {
                broken("B31", "FI_MORE was said, and nothing more came");
            }
        }
        let (mut receives, mut others) = (Vec::new(), Vec::new());
        for op in self.ops.values() {
            if self.eps[&op.ep].domain == domain {
                op.check(&demand);
                if op.waits() && !op.is_never() {
                    match op.to() {
                        None => receives.push(op.number),
                        Some(to) => others.push((op.number, op.ep, to)),
                    }
                }
            }
        }
        // What has arrived is older than what comes in this round.
        for number in receives {
            self.look(number);
        }
        // What goes from one endpoint to another does not overtake.
        let mut stopped: Vec<(usize, u64)> = Vec::new();
        for (number, ep, to) in others {
            let begun = self.eps[&ep].more.is_none_or(|first| number < first);
            if !begun || stopped.contains(&(ep, to)) {
                continue;
            }
            if !self.plan.moves() || !self.run(number) {
                stopped.push((ep, to));
            }
        }
    }

    /// Whether there is a message for a receive.
    fn look(&mut self, number: u64) {
        let op = &self.ops[&number];
        let waiting = &mut self.eps.get_mut(&op.ep).expect("it is there").unexpected;
        let fitting = waiting.iter().position(|message| fits(&op.act, message));
        if let Some(message) = fitting.and_then(|i| waiting.remove(i)) {
            self.receive(number, message);
        }
    }

    /// Tries to do an operation that is no receive. `false` if it has to wait.
    fn run(&mut self, number: u64) -> bool {
        let op = &self.ops[&number];
        let (at, act) = (op.ep, op.act.clone());
        let fails = op.fate == Fate::Fails;
        let demand = self.domains[&self.eps[&at].domain].demand;
        let failed = |err| Outcome { err, ..Outcome::default() };
        if fails {
            self.finish(number, failed(FI_EIO));
            return true;
        }
        // SAFETY: it has not ended.
        let bytes = unsafe { op.bytes(&demand) };
        let peer = |world: &World, number| {
            let found = world.eps.iter().find(|(_, ep)| ep.number == number && ep.enabled);
            found.map(|(at, _)| *at)
        };
        let outcome = match act {
            Act::Recv { .. } => unreachable!("a receive"),
            Act::Nothing => Outcome { flags: FI_COLLECTIVE, ..Outcome::default() },
            Act::Send { to, tag, data } => match peer(self, to) {
                None => failed(FI_EHOSTUNREACH),
                Some(to) => {
                    let from = self.eps[&at].number;
                    let prefix = demand.prefix();
                    let bytes = bytes[prefix.min(bytes.len())..].to_vec();
                    let long = bytes.len() > BUFFERED;
                    let message = Message { from, tag, data, bytes };
                    match self.receiver(to, &message) {
                        Some(receive) => self.receive(receive, message),
                        None if long => return false,
                        None => {
                            let to = self.eps.get_mut(&to).expect("it is there");
                            to.unexpected.push_back(message);
                        }
                    }
                    let way = if tag.is_some() { FI_TAGGED } else { FI_MSG };
                    Outcome { flags: FI_SEND | way, ..Outcome::default() }
                }
            },
            Act::Write { to, ref remote, data } => {
                let Some(to) = peer(self, to) else {
                    self.finish(number, failed(FI_EHOSTUNREACH));
                    return true;
                };
                let receive = match data {
                    Some(_) if demand.demands(FI_RX_CQ_DATA) => {
                        // It waits for a receive.
                        let Some(receive) = self.any_receive(to) else { return false };
                        Some(receive)
                    }
                    _ => None,
                };
                let mut left = &bytes[..];
                for piece in remote {
                    match self.remote(at, to, *piece, FI_REMOTE_WRITE) {
                        Err(err) => {
                            self.finish(number, failed(err));
                            return true;
                        }
                        Ok(list) => {
                            let (now, rest) = left.split_at(piece.1.min(left.len()));
                            // SAFETY: of an open region that permits it.
                            unsafe { scatter(&list, now) };
                            left = rest;
                        }
                    }
                }
                if let Some(data) = data {
                    self.notice(to, receive, data, bytes.len());
                }
                self.count(to, FI_REMOTE_WRITE, bytes.len(), true);
                Outcome { flags: FI_RMA | FI_WRITE, ..Outcome::default() }
            }
            Act::Read { to, ref remote } => {
                let Some(to) = peer(self, to) else {
                    self.finish(number, failed(FI_EHOSTUNREACH));
                    return true;
                };
                let mut got = Vec::new();
                for piece in remote {
                    match self.remote(at, to, *piece, FI_REMOTE_READ) {
                        Err(err) => {
                            self.finish(number, failed(err));
                            return true;
                        }
                        // SAFETY: of an open region that permits it.
                        Ok(list) => got.extend(unsafe { gather(&list) }),
                    }
                }
                self.count(to, FI_REMOTE_READ, got.len(), true);
                let outcome =
                    Outcome { flags: FI_RMA | FI_READ, len: got.len(), ..Outcome::default() };
                self.ops.get_mut(&number).expect("it is there").got = got;
                outcome
            }
            Act::Atomic { to, ref remote, kind, ref compare, ref result } => {
                let Some(to) = peer(self, to) else {
                    self.finish(number, failed(FI_EHOSTUNREACH));
                    return true;
                };
                let access = match (result.is_empty(), kind.1 == FI_ATOMIC_READ) {
                    (true, _) => FI_REMOTE_WRITE,
                    (_, true) => FI_REMOTE_READ,
                    _ => FI_REMOTE_READ | FI_REMOTE_WRITE,
                };
                let mut list = Vec::new();
                for piece in remote {
                    match self.remote(at, to, *piece, access) {
                        Err(err) => {
                            self.finish(number, failed(err));
                            return true;
                        }
                        Ok(more) => list.extend(more),
                    }
                }
                // SAFETY: of an open region that permits it; the other memory is the operation's.
                let got = unsafe {
                    let old = gather(&list);
                    scatter(&list, &atomic::apply(kind, &old, &bytes, &gather(compare)));
                    old
                };
                let class = if result.is_empty() { FI_WRITE } else { FI_READ };
                self.ops.get_mut(&number).expect("it is there").got = got;
                Outcome { flags: FI_ATOMIC | class, ..Outcome::default() }
            }
        };
        self.finish(number, outcome);
        true
    }

    /// The first receive for plain messages that has none.
    fn any_receive(&self, ep: usize) -> Option<u64> {
        let free = |op: &&Op| {
            op.ep == ep
                && op.waits()
                && !op.is_never()
                && matches!(op.act, Act::Recv { tag: None, .. })
        };
        self.ops.values().find(free).map(|op| op.number)
    }

    /// The first receive for a message.
    fn receiver(&self, ep: usize, message: &Message) -> Option<u64> {
        let wants =
            |op: &&Op| op.ep == ep && op.waits() && !op.is_never() && fits(&op.act, message);
        self.ops.values().find(wants).map(|op| op.number)
    }

    /// A receive gets its message.
    fn receive(&mut self, number: u64, message: Message) {
        let op = self.ops.get_mut(&number).expect("it is there");
        let demand = self.domains[&self.eps[&op.ep].domain].demand;
        let Message { from, tag, data, bytes } = message;
        let mut got = vec![0xA5; demand.prefix()];
        got.extend(bytes);
        let room = total(&op.pieces);
        let way = if tag.is_some() { FI_TAGGED } else { FI_MSG };
        let outcome = Outcome {
            flags: FI_RECV | way | if data.is_some() { FI_REMOTE_CQ_DATA } else { 0 },
            len: got.len().min(room),
            data: data.unwrap_or(0),
            tag: tag.unwrap_or(0),
            source: Some(from),
            err: match op.fate {
                Fate::Fails => FI_EIO,
                _ if got.len() > room => FI_ETRUNC,
                _ => 0,
            },
            olen: got.len().saturating_sub(room),
        };
        op.got = got;
        self.finish(number, outcome);
    }

    /// Immediate data of a write arrives: in place of a message where it takes a receive.
    fn notice(&mut self, ep: usize, receive: Option<u64>, data: u64, len: usize) {
        let flags = FI_RMA | FI_REMOTE_WRITE | FI_REMOTE_CQ_DATA;
        let outcome = Outcome { flags, len, data, ..Outcome::default() };
        match receive {
            Some(number) => self.finish(number, outcome),
            None => {
                let queue = self.eps[&ep].receive.expect("enabled").0;
                let entry = Entry { op: None, context: 0, source: FI_ADDR_NOTAVAIL, outcome };
                self.cqs.get_mut(&queue).expect("open while bound").ready.push(entry);
            }
        }
    }

    /// An operation has ended: its entry goes to the queue, or it was to have none.
    pub(crate) fn finish(&mut self, number: u64, outcome: Outcome) {
        let op = self.ops.get_mut(&number).expect("it is there");
        op.done = Some(outcome);
        let (at, silent, context) = (op.ep, op.silent, op.context);
        let (class, flags, receives) = (op.class(), op.flags, op.receives());
        let len = if receives { outcome.len } else { total(&op.pieces) };
        if let Some(work) = op.work.as_ref().filter(|_| outcome.err == 0) {
            // That is all that is heard of it.
            let completion = work.completion;
            self.end(number);
            return object!(self.cntrs, completion).change(false, 1);
        }
        self.count(at, class, len, outcome.err == 0);
        let ep = &self.eps[&at];
        let bound = if receives { ep.receive } else { ep.transmit };
        let (queue, selective) = bound.expect("enabled");
        let said = !silent && (!selective || flags & FI_COMPLETION != 0);
        if !said && outcome.err == 0 {
            return self.end(number);
        }
        let source = outcome.source.and_then(|number| {
            let av = self.avs.get(&ep.av?)?;
            av.entries.iter().find(|(_, known)| **known == number).map(|(at, _)| *at)
        });
        let source = source.filter(|_| ep.caps & FI_SOURCE != 0).unwrap_or(FI_ADDR_NOTAVAIL);
        let context = if silent { 0 } else { context };
        let entry = Entry { op: Some(number), context, source, outcome };
        self.cqs.get_mut(&queue).expect("open while bound").ready.push(entry);
    }

    /// The entry is read: the caller has all back.
    pub(crate) fn end(&mut self, number: u64) {
        let Some(op) = self.ops.remove(&number) else { return };
        let demand = self.domains[&self.eps[&op.ep].domain].demand;
        // SAFETY: whoever reads the entry comes to see it after this.
        unsafe { op.give_back(&demand) };
        self.counts.ended += 1;
        self.counts.failed += u64::from(op.done.is_some_and(|outcome| outcome.err != 0));
    }

    /// The endpoint is closed: the caller has all back, whether it has ended or not. Entries that
    /// are in the queue stay there.
    pub(crate) fn end_all(&mut self, ep: usize) {
        let demand = self.domains[&self.eps[&ep].domain].demand;
        let numbers: Vec<u64> =
            self.ops.values().filter(|op| op.ep == ep).map(|op| op.number).collect();
        for number in numbers {
            let op = self.ops.remove(&number).expect("it is there");
            // SAFETY: `fi_close` has not returned yet.
            unsafe { op.give_back(&demand) };
            self.counts.closed += 1;
        }
    }
}

/// Whether a receive is for this message.
fn fits(act: &Act, message: &Message) -> bool {
    let Act::Recv { from, tag } = act else { return false };
    let tags = match (tag, message.tag) {
        (None, None) => true,
        (Some((tag, ignore)), Some(sent)) => (tag ^ sent) & !ignore == 0,
        _ => false,
    };
    tags && from.is_none_or(|from| from == message.from)
}

impl Op {
    /// The class that counters know it by.
    fn class(&self) -> u64 {
        match &self.act {
            Act::Recv { .. } => FI_RECV,
            Act::Send { .. } | Act::Nothing => FI_SEND,
            Act::Write { .. } => FI_WRITE,
            Act::Read { .. } => FI_READ,
            Act::Atomic { result, .. } if result.is_empty() => FI_WRITE,
            Act::Atomic { .. } => FI_READ,
        }
    }
}
