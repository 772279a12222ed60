//! Finds libfabric, or says what to install; with `vendored` builds it. `dlopen` needs nothing.

use std::env;
use std::process::exit;

/// The oldest release that the crate's ABI rules cover.
#[cfg(not(feature = "vendored"))]
const FLOOR: &str = "1.17";

/// Where the EFA installer puts its own libfabric, out of pkg-config's sight.
#[cfg(not(feature = "vendored"))]
const EFA: [&str; 2] = ["/opt/amazon/efa/lib/pkgconfig", "/opt/amazon/efa/lib64/pkgconfig"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_DLOPEN").is_some() {
        return;
    }
    #[cfg(feature = "vendored")]
    let version = vendored::build();
    #[cfg(not(feature = "vendored"))]
    let version = probe().or_else(|first| probe_with(&EFA.join(":")).map_err(|_| advice(&first)));
    match version {
        Ok(version) => println!("cargo::rustc-env=OFI_SYS_LINKED_VERSION={version}"),
        Err(text) => {
            eprintln!("\n{text}\n");
            exit(1);
        }
    }
}

/// Prints what cargo needs to link, and returns the library's version.
#[cfg(not(feature = "vendored"))]
fn probe() -> Result<String, pkg_config::Error> {
    pkg_config::Config::new().atleast_version(FLOOR).probe("libfabric").map(|lib| lib.version)
}

/// The same with more directories to search, after those of the environment.
#[cfg(not(feature = "vendored"))]
fn probe_with(more: &str) -> Result<String, pkg_config::Error> {
    let path = match env::var("PKG_CONFIG_PATH") {
        Ok(old) if !old.is_empty() => format!("{old}:{more}"),
        _ => more.to_owned(),
    };
    // SAFETY: a build script's main has started no other thread.
    unsafe { env::set_var("PKG_CONFIG_PATH", path) };
    probe()
}

#[cfg(not(feature = "vendored"))]
fn advice(error: &pkg_config::Error) -> String {
    let cause = match error {
        pkg_config::Error::Command { .. } => "pkg-config itself could not be run",
        pkg_config::Error::ProbeFailure { .. } | pkg_config::Error::Failure { .. } => {
            "pkg-config knows no libfabric, or an older one"
        }
        _ => "pkg-config refused",
    };
    format!(
        "ofi-sys needs libfabric {FLOOR} or newer and its development files: {cause}.\n\n  \
         Debian, Ubuntu   sudo apt install libfabric-dev pkg-config\n  \
         Fedora           sudo dnf install libfabric-devel pkgconf-pkg-config\n  \
         Arch             sudo pacman -S libfabric pkgconf\n  \
         macOS            brew install libfabric pkgconf\n\n\
         A libfabric elsewhere: put its lib/pkgconfig into PKG_CONFIG_PATH.\n\
         No libfabric while building: the feature `dlopen` loads it at run time.\n\
         None at all: the feature `vendored` builds it.\n\n{error}"
    )
}

/// libfabric from source, with autotools.
#[cfg(feature = "vendored")]
mod vendored {
    use std::fs::{self, File};
    use std::io;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// More arguments for configure: `--enable-verbs=/opt/rdma --disable-psm3`.
    const CONFIGURE: &str = "OFI_SYS_CONFIGURE";

