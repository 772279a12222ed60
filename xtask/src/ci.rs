//! `cargo xtask ci`: every step that must hold, then a table of them.

use std::time::Instant;

use pico_args::Arguments;

use crate::cargo::{Tally, cargo};
use crate::run::{MINUTE, run};
use crate::{
    coverage, demo, deny, examples, overhead, ran, rules, sanitize, second, setup, test, tidy,
    toolchains,
};

/// A step: its name on the command line, and what it does.
struct Step {
    name: &'static str,
    /// Steps that run no tests return an empty tally and count as one.
    run: fn() -> Result<Tally, String>,
}

/// Cheap and local first: a slip in the formatting is known before an hour's work is spent.
const STEPS: &[Step] = &[
    Step { name: "fmt", run: || check(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", run: || tidy::run().map(none) },
    Step { name: "rules", run: || rules::run(false).map(none) },
    Step { name: "deny", run: || deny::run_check().map(none) },
    Step { name: "clippy", run: || clippy(&[]) },
    Step { name: "clippy-dlopen", run: || clippy(&["--features", "dlopen"]) },
    Step { name: "test", run: || test::tests(false) },
    Step { name: "doc-tests", run: test::doc_tests },
    Step { name: "examples", run: || examples::run(&[]) },
    Step { name: "demo", run: || demo::run().map(none) },
    Step { name: "overhead", run: || overhead::run(vec!["--json".into()]).map(none) },
    Step { name: "doc", run: doc },
    Step { name: "second-linked", run: || second::linked(false) },
    Step { name: "second-dlopen", run: || second::loaded(false) },
    Step { name: "vendored", run: test::vendored },
    Step { name: "ports", run: test::ports },
    Step { name: "coverage", run: || coverage::run(false).map(none) },
    Step { name: "ran", run: || ran::run(false).map(none) },
    Step { name: "codegen", run: || toolchains::codegen().map(none) },
    Step { name: "msrv", run: || toolchains::msrv().map(none) },
    Step { name: "cross", run: || toolchains::cross().map(none) },
    Step { name: "asan", run: sanitize::address },
    Step { name: "valgrind", run: sanitize::valgrind },
    Step { name: "loom", run: sanitize::loom },
];

/// The command, with its arguments.
pub fn command(mut args: Arguments) -> Result<(), String> {
    let list = args.contains("--list");
    let only: Vec<String> = args.values_from_str("--only").map_err(|error| error.to_string())?;
    crate::finish(args)?;
    if let Some(name) = only.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        return Err(format!("no step `{name}`; `cargo xtask ci --list` names them"));
    }
    let wanted = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    if list {
        STEPS.iter().for_each(|step| println!("{}", step.name));
        return Ok(());
    }
    setup::ensure(setup::Level::Ci)?;
    let begun = Instant::now();
    let done: Vec<Verdict> = STEPS.iter().filter(wanted).map(verdict).collect();
    table(&done, begun)
}

struct Verdict {
    name: &'static str,
    seconds: f64,
    result: Result<Tally, String>,
}

fn verdict(step: &Step) -> Verdict {
    println!("\n=== {}", step.name);
    let begun = Instant::now();
    let result = (step.run)();
    if let Err(error) = &result {
        println!("=== {} FAILED: {error}", step.name);
    }
    Verdict { name: step.name, seconds: begun.elapsed().as_secs_f64(), result }
}

fn table(done: &[Verdict], begun: Instant) -> Result<(), String> {
    println!("\n{:<16} {:>8}  verdict", "step", "seconds");
    let (mut sum, mut failed) = (Tally::default(), 0);
    for step in done {
        let words = match &step.result {
            Ok(tally) if *tally == Tally::default() => {
                sum.passed += 1;
                "ok".to_owned()
            }
            Ok(tally) => {
                sum += *tally;
                format!("ok ({} tests)", tally.passed)
            }
            Err(error) => {
                sum.failed += 1;
                failed += 1;
                format!("FAILED: {}", error.lines().next().unwrap_or_default())
            }
        };
        println!("{:<16} {:>8.1}  {words}", step.name, step.seconds);
    }
    println!("{:<16} {:>8.1}", "all", begun.elapsed().as_secs_f64());
    println!("\n{sum}");
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} steps failed", done.len())) }
}

fn check(args: &[&str]) -> Result<Tally, String> {
    run(&mut cargo(args), 20 * MINUTE).map(none)
}

fn clippy(features: &[&str]) -> Result<Tally, String> {
    let mut command = cargo(&["clippy", "--workspace", "--all-targets"]);
    run(command.args(features).args(["--", "-D", "warnings"]), 20 * MINUTE).map(none)
}

fn doc() -> Result<Tally, String> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
    run(command.env("RUSTDOCFLAGS", "-D warnings"), 20 * MINUTE).map(none)
}

fn none((): ()) -> Tally {
    Tally::default()
}
