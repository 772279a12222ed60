//! What the three programs share: the command line of fabtests, how its programs find each other and
//! keep in step, what they fill memory with, and the line that they print in the end.
//!
//! The programs speak to their C originals of fabtests 1.22 as to each other. Whatever goes over the
//! wire is as there: which message follows which, its length, its tag, and what of it is looked at. What
//! a program does for itself is done as this crate's users would do it.
//!
//! There is no deadline in fabtests; here each wait has one (`--timeout`).
#![forbid(unsafe_code)]

mod args;
mod oob;
mod pattern;
mod perf;
mod session;
mod target;

pub use args::{Args, Program};
pub use pattern::{check, pattern};
pub use perf::Report;
pub use session::Session;
pub use target::{RESERVED, Target};

/// Runs a program: what it returns, or the text of its failure and status 1.
pub fn main(run: impl FnOnce() -> anyhow::Result<()>) -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
