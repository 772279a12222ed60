//! The runs that look inside: AddressSanitizer, valgrind, loom.
//!
//! The first two run what drops, forgets, gives up, closes, and loses its peer while the provider
//! holds a buffer. Each sees writes that the other misses: libfabric copies with bare system calls,
//! which AddressSanitizer does not see. The ordinary run has a third one, the tests' own allocator
//! (crates/ofi/tests/it/harness/poison.rs). `early_free` shows of all three that they notice.

use crate::cargo::{Tally, cargo, host, root, target_directory};
use crate::test::{PROVIDER, SCHEDULES, SEQUENCES, judge, judge_within, provider};

/// The cases whose names begin so. Cases that reproduce a defect of libfabric are not among them:
/// those misuse memory on purpose.
const ADDRESS: &[&str] = &[
    "early_free",
    "ops",
    "stopped",
    "reentrancy",
    "mr::a_region_dropped_under_an_operation_is_harmless",
    "cm::dropped_midway",
    "cm::peer_closes",
    "cm::peer_killed",
    "cm::close_in_use",
    "rma::closed_under_a_write",
    "rma::dropped_",
    "atomics::dropped_",
    "shared_contexts",
    "shared_connections",
    "scalable",
    "aliases",
    "peek::c",
    "peek::discarded",
    "pool::dropped_in_flight",
    "pool::closed_with_buffers_in_flight",
    "multi_recv::closed_",
    "multi_recv::dropped",
    "multi_recv::forgotten",
    "deferred::closed_",
    "deferred::dropped_",
    "deferred::forgotten_",
    "batches::closed_",
    "batches::dropped_",
    "batches::expired_",
    "batches::forgotten_",
    "groups::dropped_",
    "groups::endpoint_closed_",
    "groups::group_closed_",
    "groups::short_receives",
    "sequences",
];

/// Those of them that are quick enough for valgrind: no hundred orders of closing.
const VALGRIND: &[&str] = &[
    "early_free",
    "ops::abandoned_",
    "ops::cancelled",
    "ops::closed_with_",
    "ops::dropped_",
    "ops::expired_wait",
    "ops::forgotten_receive",
    "stopped::",
    "mr::a_region_dropped_under_an_operation_is_harmless",
];

/// What the ordinary run does, and where it is short the property tests, too.
pub fn address() -> Result<Tally, String> {
    let mut command = instrumented()?;
    command.env("OFI_TEST_ONLY", ADDRESS.join(",")).env("OFI_TEST_TIMEOUT", "4");
    command.env("OFI_TEST_SEQUENCES", "100");
    some(judge(command.args(["--", "--test-threads", "4"]))?)
}

/// So many random schedules over the provider for tests.
pub fn schedules(count: &str) -> Result<Tally, String> {
    let mut command = instrumented()?;
    command.env("OFI_TEST_ONLY", SCHEDULES).env("OFI_TEST_SCHEDULES", count);
    some(judge_within(command.env("OFI_TEST_TIMEOUT", "4").env(PROVIDER, provider()?), 120)?)
}

/// So many random sequences of calls for each case of that test.
pub fn sequences(count: &str) -> Result<Tally, String> {
    let mut command = instrumented()?;
    command.env("OFI_TEST_ONLY", SEQUENCES).env("OFI_TEST_SEQUENCES", count);
    some(judge_within(command.env("OFI_TEST_TIMEOUT", "4"), 600)?)
}

/// Needs the compiler's unstable flag, which the stable compiler takes with RUSTC_BOOTSTRAP. What
/// it builds fits no other build, so it has a target directory of its own.
fn instrumented() -> Result<std::process::Command, String> {
    let mut command = it();
    command.args(["--target", &host()?, "--target-dir"]).arg(target_directory()?.join("asan"));
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    // libfabric's threads and signal handlers do not live well with fake stacks.
    command.env("ASAN_OPTIONS", "detect_stack_use_after_return=0");
    let known = root().join("crates/ofi/tests/lsan.supp");
    if !known.is_file() {
        return Err(format!("{} is missing", known.display()));
    }
    let known = known.display();
    command.env("LSAN_OPTIONS", format!("suppressions={known}:print_suppressions=0"));
    Ok(command)
}

/// The same under valgrind, on the provider whose writes AddressSanitizer misses: shm copies with
/// process_vm_readv. For every other one, that valgrind notices too; more of them takes too long
/// (a message of 32 MiB over udp;ofi_rxd, minutes).
pub fn valgrind() -> Result<Tally, String> {
    let mut sum = under_valgrind(VALGRIND, "shm", "1")?;
    sum += under_valgrind(&["early_free::early_free_4_kib"], "", "1")?;
    sum += under_valgrind(&[SCHEDULES], "", "200")?;
    Ok(sum)
}

fn under_valgrind(only: &[&str], providers: &str, schedules: &str) -> Result<Tally, String> {
    // Leaks are AddressSanitizer's part. A child process is given the runner by the one before it.
    // Without fair scheduling a thread that polls keeps the others from running.
    let runner = "valgrind --quiet --leak-check=no --error-exitcode=97 --fair-sched=yes";
    let mut command = it();
    command.env("OFI_TEST_RUNNER", runner).env("OFI_TEST_TIMEOUT", "5");
    // It looks at every byte that a copy could reach.
    command.env("OFI_OVERFLOW", (16 << 20).to_string());
    command.env("OFI_TEST_ONLY", only.join(",")).env("OFI_TEST_PROVIDERS", providers);
    command.env("OFI_TEST_SCHEDULES", schedules).env(PROVIDER, provider()?);
    some(judge(command.args(["--", "--test-threads", "4"]))?)
}

fn it() -> std::process::Command {
    cargo(&["test", "-p", "ofi", "--test", "it", "--no-fail-fast"])
}

/// The models of every hand-off between threads. Other atomics, so a target directory of its own.
pub fn loom() -> Result<Tally, String> {
    let mut command = cargo(&["test", "-p", "ofi", "--lib", "--release", "--no-fail-fast"]);
    command.arg("--target-dir").arg(target_directory()?.join("loom")).arg("models");
    some(judge(command.env("RUSTFLAGS", "--cfg loom"))?)
}

/// A filter that matches nothing is a mistake, not a success.
fn some(tally: Tally) -> Result<Tally, String> {
    if tally.passed == 0 { Err("no test ran".to_owned()) } else { Ok(tally) }
}
