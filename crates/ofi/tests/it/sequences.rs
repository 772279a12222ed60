//! Random sequences of public safe calls: whatever a program does, no signal and no hang.
//!
//! `OFI_TEST_SEQUENCES` says how many per provider and threading (300), `OFI_TEST_SEED` the first
//! seed (1). The seeds run in chunks, each in a process of its own; a failure tells its seed, and
//! `OFI_TEST_SEED=<seed> OFI_TEST_SEQUENCES=1` runs that one again.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use fastrand::Rng;
use ofi::{
    Address, AddressVector, Caps, CompletionQueue, Connectionless, Endpoint, Held, Op, RecvVerb,
    Returned, SendVerb, WaitError,
};

use crate::harness::{LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Verdict, cases};

pub fn register(list: &mut List) {
    // A long run, on demand: `cargo xtask sequences`.
    if std::env::var_os("OFI_TEST_SEQUENCES").is_none() {
        return;
    }
    cases!(list, connectionless: any_sequence_of_calls);
    // What quirk 23 asks of everybody who sends.
    list.env("sequences::any_sequence_of_calls", &[("FI_OFI_RXM_SAR_LIMIT", "0")]);
    let count = number("OFI_TEST_SEQUENCES", DEFAULT);
    // A sequence takes some milliseconds, on rxm some tens.
    list.limit("sequences::any_sequence_of_calls", 120 + count / 5);
}

const DEFAULT: u64 = 300;
/// Sequences of one process.
const CHUNK: u64 = 100;
/// Calls of one sequence.
const CALLS: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn any_sequence_of_calls<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        return chunk::<K, T>(t);
    }
    let first = number("OFI_TEST_SEED", 1);
    let count = number("OFI_TEST_SEQUENCES", DEFAULT);
    println!("seeds {first}..{}", first + count);
    let mut failed = Vec::new();
    let mut seed = first;
    while seed < first + count && failed.len() < 20 {
        let until = (seed + CHUNK).min(first + count);
        let mut peer = Peer::start("chunk")?;
        peer.say(&format!("{seed} {until}"))?;
        // It says each seed before it runs it, and `done` at the end.
        let mut last = seed;
        let why = loop {
            match peer.hear_within(LIMIT) {
                Ok(Some(line)) if line == "done" => break peer.finish().err(),
                Ok(Some(line)) => last = line.parse()?,
                Ok(None) => break Some(Stop::Failed("it hangs".into())),
                Err(ended) => break Some(peer.finish().err().unwrap_or(ended)),
            }
        };
        seed = match why {
            None => until,
            Some(why) => {
                println!("seed {last}: {why:?}");
                failed.push(format!("seed {last}: {why:?}"));
                last + 1
            }
        };
    }
    if failed.is_empty() { Ok(()) } else { Err(Stop::Failed(failed.join("; "))) }
}

fn chunk<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let parent = Parent::new();
    let line = parent.hear()?;
    let (from, until) = line.split_once(' ').ok_or_else(|| Stop::Failed(line.clone()))?;
    let caps = t.query(Caps::MSG | Caps::TAGGED).map_or(Caps::MSG, |_| Caps::MSG | Caps::TAGGED);
    let info = t.query(caps)?;
    for seed in from.parse::<u64>()?..until.parse::<u64>()? {
        parent.say(&seed.to_string())?;
        let mut program = Program::<K, T>::new(seed, Rig::on(info.clone())?);
        let calls = program.rng.usize(1..=CALLS);
        for _ in 0..calls {
            program.step(caps.contains(Caps::TAGGED));
        }
        program.end();
    }
    parent.say("done")
}

/// A program's state: whatever it has made and not yet dropped.
struct Program<K: Connectionless, T: Mode> {
    rng: Rng,
    endpoints: Vec<Endpoint<K, T>>,
    vectors: Vec<AddressVector<T>>,
    queues: Vec<CompletionQueue<T>>,
    addresses: Vec<Address>,
    sends: Vec<Op<SendVerb, Vec<u8>, T>>,
    receives: Vec<Op<RecvVerb, Vec<u8>, T>>,
    held: Vec<Held<Vec<u8>>>,
    rig: Option<Rig<T>>,
}

