//! The integration tests: one binary, one module per object, every case in a child process of its
//! own (a crash or a hang fails that case alone), over every software provider.
//!
//! `cargo test -p ofi --test it -- NAME` runs the cases whose name contains NAME; names read
//! `module::case::provider::type::threading`. The knobs:
//!
//! - `OFI_TEST_PROVIDERS=shm,tcp;ofi_rxm`: only these. One that is not in the matrix is added to it
//!   (with RDM endpoints unless its hints say `type=msg` or `type=dgram`) and must be there.
//! - `OFI_TEST_HINTS=efa:domain=rdmap0s6;fabric=efa;verbs:node=10.0.0.1`: what to ask of a provider
//!   besides: `domain`, `fabric`, `node`, `service`, `type`.
//! - `OFI_TEST_SEQUENCES=10000`: so many random sequences of calls in each case of the property test.
//! - `OFI_TEST_SEED=N`: the first seed of those.
//! - `OFI_TEST_TIMEOUT=N`: multiplies every case's time limit by N (sanitizers, valgrind).
//! - `OFI_TEST_RUNNER="valgrind -q"`: what every child process is started under.
//! - `OFI_TEST_ONLY=ops,cm::peer_killed`: only cases whose names begin so.
//! - `OFI_TEST_PROVIDER=…/libofitest_fi.so`: the provider for tests, which cargo builds otherwise.
//! - `OFI_TEST_SCHEDULES=100000`: so many random schedules over that provider.
//! - `OFI_TEST_POISON=0`: without the allocator that finds writes to freed memory (`harness/poison.rs`).

#![allow(unreachable_pub, reason = "a program has no public interface")]
#![allow(clippy::extra_unused_type_parameters, reason = "all cases of the matrix look the same")]
#![allow(clippy::multiple_bound_locations, reason = "what a case needs besides its mode")]
#![allow(clippy::type_complexity, reason = "tables of cases, pairs of what was made together")]

mod addresses;
mod atomics;
mod av_extra;
mod av_ids;
mod backpressure;
mod batches;
mod cm;
mod collectives;
mod contexts;
mod counters;
mod defects;
mod deferred;
mod domain;
mod early_free;
mod fork;
mod groups;
mod harness;
mod leaks;
mod local;
mod messages;
mod mr;
mod multi_recv;
mod multicast;
mod notify;
mod obedience;
mod ops;
mod options;
mod peek;
mod polls;
mod pool;
mod profile;
mod provider_ops;
mod queues;
mod raw_cq;
mod raw_keys;
mod reentrancy;
mod registration;
mod rma;
mod schedules;
mod sequences;
mod sets;
mod stopped;
mod tagged;
mod threads;
mod whose;

fn main() -> std::process::ExitCode {
    let mut list = harness::List::default();
    harness::register(&mut list);
    addresses::register(&mut list);
    raw_cq::register(&mut list);
    backpressure::register(&mut list);
    batches::register(&mut list);
    queues::register(&mut list);
    reentrancy::register(&mut list);
    threads::register(&mut list);
    fork::register(&mut list);
    stopped::register(&mut list);
    leaks::register(&mut list);
    sequences::register(&mut list);
    ops::register(&mut list);
    options::register(&mut list);
    polls::register(&mut list);
    pool::register(&mut list);
    profile::register(&mut list);
    provider_ops::register(&mut list);
    mr::register(&mut list);
    multi_recv::register(&mut list);
    multicast::register(&mut list);
    registration::register(&mut list);
    raw_keys::register(&mut list);
    rma::register(&mut list);
    notify::register(&mut list);
    atomics::register(&mut list);
    contexts::register(&mut list);
    counters::register(&mut list);
    deferred::register(&mut list);
    domain::register(&mut list);
    av_extra::register(&mut list);
    av_ids::register(&mut list);
    cm::register(&mut list);
    collectives::register(&mut list);
    groups::register(&mut list);
    sets::register(&mut list);
    local::register(&mut list);
    messages::register(&mut list);
    tagged::register(&mut list);
    peek::register(&mut list);
    whose::register(&mut list);
    defects::register(&mut list);
    early_free::register(&mut list);
    schedules::register(&mut list);
    // Takes cases of the others.
    obedience::register(&mut list);
    harness::main(list)
}
