//! The second libfabric generation: the host's test binaries, run in the trixie chroot.
//!
//! Both builds run there: the linked one, bound to the symbol versions of the library it was built
//! with, and the one that loads the library at run time.

use std::{path::Path, process::Command};

use crate::cargo::{self, Artifact, Tally, tally};
use crate::chroot::Chroot;
use crate::examples;
use crate::ran::Generation;
use crate::run::{MINUTE, tee};
use crate::test::{PROVIDER, QUICK, SCHEDULES, SEQUENCES, provider};

/// Compile-fail tests ask the compiler, which is not there and has no other answer.
const LEFT_OUT: &str = "ui";

/// Both builds, one after the other: they share the place where the `ofi` command is put.
pub fn run(quick: bool) -> Result<Tally, String> {
    let mut sum = linked(quick)?;
    sum += loaded(quick)?;
    Ok(sum)
}

/// The build that is linked with the system's libfabric.
pub fn linked(quick: bool) -> Result<Tally, String> {
    Generation::Second.forget()?;
    all("linked", &[], &[], quick)
}

/// The build that loads libfabric at run time.
pub fn loaded(quick: bool) -> Result<Tally, String> {
    // What is beyond its way to libfabric's functions is the same as of the other build.
    let skip = ["--skip", "::confined", "--skip", SEQUENCES, "--skip", SCHEDULES];
    all("dlopen", &["--features", "dlopen"], &skip, quick)
}

fn all(build: &str, args: &[&str], skip: &[&str], quick: bool) -> Result<Tally, String> {
    let chroot = Chroot::trixie(&[])?;
    let version = chroot.libfabric()?;
    if !version.starts_with("2.") {
        return Err(format!("the chroot holds libfabric {version}, not 2.x"));
    }
    println!("libfabric {version}, {build} build");
    let provider = provider()?;
    let (mut sum, mut failed) = (Tally::default(), Vec::new());
    for artifact in cargo::test_binaries(args)? {
        if artifact.name == LEFT_OUT {
            println!("--- {LEFT_OUT} is left out: what compiles does not depend on the library");
            continue;
        }
        let result = if artifact.example {
            if quick {
                continue;
            } else {
                examples::check(&artifact, Some(&chroot))
            }
        } else {
            one(&chroot, &artifact, &provider, skip, quick)
        };
        match result {
            Ok(tally) => sum += tally,
            Err(error) => failed.push(format!("{} ({build}): {error}", artifact.name)),
        }
    }
    if failed.is_empty() { Ok(sum) } else { Err(format!("{sum}; {}", failed.join("\n"))) }
}

/// So many random sequences of calls for each case of the property test.
pub fn sequences(count: &str) -> Result<Tally, String> {
    some(SEQUENCES, 600, |command| command.env("OFI_TEST_SEQUENCES", count))
}

/// So many random schedules over the provider for tests.
pub fn schedules(count: &str) -> Result<Tally, String> {
    let provider = provider()?;
    some(SCHEDULES, 60, |command| command.env("OFI_TEST_SCHEDULES", count).env(PROVIDER, &provider))
}

/// The integration tests whose names begin so.
fn some(
    names: &str,
    minutes: u32,
    told: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<Tally, String> {
    let chroot = Chroot::trixie(&[])?;
    let binaries = cargo::test_binaries(&[])?;
    let it = binaries.iter().find(|artifact| artifact.name == "it").ok_or("no binary `it`")?;
    let mut command = inside(&chroot, it);
    judge(told(command.arg(names)), minutes)
}

fn one(
    chroot: &Chroot,
    artifact: &Artifact,
    provider: &Path,
    skip: &[&str],
    quick: bool,
) -> Result<Tally, String> {
    let mut command = inside(chroot, artifact);
    Generation::Second.count(command.args(skip).env(PROVIDER, provider))?;
    if quick {
        command.envs(QUICK);
    }
    println!("--- {} in the chroot", artifact.name);
    judge(&mut command, 25)
}

fn inside(chroot: &Chroot, artifact: &Artifact) -> Command {
    let mut command = chroot.command(&artifact.package, &artifact.program);
    command.env("CARGO_MANIFEST_DIR", &artifact.package);
    command
}

fn judge(command: &mut Command, minutes: u32) -> Result<Tally, String> {
    let done = tee(command, minutes * MINUTE)?;
    let tally = tally(&done.stdout);
    if done.status.success() && tally.failed == 0 {
        return Ok(tally);
    }
    Err(format!("{}, {tally}", done.status))
}
