//! Random schedules over the provider for tests: operations are posted, dropped, cancelled, given up,
//! waited for, and their endpoints closed, while the provider refuses, delays, reorders, fails, and
//! leaves some undone, as a plan of the same seed says.
//!
//! Of each schedule it is checked that no buffer is dropped or handed back while the provider holds it
//! (the provider knows what it holds, the buffers tell of their drop), that no completion is lost, that
//! bytes arrive as they were sent and only once, that every operation ends, and that every buffer comes
//! home.
//!
//! `OFI_TEST_SCHEDULES` says how many (3000), `OFI_TEST_SEED` the first seed (1). A failure tells its
//! seed last; `OFI_TEST_SEED=<seed> OFI_TEST_SCHEDULES=1` runs that one again.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use fastrand::Rng;
use ofi::{
    Accepts, Access, Address, Buf, BufMut, Caps, CompletionQueue, Confined, Domain, Endpoint,
    Fabric, Held, Info, Memory, Op, Rdm, ReadVerb, RecvVerb, RemoteRegion, Returned, Segments,
    SendVerb, Shared, WaitError, WriteVerb,
};

use crate::{
    early_free::Lent,
    harness::{
        LIMIT, List, Mode, Pair, Parent, Probe, Stop, Target, Verdict, detector, poll_once, rerun,
    },
};

const DEFAULT: u64 = 3000;
/// Steps of one schedule.
const STEPS: usize = 40;

