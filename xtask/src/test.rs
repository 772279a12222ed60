//! `cargo xtask test`: the whole suite against the system's libfabric, or in the trixie chroot.

use std::path::PathBuf;
use std::process::Command;

use pico_args::Arguments;

use crate::cargo::{Tally, cargo, tally, target_directory};
use crate::run::{MINUTE, run, tee};
use crate::{examples, fabtests, ran, sanitize, second, setup};

/// What a quick run asks of the tests: few random sequences.
pub const QUICK: [(&str, &str); 1] = [("OFI_TEST_SEQUENCES", "100")];

/// The command, with its arguments.
pub fn command(mut args: Arguments) -> Result<(), String> {
    let quick = args.contains("--quick");
    let generation: Option<u32> =
        args.opt_value_from_str("--libfabric").map_err(|error| error.to_string())?;
    crate::finish(args)?;
    setup::ensure(setup::Level::Test)?;
    let result = match generation {
        None | Some(1) => suite(quick),
        Some(2) => second::run(quick),
        Some(other) => return Err(format!("--libfabric {other}: there is 1 and 2")),
    };
    report(result)
}

/// Everything that `cargo test` runs, then the examples with their output checked.
pub fn suite(quick: bool) -> Result<Tally, String> {
    let mut sum = tests(quick)?;
    if !quick {
        sum += doc_tests()?;
        sum += examples::run(&[])?;
    }
    Ok(sum)
}

/// Unit and integration tests of every package.
pub fn tests(quick: bool) -> Result<Tally, String> {
    ran::Generation::System.forget()?;
    let mut command = cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast"]);
    command.args(ran::COUNTING).env(PROVIDER, provider()?);
    ran::Generation::System.count(&mut command)?;
    if quick {
        command.envs(QUICK);
    }
    judge(&mut command)
}

/// The examples in the documentation.
pub fn doc_tests() -> Result<Tally, String> {
    let mut command = cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]);
    ran::Generation::System.count(command.args(ran::COUNTING))?;
    judge(&mut command)
}

/// The tests again with libfabric 1.22, built from its source and linked in; and `ofi pingpong` against
/// the C program of the same version. In a target directory of its own: it takes the place of nothing
/// else there.
pub fn vendored() -> Result<Tally, String> {
    let tests = ["--lib", "--test", "layout", "--test", "inlines", "--test", "it", "--test", "ui"];
    let mut all = with_vendored(&tests)?;
    // The other two generations have run in both threadings.
    let mut sum = judge(all.args(["--", "--skip", "::confined"]).env(PROVIDER, provider()?))?;
    let mut play = with_vendored(&["--test", "cli"])?;
    play.env("OFI_TEST_PINGPONG", vendored_build()?.join("install/bin/fi_pingpong"));
    sum += judge(play.args(["--", "pingpong::"]))?;
    Ok(sum)
}

/// Three programs of fabtests, rewritten on the safe API, with their C originals of 1.22.
pub fn ports() -> Result<Tally, String> {
    let mut play = with_vendored(&["--test", "play"])?;
    // What is played with comes of the same build.
    run(with_vendored(&["--test", "play"])?.arg("--no-run"), 20 * MINUTE)?;
    judge(play.env("OFI_TEST_FABTESTS", fabtests::build(&vendored_build()?)?))
}

/// Always the same packages: their features are added up, and others would build libfabric once more.
fn with_vendored(targets: &[&str]) -> Result<Command, String> {
    let mut command = cargo(&["test", "--features", "vendored", "--no-fail-fast"]);
    command.arg("--target-dir").arg(target_directory()?.join("vendored"));
    for package in ["ofi-sys", "ofi", "ofi-cli", "ofi-ports"] {
        command.args(["--package", package]);
    }
    command.args(targets);
    Ok(command)
}

