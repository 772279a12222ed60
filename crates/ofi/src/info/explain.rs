//! Why a provider does not match.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    fmt,
    time::{Duration, Instant},
};

use super::{
    hints::{Hints, Key, ProviderFilter, Text},
    hints_fields::Field,
    info::core_name,
    query::{names, only_by_name},
};
use crate::{
    error::Result,
    flags::{Caps, GetInfoFlags, Mode},
    log::{self, Message},
};

/// Which hints keep which provider away. From [`Hints::explain`].
///
/// `{}` prints a report of several lines.
#[derive(Clone, Debug)]
pub struct Explanation {
    asked: String,
    /// The providers that match, layers included; empty if [`Hints::query`] finds nothing.
    pub matching: Vec<String>,
    /// The providers that do not, and what would bring each back.
    pub excluded: Vec<Excluded>,
    /// Providers that libfabric has but that find no device here.
    pub without_device: Vec<String>,
    /// The provider that was asked for, where libfabric does not have it at all.
    pub unknown_provider: Option<String>,
    /// Whether the search came to its end. It stops after some ten seconds: resolving a name may
    /// take that long by itself.
    pub complete: bool,
}

/// A provider that the hints exclude.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Excluded {
    /// Its name, layers included.
    pub provider: String,
    /// The smallest sets of hints without any of which it would match. Sets of one if there are
    /// such, else all sets of two, else one set that cannot be made smaller. Empty where the
    /// provider was excluded by its name alone, or the search was not complete.
    pub sets: Vec<HintSet>,
}

/// Hints that together keep a provider away: without them, all others met, it matches.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HintSet {
    /// The hints, as [`Hints`] prints them.
    pub hints: Vec<String>,
    /// What libfabric says on the matter.
    pub messages: Vec<Message>,
}

/// One thing asked for: what can be left out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Atom {
    Caps(u64),
    Mode,
    AddressFormat,
    SrcAddr,
    DestAddr,
    Field(Field),
    Text(Text),
    Key(Key),
    Node,
    Service,
    Flags(u64),
    Api,
}

/// How long the search may take before it stops between two queries.
const BUDGET: Duration = Duration::from_secs(10);

/// How many of libfabric's messages are kept for a set.
const MESSAGES: usize = 8;

impl Hints {
    /// Finds out which hints exclude which provider, by leaving them out one by one, then in pairs.
    ///
    /// Asks libfabric many times, and takes its messages over meanwhile (see
    /// [`log`](crate::log)). Some tenths of a second are normal.
    ///
    /// # Errors
    ///
    /// Those of [`query`](Self::query), other than `NotFound`.
    pub fn explain(&self) -> Result<Explanation> {
        Search::new(self)?.run()
    }

    /// Everything that can be left out.
    fn atoms(&self) -> Vec<Atom> {
        let mut atoms = Vec::new();
        let bits = |raw: u64| (0..64).map(|bit| 1 << bit).filter(move |bit| raw & bit != 0);
        atoms.extend(self.caps.iter().flat_map(|caps| bits(caps.raw())).map(Atom::Caps));
        // What is offered in full already cannot be what is in the way.
        let everything = Hints::everything();
        if self.mode != Mode::all() {
            atoms.push(Atom::Mode);
        }
        // A domain's mode goes with the mode; the rest stand for themselves.
        atoms.extend(
            self.fields
                .iter()
                .filter(|(field, value)| {
                    **field != Field::DomainMode && everything.fields.get(*field) != Some(*value)
                })
                .filter(|(_, value)| **value != 0)
                .map(|(field, _)| Atom::Field(*field)),
        );
        atoms.extend(self.texts.keys().map(|text| Atom::Text(*text)));
        atoms.extend(self.keys.keys().map(|key| Atom::Key(*key)));
        atoms.extend(bits((self.flags - GetInfoFlags::SOURCE).raw()).map(Atom::Flags));
        let single = [
            (self.address_format.is_some(), Atom::AddressFormat),
            (self.src_addr.is_some(), Atom::SrcAddr),
            (self.dest_addr.is_some(), Atom::DestAddr),
            (self.node.is_some(), Atom::Node),
            (self.service.is_some(), Atom::Service),
            (self.api.is_some(), Atom::Api),
        ];
        atoms.extend(single.into_iter().filter(|(is, _)| *is).map(|(_, atom)| atom));
        atoms
    }

    /// These hints without some of what they ask for.
    fn without(&self, atoms: &[Atom]) -> Hints {
        let mut hints = self.clone();
        let everything = Hints::everything();
        for atom in atoms {
            match atom {
                Atom::Caps(bit) => {
                    hints.caps = hints.caps.map(|caps| caps - Caps::from_raw(*bit));
                }
                Atom::Mode => {
                    hints.mode = everything.mode;
                    hints = hints.set(Field::DomainMode, everything.mode);
                }
                Atom::AddressFormat => hints.address_format = None,
                Atom::SrcAddr => hints.src_addr = None,
                Atom::DestAddr => hints.dest_addr = None,
                Atom::Field(field) => match everything.fields.get(field) {
                    Some(all) => drop(hints.fields.insert(*field, *all)),
                    None => drop(hints.fields.remove(field)),
                },
                Atom::Text(text) => drop(hints.texts.remove(text)),
                Atom::Key(key) => drop(hints.keys.remove(key)),
                Atom::Node => hints.node = None,
                Atom::Service => hints.service = None,
                Atom::Flags(bit) => hints.flags -= GetInfoFlags::from_raw(*bit),
                Atom::Api => hints.api = None,
            }
        }
        // Neither names anything by itself.
        if hints.node.is_none() && hints.service.is_none() {
            hints.flags -= GetInfoFlags::SOURCE | GetInfoFlags::NUMERICHOST;
        }
        hints
    }

