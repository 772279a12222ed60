//! What cargo knows: the checkout, the target directory, the test binaries, the tests that ran.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::ran::COUNTING;
use crate::run::{MINUTE, output, tail};

/// The environment of every test: loopback only, and libpsm's crash handler kept out.
pub const TEST_ENVIRONMENT: &[(&str, &str)] = &[
    ("IPATH_NO_BACKTRACE", "1"),
    ("FI_TCP_IFACE", "lo"),
    ("FI_SOCKETS_IFACE", "lo"),
    ("FI_UDP_IFACE", "lo"),
];

/// How many tests passed and failed.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// A program that cargo built.
pub struct Artifact {
    pub name: String,
    pub program: PathBuf,
    /// The directory of its package, where cargo would start it.
    pub package: PathBuf,
    pub example: bool,
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// A cargo command in the checkout, with the tests' environment.
pub fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).envs(TEST_ENVIRONMENT.iter().copied());
    command
}

/// `cargo metadata`: our own packages, or with `dependencies` those of every feature too.
pub fn metadata(dependencies: bool) -> Result<Value, String> {
    let mut command = cargo(&["metadata", "--format-version", "1", "--locked"]);
    command.arg(if dependencies { "--all-features" } else { "--no-deps" });
    let text = output(&mut command, 5 * MINUTE)?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

/// Where cargo puts what it builds.
pub fn target_directory() -> Result<PathBuf, String> {
    let metadata = metadata(false)?;
    let path =
        metadata["target_directory"].as_str().ok_or("cargo metadata: no target directory")?;
    Ok(PathBuf::from(path))
}

/// The triple of this machine.
pub fn host() -> Result<String, String> {
    let text = output(Command::new("rustc").arg("-vV"), MINUTE)?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

/// Builds the test binaries and examples of the workspace's own packages (not of this one).
pub fn test_binaries(args: &[&str]) -> Result<Vec<Artifact>, String> {
    let mut command = cargo(&["test", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(["--workspace", "--exclude", "xtask"]).args(COUNTING).args(args);
    println!("$ cargo test --no-run --workspace {}", args.join(" "));
    let text = output(&mut command, 20 * MINUTE)?;
    let found: Vec<Artifact> = text.lines().filter_map(artifact).collect();
    if found.is_empty() {
        return Err(format!("cargo built no test binary:\n{}", tail(&text, 5)));
    }
    Ok(found)
}

/// Reads one line of cargo's JSON messages; most are no program.
fn artifact(line: &str) -> Option<Artifact> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let program = PathBuf::from(message["executable"].as_str()?);
    let example = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "example");
    // A package's command is built for its tests, but is no test itself.
    if message["profile"]["test"] != true && !example {
        return None;
    }
    let package = Path::new(message["manifest_path"].as_str()?).parent()?.to_path_buf();
    let name = message["target"]["name"].as_str()?.to_owned();
    Some(Artifact { name, program, package, example })
}

/// Sums the `test result:` lines of a run.
pub fn tally(text: &str) -> Tally {
    let mut sum = Tally::default();
    for line in text.lines().filter_map(|line| line.split_once("test result: ")) {
        for part in line.1.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let count = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => sum.passed += count,
                Some("failed") => sum.failed += count,
                _ => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_results_are_summed() {
        let text = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished\n\
            noise\n\
            test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(tally(text), Tally { passed: 13, failed: 2 });
        assert_eq!(tally("no result"), Tally::default());
    }

    #[test]
    fn only_tests_and_examples_are_taken() {
        let line = |kind: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/a/p/Cargo.toml","target":
                {{"kind":["{kind}"],"name":"n"}},"profile":{{"test":{test}}},"executable":"/t/n"}}"#
            )
        };
        assert!(artifact(&line("bin", false)).is_none());
        assert!(artifact("warning: not JSON").is_none());
        let example = artifact(&line("example", false)).expect("an example");
        assert!(example.example);
        let test = artifact(&line("test", true)).expect("a test");
        assert_eq!((test.name.as_str(), test.package.as_path()), ("n", Path::new("/a/p")));
    }
}
