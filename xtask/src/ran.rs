//! `cargo xtask coverage --ran`: which function succeeded on which provider of which libfabric, in the
//! tests.
//!
//! The tests are built with the feature `count-calls` of `ofi-sys`: each of their processes leaves a file
//! with what it called. A function that never succeeded is a fault, unless `NEVER` says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::cargo::{root, target_directory};
use crate::coverage;

/// What makes a build count.
pub const COUNTING: [&str; 2] = ["--features", "ofi-sys/count-calls"];

/// Where processes are told to write, see ofi-sys/src/calls.rs.
const VARIABLE: &str = "OFI_COUNT_CALLS";

const NONE_HAS_IT: &str = "no software provider of either generation has it: EFA and CXI do";
const NO_GROUP: &str = "no software provider of either generation has it, and the provider for tests no \
                        group to call it on";
const PROFILES: &str = "providers have profiles only where libfabric was built with them";
const AS_MESSAGE: &str =
    "what has several pieces, or flags, goes as a message: fi_sendmsg, fi_tsendmsg";
const LOOKS: &str = "waiting is looking, and sleeping on a descriptor: this call ignores its timeout, or \
                     does not come back, on one provider or another";

/// Functions that carry an alias, and that nothing here brings to a success: why that is right.
const NEVER: &[(&str, &str)] = &[
    ("fi_alltoall", NO_GROUP),
    ("fi_av_insert_auth_key", NONE_HAS_IT),
    ("fi_av_lookup_auth_key", NONE_HAS_IT),
    ("fi_av_set_user_id", NONE_HAS_IT),
    ("fi_barrier2", "without flags it is fi_barrier"),
    ("fi_cntr_wait", LOOKS),
    ("fi_compare_atomicv", "operands and results are one piece each: fi_compare_atomic"),
    ("fi_eq_sread", LOOKS),
    ("fi_fabric2", "the same as fi_fabric for what `Fabric::open` takes"),
    ("fi_fetch_atomicv", "operands and results are one piece each: fi_fetch_atomic"),
    ("fi_gather", NO_GROUP),
    ("fi_get_val", NONE_HAS_IT),
    ("fi_open_ops", NONE_HAS_IT),
    ("fi_profile_close", PROFILES),
    ("fi_profile_end_reads", PROFILES),
    ("fi_profile_open", PROFILES),
    ("fi_profile_query_events", PROFILES),
    ("fi_profile_query_vars", PROFILES),
    ("fi_profile_read_u64", PROFILES),
    ("fi_profile_reset", PROFILES),
    ("fi_profile_start_reads", PROFILES),
    ("fi_query_atomic", "fi_atomicvalid and its like say the same of an endpoint"),
    ("fi_reduce_scatter", NO_GROUP),
    ("fi_sendv", AS_MESSAGE),
    ("fi_set_ops", NONE_HAS_IT),
    ("fi_set_val", NONE_HAS_IT),
    ("fi_tostr", "its text is in a buffer that all threads share: fi_tostr_r"),
    ("fi_tsendv", AS_MESSAGE),
    ("fi_wait", LOOKS),
];

/// Which libfabric the tests ran on.
#[derive(Clone, Copy)]
pub enum Generation {
    /// The system's.
    System,
    /// That of the chroot.
    Second,
}

impl Generation {
    fn directory(self) -> Result<PathBuf, String> {
        let name = match self {
            Generation::System => "system",
            Generation::Second => "second",
        };
        Ok(target_directory()?.join("calls").join(name))
    }

    /// Removes what earlier runs have left.
    pub fn forget(self) -> Result<(), String> {
        let directory = self.directory()?;
        match std::fs::remove_dir_all(&directory) {
            Err(error) if directory.exists() => Err(format!("{}: {error}", directory.display())),
            _ => Ok(()),
        }
    }

