//! `cargo xtask rules`: every rule of docs/rules.md, and the tests that carry its id.
//!
//! A test carries ids in a comment right above it, or in its body: `// rule: B1, L2`. In a
//! doc comment (`/// rule: B1`) the comment must hold an example that runs. A compile-fail test
//! (a file under `tests/ui`) and a module of tests (`//! rule: B1`) carry them for the whole file.
//!
//! docs/rules.md holds tables with three columns: the id, the rule, and why it has no test. A rule
//! needs one or the other, and never both: a reason that a test made untrue must go.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::run::{MINUTE, output};

const REGISTER: &str = "docs/rules.md";
const MARK: &str = "rule:";

struct Rule {
    id: String,
    text: String,
    /// Why it has no test; empty if it must have one.
    reason: String,
}

/// Prints what is missing, or with `list` every rule with its tests.
pub fn run(list: bool) -> Result<(), String> {
    let text = std::fs::read_to_string(REGISTER).map_err(|error| format!("{REGISTER}: {error}"))?;
    let rules = register(&text)?;
    let carriers = carriers()?;
    let faults = faults(&rules, &carriers);
    for rule in rules.iter().filter(|_| list) {
        println!("{:<4} {}", rule.id, rule.text);
        for test in carriers.get(&rule.id).into_iter().flatten() {
            println!("       {test}");
        }
        if !rule.reason.is_empty() {
            println!("       no test: {}", rule.reason);
        }
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    let tested = rules.iter().filter(|rule| carriers.contains_key(&rule.id)).count();
    let reasons = rules.iter().filter(|rule| !rule.reason.is_empty()).count();
    println!("rules: {}, with tests {tested}, with a reason {reasons}", rules.len());
    match faults.len() {
        0 => Ok(()),
        count => Err(format!("{count} faults in {REGISTER} against the tests")),
    }
}

fn faults(rules: &[Rule], carriers: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    for rule in rules {
        match (carriers.contains_key(&rule.id), rule.reason.is_empty()) {
            (false, true) => {
                faults.push(format!("{}: no test and no reason: {}", rule.id, rule.text))
            }
            (true, false) => faults.push(format!("{}: has a test, so its reason must go", rule.id)),
            _ => {}
        }
    }
    for (id, tests) in carriers {
        if !rules.iter().any(|rule| rule.id == *id) {
            faults.push(format!("{id}: no such rule, but {} carries it", tests.join(", ")));
        }
    }
    faults
}

/// Reads the rows `| id | rule | reason |` of every table.
fn register(text: &str) -> Result<Vec<Rule>, String> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [id, text, reason] = cells[..] else {
            return Err(format!("{REGISTER}: not three columns: {line}"));
        };
        if !is_id(id) {
            continue; // the head of a table, and the line under it
        }
        if rules.iter().any(|rule| rule.id == id) {
            return Err(format!("{REGISTER}: {id} stands there twice"));
        }
        rules.push(Rule { id: id.to_owned(), text: text.to_owned(), reason: reason.to_owned() });
    }
    if rules.is_empty() { Err(format!("{REGISTER} holds no rule")) } else { Ok(rules) }
}