/// Where the vendored build has put libfabric's sources, and what it installed.
fn vendored_build() -> Result<PathBuf, String> {
    let builds = target_directory()?.join("vendored/debug/build");
    let entries = std::fs::read_dir(&builds).map_err(|e| format!("{}: {e}", builds.display()))?;
    let outs = entries.flatten().map(|entry| entry.path().join("out"));
    let latest = outs
        .filter_map(|out| {
            let program = out.join("install/bin/fi_pingpong");
            Some((program.metadata().ok()?.modified().ok()?, out))
        })
        .max_by_key(|(modified, _)| *modified);
    latest.map(|(_, out)| out).ok_or(format!("no fi_pingpong below {}", builds.display()))
}

/// The property test at length, against both generations of the library or under AddressSanitizer.
pub fn sequences(args: Arguments) -> Result<(), String> {
    long(args, "10000", sanitize::sequences, |count| {
        let mut here = cargo(&["test", "-p", "ofi", "--test", "it", "--", SEQUENCES]);
        let mut sum = judge_within(here.env("OFI_TEST_SEQUENCES", count), 600)?;
        sum += second::sequences(count)?;
        Ok(sum)
    })
}

/// Random schedules over the provider for tests at length, in the same way.
pub fn schedules(args: Arguments) -> Result<(), String> {
    long(args, "100000", sanitize::schedules, |count| {
        let mut here = cargo(&["test", "-p", "ofi", "--test", "it", "--", SCHEDULES]);
        here.env("OFI_TEST_SCHEDULES", count).env(PROVIDER, provider()?);
        let mut sum = judge_within(&mut here, 60)?;
        sum += second::schedules(count)?;
        Ok(sum)
    })
}

fn long(
    mut args: Arguments,
    default: &str,
    sanitized: impl FnOnce(&str) -> Result<Tally, String>,
    plain: impl FnOnce(&str) -> Result<Tally, String>,
) -> Result<(), String> {
    let asan = args.contains("--asan");
    let count = args.opt_free_from_str().map_err(|error| error.to_string())?;
    let count: String = count.unwrap_or_else(|| default.to_owned());
    crate::finish(args)?;
    setup::ensure(setup::Level::Test)?;
    report(if asan { sanitized(&count) } else { plain(&count) })
}

/// What the names of the random schedules begin with.
pub const SCHEDULES: &str = "schedules::";

/// The variable that names the provider for tests.
pub const PROVIDER: &str = "OFI_TEST_PROVIDER";

/// Builds the provider for tests: the library that libfabric loads.
pub fn provider() -> Result<PathBuf, String> {
    run(&mut cargo(&["build", "-p", "ofi-test-provider"]), 10 * MINUTE)?;
    let library = target_directory()?.join("debug/libofitest_fi.so");
    if library.is_file() { Ok(library) } else { Err(format!("no {}", library.display())) }
}

/// What the names of the property test begin with.
pub const SEQUENCES: &str = "sequences::";

/// Runs a command that prints `test result:` lines and turns them into a verdict.
pub fn judge(command: &mut Command) -> Result<Tally, String> {
    judge_within(command, 25)
}

pub fn judge_within(command: &mut Command, minutes: u32) -> Result<Tally, String> {
    sweep();
    let done = tee(command, minutes * MINUTE)?;
    let tally = tally(&done.stdout);
    if done.status.success() && tally.failed == 0 {
        return Ok(tally);
    }
    Err(format!("{}: {tally}", done.status))
}

/// Removes the shared memory that killed processes left behind: shm names it by process number, and
/// a later process of the same number could not enable an endpoint.
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/dev/shm") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split(':').collect();
        let numbers = parts.iter().all(|part| part.parse::<u64>().is_ok());
        let gone = !std::path::Path::new("/proc").join(parts[0]).exists();
        if parts.len() == 3 && numbers && gone {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn report(result: Result<Tally, String>) -> Result<(), String> {
    let tally = result?;
    println!("{tally}");
    if tally.passed == 0 { Err("no test ran".to_owned()) } else { Ok(()) }
}
