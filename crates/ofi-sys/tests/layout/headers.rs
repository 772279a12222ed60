//! The installed headers: a C program prints their sizes, offsets and values.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{CHANGED, Struct, generated, releases};

/// The headers that the crate covers. fi_profile.h came with 1.20, and uses a macro that 2.0 took
/// away.
const INCLUDES: &str = "\
#include <stdio.h>
#include <stddef.h>
#ifndef container_of
#define container_of(ptr, type, field) ((type *) (void *) (ptr))
#endif
#include <rdma/fabric.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_tagged.h>
#include <rdma/fi_rma.h>
#include <rdma/fi_atomic.h>
#include <rdma/fi_trigger.h>
#include <rdma/fi_collective.h>
#include <rdma/fi_ext.h>
#if __has_include(<rdma/fi_profile.h>)
#include <rdma/fi_profile.h>
#endif
";

#[test]
fn types_and_constants_are_those_of_the_headers() {
    for include in include_dirs() {
        compare(&include);
    }
}

/// `OFI_TEST_INCLUDE`, else where the installed libfabric has its headers.
fn include_dirs() -> Vec<PathBuf> {
    if let Some(dirs) = std::env::var_os("OFI_TEST_INCLUDE") {
        return std::env::split_paths(&dirs).collect();
    }
    let output = Command::new("pkg-config").args(["--variable=includedir", "libfabric"]).output();
    let dir = output.ok().and_then(|out| String::from_utf8(out.stdout).ok()).unwrap_or_default();
    match dir.trim() {
        "" => vec!["/usr/include".into()],
        dir => vec![dir.into()],
    }
}

fn compare(include: &Path) {
    let text = preprocess(include);
    let known: BTreeSet<&str> = words(&text).collect();
    let structs = generated::structs();
    let there: Vec<(&Struct, Vec<usize>)> =
        structs.iter().filter_map(|s| Some((s, members_there(s, body(&text, s.name)?)))).collect();
    let constants: Vec<(&str, i64)> =
        generated::CONSTANTS.iter().copied().filter(|(name, _)| known.contains(name)).collect();
    let output = run(include, &program(&there, &constants));
    let version = version(&output);

    let mut expected: BTreeSet<String> = BTreeSet::new();
    for (s, members) in &there {
        // A header that lacks the last members has a smaller struct, and one struct holds another.
        let grew =
            members.len() < s.members.len() || (s.name == "fi_mr_modify" && mr_attr_grew(&there));
        if !grew {
            expected.insert(format!("S {} {}", s.name, s.size));
        }
        for &at in members {
            let m = &s.members[at];
            let line = format!("M {}.{} {} ", s.name, m.c_name(), m.offset);
            if grew && s.name == "fi_mr_modify" && m.name == "attr" {
                assert!(output.contains(&line), "{line}");
            } else {
                expected.insert(format!("{line}{}", m.size));
            }
        }
    }
    for (name, value) in &constants {
        if !CHANGED.contains(name) {
            expected.insert(format!("C {name} {}", *value as u64));
        }
    }
    let found: BTreeSet<String> = output.lines().map(str::to_owned).collect();
    let wrong: Vec<&String> = expected.difference(&found).collect();
    assert!(wrong.is_empty(), "{} ({version:?}) does not say: {wrong:#?}", include.display());
    assert_complete(version, &there, &constants);
}

/// Whether these headers have an `fi_mr_attr` shorter than the crate's.
fn mr_attr_grew(there: &[(&Struct, Vec<usize>)]) -> bool {
    there.iter().any(|(s, members)| s.name == "fi_mr_attr" && members.len() < s.members.len())
}

/// Nothing was lost on the way through the headers' text: what the figures of that release list
/// has been compared.
fn assert_complete(
    version: (u32, u32),
    there: &[(&Struct, Vec<usize>)],
    constants: &[(&str, i64)],
) {
    let prefix = format!("{}.{}.", version.0, version.1);
    if let Some((release, layouts)) =
        releases::layouts().iter().find(|(v, _)| v.starts_with(&prefix))
    {
        for (name, (_, members)) in layouts {
            let compared = there.iter().find(|(s, _)| s.name == *name).map_or(0, |(_, m)| m.len());
            assert_eq!(compared, members.len(), "members of {name} compared, of {release}");
        }
    }
    assert!(constants.len() > 400, "only {} constants compared", constants.len());
}

/// A program that prints a line for each struct, member and constant.
fn program(structs: &[(&Struct, Vec<usize>)], constants: &[(&str, i64)]) -> String {
    let mut c = format!("{INCLUDES}\nint main(void)\n{{\n");
    for (s, members) in structs {
        let name = s.name;
        writeln!(c, "printf(\"S {name} %zu\\n\", sizeof(struct {name}));").unwrap();
        for &at in members {
            let m = &s.members[at];
            let member = m.c_name();
            // C has no size for a flexible array.
            let size = match m.size {
                0 => "(size_t) 0".to_owned(),
                _ => format!("sizeof(((struct {name} *) 0)->{member})"),
            };
            writeln!(
                c,
                "printf(\"M {name}.{member} %zu %zu\\n\", offsetof(struct {name}, {member}), {size});"
            )
            .unwrap();
        }
    }
    for (name, _) in constants {
        writeln!(c, "printf(\"C {name} %llu\\n\", (unsigned long long) (long long) ({name}));")
            .unwrap();
    }
    c + "return 0;\n}\n"
}

fn version(output: &str) -> (u32, u32) {
    let value = |name: &str| {
        let line = output.lines().find_map(|l| l.strip_prefix(&format!("C {name} ")));
        line.expect("the version is printed").parse().expect("a number")
    };
    (value("FI_MAJOR_VERSION"), value("FI_MINOR_VERSION"))
}

/// The text of the headers, with the names of their macros.
fn preprocess(include: &Path) -> String {
    let (dir, source) = write(INCLUDES);
    let output = cc(include).arg("-E").arg("-dD").arg(&source).output().expect("cc runs");
    drop(dir);
    assert!(
        output.status.success(),
        "{}: {}",
        include.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn run(include: &Path, program: &str) -> String {
    let (dir, source) = write(program);
    let exe = dir.path().join("layout");
    let output = cc(include).arg(&source).arg("-o").arg(&exe).arg("-w").output().expect("cc runs");
    assert!(
        output.status.success(),
        "{}: {}",
        include.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let output = Command::new(&exe).output().expect("the program runs");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Unused inline functions refer to libfabric's symbols, which are not linked: they must go.
fn cc(include: &Path) -> Command {
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or("cc".into()));
    cc.arg("-O1").arg("-I").arg(include);
    cc
}

fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let source = dir.path().join("layout.c");
    std::fs::write(&source, text).expect("the source is written");
    (dir, source)
}

/// The members, by index, that the struct's text has.
fn members_there(s: &Struct, body: &str) -> Vec<usize> {
    let words: BTreeSet<&str> = words(body).collect();
    (0..s.members.len()).filter(|&at| words.contains(s.members[at].c_name())).collect()
}

/// What stands between the braces of `struct name {`.
fn body<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = format!("struct {name} {{");
    let start = text.find(&head)? + head.len();
    let mut depth = 1;
    for (at, c) in text[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[start..start + at]);
        }
    }
    None
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