/// Short: sequences are many.
const MOMENT: Duration = Duration::from_micros(200);

impl<K: Connectionless, T: Mode> Program<K, T> {
    fn new(seed: u64, rig: Rig<T>) -> Self {
        Program {
            rng: Rng::with_seed(seed),
            endpoints: Vec::new(),
            vectors: vec![rig.av.clone()],
            queues: vec![rig.cq.clone()],
            addresses: Vec::new(),
            sends: Vec::new(),
            receives: Vec::new(),
            held: Vec::new(),
            rig: Some(rig),
        }
    }

    fn pick<X>(rng: &mut Rng, list: &[X]) -> Option<usize> {
        (!list.is_empty()).then(|| rng.usize(..list.len()))
    }

    fn size(&mut self) -> usize {
        match self.rng.u8(..10) {
            0 => 0,
            1..=6 => self.rng.usize(1..512),
            7 | 8 => self.rng.usize(512..1400),
            _ => self.rng.usize(1400..70_000),
        }
    }

    /// One call. What it returns does not matter: only that it returns.
    fn step(&mut self, tags: bool) {
        let Some(rig) = &self.rig else { return };
        match self.rng.u8(..24) {
            0 | 1 if self.endpoints.len() < 4 => {
                let cq = &self.queues[self.rng.usize(..self.queues.len())];
                let av = &self.vectors[self.rng.usize(..self.vectors.len())];
                let builder = rig.domain.endpoint::<K>(&rig.info);
                if let Ok(endpoint) = builder.address_vector(av).completion_queue(cq).enable() {
                    self.endpoints.push(endpoint);
                }
            }
            2 if self.queues.len() < 3 => {
                let size = self.rng.usize(..512);
                self.queues.extend(rig.domain.completion_queue().size(size).open());
            }
            3 if self.vectors.len() < 3 => self.vectors.extend(rig.domain.address_vector().open()),
            0..=5 => self.insert(),
            6 => {
                if let Some(at) = Self::pick(&mut self.rng, &self.addresses) {
                    let address = self.addresses[at];
                    for vector in &self.vectors {
                        let _ = vector.remove(address);
                    }
                }
            }
            7..=10 => self.receive(tags),
            11..=14 => self.send(tags),
            15..=17 => self.wait(),
            18 => self.give_up(),
            19 => {
                if let Some(at) = Self::pick(&mut self.rng, &self.receives) {
                    let _ = self.receives[at].cancel();
                }
            }
            20 => {
                for held in &mut self.held {
                    let _ = held.try_take();
                }
            }
            21 => self.close(),
            _ => {
                let cq = &self.queues[self.rng.usize(..self.queues.len())];
                let _ = cq.progress();
                let _ = cq.unsolicited();
                let _ = cq.try_wait();
            }
        }
    }

    fn insert(&mut self) {
        let Some(at) = Self::pick(&mut self.rng, &self.endpoints) else { return };
        let Ok(name) = self.endpoints[at].name() else { return };
        let vector = &self.vectors[self.rng.usize(..self.vectors.len())];
        self.addresses.extend(vector.insert(&name));
    }

    fn receive(&mut self, tags: bool) {
        let size = self.size();
        let Some(at) = Self::pick(&mut self.rng, &self.endpoints) else { return };
        let mut receive = self.endpoints[at].recv(vec![0; size]);
        if tags && self.rng.bool() {
            receive = receive.tag(self.rng.u64(..4)).ignore(self.rng.u64(..4));
        }
        match self.rng.u8(..3) {
            0 => drop(poll_once(receive.into_future())),
            1 => match receive.wait(MOMENT) {
                Err(WaitError::Expired(op)) => self.receives.push(op),
                done => drop(done),
            },
            _ => self.receives.extend(receive.post()),
        }
    }

