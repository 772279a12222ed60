//! `cargo xtask overhead`: what the binding costs against raw calls, from the benchmark of `ofi`.

use std::{ffi::OsString, time::Duration};

use crate::{cargo, run};

/// Runs the benchmark, built for release. Its table, or JSON, goes to standard output; it fails if
/// anything allocates per operation, and with `--gate` if a target is missed.
pub fn run(arguments: Vec<OsString>) -> Result<(), String> {
    let mut command = cargo::cargo(&["bench", "--package", "ofi", "--bench", "overhead", "--"]);
    command.args(arguments);
    run::run(&mut command, Duration::from_secs(15 * 60))
}