/// A letter and a number: B16.
fn is_id(word: &str) -> bool {
    let number = word.strip_prefix(|letter: char| letter.is_ascii_uppercase());
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The tests of the workspace by the ids they carry.
fn carriers() -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-co", "--exclude-standard", "crates/*.rs"]);
    let (mut carriers, mut faults) = (BTreeMap::<String, Vec<String>>::new(), Vec::new());
    for name in output(&mut command, MINUTE)?.lines().filter(|name| Path::new(name).is_file()) {
        let text = std::fs::read_to_string(name).map_err(|error| format!("{name}: {error}"))?;
        for mark in marks(name, &text) {
            match mark {
                Ok((ids, test)) => {
                    for id in ids {
                        carriers.entry(id).or_default().push(format!("{name} {test}"));
                    }
                }
                Err(fault) => faults.push(format!("{name}:{fault}")),
            }
        }
    }
    if faults.is_empty() { Ok(carriers) } else { Err(faults.join("\n")) }
}

/// Every mark of a file: its ids and the test under it, or what is wrong with it.
fn marks(name: &str, text: &str) -> Vec<Result<(Vec<String>, String), String>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((slashes, words)) = line.split_once(' ') else {
            continue;
        };
        let Some(ids) = words.trim_start().strip_prefix(MARK) else {
            continue;
        };
        if !matches!(slashes, "//" | "///" | "//!") {
            continue;
        }
        let ids: Vec<String> =
            ids.split([',', ' ']).filter(|id| !id.is_empty()).map(str::to_owned).collect();
        let mark = match ids.iter().find(|id| !is_id(id)) {
            Some(id) => Err(format!("{}: `{id}` is no id", index + 1)),
            None => test(name, &lines, index, slashes).map(|test| (ids, test)),
        };
        found.push(mark);
    }
    found
}

/// The test that a mark belongs to.
fn test(name: &str, lines: &[&str], index: usize, slashes: &str) -> Result<String, String> {
    let in_tests = name.contains("/tests/");
    if in_tests && (slashes == "//!" || name.contains("/tests/ui/")) {
        return Ok("(file)".to_owned());
    }
    if slashes != "//" {
        let doc = |line: &&&str| line.starts_with(slashes);
        let fences = lines[index..].iter().take_while(doc).filter(|line| line.contains("```"));
        let before = lines[..index].iter().rev().take_while(doc);
        let count = fences.chain(before.filter(|line| line.contains("```"))).count();
        return match count {
            0 => Err(format!("{}: a mark in words without an example", index + 1)),
            _ => Ok(format!("(example, line {})", index + 1)),
        };
    }
    // Above a test, or in its body.
    let next =
        lines[index..].iter().position(|line| !line.starts_with("//") && !line.starts_with("#["));
    let below = next.map(|offset| index + offset).filter(|&at| function(lines[at]).is_some());
    let above = lines[..index].iter().rposition(|line| function(line).is_some());
    let Some(at) = below.or(above) else {
        return Err(format!("{}: a mark with no test beside it", index + 1));
    };
    let head = |line: &&&str| line.starts_with("//") || line.starts_with("#[");
    let attributes = lines[..at].iter().rev().take_while(head);
    let is_test =
        attributes.filter(|line| line.starts_with("#[")).any(|line| line.contains("test"));
    if is_test || in_tests {
        return Ok(function(lines[at]).unwrap_or_default().to_owned());
    }
    Err(format!("{}: what this mark belongs to is no test", index + 1))
}

/// The name of the function that a line declares.
fn function(line: &str) -> Option<&str> {
    let rest = line.split_once("fn ")?;
    let head = rest.0.split_whitespace();
    let plain = |word: &str| matches!(word, "pub" | "async" | "unsafe") || word.starts_with("pub(");
    let name = rest.1.split(['(', '<']).next()?;
    (head.into_iter().all(plain) && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Result<(Vec<String>, String), String> {
        marks(name, text).remove(0)
    }

    #[test]
    fn a_mark_belongs_to_the_test_beside_it() {
        let above = "// rule: B1, L2\n#[test]\nfn a_name() {\n}\n";
        let expected = Ok((vec!["B1".to_owned(), "L2".to_owned()], "a_name".to_owned()));
        assert_eq!(one("crates/a/src/b.rs", above), expected);
        let between = "#[test]\n// rule: B1, L2\nfn a_name() {\n}\n";
        assert_eq!(one("crates/a/src/b.rs", between), expected);
        let first = "#[test]\nfn a_name() {\n    // rule: B1, L2\n    f();\n}\n";
        assert_eq!(one("crates/a/src/b.rs", first), expected);
        let case = "// rule: B1, L2\npub fn a_name(provider: &str) {\n}\n";
        assert_eq!(one("crates/a/tests/it/b.rs", case), expected);
    }

    #[test]
    fn a_mark_on_code_that_is_no_test_is_refused() {
        assert!(one("crates/a/src/b.rs", "// rule: B1\nfn f() {}\n").is_err());
        assert!(one("crates/a/src/b.rs", "/// rule: B1\nfn f() {}\n").is_err());
        assert!(one("crates/a/src/b.rs", "// rule: B1\n").is_err());
        assert!(one("crates/a/src/b.rs", "// rule: b\n#[test]\nfn f() {}\n").is_err());
        assert!(
            one("crates/a/src/b.rs", "/// rule: B1\n/// ```\n/// f();\n/// ```\nfn f() {}\n")
                .is_ok()
        );
        assert!(one("crates/a/tests/ui/x.rs", "// rule: B1\nfn main() {}\n").is_ok());
    }

    #[test]
    fn a_rule_has_a_test_or_a_reason_and_not_both() {
        let text =
            "| id | rule | no test because |\n|---|---|---|\n| B1 | one | |\n| B2 | two | x |\n";
        let rules = register(text).expect("a register");
        let with = |ids: &[&str]| {
            let map = ids.iter().map(|id| ((*id).to_owned(), vec!["t".to_owned()])).collect();
            faults(&rules, &map).len()
        };
        assert_eq!(with(&["B1"]), 0);
        assert_eq!(with(&[]), 1);
        assert_eq!(with(&["B1", "B2"]), 1);
        assert_eq!(with(&["B1", "Z9"]), 1);
    }
}