    fn send(&mut self, tags: bool) {
        let size = self.size();
        let Some(at) = Self::pick(&mut self.rng, &self.endpoints) else { return };
        let Some(to) = Self::pick(&mut self.rng, &self.addresses) else { return };
        let mut send = self.endpoints[at].send(vec![1; size], self.addresses[to]);
        if tags && self.rng.bool() {
            send = send.tag(self.rng.u64(..4));
        }
        if self.rng.u8(..4) == 0 {
            send = send.data(self.rng.u64(..));
        }
        match self.rng.u8(..4) {
            0 => drop(send.inject()),
            1 => drop(poll_once(send.into_future())),
            2 => match send.wait(MOMENT) {
                Err(WaitError::Expired(op)) => self.sends.push(op),
                done => drop(done),
            },
            _ => self.sends.extend(send.post()),
        }
    }

    fn wait(&mut self) {
        if let Some(at) = Self::pick(&mut self.rng, &self.receives) {
            match self.receives.swap_remove(at).wait(MOMENT) {
                Err(WaitError::Expired(op)) => self.receives.push(op),
                done => drop(done),
            }
        }
        if let Some(at) = Self::pick(&mut self.rng, &self.sends) {
            match self.sends.swap_remove(at).wait(MOMENT) {
                Err(WaitError::Expired(op)) => self.sends.push(op),
                done => drop(done),
            }
        }
    }

    /// Drops, forgets, or abandons an operation.
    fn give_up(&mut self) {
        let how = self.rng.u8(..8);
        if let Some(at) = Self::pick(&mut self.rng, &self.receives) {
            let receive = self.receives.swap_remove(at);
            match how {
                0 => std::mem::forget(receive),
                1..=3 => drop(receive),
                _ => {
                    if let Returned::Held(held) = receive.abandon() {
                        self.held.push(held);
                    }
                }
            }
        }
        if let Some(at) = Self::pick(&mut self.rng, &self.sends) {
            let send = self.sends.swap_remove(at);
            match how {
                0 => std::mem::forget(send),
                1..=3 => drop(send),
                _ => {
                    if let Returned::Held(held) = send.abandon() {
                        self.held.push(held);
                    }
                }
            }
        }
    }

    /// Closes an endpoint, or a queue or vector that may still be in use.
    fn close(&mut self) {
        match self.rng.u8(..4) {
            0 | 1 => {
                if let Some(at) = Self::pick(&mut self.rng, &self.endpoints) {
                    let endpoint = self.endpoints.swap_remove(at);
                    if self.rng.u8(..16) != 0 {
                        let _ = endpoint.close(Duration::from_millis(2));
                    }
                }
            }
            2 if self.queues.len() > 1 => {
                let at = self.rng.usize(1..self.queues.len());
                let _ = self.queues.swap_remove(at).close();
            }
            3 if self.vectors.len() > 1 => {
                let at = self.rng.usize(1..self.vectors.len());
                let _ = self.vectors.swap_remove(at).close();
            }
            _ => {}
        }
    }

    /// Drops everything, in an order of its own each time.
    fn end(mut self) {
        let mut order: Vec<u8> = (0..7).collect();
        self.rng.shuffle(&mut order);
        for what in order {
            match what {
                // A drop waits for up to 50 ms: a few are enough.
                0 => {
                    let dropped = self.rng.u8(..32) == 0;
                    for endpoint in self.endpoints.drain(..).filter(|_| !dropped) {
                        let _ = endpoint.close(MOMENT);
                    }
                }
                1 => self.vectors.clear(),
                2 => self.queues.clear(),
                3 => self.sends.clear(),
                4 => self.receives.clear(),
                5 => self.held.clear(),
                _ => self.rig = None,
            }
        }
    }
}

/// Polls a future once and drops it.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let pinned: Pin<&mut F> = future.as_mut();
    match pinned.poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
