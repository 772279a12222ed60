//! The report: a table for people, JSON for the rest.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::cell::{Check, Outcome, Place, Target, Verdict};
use crate::info::table;

/// Everything about a run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) ofi: &'static str,
    pub(super) libfabric: String,
    /// The other host's, if there was one.
    pub(super) other_libfabric: Option<String>,
    pub(super) host: Value,
    pub(super) environment: Vec<(String, String)>,
    pub(super) nics: Vec<Value>,
    pub(super) seconds: f64,
    pub(super) failed: usize,
    pub(super) results: Vec<Outcome>,
}

/// This machine in a few words.
pub(super) fn host() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    json!({
        "name": read("/proc/sys/kernel/hostname"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
    })
}

/// The variables that libfabric looks at, as they are set here.
pub(super) fn environment() -> Vec<(String, String)> {
    let mut set: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("FI_")).collect();
    set.sort();
    set
}

/// A verdict in one word.
pub(super) fn short(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ok => "ok".into(),
        Verdict::Unsupported { .. } => "unsupported".into(),
        Verdict::BrokenUpstream { number, .. } => format!("broken upstream #{number}"),
        Verdict::Failed { .. } => "FAILED".into(),
    }
}

impl Report {
    /// One line for each provider, endpoint type and place; then the reasons.
    pub(super) fn text(&self) -> String {
        let checks = Check::ALL.map(|check| check.to_string());
        let mut header = vec!["provider", "type", "in"];
        header.extend(checks.iter().map(String::as_str));
        let mut table = table::new(header);
        let rows: BTreeSet<&Target> = self.results.iter().map(|outcome| &outcome.target).collect();
        for target in rows {
            for place in [Place::OneProcess, Place::TwoProcesses] {
                let of = |check: Check| {
                    self.results.iter().find(|outcome| {
                        (&outcome.target, outcome.check, outcome.place) == (target, check, place)
                    })
                };
                if !Check::ALL.into_iter().any(|check| of(check).is_some()) {
                    continue;
                }
                let mut row = vec![
                    target.provider.clone(),
                    target.kind.endpoint_type().to_string(),
                    place.to_string(),
                ];
                row.extend(Check::ALL.into_iter().map(|check| {
                    of(check).map_or("-".into(), |outcome| match &outcome.verdict {
                        Verdict::BrokenUpstream { number, .. } => format!("broken #{number}"),
                        verdict => short(verdict),
                    })
                }));
                table.add_row(row);
            }
        }
        let mut text = table::text(&table);
        text.push_str(&self.reasons());
        let count = |wanted: &str| {
            self.results.iter().filter(|outcome| short(&outcome.verdict) == wanted).count()
        };
        let broken = self
            .results
            .iter()
            .filter(|outcome| matches!(outcome.verdict, Verdict::BrokenUpstream { .. }))
            .count();
        text.push_str(&format!(
            "\nlibfabric {}: {} ok, {} unsupported, {broken} broken upstream, {} FAILED, in {:.1} s\n",
            self.libfabric,
            count("ok"),
            count("unsupported"),
            self.failed,
            self.seconds,
        ));
        text
    }

    /// Why cells are not ok: each reason once, with the cells it is about.
    fn reasons(&self) -> String {
        let mut groups: Vec<(String, Vec<String>, Vec<String>)> = Vec::new();
        for outcome in &self.results {
            let (reason, log) = match &outcome.verdict {
                Verdict::Ok => continue,
                Verdict::Unsupported { reason } | Verdict::BrokenUpstream { reason, .. } => {
                    (reason, Vec::new())
                }
                Verdict::Failed { reason, log } => (reason, log.clone()),
            };
            let title = format!("{} {}: {}", outcome.target, short(&outcome.verdict), reason);
            let cell = format!("{} in {}", outcome.check, outcome.place);
            match groups.iter_mut().find(|(known, ..)| *known == title) {
                Some((_, cells, _)) => cells.push(cell),
                None => groups.push((title, vec![cell], log)),
            }
        }
        let mut text = String::new();
        for (title, cells, log) in groups {
            text.push_str(&format!("\n{title}\n"));
            let all = self.results.iter().filter(|one| title.starts_with(&one.target.to_string()));
            if cells.len() < all.count() {
                text.push_str(&format!("    {}\n", cells.join(", ")));
            }
            log.iter().for_each(|line| text.push_str(&format!("    | {line}\n")));
        }
        text
    }
}