    /// How [`Hints`] prints it.
    fn show(&self, atom: Atom) -> String {
        let lossy = |text: &Option<CString>| {
            text.as_ref().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
        };
        match atom {
            Atom::Caps(bit) => format!("caps {}", Caps::from_raw(bit)),
            Atom::Mode => format!("mode {}", self.mode),
            Atom::AddressFormat => {
                format!(
                    "addr_format {}",
                    self.address_format.map_or(String::new(), |f| f.to_string())
                )
            }
            Atom::SrcAddr => "src_addr".into(),
            Atom::DestAddr => "dest_addr".into(),
            Atom::Field(field) => {
                let value = self.fields.get(&field).copied().unwrap_or(0);
                format!("{} {}", field.kind().label, (field.kind().show)(value))
            }
            Atom::Text(text) => {
                let name = self.texts.get(&text).cloned();
                format!("{} {}", text.label(), lossy(&name))
            }
            Atom::Key(key) => key.label().into(),
            Atom::Node => format!("node {}", lossy(&self.node)),
            Atom::Service => format!("service {}", lossy(&self.service)),
            Atom::Flags(bit) => format!("flags {}", GetInfoFlags::from_raw(bit)),
            Atom::Api => format!("API {}", self.api.map_or(String::new(), |api| api.to_string())),
        }
    }
}

/// The search for one set of hints.
struct Search<'a> {
    hints: &'a Hints,
    /// The hints without any provider filter: the answer tells all providers apart.
    open: Hints,
    atoms: Vec<Atom>,
    deadline: Instant,
    complete: bool,
}

impl<'a> Search<'a> {
    fn new(hints: &'a Hints) -> Result<Search<'a>> {
        hints.check()?;
        let mut open = hints.clone();
        open.excluded.clear();
        open.searching = true;
        // A layering that is switched off unless it is asked for as a whole stays asked for.
        open.provider = open.provider.filter(|filter| filter.exact);
        Ok(Search {
            hints,
            open,
            atoms: hints.atoms(),
            deadline: Instant::now() + BUDGET,
            complete: true,
        })
    }

    fn run(mut self) -> Result<Explanation> {
        let matching = distinct(self.hints)?;
        let (all, without_device) = self.universe()?;
        let filter = self.hints.provider.as_ref();
        let unknown_provider = filter
            .filter(|filter| !all.iter().chain(&without_device).any(|name| takes(filter, name)))
            .map(|filter| filter.name.to_string_lossy().into_owned());
        // Providers of other names are left out by their names, not by what they lack.
        let mut wanted: BTreeSet<String> = all
            .iter()
            .filter(|name| filter.is_none_or(|filter| takes(filter, name)))
            .filter(|name| !self.hints.excluded.iter().any(|excluded| names(excluded, name)))
            .filter(|name| !matching.contains(*name))
            .filter(|name| filter.is_some() || !only_by_name(name))
            .cloned()
            .collect();
        let mut sets = self.singles(&mut wanted)?;
        self.pairs(&mut wanted, &mut sets)?;
        self.larger(&mut wanted, &mut sets)?;
        // What the search did not get to is named all the same.
        for name in wanted {
            sets.insert(name, Vec::new());
        }
        let excluded = sets
            .into_iter()
            .map(|(provider, sets)| {
                let sets = sets.iter().map(|set| self.describe(&provider, set)).collect();
                Excluded { provider, sets }
            })
            .collect();
        let without_device = without_device
            .into_iter()
            .filter(|name| filter.is_none_or(|filter| takes(filter, name)))
            .collect();
        Ok(Explanation {
            asked: self.hints.to_string(),
            matching,
            excluded,
            without_device,
            unknown_provider,
            complete: self.complete,
        })
    }

    /// Every provider that finds something here, and those that find nothing.
    fn universe(&self) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let mut all: BTreeSet<String> = distinct(&Hints::everything())?.into_iter().collect();
        if let Some(filter) = self.hints.provider.as_ref().filter(|filter| filter.exact) {
            let exact = Hints::everything().provider(filter.name.to_string_lossy());
            all.extend(distinct(&exact)?);
        }
        let installed = distinct(&Hints::everything().flags(GetInfoFlags::PROV_ATTR_ONLY))?;
        let without_device = installed
            .into_iter()
            // Utility providers and hooks have no device of their own.
            .filter(|name| !name.starts_with("ofi_") && !name.starts_with("off_"))
            .filter(|name| !all.iter().any(|found| core_name(found) == name))
            .collect();
        Ok((all, without_device))
    }

