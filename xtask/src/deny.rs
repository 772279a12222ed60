//! `cargo xtask deny`: licences, bans and sources of the dependencies, by deny.toml.
//!
//! cargo-deny does it where it is installed. It takes longer to build than all else here, so where
//! it is missing the same lists are held against `cargo metadata`; advisories, which need a
//! database from the network, are then not looked at, and the output says so.

use serde_json::Value;

use crate::cargo::metadata;
use crate::run::{MINUTE, run, succeeds};

/// Checks every dependency of every feature.
pub fn run_check() -> Result<(), String> {
    let policy = Policy::read()?;
    if succeeds("cargo", &["deny", "--version"]) {
        let mut command = crate::cargo::cargo(&["deny", "--all-features", "check"]);
        return run(command.args(["licenses", "bans", "sources"]), 5 * MINUTE);
    }
    println!("cargo-deny is not installed: its lists are checked here, advisories are not");
    let metadata = metadata(true)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata: no packages")?;
    let faults: Vec<String> = packages.iter().flat_map(|package| policy.faults(package)).collect();
    faults.iter().for_each(|fault| println!("{fault}"));
    match faults.len() {
        0 => {
            println!("deny: {} packages", packages.len());
            Ok(())
        }
        count => Err(format!("{count} faults against deny.toml")),
    }
}

/// What deny.toml allows and forbids.
struct Policy {
    licenses: Vec<String>,
    /// Crates that name no licence, and what theirs is.
    clarified: Vec<(String, String)>,
    banned: Vec<String>,
    registries: Vec<String>,
}

impl Policy {
    fn read() -> Result<Policy, String> {
        let text =
            std::fs::read_to_string("deny.toml").map_err(|error| format!("deny.toml: {error}"))?;
        Policy::parse(&text)
    }

    fn parse(text: &str) -> Result<Policy, String> {
        let list = |key: &str| list(text, key).ok_or(format!("deny.toml: no list `{key}`"));
        Ok(Policy {
            licenses: list("allow")?,
            clarified: clarified(text),
            banned: list("deny")?,
            registries: list("allow-registry")?,
        })
    }

    fn faults(&self, package: &Value) -> Vec<String> {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{} {}", text("name"), text("version"));
        let mut faults = Vec::new();
        let clear = self.clarified.iter().find(|(name, _)| name == text("name"));
        let license = clear.map_or(text("license"), |(_, expression)| expression);
        match satisfied(license, &self.licenses) {
            Some(true) => {}
            Some(false) => faults.push(format!("{name}: licence {} is not allowed", license)),
            None => faults.push(format!("{name}: cannot read its licence `{}`", license)),
        }
        if self.banned.iter().any(|banned| banned == text("name")) {
            faults.push(format!("{name}: is banned"));
        }
        // The workspace's own packages have no source.
        let known =
            |source: &str| self.registries.iter().any(|r| source == format!("registry+{r}"));
        if let Some(source) = package["source"].as_str().filter(|source| !known(source)) {
            faults.push(format!("{name}: comes from {source}"));
        }
        faults
    }
}

/// The strings of a list in our own deny.toml; comments in it are skipped.
fn list(text: &str, key: &str) -> Option<Vec<String>> {
    let start = text.lines().position(|line| line.starts_with(&format!("{key} = [")))?;
    let mut words = Vec::new();
    for line in text.lines().skip(start) {
        let code = line.split('#').next().unwrap_or_default();
        words.extend(code.split('"').skip(1).step_by(2).map(str::to_owned));
        if code.trim_end().ends_with(']') {
            return Some(words);
        }
    }
    None
}

/// The crates and expressions of the `[[licenses.clarify]]` tables.
fn clarified(text: &str) -> Vec<(String, String)> {
    let tables = text.split("[[licenses.clarify]]").skip(1);
    let value = |table: &str, key: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|line| line.trim_matches('"').to_owned())
    };
    tables.filter_map(|table| Some((value(table, "crate")?, value(table, "expression")?))).collect()
}

/// Whether an SPDX expression can be met with the allowed licences; `None` if it is not understood.
fn satisfied(expression: &str, allowed: &[String]) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let value = either(&words, &mut at, allowed)?;
    (at == words.len()).then_some(value)
}

fn either(words: &[&str], at: &mut usize, allowed: &[String]) -> Option<bool> {
    let mut value = both(words, at, allowed)?;
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        value |= both(words, at, allowed)?;
    }
    Some(value)
}

fn both(words: &[&str], at: &mut usize, allowed: &[String]) -> Option<bool> {
    let mut value = single(words, at, allowed)?;
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        value &= single(words, at, allowed)?;
    }
    Some(value)
}

fn single(words: &[&str], at: &mut usize, allowed: &[String]) -> Option<bool> {
    let word = *words.get(*at)?;
    *at += 1;
    if word == "(" {
        let value = either(words, at, allowed)?;
        *at += 1;
        return (words.get(*at - 1) == Some(&")")).then_some(value);
    }
    // An exception only ever permits more.
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    Some(allowed.iter().any(|allowed| allowed == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "[[licenses.clarify]]\ncrate = \"unclear\"\nexpression = \"MIT\"\nallow = [\n  \"MIT\", # words\n  \"Zlib\",\n]\ndeny = [\n  { crate = \"bad\" },\n]\nallow-registry = [\"https://here\"]\n";

    #[test]
    fn licence_expressions() {
        let allowed = ["MIT".to_owned(), "Zlib".to_owned()];
        let of = |expression| satisfied(expression, &allowed);
        assert_eq!(of("MIT OR GPL-3.0"), Some(true));
        assert_eq!(of("MIT/GPL-3.0"), Some(true));
        assert_eq!(of("MIT AND GPL-3.0"), Some(false));
        assert_eq!(of("(GPL-3.0 OR MIT) AND Zlib"), Some(true));
        assert_eq!(of("MIT WITH some-exception OR GPL-3.0"), Some(true));
        assert_eq!(of(""), None);
        assert_eq!(of("(MIT"), None);
    }

    #[test]
    fn a_package_is_held_against_every_list() {
        let policy = Policy::parse(POLICY).expect("a policy");
        let faults = |text: &str| policy.faults(&serde_json::from_str(text).expect("JSON")).len();
        let good = r#"{"name":"a","version":"1","license":"MIT","source":"registry+https://here"}"#;
        assert_eq!(faults(good), 0);
        assert_eq!(faults(&good.replace("\"a\"", "\"bad\"")), 1);
        assert_eq!(faults(&good.replace("here", "there")), 1);
        assert_eq!(faults(&good.replace("MIT", "GPL-3.0")), 1);
        assert_eq!(faults(&good.replace("MIT", "").replace("\"a\"", "\"unclear\"")), 0);
        assert_eq!(faults(r#"{"name":"a","version":"1","license":"MIT","source":null}"#), 0);
    }
}
