//! `cargo xtask coverage`: every function and endpoint option of libfabric's headers, and where the
//! safe crate has it: a wrapper that carries its name as an alias, or an entry in not_wrapped.rs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::chroot::Chroot;
use crate::run::{MINUTE, output};

const LIST: &str = "crates/ofi/src/not_wrapped.rs";

/// Headers of providers, and of what only they use.
const NOT_FOR_APPLICATIONS: &[&str] = &["providers/"];

/// What is known of a name.
#[derive(Default)]
pub struct Known {
    /// Header, by generation.
    headers: Vec<String>,
    /// Files whose wrappers carry it.
    wrappers: BTreeSet<String>,
    /// The entry of the list: the reason, and whether a wrapper is planned.
    pub entry: Option<(String, bool)>,
}

/// Prints the table, or the same as JSON; an error for names that are nowhere, or in both places.
pub fn run(as_json: bool) -> Result<(), String> {
    let (names, unknown) = names()?;
    let mut faults: Vec<String> =
        unknown.into_iter().map(|name| format!("{name}: in {LIST}, in no header")).collect();
    for (name, known) in &names {
        match (known.wrappers.is_empty(), &known.entry) {
            (true, None) => faults.push(format!("{name}: neither wrapped nor in {LIST}")),
            (false, Some(_)) => faults.push(format!("{name}: wrapped, so its entry must go")),
            _ => {}
        }
    }
    if as_json {
        print_json(&names);
    } else {
        print_table(&names);
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    match faults.len() {
        0 => Ok(()),
        count => Err(format!("{count} faults")),
    }
}

/// All names of both generations' headers; and those of the list that are none.
pub fn names() -> Result<(BTreeMap<String, Known>, Vec<String>), String> {
    let mut names: BTreeMap<String, Known> = BTreeMap::new();
    for directory in [system_headers()?, Chroot::trixie(&[])?.dir.join("usr/include/rdma")] {
        read_headers(&directory, &mut names)?;
    }
    let functions = names.keys().filter(|name| name.starts_with("fi_")).count();
    if functions < 150 {
        return Err(format!("only {functions} functions were found in the headers"));
    }
    read_wrappers(&mut names)?;
    let unknown = read_list(&mut names)?;
    Ok((names, unknown))
}

fn system_headers() -> Result<PathBuf, String> {
    let mut command = Command::new("pkg-config");
    let said = output(command.args(["--variable=includedir", "libfabric"]), MINUTE)?;
    Ok(Path::new(said.trim()).join("rdma"))
}

fn read_headers(directory: &Path, names: &mut BTreeMap<String, Known>) -> Result<(), String> {
    let entries =
        std::fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let header = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(header) = header.filter(|header| header.ends_with(".h")) else { continue };
        if NOT_FOR_APPLICATIONS.iter().any(|part| path.to_string_lossy().contains(part)) {
            continue;
        }
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let text = without_comments(&text);
        for name in functions(&text).into_iter().chain(options(&text)) {
            names.entry(name).or_default().headers.push(header.clone());
        }
    }
    Ok(())
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code + rest
}

/// Functions are declared at the beginning of a line, behind their type or below it.
fn functions(text: &str) -> Vec<String> {
    let starts = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let names = text.lines().filter(starts).filter_map(|line| {
        let (before, _) = line.split_once('(')?;
        let name = before.rsplit([' ', '*', '\t']).next()?;
        (is_name(name, "fi_") && !before.contains("typedef")).then(|| name.to_owned())
    });
    names.collect()
}

/// Options are members of an enumeration: at most a value follows. So is what deferred work is made of,
/// which has no functions.
fn options(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let wanted = |word: &&str| {
        ["FI_OPT_", "FI_OP_", "FI_TRIGGER_"].iter().any(|prefix| is_name(word, prefix))
            || is_name(word, "FI_") && word.ends_with("_WORK")
    };
    let words = words.filter(|word| !word.ends_with("_H"));
    words.filter(wanted).map(str::to_owned).chain(commands(text)).collect()
}

