//! The project's own commands: `cargo xtask <command>`. Builds without libfabric.
#![forbid(unsafe_code)]
// A program has no public interface.
#![allow(unreachable_pub)]

mod cargo;
mod chroot;
mod ci;
#[cfg(feature = "codegen")]
mod codegen;
mod coverage;
mod demo;
mod deny;
mod examples;
mod fabtests;
mod overhead;
mod ran;
mod rules;
mod run;
mod sanitize;
mod second;
mod setup;
mod test;
mod tidy;
mod toolchains;

use std::process::ExitCode;

use pico_args::Arguments;

const USAGE: &str = "\
usage: cargo xtask <command>

  setup                       install what the system lacks (libfabric, C tools, test tools)
  demo                        set-up, release build, self-test, a ping-pong of two processes
  test [--quick]              set-up, then the whole test suite against the system's libfabric
  test --libfabric 2          the same binaries against Debian trixie's libfabric 2.x, in a chroot
  ci [--only STEP]... [--list]
                              everything that must hold before a change lands
  sequences [COUNT] [--asan]  the property test against both libraries: random sequences of calls, 10000
                              for each provider, type of endpoint and threading
  schedules [COUNT] [--asan]  random schedules over the provider for tests, against both libraries: 100000
  overhead [--json] [--gate] [PROVIDER]...
                              what the binding costs against raw calls in the same run
  tidy                        the house rules: file sizes, unsafe modules, SAFETY comments
  rules [--list]              every rule of docs/rules.md and the tests that carry its id
  coverage [--json]           every function, option and command of libfabric's headers, and where it is wrapped
  coverage --ran [--json]     every function, and on which provider and version the tests made it succeed:
                              what the last `test` and `test --libfabric 2` left is added up
  deny                        licences, bans and sources of the dependencies
  codegen [--check] [...]     the generated bindings, from libfabric's headers
";

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<(), String> {
    std::env::set_current_dir(cargo::root()).map_err(|error| format!("the checkout: {error}"))?;
    let mut args = Arguments::from_env();
    let name = args.subcommand().map_err(|error| error.to_string())?.unwrap_or_default();
    match name.as_str() {
        "setup" => finish(args).and_then(|()| setup::ensure(setup::Level::Ci)),
        "demo" => finish(args).and_then(|()| demo::run()),
        "test" => test::command(args),
        "overhead" => overhead::run(args.finish()),
        "sequences" => test::sequences(args),
        "schedules" => test::schedules(args),
        "ci" => ci::command(args),
        "tidy" => finish(args).and_then(|()| tidy::run()),
        "rules" => {
            let list = args.contains("--list");
            finish(args).and_then(|()| rules::run(list))
        }
        "coverage" => {
            let (json, ran) = (args.contains("--json"), args.contains("--ran"));
            finish(args).and_then(|()| if ran { ran::run(json) } else { coverage::run(json) })
        }
        "deny" => finish(args).and_then(|()| deny::run_check()),
        "codegen" => codegen(args),
        "" | "help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("no command `{other}`\n{USAGE}")),
    }
}

/// Refuses arguments that no command took.
fn finish(args: Arguments) -> Result<(), String> {
    let rest = args.finish();
    if rest.is_empty() { Ok(()) } else { Err(format!("not understood: {rest:?}\n{USAGE}")) }
}

#[cfg(feature = "codegen")]
fn codegen(args: Arguments) -> Result<(), String> {
    let words: Vec<String> =
        args.finish().into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    codegen::run(&words)
}

/// Built without bindgen: build it with, and hand over.
#[cfg(not(feature = "codegen"))]
fn codegen(args: Arguments) -> Result<(), String> {
    let mut again = cargo::cargo(&["run", "-q", "-p", "xtask", "--features", "codegen", "--"]);
    run::run(again.arg("codegen").args(args.finish()), 10 * run::MINUTE)
}