    /// Tells a command where what it starts leaves its counts.
    pub fn count(self, command: &mut Command) -> Result<(), String> {
        let directory = self.directory()?;
        std::fs::create_dir_all(&directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        command.env(VARIABLE, directory);
        Ok(())
    }
}

/// Successes of each function, by version and provider.
type Counts = BTreeMap<String, BTreeMap<(String, String), u64>>;

/// Prints the table, or the same as JSON; an error for functions that never succeeded.
pub fn run(as_json: bool) -> Result<(), String> {
    let mut counts = Counts::new();
    let mut processes = 0;
    for (generation, command) in
        [(Generation::System, "test"), (Generation::Second, "test --libfabric 2")]
    {
        let directory = generation.directory()?;
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        let before = processes;
        for path in entries.map(|entry| entry.path()) {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            add(&text, &mut counts).ok_or(format!("{}: not understood", path.display()))?;
            processes += 1;
        }
        if processes == before {
            return Err(format!("nothing was counted yet: `cargo xtask {command}` does"));
        }
    }
    let (names, _) = coverage::names()?;
    let computed = computed()?;
    let wanted = |name: &&String| name.starts_with("fi_") && !computed.contains(*name);
    let functions: Vec<&String> = names.keys().filter(wanted).collect();
    let mut faults = Vec::new();
    for &name in &functions {
        let ran = counts.get(name).is_some_and(|counts| counts.values().any(|count| *count > 0));
        let reason = NEVER.iter().find(|(never, _)| never == name);
        match (ran, reason) {
            (true, Some(_)) => faults.push(format!("{name}: succeeded, so its reason must go")),
            (false, None) if names[name].entry.is_none() => {
                faults.push(format!("{name}: never succeeded, and no reason is given"));
            }
            _ => {}
        }
    }
    let unknown = NEVER.iter().filter(|(never, _)| !names.contains_key(*never));
    faults.extend(unknown.map(|(name, _)| format!("{name}: has a reason, and is in no header")));
    if as_json {
        print_json(&functions, &counts);
    } else {
        print_table(&functions, &counts, |name| {
            let listed = NEVER.iter().find(|(never, _)| *never == name);
            let listed = listed.map(|(_, reason)| (*reason).to_owned());
            listed
                .or(names[name].entry.as_ref().map(|(reason, _)| format!("not wrapped: {reason}")))
        });
        println!("ran: {} functions, counted in {processes} processes", functions.len());
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    match faults.len() {
        0 => Ok(()),
        count => Err(format!("{count} faults")),
    }
}

/// Adds what one process has counted.
fn add(text: &str, counts: &mut Counts) -> Option<()> {
    let mut lines = text.lines().peekable();
    let version = lines.next()?.strip_prefix("version ")?;
    let mut providers = Vec::new();
    while let Some(provider) = lines.peek().and_then(|line| line.strip_prefix("provider ")) {
        providers.push(provider);
        lines.next();
    }
    let provider = match providers[..] {
        // Before a fabric was opened there is no object, and only the library itself was asked.
        [] => "-",
        [one] => one,
        // Whose call it was is not known.
        _ => "several",
    };
    for line in lines {
        let mut words = line.split(' ');
        let (name, well) = (words.next()?, words.next()?.parse::<u64>().ok()?);
        let place = (version.to_owned(), provider.to_owned());
        *counts.entry(name.to_owned()).or_default().entry(place).or_default() += well;
    }
    Some(())
}

/// Functions that only compute: they call nothing.
fn computed() -> Result<BTreeSet<String>, String> {
    let directory = root().join("crates/ofi-sys/src");
    let mut found = BTreeSet::new();
    let entries =
        std::fs::read_dir(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let names = text.lines().filter_map(|line| line.strip_prefix("pub const fn "));
        found.extend(names.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
    }
    Ok(found)
}

fn print_table(functions: &[&String], counts: &Counts, reason: impl Fn(&str) -> Option<String>) {
    for &name in functions {
        let mut words: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((version, provider), count) in counts.get(name).into_iter().flatten() {
            if *count > 0 {
                words.entry(version).or_default().push(format!("{provider} {count}"));
            }
        }
        let words: Vec<String> =
            words.iter().map(|(version, list)| format!("{version}: {}", list.join(", "))).collect();
        let words = match words.is_empty() {
            true => format!("never: {}", reason(name).unwrap_or_default()),
            false => words.join("; "),
        };
        println!("{name:<32} {words}");
    }
}

fn print_json(functions: &[&String], counts: &Counts) {
    let list: Vec<_> = functions
        .iter()
        .map(|&name| {
            let well: Vec<_> = counts
                .get(name)
                .into_iter()
                .flatten()
                .map(|((version, provider), count)| {
                    json!({ "version": version, "provider": provider, "count": count })
                })
                .collect();
            json!({ "name": name, "successes": well })
        })
        .collect();
    println!("{}", json!({ "functions": list }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_added_up() {
        let mut counts = Counts::new();
        let one = "version 1.17\nprovider shm\nfi_send 2 1\nfi_recv 0 3\n";
        add(one, &mut counts).expect("a file");
        add(one, &mut counts).expect("a file");
        add("version 2.1\nprovider shm\nprovider tcp\nfi_send 5 0\n", &mut counts).expect("a file");
        add("version 2.1\nfi_version 1 0\n", &mut counts).expect("a file");
        let place = |version: &str, provider: &str| (version.to_owned(), provider.to_owned());
        assert_eq!(counts["fi_send"][&place("1.17", "shm")], 4);
        assert_eq!(counts["fi_send"][&place("2.1", "several")], 5);
        assert_eq!(counts["fi_version"][&place("2.1", "-")], 1);
        assert_eq!(counts["fi_recv"][&place("1.17", "shm")], 0);
        assert!(add("nothing", &mut counts).is_none());
    }
}
