//! `cargo xtask setup`: what the system must provide, installed with the system's own packages.

use std::path::Path;
use std::process::Command;

use crate::run::{MINUTE, run, succeeds};

/// How much of the set-up a command needs; each includes the one before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Building and running the library and the command.
    Build,
    /// The tests: C peers, a C compiler, valgrind, the second libfabric generation.
    Test,
    /// Besides: what regenerates the bindings, and what builds libfabric from its source.
    Ci,
}

/// One thing that must be there, and the package that brings it.
struct Need {
    what: &'static str,
    level: Level,
    present: fn() -> bool,
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    /// Empty where macOS has no such program and the tests do without.
    brew: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        what: "pkg-config",
        level: Level::Build,
        present: || on_path("pkg-config"),
        apt: "pkg-config",
        dnf: "pkgconf-pkg-config",
        pacman: "pkgconf",
        brew: "pkgconf",
    },
    Need {
        what: "libfabric 1.17 or newer, with its headers",
        level: Level::Build,
        present: || succeeds("pkg-config", &["--atleast-version=1.17", "libfabric"]),
        apt: "libfabric-dev",
        dnf: "libfabric-devel",
        pacman: "libfabric",
        brew: "libfabric",
    },
    Need {
        what: "libfabric's own programs fi_info and fi_pingpong",
        level: Level::Test,
        present: || on_path("fi_info") && on_path("fi_pingpong"),
        apt: "libfabric-bin",
        dnf: "libfabric",
        pacman: "libfabric",
        brew: "libfabric",
    },
    Need {
        what: "a C compiler",
        level: Level::Test,
        present: || on_path("gcc") || on_path("cc"),
        apt: "gcc libc6-dev",
        dnf: "gcc",
        pacman: "gcc",
        brew: "gcc",
    },
    Need {
        what: "valgrind",
        level: Level::Test,
        present: || cfg!(target_os = "macos") || on_path("valgrind"),
        apt: "valgrind",
        dnf: "valgrind",
        pacman: "valgrind",
        brew: "",
    },
    Need {
        what: "debootstrap, for the second libfabric generation",
        level: Level::Test,
        present: || cfg!(target_os = "macos") || on_path("debootstrap"),
        apt: "debootstrap",
        dnf: "debootstrap",
        pacman: "debootstrap",
        brew: "",
    },
    Need {
        what: "libclang, for `cargo xtask codegen`",
        level: Level::Ci,
        present: libclang,
        apt: "libclang-dev",
        dnf: "clang-devel",
        pacman: "clang",
        brew: "llvm",
    },
    Need {
        what: "what builds libfabric itself, for the feature `vendored`",
        level: Level::Ci,
        present: || ["autoconf", "automake", "make"].into_iter().all(on_path) && libtool(),
        apt: "autoconf automake libtool make",
        dnf: "autoconf automake libtool make",
        pacman: "autoconf automake libtool make",
        brew: "autoconf automake libtool make",
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packages {
    Apt,
    Dnf,
    Pacman,
    Brew,
}

/// Installs what is missing; does nothing, and says nothing more than that, if all is there.
pub fn ensure(level: Level) -> Result<(), String> {
    let missing: Vec<&Need> =
        NEEDS.iter().filter(|need| need.level <= level && !(need.present)()).collect();
    if missing.is_empty() {
        println!("set-up: everything is there");
        return Ok(());
    }
    let with = Packages::detect()?;
    println!("set-up: about to install with {with:?}:");
    let mut names = Vec::new();
    for need in &missing {
        let packages = with.names(need);
        println!("  {:<32} {}", packages, need.what);
        names.extend(packages.split_whitespace());
    }
    names.dedup();
    for mut command in with.install(&names)? {
        run(&mut command, 15 * MINUTE)?;
    }
    let still: Vec<&str> =
        missing.iter().filter(|need| !(need.present)()).map(|need| need.what).collect();
    if still.is_empty() {
        return Ok(());
    }
    Err(format!("installed {}, yet still missing: {}", names.join(" "), still.join(", ")))
}

impl Packages {
    fn detect() -> Result<Packages, String> {
        if cfg!(target_os = "macos") {
            return Ok(Packages::Brew);
        }
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        Packages::from_os_release(&release).ok_or_else(|| {
            "this system is none of Debian, Ubuntu, Fedora, Arch, macOS: install libfabric 1.17 \
             or newer with its headers, its programs fi_info and fi_pingpong, pkg-config, and for \
             the tests gcc, valgrind and debootstrap"
                .to_owned()
        })
    }

    fn from_os_release(text: &str) -> Option<Packages> {
        let families = text
            .lines()
            .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")));
        families.flat_map(|line| line.trim_matches('"').split_whitespace()).find_map(
            |id| match id {
                "debian" | "ubuntu" => Some(Packages::Apt),
                "fedora" | "rhel" => Some(Packages::Dnf),
                "arch" => Some(Packages::Pacman),
                _ => None,
            },
        )
    }

    fn names(self, need: &Need) -> &'static str {
        match self {
            Packages::Apt => need.apt,
            Packages::Dnf => need.dnf,
            Packages::Pacman => need.pacman,
            Packages::Brew => need.brew,
        }
    }

    fn install(self, names: &[&str]) -> Result<Vec<Command>, String> {
        let lines: &[&[&str]] = match self {
            Packages::Apt => &[
                &["apt-get", "-o", "DPkg::Lock::Timeout=300", "update", "-qq"],
                &[
                    "apt-get",
                    "-o",
                    "DPkg::Lock::Timeout=300",
                    "install",
                    "-y",
                    "-qq",
                    "--no-install-recommends",
                ],
            ],
            Packages::Dnf => &[&["dnf", "install", "-y"]],
            Packages::Pacman => &[&["pacman", "-Sy", "--needed", "--noconfirm"]],
            Packages::Brew => &[&["brew", "install"]],
        };
        let sudo = self != Packages::Brew && !is_root();
        if sudo && !succeeds("sudo", &["-n", "true"]) {
            return Err(format!(
                "installing needs root, and `sudo -n` does not work here without a password; run \
                 as root:\n  {} {}",
                lines[lines.len() - 1].join(" "),
                names.join(" ")
            ));
        }
        let mut commands = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let mut command = Command::new(if sudo { "sudo" } else { line[0] });
            if sudo {
                command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", line[0]]);
            }
            command.args(&line[1..]).env("DEBIAN_FRONTEND", "noninteractive");
            if index + 1 == lines.len() {
                command.args(names);
            }
            commands.push(command);
        }
        Ok(commands)
    }
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|done| done.stdout.trim_ascii() == b"0")
}

