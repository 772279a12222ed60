//! What trixie's packages are good for besides libfabric 2.x: its headers, the compiler that is our
//! MSRV, and the standard libraries of other targets.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use crate::cargo::{cargo, root, target_directory};
use crate::chroot::Chroot;
use crate::run::{MINUTE, capture, run, tail};

/// The generated bindings, made again from 2.1's headers: no difference.
pub fn codegen() -> Result<(), String> {
    let chroot = Chroot::trixie(&["libfabric-dev"])?;
    // The chroot's other headers must not be found: they belong to another C library.
    let include = target_directory()?.join("headers-2.1");
    let _ = std::fs::remove_dir_all(&include);
    std::fs::create_dir_all(&include)
        .and_then(|()| symlink(chroot.dir.join("usr/include/rdma"), include.join("rdma")))
        .map_err(|error| format!("{}: {error}", include.display()))?;
    let mut command = cargo(&["run", "-q", "-p", "xtask", "--features", "codegen", "--"]);
    command.args(["codegen", "--check", "--include"]).arg(include);
    run(&mut command, 15 * MINUTE)
}

/// The workspace, checked with Rust 1.85 as Debian packages it, offline.
pub fn msrv() -> Result<(), String> {
    let chroot = Chroot::trixie(&["rustc", "cargo"])?;
    let version = crate::run::output(chroot.command(&root(), "rustc").arg("-V"), MINUTE)?;
    if !version.starts_with("rustc 1.85.") {
        return Err(format!("the chroot's compiler is not the MSRV: {version}"));
    }
    println!("{}", version.trim());
    let mut command = debian_cargo(&chroot, "check", false)?;
    run(command.args(["--workspace", "--all-targets"]), 20 * MINUTE)
}

/// `cargo check --features dlopen` for targets that are not this machine's.
pub fn cross() -> Result<(), String> {
    let mut failed = Vec::new();
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"]
    {
        if let Err(error) = check_target(target) {
            println!("{target}: {error}");
            failed.push(target);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("not checked: {}", failed.join(", "))) }
}

fn check_target(target: &str) -> Result<(), String> {
    let mut command = if has_std(target) {
        println!("{target}: with the toolchain's own standard library");
        cargo(&["check"])
    } else if target.ends_with("linux-gnu") {
        println!("{target}: with Debian's compiler and standard library for it");
        let chroot = Chroot::trixie(&["rustc", "cargo"])?;
        debian_std(&chroot, target)?;
        debian_cargo(&chroot, "check", false)?
    } else {
        println!("{target}: with Debian's compiler, and the standard library from its source");
        let chroot = Chroot::trixie(&["rustc", "cargo", "rust-src"])?;
        let mut command = debian_cargo(&chroot, "check", true)?;
        command.env("RUSTC_BOOTSTRAP", "1").args(["-Z", "build-std=std"]);
        command
    };
    command.args(["-p", "ofi-sys", "-p", "ofi", "-p", "ofi-cli", "--features", "dlopen"]);
    run(command.args(["--target", target]), 20 * MINUTE)
}

fn has_std(target: &str) -> bool {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", target]);
    let done = capture(&mut command, MINUTE);
    done.is_ok_and(|done| done.status.success() && PathBuf::from(done.stdout.trim()).is_dir())
}

/// Unpacks Debian's standard library for another architecture beside the chroot's own: installing
/// it would bring that architecture's C library and compiler along, which a check needs not.
fn debian_std(chroot: &Chroot, target: &str) -> Result<(), String> {
    let architecture = if target.starts_with("aarch64") { "arm64" } else { "amd64" };
    let script = "set -e; arch=$0 target=$1\n\
        test ! -d /usr/lib/rustlib/$target/lib || exit 0\n\
        dpkg --add-architecture $arch; apt-get update -qq; cd /tmp\n\
        apt-get download -qq libstd-rust-dev:$arch libstd-rust-1.85:$arch\n\
        for deb in *.deb; do dpkg -x $deb std; done\n\
        cp -a std/usr/lib/rustlib/$target /usr/lib/rustlib/\n\
        dpkg --remove-architecture $arch; apt-get update -qq";
    let mut command = chroot.command(&PathBuf::from("/"), "sh");
    run(command.args(["-c", script, architecture, target]), 10 * MINUTE)
}

/// Debian's cargo in the chroot, offline on dependencies that the system's cargo vendored; with
/// `std`, those of the standard library's source too.
fn debian_cargo(chroot: &Chroot, verb: &str, std: bool) -> Result<Command, String> {
    let target = target_directory()?;
    let vendor = target.join("xtask-vendor");
    let library = chroot.dir.join("usr/lib/rustlib/src/rust/library/Cargo.toml");
    let mut command = cargo(&["vendor", "--locked", "--quiet", "--versioned-dirs"]);
    if std {
        // Its manifest uses what only a nightly cargo reads.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.arg("--sync").arg(library);
    }
    let done = capture(command.arg(&vendor), 10 * MINUTE)?;
    if !done.status.success() {
        return Err(format!("cargo vendor: {}", tail(&done.stderr, 10)));
    }
    let mut command = chroot.command(&root(), "cargo");
    command.args([verb, "--locked", "--offline"]);
    command.args(["--config", "source.crates-io.replace-with='vendored'"]);
    command.arg("--config").arg(format!("source.vendored.directory='{}'", vendor.display()));
    command.env("CARGO_TARGET_DIR", target.join("trixie"));
    Ok(command)
}
