//! `cargo xtask tidy`: the house rules that no lint knows.

use std::path::Path;
use std::process::Command;

use crate::run::{MINUTE, output};

/// The files of `crates/ofi` that may say `unsafe`: everything that calls into libfabric, shares
/// memory with it, or promises something about threads. A new name here is a decision, made in
/// review; the rest of the crate is safe code.
const MAY_BE_UNSAFE: &[&str] = &[
    "src/abi.rs",
    "src/av.rs",
    "src/av/",
    "src/buf.rs",
    "src/cm.rs",
    "src/cm/",
    "src/counter.rs",
    "src/counter/",
    "src/cq.rs",
    "src/cq/",
    "src/domain.rs",
    "src/domain/",
    "src/endpoint/",
    "src/eq.rs",
    "src/eq/",
    "src/errno.rs",
    "src/error.rs",
    "src/fabric.rs",
    "src/collective.rs",
    "src/collective/",
    "src/info/",
    "src/log.rs",
    "src/log/",
    "src/memory.rs",
    "src/memory/",
    "src/mr.rs",
    "src/mr/",
    "src/object.rs",
    "src/op/",
    "src/params.rs",
    "src/passive.rs",
    "src/poll.rs",
    "src/pool/buffer.rs",
    "src/pool/bytes.rs",
    "src/pool/piece.rs",
    "src/pool/slab.rs",
    "src/profile.rs",
    "src/provider_ops.rs",
    "src/raw_cq.rs",
    "src/sync.rs",
    "src/threading.rs",
    "src/version.rs",
    "src/wait.rs",
    "src/wait/bell.rs",
    "src/wait_set.rs",
];

/// Roots that must forbid unsafe code altogether.
const FORBID: &[&str] = &["crates/ofi-cli/src/main.rs", "xtask/src/main.rs"];

const ASK: usize = 400;
const STOP: usize = 800;

/// Prints what is wrong, file and line first; an error if anything is.
pub fn run() -> Result<(), String> {
    let listed =
        output(Command::new("git").args(["ls-files", "-co", "--exclude-standard"]), MINUTE)?;
    let mut faults = Vec::new();
    for name in listed.lines().filter(|name| Path::new(name).is_file()) {
        let Ok(text) = std::fs::read_to_string(name) else {
            continue;
        };
        if name.ends_with(".rs") {
            rust_file(name, &text, &mut faults);
        }
        if name.ends_with(".rs") || name.ends_with(".md") || name.ends_with(".toml") {
            places(name, &text, &mut faults);
        }
    }
    for root in FORBID {
        let text = std::fs::read_to_string(root).unwrap_or_default();
        if !text.contains("#![forbid(unsafe_code)]") {
            faults.push(format!("{root}: must say #![forbid(unsafe_code)]"));
        }
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    match faults.len() {
        0 => {
            println!("tidy: {} files", listed.lines().count());
            Ok(())
        }
        count => Err(format!("{count} house rules broken")),
    }
}

fn rust_file(name: &str, text: &str, faults: &mut Vec<String>) {
    size(name, text, faults);
    safety(name, text, faults);
    for (number, line) in (1..).zip(text.lines()) {
        if has_word(line, concat!("TO", "DO")) && !line.contains(concat!("TO", "DO(#")) {
            faults.push(format!("{name}:{number}: a {} without its issue", concat!("TO", "DO")));
        }
    }
    if let Some(number) = unlisted_unsafe(name, text) {
        faults.push(format!("{name}:{number}: `unsafe` in a module not listed for it in tidy.rs"));
    }
    if name.contains("/src/") && !name.ends_with("/tests.rs") && !documented(text) {
        faults.push(format!("{name}: does not begin with a line of `//!` that says what it is"));
    }
}

fn size(name: &str, text: &str, faults: &mut Vec<String>) {
    let file = name.rsplit('/').next().unwrap_or(name);
    let lines = text.lines().count();
    if file.starts_with("generated") {
    } else if lines > STOP {
        faults.push(format!("{name}: {lines} lines; a file stops at {STOP}"));
    } else if lines > ASK {
        println!("note: {name} has {lines} lines; a file asks at {ASK} whether it is two");
    }
}

/// A SAFETY comment names a fact; a lone word is none.
fn safety(name: &str, text: &str, faults: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(first) = line.strip_prefix("// SAFETY:") else {
            continue;
        };
        let more = lines[index + 1..].iter().map_while(|line| line.strip_prefix("//"));
        let words = first.split_whitespace().chain(more.flat_map(str::split_whitespace)).count();
        if words < 2 {
            faults.push(format!("{name}:{}: a SAFETY comment that names no fact", index + 1));
        }
    }
}