    /// Builds and installs it under OUT_DIR once, tells cargo how to link, returns the version.
    pub(super) fn build() -> Result<String, String> {
        println!("cargo::rerun-if-env-changed={CONFIGURE}");
        let out = PathBuf::from(super::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
        let (source, prefix) = (out.join("libfabric"), out.join("install"));
        let arguments = super::env::var(CONFIGURE).unwrap_or_default();

        // What was built, and how: a second run of this script builds nothing.
        let stamp = out.join("libfabric.stamp");
        if fs::read_to_string(&stamp).ok().as_ref() != Some(&arguments) {
            require_tools()?;
            let _ = fs::remove_dir_all(&source);
            let _ = fs::remove_dir_all(&prefix);
            copy(&libfabric_src::source_dir(), &source)
                .map_err(|e| format!("copying libfabric's sources: {e}"))?;
            let jobs = super::env::var("NUM_JOBS").unwrap_or_else(|_| "2".into());
            run(&source, "autoreconf", &["-if"])?;
            let prefix_argument = format!("--prefix={}", prefix.display());
            let mut configure = vec!["./configure", &prefix_argument];
            configure.extend(["--disable-shared", "--enable-static", "--with-pic"]);
            configure.extend(arguments.split_whitespace());
            run(&source, "sh", &configure)?;
            run(&source, "make", &["-j", &jobs])?;
            run(&source, "make", &["install"])?;
            fs::write(&stamp, &arguments).map_err(|e| format!("{}: {e}", stamp.display()))?;
        }

        println!("cargo::rustc-env=OFI_SYS_VENDORED_SOURCE={}", source.display());
        println!("cargo::rustc-env=OFI_SYS_VENDORED_PREFIX={}", prefix.display());
        link(&prefix.join("lib"))
    }

    /// libfabric.pc says which libraries the archive wants.
    fn link(lib: &Path) -> Result<String, String> {
        let pc = lib.join("pkgconfig/libfabric.pc");
        let text = fs::read_to_string(&pc).map_err(|e| format!("{}: {e}", pc.display()))?;
        let line = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("").trim();
        println!("cargo::rustc-link-search=native={}", lib.display());
        println!("cargo::rustc-link-lib=static=fabric");
        let libs = format!("{} {}", line("Libs:"), line("Libs.private:"));
        for word in libs.split_whitespace() {
            match word.split_at_checked(2) {
                Some(("-l", "fabric")) => {}
                Some(("-l", name)) => println!("cargo::rustc-link-lib={name}"),
                Some(("-L", dir)) if !dir.starts_with('$') => {
                    println!("cargo::rustc-link-search=native={dir}");
                }
                _ => {}
            }
        }
        Ok(line("Version:").to_owned())
    }

    fn require_tools() -> Result<(), String> {
        let missing: Vec<&str> = ["autoreconf", "automake", "libtoolize", "make", "cc"]
            .into_iter()
            .filter(|tool| {
                // macOS calls GNU's libtoolize otherwise.
                let names = [(*tool).to_owned(), format!("g{tool}")];
                names.iter().all(|name| Command::new(name).arg("--version").output().is_err())
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "ofi-sys, feature `vendored`: building libfabric needs {}.\n\n  \
             Debian, Ubuntu   sudo apt install autoconf automake libtool make gcc\n  \
             Fedora           sudo dnf install autoconf automake libtool make gcc\n  \
             Arch             sudo pacman -S base-devel\n  \
             macOS            brew install autoconf automake libtool",
            missing.join(", ")
        ))
    }

    /// Runs a step with its output in a file; of a failure the end is shown.
    fn run(dir: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
        let path = dir.join("ofi-sys.log");
        let log = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let errors = log.try_clone().map_err(|e| format!("{}: {e}", path.display()))?;
        let status = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .stdout(log)
            .stderr(errors)
            // Cargo's job server is not make's to take, and its flags are for Rust's targets.
            .env_remove("MAKEFLAGS")
            .env_remove("CARGO_MAKEFLAGS")
            .status()
            .map_err(|e| format!("{program}: {e}"))?;
        if status.success() {
            return Ok(());
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        Err(format!(
            "building libfabric: {program} {} failed ({status}):\n{end}",
            arguments.join(" ")
        ))
    }

    /// The registry's copy stays as it is: autotools write into the sources.
    fn copy(from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                copy(&entry.path(), &target)?;
            } else {
                fs::copy(entry.path(), target)?;
            }
        }
        Ok(())
    }
}