/// The commands of `fi_control` are an enumeration without a name, which begins with this one.
fn commands(text: &str) -> Vec<String> {
    const FIRST: &str = "FI_GETFIDFLAG";
    let list = text.split_once(FIRST).and_then(|(_, rest)| rest.split_once('}'));
    let rest = list.into_iter().flat_map(|(members, _)| members.split(','));
    let rest = rest.map(|member| member.trim().to_owned()).filter(|name| is_name(name, "FI_"));
    list.map(|_| FIRST.to_owned()).into_iter().chain(rest).collect()
}

fn is_name(word: &str, prefix: &str) -> bool {
    word.len() > prefix.len()
        && word.starts_with(prefix)
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Wrappers carry `doc(alias = "fi_…")`; options may carry theirs through a macro.
fn read_wrappers(names: &mut BTreeMap<String, Known>) -> Result<(), String> {
    let listed = output(Command::new("git").args(["ls-files", "crates/ofi/src"]), MINUTE)?;
    for file in listed.lines().filter(|file| file.ends_with(".rs") && *file != LIST) {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let quoted = text.split('"').skip(1).step_by(2);
        let before = text.split('"').step_by(2);
        for (word, before) in quoted.zip(before) {
            let alias = before.trim_end().ends_with("doc(alias =") || word.starts_with("FI_OPT_");
            if let Some(known) = names.get_mut(word).filter(|_| alias) {
                known.wrappers.insert(file.to_owned());
            }
        }
    }
    Ok(())
}

/// Entries are `planned("name", …)` and `raw("name", …)`. Returns those that no header has.
fn read_list(names: &mut BTreeMap<String, Known>) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(LIST).map_err(|error| format!("{LIST}: {error}"))?;
    let constants: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("const ")?.split_once(": &str = "))
        .map(|(name, value)| (name, value.trim_end_matches(';').trim_matches('"')))
        .collect();
    let mut unknown = Vec::new();
    for line in text.lines().map(str::trim) {
        let planned = line.strip_prefix("planned(\"");
        let Some((name, reason)) =
            planned.or(line.strip_prefix("raw(\"")).and_then(|rest| rest.split_once("\", "))
        else {
            continue;
        };
        let reason = reason.trim_end_matches("),");
        let reason = constants.get(reason).copied().unwrap_or(reason.trim_matches('"')).to_owned();
        match names.get_mut(name) {
            Some(known) => known.entry = Some((reason, planned.is_some())),
            // Of a release that is to come.
            None if planned.is_some() => {}
            None => unknown.push(name.to_owned()),
        }
    }
    Ok(unknown)
}

fn print_table(names: &BTreeMap<String, Known>) {
    let [mut wrapped, mut planned, mut raw] = [0; 3];
    for (name, known) in names {
        match &known.entry {
            None => {
                wrapped += 1;
                let files: Vec<&str> = known.wrappers.iter().map(String::as_str).collect();
                println!("{name:<48} {}", files.join(" "));
            }
            Some((reason, true)) => {
                planned += 1;
                println!("{name:<48} planned: {reason}");
            }
            Some((reason, false)) => {
                raw += 1;
                println!("{name:<48} raw: {reason}");
            }
        }
    }
    println!("coverage: {} names, {wrapped} wrapped, {planned} planned, {raw} raw", names.len());
}

fn print_json(names: &BTreeMap<String, Known>) {
    let list: Vec<_> = names
        .iter()
        .map(|(name, known)| {
            let (reason, planned) = known.entry.clone().unwrap_or_default();
            json!({
                "name": name, "headers": known.headers, "wrappers": known.wrappers,
                "planned": planned, "reason": reason,
            })
        })
        .collect();
    println!("{}", json!({ "names": list }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_found_and_comments_are_not() {
        let text = "/* fi_not(void) */\nint fi_one(int a);\nstatic inline ssize_t\nfi_two(struct fid *fid)\n\tfi_call(x);\n";
        assert_eq!(functions(&without_comments(text)), ["fi_one", "fi_two"]);
        assert_eq!(
            options("FI_OPT_ONE,\n FI_OPT_TWO = 3, MY_FI_OPT_X"),
            ["FI_OPT_ONE", "FI_OPT_TWO"]
        );
    }
}