    /// Which providers match without these; nothing once time is up.
    fn present(&mut self, without: &[Atom]) -> Result<Vec<String>> {
        if Instant::now() >= self.deadline {
            self.complete = false;
            return Ok(Vec::new());
        }
        let hints = self.open.without(without);
        // Without a hint, the others may not fit each other or the version: no match then.
        if hints.check().is_err() {
            return Ok(Vec::new());
        }
        distinct(&hints)
    }

    /// Moves what a single hint keeps away from `wanted` to the answer.
    fn singles(&mut self, wanted: &mut BTreeSet<String>) -> Result<Sets> {
        let mut sets = Sets::new();
        if wanted.is_empty() {
            return Ok(sets);
        }
        for atom in self.atoms.clone() {
            for name in self.present(&[atom])? {
                if wanted.contains(&name) {
                    sets.entry(name).or_default().push(vec![atom]);
                }
            }
        }
        wanted.retain(|name| !sets.contains_key(name));
        Ok(sets)
    }

    /// The same with pairs, for what is left.
    fn pairs(&mut self, wanted: &mut BTreeSet<String>, sets: &mut Sets) -> Result<()> {
        let atoms = self.atoms.clone();
        for (index, first) in atoms.iter().enumerate() {
            for second in &atoms[index + 1..] {
                if wanted.is_empty() {
                    return Ok(());
                }
                for name in self.present(&[*first, *second])? {
                    if wanted.contains(&name) {
                        sets.entry(name).or_default().push(vec![*first, *second]);
                    }
                }
            }
        }
        wanted.retain(|name| !sets.contains_key(name));
        Ok(())
    }

    /// For what is left: one set from which no hint can be put back.
    fn larger(&mut self, wanted: &mut BTreeSet<String>, sets: &mut Sets) -> Result<()> {
        for name in wanted.clone() {
            let mut set = self.atoms.clone();
            if !self.present(&set)?.contains(&name) {
                continue;
            }
            for atom in self.atoms.clone() {
                let smaller: Vec<_> = set.iter().copied().filter(|other| *other != atom).collect();
                if self.present(&smaller)?.contains(&name) {
                    set = smaller;
                }
            }
            wanted.remove(&name);
            sets.insert(name, vec![set]);
        }
        Ok(())
    }

    /// The words for a set, and libfabric's.
    fn describe(&self, provider: &str, set: &[Atom]) -> HintSet {
        let mut messages: Vec<Message> = Vec::new();
        for atom in set {
            // With the rest of the set out of the way, this one is what libfabric speaks of.
            let others: Vec<_> = set.iter().copied().filter(|other| other != atom).collect();
            let hints = self.open.without(&others).provider(provider);
            for message in log::capture(|| hints.matches()).1 {
                let concerns = provider.split(';').any(|part| part == message.provider);
                if concerns && !messages.iter().any(|seen| seen.text == message.text) {
                    messages.push(message);
                }
            }
        }
        // The verdicts come from functions of that name; without any, whatever came last.
        if messages.iter().any(is_verdict) {
            messages.retain(is_verdict);
            messages.truncate(MESSAGES);
        } else {
            let surplus = messages.len().saturating_sub(MESSAGES);
            messages.drain(..surplus);
        }
        HintSet { hints: set.iter().map(|atom| self.hints.show(*atom)).collect(), messages }
    }
}

/// Whether it comes from the comparison of hints with what a provider has.
fn is_verdict(message: &Message) -> bool {
    message.function.contains("check")
}

/// For each provider the sets that keep it away.
type Sets = BTreeMap<String, Vec<Vec<Atom>>>;

fn takes(filter: &ProviderFilter, name: &str) -> bool {
    filter.takes(name)
}

/// The providers that match, each once, best first.
fn distinct(hints: &Hints) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for info in hints.matches()? {
        if !names.iter().any(|name| name == info.provider()) {
            names.push(info.provider().to_owned());
        }
    }
    Ok(names)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "asked for: {}", self.asked)?;
        if self.matching.is_empty() {
            writeln!(f, "nothing matches")?;
        } else {
            writeln!(f, "matching: {}", self.matching.join(", "))?;
        }
        if let Some(name) = &self.unknown_provider {
            writeln!(f, "libfabric has no provider `{name}` here")?;
        }
        for excluded in &self.excluded {
            write!(f, "{excluded}")?;
        }
        for name in &self.without_device {
            writeln!(f, "{name}\n    finds no device here")?;
        }
        if !self.complete {
            writeln!(f, "(the search was not finished in {} s)", BUDGET.as_secs())?;
        }
        Ok(())
    }
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.provider)?;
        if self.sets.is_empty() {
            writeln!(f, "    does not match; no smaller set of hints was found")?;
        }
        for set in &self.sets {
            writeln!(f, "    would match without {}", set.hints.join(" and without "))?;
            for message in &set.messages {
                writeln!(f, "        {message}")?;
            }
        }
        Ok(())
    }
}