/// What lands speaks of the project, not of the machine it was written on.
fn places(name: &str, text: &str, faults: &mut Vec<String>) {
    for (number, line) in (1..).zip(text.lines()) {
        let prose =
            if name.ends_with(".rs") { line.find("//").map_or("", |at| &line[at..]) } else { line };
        for place in ["/home/", "/root/", "/work/", "/Users/"] {
            if prose.contains(place) {
                faults.push(format!("{name}:{number}: a path of one machine ({place}…)"));
            }
        }
    }
}

fn documented(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("// "))
        .is_some_and(|line| line.starts_with("//!"))
}

/// The first `unsafe` of a module of `crates/ofi` that is not listed for it.
fn unlisted_unsafe(name: &str, text: &str) -> Option<usize> {
    let inside = name.strip_prefix("crates/ofi/").filter(|inside| inside.starts_with("src/"))?;
    let listed = MAY_BE_UNSAFE.iter().any(|may| inside.starts_with(may));
    if listed { None } else { first_unsafe(text) }
}

/// The first line whose code, comments aside, says `unsafe`.
fn first_unsafe(text: &str) -> Option<usize> {
    let found = |line: &str| has_word(line.split("//").next().unwrap_or(line), "unsafe");
    text.lines().position(found).map(|index| index + 1)
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(check: fn(&str, &str, &mut Vec<String>), name: &str, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        check(name, text, &mut faults);
        faults
    }

    #[test]
    fn unsafe_outside_the_list_is_found() {
        let text = "//! x\n// unsafe in words\n#![deny(unsafe_code)]\nunsafe { f() }\n";
        let found = faults(rust_file, "crates/ofi/src/flags.rs", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/ofi/src/flags.rs:4:"), "{found:?}");
        assert!(faults(rust_file, "crates/ofi/src/op/slot.rs", text).is_empty());
    }

    #[test]
    fn a_safety_comment_names_a_fact() {
        assert_eq!(faults(safety, "a.rs", "// SAFETY: ffi\nunsafe {}\n").len(), 1);
        assert_eq!(faults(safety, "a.rs", "// SAFETY:\nunsafe {}\n").len(), 1);
        assert!(faults(safety, "a.rs", "// SAFETY:\n// the caller owns it\n").is_empty());
    }

    #[test]
    fn sizes_and_headers() {
        let long = format!("//! x\n{}", "a\n".repeat(STOP));
        assert_eq!(faults(rust_file, "crates/a/src/b.rs", &long).len(), 1);
        assert!(faults(rust_file, "crates/a/src/generated.rs", &long).is_empty());
        assert_eq!(faults(rust_file, "crates/a/src/b.rs", "use std;\n").len(), 1);
    }

    #[test]
    fn paths_of_a_machine_are_found_in_words_only() {
        assert_eq!(faults(places, "a.md", "see /home/me/x\n").len(), 1);
        assert_eq!(faults(places, "a.rs", "let a = \"/root/x\";\n").len(), 0);
        assert_eq!(faults(places, "a.rs", &["/", "/ from /Users/x\n"].concat()).len(), 1);
    }
}
