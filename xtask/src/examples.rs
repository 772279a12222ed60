//! The examples, each run with its output checked against the `.out` file beside it.
//!
//! In `crates/ofi/examples/NAME.out` every line must be printed, in this order; other lines may
//! stand between them, and `*` stands for any text. An example without such a file fails.

use std::fs;

use crate::cargo::{self, Artifact, Tally};
use crate::chroot::Chroot;
use crate::ran::Generation;
use crate::run::{MINUTE, capture, tail};

/// Builds and runs every example on the system's libfabric.
pub fn run(args: &[&str]) -> Result<Tally, String> {
    let (mut sum, mut failed) = (Tally::default(), Vec::new());
    for artifact in cargo::test_binaries(args)?.iter().filter(|artifact| artifact.example) {
        match check(artifact, None) {
            Ok(tally) => sum += tally,
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() { Ok(sum) } else { Err(failed.join("\n")) }
}

/// Runs one example, in the chroot if there is one.
pub fn check(artifact: &Artifact, chroot: Option<&Chroot>) -> Result<Tally, String> {
    let name = &artifact.name;
    let path = artifact.package.join("examples").join(format!("{name}.out"));
    let wanted = fs::read_to_string(&path)
        .map_err(|error| format!("example {name} has no readable {name}.out: {error}"))?;
    let mut command = match chroot {
        Some(chroot) => chroot.command(&artifact.package, &artifact.program),
        None => {
            let mut command = std::process::Command::new(&artifact.program);
            command.envs(cargo::TEST_ENVIRONMENT.iter().copied()).current_dir(&artifact.package);
            command
        }
    };
    let generation = if chroot.is_some() { Generation::Second } else { Generation::System };
    generation.count(&mut command)?;
    let done = capture(&mut command, MINUTE)?;
    if !done.status.success() {
        let said = tail(&done.stderr, 10);
        return Err(format!("example {name}: {}\n{}{said}", done.status, done.stdout));
    }
    if let Some(line) = first_missing(&wanted, &done.stdout) {
        return Err(format!("example {name} did not print `{line}`; it printed:\n{}", done.stdout));
    }
    println!("example {name} ... ok");
    Ok(Tally { passed: 1, failed: 0 })
}

/// The first wanted line that does not follow the ones before it.
fn first_missing<'a>(wanted: &'a str, printed: &str) -> Option<&'a str> {
    let mut printed = printed.lines();
    wanted
        .lines()
        .filter(|line| !line.trim().is_empty())
        .find(|line| !printed.any(|other| matches(line.trim(), other.trim())))
}

/// Whether a line fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((head, rest)) => line.strip_prefix(head).is_some_and(|line| {
            line.char_indices()
                .map(|(at, _)| at)
                .chain([line.len()])
                .any(|at| matches(rest, &line[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("a * c", "a bb c"));
        assert!(matches("*", ""));
        assert!(matches("x*", "x"));
        assert!(!matches("a*c", "abd"));
        assert!(!matches("abc", "abcd"));
    }

    #[test]
    fn order_counts() {
        assert_eq!(first_missing("a\n\nb\n", "a\nother\nb\n"), None);
        assert_eq!(first_missing("b\na\n", "a\nb\n"), Some("a"));
        assert_eq!(first_missing("a\n", ""), Some("a"));
    }
}
