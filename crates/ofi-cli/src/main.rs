//! The `ofi` command: what libfabric offers here, whether it works, and how fast.
//!
//! Only the safe crate `ofi` is underneath.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod info;
mod pingpong;
mod selftest;

#[derive(Parser)]
#[command(name = "ofi", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List what libfabric offers here, as fi_info does
    Info(info::Args),
    /// Exchange messages with another host, as libfabric's fi_pingpong does and together with it
    Pingpong(pingpong::Args),
    /// Test every provider and endpoint type here, or between two hosts
    Selftest(selftest::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Info(args) => info::run(&args),
        Command::Pingpong(args) => pingpong::run(&args),
        Command::Selftest(args) => selftest::run(&args),
    };
    match result {
        Ok(code) => code,
        // Whoever read our output has gone, as `head` does: nothing is wrong.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Printing>()
        .is_some_and(|printing| printing.0.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Standard output could not be written to.
#[derive(Debug)]
struct Printing(std::io::Error);

impl std::fmt::Display for Printing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "standard output: {}", self.0)
    }
}

impl std::error::Error for Printing {}

/// Writes text to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Printing(error).into())
}
