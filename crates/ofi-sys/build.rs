//! Finds libfabric, or says what to install. `dlopen` needs nothing here.

use std::env;
use std::process::exit;

/// The oldest release that the crate's ABI rules cover.
const FLOOR: &str = "1.17";

/// Where the EFA installer puts its own libfabric, out of pkg-config's sight.
const EFA: [&str; 2] = [
    "/opt/amazon/efa/lib/pkgconfig",
    "/opt/amazon/efa/lib64/pkgconfig",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_DLOPEN").is_some() {
        return;
    }
    let found = probe().or_else(|first| probe_efa().ok_or(first));
    match found {
        Ok(version) => println!("cargo::rustc-env=OFI_SYS_LINKED_VERSION={version}"),
        Err(error) => {
            eprintln!("{}", advice(&error));
            exit(1);
        }
    }
}

/// Prints what cargo needs to link, and returns the library's version.
fn probe() -> Result<String, pkg_config::Error> {
    pkg_config::Config::new()
        .atleast_version(FLOOR)
        .probe("libfabric")
        .map(|lib| lib.version)
}

/// The same where the EFA installer puts it, with the path for the program's loader.
fn probe_efa() -> Option<String> {
    let path = EFA.join(":");
    let all = match env::var("PKG_CONFIG_PATH") {
        Ok(old) if !old.is_empty() => format!("{old}:{path}"),
        _ => path,
    };
    // SAFETY: a build script's main has started no other thread.
    unsafe { env::set_var("PKG_CONFIG_PATH", all) };
    probe().ok()
}

fn advice(error: &pkg_config::Error) -> String {
    let cause = match error {
        pkg_config::Error::Command { .. } => "pkg-config itself could not be run",
        pkg_config::Error::ProbeFailure { .. } | pkg_config::Error::Failure { .. } => {
            "pkg-config knows no libfabric, or one older than 1.17"
        }
        _ => "pkg-config refused",
    };
    format!(
        "\nofi-sys needs libfabric {FLOOR} or newer, with its headers' package: {cause}.\n\n  \
         Debian, Ubuntu   sudo apt install libfabric-dev pkg-config\n  \
         Fedora           sudo dnf install libfabric-devel pkgconf-pkg-config\n  \
         Arch             sudo pacman -S libfabric pkgconf\n  \
         macOS            brew install libfabric pkgconf\n\n\
         A libfabric elsewhere: put its lib/pkgconfig into PKG_CONFIG_PATH.\n\
         No libfabric while building: the feature `dlopen` loads it at run time.\n\n{error}\n"
    )
}
