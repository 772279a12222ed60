//! Random sequences of public safe calls: whatever a program does, no signal and no hang.
//!
//! `OFI_TEST_SEQUENCES` says how many per case (200; `cargo xtask sequences` runs 10000),
//! `OFI_TEST_SEED` the first seed (1). The seeds run in chunks, each in a process of its own; a failure
//! tells its seed, and `OFI_TEST_SEED=<seed> OFI_TEST_SEQUENCES=1` runs that one again.

use fastrand::Rng;
use ofi::{Caps, Connectionless, Info};

use crate::harness::{LIMIT, List, Mode, Parent, Peer, Stop, Target, Verdict, cases};

mod connected;
mod connectionless;
mod in_flight;

pub fn register(list: &mut List) {
    cases!(list, connectionless: any_sequence_of_calls);
    cases!(list, msg: any_sequence_on_connections);
    let count = number("OFI_TEST_SEQUENCES", DEFAULT);
    for case in ["sequences::any_sequence_of_calls", "sequences::any_sequence_on_connections"] {
        list.env(
            case,
            &[
                // What quirk 23 asks of everybody who sends.
                ("FI_OFI_RXM_SAR_LIMIT", "0"),
                // Operations are forgotten on purpose.
                ("LSAN_OPTIONS", "detect_leaks=0"),
            ],
        );
        // A sequence takes some milliseconds, on rxm some tens.
        list.limit(case, 120 + count / 2);
    }
}

const DEFAULT: u64 = 200;
/// Sequences of one process.
const CHUNK: u64 = 100;
/// Calls of one sequence.
const CALLS: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A random program.
trait Program: Sized {
    fn new(rng: Rng, info: Info) -> Result<Self, Stop>;
    /// One call. What it returns does not matter: only that it returns.
    fn step(&mut self, tags: bool);
    /// Drops everything, in an order of its own each time.
    fn end(self);
}

fn any_sequence_of_calls<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    run::<connectionless::Program<K, T>>(t)
}

fn any_sequence_on_connections<T: Mode>(t: &Target) -> Verdict {
    run::<connected::Program<T>>(t)
}

fn run<P: Program>(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        return chunk::<P>(t);
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

fn chunk<P: Program>(t: &Target) -> Verdict {
    let parent = Parent::new();
    let line = parent.hear()?;
    let (from, until) = line.split_once(' ').ok_or_else(|| Stop::Failed(line.clone()))?;
    let tagged = Caps::MSG | Caps::TAGGED;
    let info = t.query(tagged).or_else(|_| t.query(Caps::MSG))?;
    let tags = info.caps().contains(Caps::TAGGED);
    for seed in from.parse::<u64>()?..until.parse::<u64>()? {
        parent.say(&seed.to_string())?;
        let mut rng = Rng::with_seed(seed);
        let calls = rng.usize(1..=CALLS);
        let mut program = P::new(rng, info.clone())?;
        for _ in 0..calls {
            program.step(tags);
        }
        program.end();
    }
    parent.say("done")
}
