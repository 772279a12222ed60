//! A Debian trixie beside the system: libfabric 2.x, and a second toolchain, without a container.
//!
//! Made once with debootstrap and kept in the user's cache directory. Every command in it runs in
//! mount and process namespaces of its own: what it mounts, and what it leaves running, ends with
//! it. Without that, unmounting a bound /dev would take the system's /dev/shm along.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cargo;
use crate::run::{MINUTE, output, run};
use crate::setup::{is_root, on_path};

/// What every use of the chroot needs: the library, its C programs, its headers, a C compiler.
const BASE: &str =
    "libfabric1,libfabric-bin,libfabric-dev,pkg-config,gcc,libc6-dev,ca-certificates";

/// $1 chroot, $2 checkout (read-only there), $3 target directory, $4 working directory, then the
/// program. The mounts are seen by this process and its children alone.
const ENTER: &str = r#"set -e
dir=$1 checkout=$2 target=$3 work=$4; shift 4
mount -t proc proc "$dir/proc"
mount --bind /sys "$dir/sys"
mount --bind /dev "$dir/dev"
mount --bind /dev/pts "$dir/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$dir/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$dir/tmp"
mkdir -p "$dir$checkout" "$target"
mount --bind "$checkout" "$dir$checkout"
mount -o remount,bind,ro "$dir$checkout"
case $target in "$checkout"/*) ;; *) mkdir -p "$dir$target" ;; esac
mount --bind "$target" "$dir$target"
exec chroot "$dir" sh -c 'cd "$0" && exec "$@"' "$work" "$@""#;

/// A chroot that exists and holds what was asked for.
pub struct Chroot {
    pub dir: PathBuf,
    checkout: PathBuf,
    target: PathBuf,
}

impl Chroot {
    /// The trixie chroot, made or completed if need be.
    pub fn trixie(packages: &[&str]) -> Result<Chroot, String> {
        possible()?;
        let dir = cache()?.join("trixie");
        if !dir.is_dir() {
            make(&dir)?;
        }
        let chroot = Chroot { dir, checkout: cargo::root(), target: cargo::target_directory()? };
        chroot.install(packages)?;
        chroot.name_localhost()?;
        Ok(chroot)
    }

    /// A command inside, in `work`, with a small environment of its own.
    pub fn command(&self, work: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
        command.args(["sh", "-c", ENTER, "sh"]);
        command.args([&self.dir, &self.checkout, &self.target]).arg(work).arg(program);
        command.env_clear().envs(cargo::TEST_ENVIRONMENT.iter().copied());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", "/root").env("LANG", "C.UTF-8").env("RUST_BACKTRACE", "1");
        command.envs(std::env::vars().filter(|(name, _)| name.starts_with("OFI_")));
        command
    }

    /// The version of libfabric inside, as its own program says it.
    pub fn libfabric(&self) -> Result<String, String> {
        let mut command = self.command(Path::new("/"), "fi_info");
        let text = output(command.arg("--version"), MINUTE)?;
        let line = text.lines().find_map(|line| line.strip_prefix("libfabric: "));
        line.map(|line| line.trim().to_owned()).ok_or(format!("fi_info --version said:\n{text}"))
    }

    /// debootstrap leaves /etc/hosts out, and not every name server answers for localhost.
    fn name_localhost(&self) -> Result<(), String> {
        let path = self.dir.join("etc/hosts");
        if path.exists() {
            return Ok(());
        }
        std::fs::write(&path, "127.0.0.1 localhost\n::1 localhost\n")
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn install(&self, packages: &[&str]) -> Result<(), String> {
        let status = std::fs::read_to_string(self.dir.join("var/lib/dpkg/status"))
            .map_err(|error| format!("{}: {error}", self.dir.display()))?;
        let missing: Vec<&str> =
            packages.iter().copied().filter(|name| !installed(&status, name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        std::fs::copy("/etc/resolv.conf", self.dir.join("etc/resolv.conf"))
            .map_err(|error| format!("name resolution for the chroot: {error}"))?;
        let root = Path::new("/");
        run(self.command(root, "apt-get").args(["update", "-qq"]), 5 * MINUTE)?;
        let mut command = self.command(root, "apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.args(["install", "-y", "-qq", "--no-install-recommends"]).args(missing);
        run(&mut command, 20 * MINUTE)
    }
}

/// `$XDG_CACHE_HOME/ofi`, or `~/.cache/ofi`.
pub fn cache() -> Result<PathBuf, String> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME").ok_or("HOME is not set")?).join(".cache"),
    };
    let dir = base.join("ofi");
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(dir)
}

fn possible() -> Result<(), String> {
    let why = if !cfg!(target_os = "linux") {
        "needs Linux"
    } else if !is_root() {
        "needs root (debootstrap, mount and chroot do)"
    } else if !on_path("debootstrap") {
        "needs debootstrap, which is not installed"
    } else if !on_path("unshare") {
        "needs unshare (package util-linux), which is not installed"
    } else {
        return Ok(());
    };
    Err(format!("the chroot with Debian trixie's libfabric 2.x cannot be made here: it {why}"))
}

/// Makes the chroot under another name first: one that was interrupted is never used.
fn make(dir: &Path) -> Result<(), String> {
    let partial = dir.with_extension(format!("partial.{}", std::process::id()));
    println!("making a chroot with Debian trixie's libfabric 2.x (once; about a minute)");
    let made = debootstrap(&partial, 20 * MINUTE).and_then(|()| {
        match std::fs::rename(&partial, dir) {
            Err(_) if dir.is_dir() => Ok(()), // another run was quicker
            other => other.map_err(|error| format!("{}: {error}", dir.display())),
        }
    });
    if partial.exists() {
        let _ = std::fs::remove_dir_all(&partial);
    }
    made
}

fn debootstrap(dir: &Path, limit: Duration) -> Result<(), String> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "debootstrap", "--variant=minbase"]);
    command.arg(format!("--include={BASE}")).arg("trixie").arg(dir);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    run(&mut command, limit)
}

/// Whether dpkg's status file says that a package (`name` or `name:architecture`) is installed.
fn installed(status: &str, name: &str) -> bool {
    let (name, architecture) = name.split_once(':').unwrap_or((name, ""));
    status.split("\n\n").any(|paragraph| {
        let has = |line: &str| paragraph.lines().any(|other| other == line);
        has(&format!("Package: {name}"))
            && has("Status: install ok installed")
            && (architecture.is_empty() || has(&format!("Architecture: {architecture}")))
    })
}

#[cfg(test)]
mod tests {
    use super::installed;

    #[test]
    fn dpkg_status_is_read() {
        let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\n\n\
                      Package: b\nStatus: deinstall ok config-files\nArchitecture: amd64\n";
        assert!(installed(status, "a"));
        assert!(installed(status, "a:amd64"));
        assert!(!installed(status, "a:arm64"));
        assert!(!installed(status, "b"));
        assert!(!installed(status, "c"));
    }
}