/// Whether a program can be found; the system's own directories are looked at besides PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"])
        .any(|dir| Path::new(dir).join(program).is_file())
}

/// macOS has another program of that name.
fn libtool() -> bool {
    on_path("libtoolize") || on_path("glibtoolize")
}

fn libclang() -> bool {
    let mut roots =
        vec!["/usr/lib".into(), "/usr/lib64".into(), "/opt/homebrew/opt/llvm/lib".into()];
    let llvm = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    roots.extend(llvm.map(|entry| entry.path().join("lib")).filter(|path| {
        path.parent()
            .and_then(Path::file_name)
            .is_some_and(|name| name.to_string_lossy().starts_with("llvm"))
    }));
    roots.iter().any(|dir: &std::path::PathBuf| {
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        files.into_iter().any(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            name == "libclang.so" || name == "libclang.dylib"
        })
    })
}

#[cfg(test)]
mod tests {
    use super::Packages;

    #[test]
    fn systems_are_recognised_by_their_family() {
        let of = Packages::from_os_release;
        assert_eq!(of("NAME=x\nID=debian\n"), Some(Packages::Apt));
        assert_eq!(of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some(Packages::Apt));
        assert_eq!(of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Some(Packages::Dnf));
        assert_eq!(of("ID=fedora\n"), Some(Packages::Dnf));
        assert_eq!(of("ID=manjaro\nID_LIKE=arch\n"), Some(Packages::Pacman));
        assert_eq!(of("ID=alpine\n"), None);
    }
}