pub fn register(list: &mut List) {
    let env =
        [("OFI_TEST_DEMAND", "context2,async_iov,exclusive"), ("LSAN_OPTIONS", "detect_leaks=0")];
    let seconds = 60 + number("OFI_TEST_SCHEDULES", DEFAULT) / 100;
    let cases: [(&str, fn(&Target) -> Verdict); 2] =
        [("shared", any_schedule::<Shared>), ("confined", any_schedule::<Confined>)];
    for (threading, body) in cases {
        list.provided(module_path!(), "any_schedule", threading, &env, body);
    }
    list.limit("schedules::any_schedule", seconds);
    list.provided(module_path!(), "an_early_drop_is_noticed", "shared", &env, early_drop);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Buffers that there are.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// A buffer that ends the process when it is let go of while the provider holds it.
struct Guard {
    bytes: Box<[u8]>,
}

impl Guard {
    fn new(bytes: Vec<u8>) -> Guard {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Guard { bytes: bytes.into() }
    }

    /// It is ours again.
    fn check(&self) {
        if Probe::get().holds(&self.bytes) {
            eprintln!("a buffer is let go of while the provider holds it");
            std::process::abort();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.check();
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

// SAFETY: the bytes are on the heap, initialised, and owned by this value alone.
unsafe impl Buf for Guard {
    fn segments(&self, list: &mut Segments) {
        list.push(self.bytes.as_ptr().cast_mut(), self.bytes.len());
    }
}

// SAFETY: as for `Buf`; nobody else has the bytes.
unsafe impl BufMut for Guard {
    fn segments_mut(&mut self, list: &mut Segments) {
        list.push(self.bytes.as_mut_ptr(), self.bytes.len());
    }
}

/// What comes back from an operation: one buffer or two.
trait Back {
    fn check(&self);
    fn bytes(&self) -> Vec<u8>;
}

impl Back for Guard {
    fn check(&self) {
        Guard::check(self);
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }
}

impl Back for [Guard; 2] {
    fn check(&self) {
        self.iter().for_each(Guard::check);
    }

    fn bytes(&self) -> Vec<u8> {
        self.iter().flat_map(Back::bytes).collect()
    }
}

trait Buffers: Mode + Accepts<Guard> + Accepts<[Guard; 2]> {}

impl Buffers for Shared {}
impl Buffers for Confined {}

/// The operations that a schedule has on their way, and what may be done with them.
macro_rules! flying {
    ($($list:ident: $verb:ident<$buffer:ty>, $done:ident;)*) => {
        struct Flying<T: Buffers> {
            $($list: Vec<Op<$verb, $buffer, T>>,)*
            held: Vec<Held<Guard>>,
            pairs: Vec<Held<[Guard; 2]>>,
            seen: Seen,
        }

        impl<T: Buffers> Flying<T> {
            fn new() -> Self {
                let (held, pairs) = (Vec::new(), Vec::new());
                Flying { $($list: Vec::new(),)* held, pairs, seen: Seen::default() }
            }

            /// Does something with one operation of each kind.
            fn step(&mut self, rng: &mut Rng, what: u8) -> Verdict {
                $(if !self.$list.is_empty() && rng.u8(..3) == 0 {
                    let op = self.$list.swap_remove(rng.usize(..self.$list.len()));
                    match what {
                        0 => drop(op),
                        1 => match op.abandon() {
                            Returned::Back(buffer) => buffer.check(),
                            Returned::Held(held) => Keep::keep(self, held),
                        },
                        2 => {
                            let _ = op.cancel();
                            self.$list.push(op);
                        }
                        3 => {
                            let mut op = op;
                            match poll_once(&mut op) {
                                None => self.$list.push(op),
                                Some(Ok((out, buffer))) => {
                                    self.seen.$done(out, &buffer)?
                                }
                                Some(Err(failed)) => {
                                    if let Returned::Back(buffer) = failed.buf {
                                        buffer.check();
                                    }
                                }
                            }
                        }
                        _ => match op.wait(Duration::ZERO) {
                            Ok((out, buffer)) => self.seen.$done(out, &buffer)?,
                            Err(WaitError::Expired(op)) => self.$list.push(op),
                            Err(WaitError::Failed(failed)) => {
                                let Returned::Back(buffer) = failed.buf else {
                                    return fail("a buffer does not come back");
                                };
                                buffer.check();
                            }
                        },
                    }
                })*
                Ok(())
            }

            /// Everything ends, with its buffer: no endpoint is open any more.
            fn end(mut self) -> Verdict {
                $(for op in self.$list.drain(..) {
                    match op.wait(LIMIT) {
                        Ok((out, buffer)) => self.seen.$done(out, &buffer)?,
                        Err(WaitError::Expired(_)) => return fail("an operation does not end"),
                        Err(WaitError::Failed(failed)) => {
                            let Returned::Back(buffer) = failed.buf else {
                                return fail("a buffer does not come back");
                            };
                            buffer.check();
                        }
                    }
                })*
                let all = self.held.iter_mut().all(|held| held.try_take().is_some())
                    && self.pairs.iter_mut().all(|held| held.try_take().is_some());
                if all { Ok(()) } else { fail("a claim is not met") }
            }
        }
    };
}

flying! {
    sends: SendVerb<Guard>, sent;
    receives: RecvVerb<Guard>, received;
    pair_sends: SendVerb<[Guard; 2]>, sent;
    pair_receives: RecvVerb<[Guard; 2]>, received;
    writes: WriteVerb<Guard>, sent;
    reads: ReadVerb<Guard>, sent;
}

/// Where a claim is kept.
trait Keep<B> {
    fn keep(&mut self, held: Held<B>);
}

impl<T: Buffers> Keep<Guard> for Flying<T> {
    fn keep(&mut self, held: Held<Guard>) {
        self.held.push(held);
    }
}

impl<T: Buffers> Keep<[Guard; 2]> for Flying<T> {
    fn keep(&mut self, held: Held<[Guard; 2]>) {
        self.pairs.push(held);
    }
}

fn fail(what: &str) -> Verdict {
    Err(Stop::Failed(what.to_owned()))
}

/// The messages that have arrived, by their numbers.
#[derive(Default)]
struct Seen(HashSet<u64>);

impl Seen {
    fn sent<O>(&mut self, _: O, buffer: &impl Back) -> Verdict {
        buffer.check();
        Ok(())
    }

    fn received(&mut self, received: ofi::Received, buffer: &impl Back) -> Verdict {
        buffer.check();
        let bytes = buffer.bytes();
        let Some(first) = bytes.first_chunk::<8>() else { return Ok(()) };
        let number = u64::from_ne_bytes(*first);
        if bytes[..received.len()] != message(number, received.len()) {
            return fail("a message has changed on its way");
        }
        if !self.0.insert(number) {
            return fail("a message has arrived twice");
        }
        Ok(())
    }
}

/// The message of a number.
fn message(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![number as u8; len];
    let head = number.to_ne_bytes();
    bytes[..8].copy_from_slice(&head);
    bytes
}

/// What all schedules of a process share.
struct Ground<T: Buffers> {
    remote: RemoteRegion,
    _region: ofi::ExposedRegion<T>,
    domain: Domain<T>,
    info: Info,
}

fn any_schedule<T: Buffers>(t: &Target) -> Verdict {
    let info = t.query(Caps::MSG | Caps::TAGGED | Caps::RMA)?;
    let fabric = Fabric::open(&info)?;
    let domain: Domain<T> = fabric.domain(&info)?;
    let access = Access::REMOTE_READ | Access::REMOTE_WRITE;
    let region = domain.expose(&Memory::new(vec![0; 4096])?).access(access).open()?;
    let ground = Ground { remote: region.remote(), _region: region, domain, info };
    let first = number("OFI_TEST_SEED", 1);
    let count = number("OFI_TEST_SCHEDULES", DEFAULT);
    let begun = std::time::Instant::now();
    for seed in first..first + count {
        println!("seed {seed}");
        schedule(&ground, seed)?;
    }
    println!("{count} schedules in {:?}", begun.elapsed());
    Ok(())
}

/// What the provider is to do.
fn plan(rng: &mut Rng, seed: u64) -> String {
    let mut plan = format!("seed:{seed}");
    for word in ["eagain", "fail", "never", "slow"] {
        if rng.bool() {
            plan += &format!(";{word}:{}", rng.u8(2..8));
        }
    }
    if rng.bool() {
        plan += ";reorder";
    }
    plan
}

struct Schedule<'a, T: Buffers> {
    ground: &'a Ground<T>,
    rng: Rng,
    flying: Flying<T>,
    endpoints: Vec<Endpoint<Rdm, T>>,
    addresses: Vec<Address>,
    queues: Vec<CompletionQueue<T>>,
    messages: u64,
}

fn schedule<T: Buffers>(ground: &Ground<T>, seed: u64) -> Verdict {
    let mut rng = Rng::with_seed(seed);
    let probe = Probe::get();
    probe.plan(&plan(&mut rng, seed));
    let vector = ground.domain.address_vector().open()?;
    let queues =
        vec![ground.domain.completion_queue().open()?, ground.domain.completion_queue().open()?];
    let flying = Flying::new();
    let (endpoints, addresses) = (Vec::new(), Vec::new());
    let mut s = Schedule { ground, rng, flying, endpoints, addresses, queues, messages: 0 };
    for _ in 0..2 {
        let builder = ground.domain.endpoint::<Rdm>(&ground.info).address_vector(&vector);
        let (to, from) = (s.rng.choice(&s.queues), s.rng.choice(&s.queues));
        let (to, from) = (to.expect("two"), from.expect("two"));
        let endpoint = builder.transmit_queue(to).receive_queue(from).enable()?;
        s.addresses.push(vector.insert(&endpoint.name()?)?);
        s.endpoints.push(endpoint);
    }
    for _ in 0..s.rng.usize(1..=STEPS) {
        s.step()?;
    }
    s.settle()?;
    while let Some(endpoint) = s.endpoints.pop() {
        // Some operations go before their endpoint, some after.
        let what = s.rng.u8(..5);
        s.flying.step(&mut s.rng, what)?;
        endpoint.close(Duration::ZERO)?;
    }
    s.flying.end()?;
    drop((s.queues, vector));
    let counts = probe.counts();
    if counts.held != 0 || ALIVE.load(Ordering::Relaxed) != 0 {
        return fail(&format!("{} buffers are left, {counts:?}", ALIVE.load(Ordering::Relaxed)));
    }
    if counts.posted != counts.ended + counts.closed {
        return fail(&format!("{counts:?}"));
    }
    Ok(())
}

impl<T: Buffers> Schedule<'_, T> {
    fn room(&mut self) -> Guard {
        Guard::new(vec![0xFF; self.rng.usize(8..200)])
    }

    fn full(&mut self) -> Guard {
        self.messages += 1;
        // Now and then one that waits for its receive.
        let len = if self.rng.u8(..32) == 0 { 70_000 } else { self.rng.usize(8..200) };
        Guard::new(message(self.messages, len))
    }

    fn step(&mut self) -> Verdict {
        if self.endpoints.is_empty() {
            return Ok(());
        }
        let at = self.rng.usize(..self.endpoints.len());
        let to = self.addresses[self.rng.usize(..self.addresses.len())];
        let what = self.rng.u8(..20);
        let (tag, way) = (self.rng.bool().then(|| self.rng.u64(..2)), self.rng.u8(..4));
        /// Posts it in one of the ways there are.
        macro_rules! start {
            ($list:ident, $done:ident, $op:expr) => {
                match way {
                    0 => {
                        if let Some(Ok((out, buffer))) = poll_once($op.into_future()) {
                            self.flying.seen.$done(out, &buffer)?;
                        }
                    }
                    1 => match $op.wait(Duration::ZERO) {
                        Ok((out, buffer)) => self.flying.seen.$done(out, &buffer)?,
                        Err(WaitError::Expired(op)) => self.flying.$list.push(op),
                        Err(WaitError::Failed(failed)) => drop(failed),
                    },
                    _ => match $op.post() {
                        Ok(op) => self.flying.$list.push(op),
                        Err(failed) => {
                            let Returned::Back(buffer) = failed.buf else {
                                return fail("what was not posted is held");
                            };
                            buffer.check();
                        }
                    },
                }
            };
        }
        match what {
            0..=3 => {
                let room = self.room();
                let op = self.endpoints[at].recv(room);
                start!(
                    receives,
                    received,
                    match tag {
                        Some(tag) => op.tag(tag),
                        None => op,
                    }
                );
            }
            4 => {
                // Two rooms, of which the first is never too small for the number.
                let rooms = [self.room(), self.room()];
                start!(pair_receives, received, self.endpoints[at].recv(rooms));
            }
            5..=8 => {
                let full = self.full();
                let op = self.endpoints[at].send(full, to);
                start!(
                    sends,
                    sent,
                    match tag {
                        Some(tag) => op.tag(tag),
                        None => op,
                    }
                );
            }
            9 => {
                let (head, tail) = (self.full(), Guard::new(vec![self.messages as u8; 50]));
                start!(pair_sends, sent, self.endpoints[at].send([head, tail], to));
            }
            10 => {
                self.messages += 1;
                let bytes = message(self.messages, self.rng.usize(8..64));
                let _ = self.endpoints[at].send(bytes, to).inject();
            }
            11 => {
                let slice = self.ground.remote.slice(..100)?;
                let full = Guard::new(vec![1; self.rng.usize(1..100)]);
                start!(writes, sent, self.endpoints[at].write(full, to, slice));
            }
            12 => {
                let slice = self.ground.remote.slice(..100)?;
                let room = Guard::new(vec![1; self.rng.usize(1..100)]);
                start!(reads, sent, self.endpoints[at].read(room, to, slice));
            }
            13..=15 => {
                let what = self.rng.u8(..5);
                self.flying.step(&mut self.rng, what)?;
            }
            16 if self.rng.u8(..8) == 0 => {
                self.endpoints.swap_remove(at).close(Duration::ZERO)?;
            }
            17 => {
                self.flying.held.retain_mut(|held| match held.try_take() {
                    Some(buffer) => {
                        buffer.check();
                        false
                    }
                    None => true,
                });
            }
            _ => {
                let _ = self.queues[self.rng.usize(..self.queues.len())].progress();
                let (here, there) = self.under_way();
                if here < there {
                    return fail(&format!("{here} in flight, {there} with the provider"));
                }
            }
        }
        Ok(())
    }

    /// Operations in flight, as the endpoints count them, and as the provider does.
    fn under_way(&self) -> (u64, u64) {
        let here = self.endpoints.iter().map(|endpoint| endpoint.in_flight() as u64).sum();
        (here, Probe::get().counts().held)
    }

    /// Drives the queues until nothing moves any more. Then what is in flight is with the provider,
    /// and nowhere else: no completion was lost, and no post is left in line.
    fn settle(&mut self) -> Verdict {
        const QUIET: u32 = 60;
        let mut quiet = 0;
        let mut last = Probe::get().counts().ended;
        for _ in 0..5000 {
            for queue in &self.queues {
                let _ = queue.progress();
            }
            let ended = Probe::get().counts().ended;
            quiet = if ended == last { quiet + 1 } else { 0 };
            last = ended;
            if quiet >= QUIET {
                let (here, there) = self.under_way();
                if here == there {
                    return Ok(());
                }
            }
        }
        let (here, there) = self.under_way();
        fail(&format!("{here} in flight, and {there} with the provider, for good"))
    }
}

/// Whether the guards guard: a buffer that is dropped early, on purpose.
fn early_drop(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        let p = Pair::<Rdm, Shared>::open(t, Caps::MSG)?;
        let mut guard = Guard::new(vec![0; 64]);
        let receive = p.b.recv(Lent(guard.bytes.as_mut_ptr(), 64)).post()?;
        drop(guard);
        drop(receive);
        return Ok(());
    }
    match rerun("early", detector())? {
        Err(text) if text.contains("let go of while the provider holds it") => Ok(()),
        other => Err(Stop::Failed(format!("nobody noticed: {other:?}"))),
    }
}
