//! The runs that look inside: AddressSanitizer, valgrind, loom.
//!
//! The first two run the tests whose names contain `in_flight`: drops, forgets, timeouts and dead
//! peers while the provider holds a buffer. Each sees writes that the other misses.

use crate::cargo::{Tally, cargo, host, root, target_directory};
use crate::test::judge;

/// The part of a test's name that asks for these runs.
const FILTER: &str = "in_flight";

/// Needs the compiler's unstable flag, which the stable compiler takes with RUSTC_BOOTSTRAP.
pub fn address() -> Result<Tally, String> {
    let mut command = cargo(&["test", "-p", "ofi", "--test", "it", "--no-fail-fast"]);
    command.args(["--target", &host()?, "--", FILTER]);
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    command.env("ASAN_OPTIONS", "detect_stack_use_after_return=1");
    // Leaks of libfabric itself are named one by one.
    let known = root().join("crates/ofi/tests/lsan.supp");
    if known.is_file() {
        let known = known.display();
        command.env("LSAN_OPTIONS", format!("suppressions={known}:print_suppressions=0"));
    }
    some(judge(command.env("OFI_TEST_TIMEOUT", "4"))?)
}

/// The same tests under valgrind, which sees what process_vm_readv copies.
pub fn valgrind() -> Result<Tally, String> {
    let mut command = cargo(&["test", "-p", "ofi", "--test", "it", "--no-fail-fast", "--", FILTER]);
    // Leaks are AddressSanitizer's part.
    let runner = "valgrind --quiet --trace-children=yes --leak-check=no --error-exitcode=97";
    command.env("OFI_TEST_RUNNER", runner).env("OFI_TEST_TIMEOUT", "20");
    some(judge(&mut command)?)
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
