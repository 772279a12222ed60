//! Prefix compatibility: the layout of the crate begins with that of every release.

use std::collections::BTreeMap;

use crate::{CHANGED, REMOVED, generated};

const LAYOUTS: &str = include_str!("../fixtures/layouts.txt");
const CONSTANTS: &str = include_str!("../fixtures/constants.txt");

/// The newest release of the fixtures, whose layout is the crate's.
const NEWEST: &str = "2.6.0";

/// Size, and members with their offsets.
pub(crate) type Layout = (usize, Vec<(&'static str, usize)>);

/// Structs by name, one map per release, oldest first.
pub(crate) fn layouts() -> Vec<(&'static str, BTreeMap<&'static str, Layout>)> {
    releases(LAYOUTS, |line, structs: &mut BTreeMap<_, _>| {
        if let Some(gone) = line.strip_prefix('-') {
            structs.remove(gone);
            return;
        }
        let mut words = line.split(' ');
        let name = words.next().expect("a struct's name");
        let size = words.next().expect("its size").parse().expect("a number");
        let members = words
            .map(|word| {
                let (member, offset) = word.split_once('@').expect("member@offset");
                (member, offset.parse().expect("a number"))
            })
            .collect();
        structs.insert(name, (size, members));
    })
}

fn constants() -> Vec<(&'static str, BTreeMap<&'static str, u64>)> {
    releases(CONSTANTS, |line, constants: &mut BTreeMap<_, _>| {
        let (name, value) = line.split_once(' ').expect("a name and a value");
        if value == "-" {
            constants.remove(name);
        } else {
            constants.insert(name, u64::from_str_radix(value, 16).expect("hexadecimal"));
        }
    })
}

/// Each release says what differs from the one before it.
fn releases<T: Clone + Default>(
    text: &'static str,
    apply: impl Fn(&'static str, &mut T),
) -> Vec<(&'static str, T)> {
    let mut all: Vec<(&str, T)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(version) = line.strip_prefix("version ") {
            let state = all.last().map(|(_, state)| state.clone()).unwrap_or_default();
            all.push((version, state));
        } else {
            apply(line, &mut all.last_mut().expect("a version first").1);
        }
    }
    all
}

// The figures are those of 64-bit targets.
#[cfg(target_pointer_width = "64")]
#[test]
fn every_release_is_a_prefix_of_the_layouts() {
    let ours = generated::structs();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (version, theirs) in layouts() {
        for (name, (size, members)) in &theirs {
            let Some(ours) = ours.iter().find(|s| s.name == *name) else {
                wrong.push(format!("{version}: {name} is missing"));
                continue;
            };
            if *size > ours.size || (version == NEWEST && *size != ours.size) {
                wrong.push(format!("{version}: {name} has {size} bytes, here {}", ours.size));
            }
            for (at, (member, offset)) in members.iter().enumerate() {
                compared += 1;
                match ours.members.get(at) {
                    Some(own) if own.c_name() == *member && own.offset == *offset => {}
                    Some(own) => wrong.push(format!(
                        "{version}: {name}.{member}@{offset}, here {}@{}",
                        own.name, own.offset
                    )),
                    None => wrong.push(format!("{version}: {name}.{member} is missing")),
                }
            }
            if version == NEWEST && members.len() != ours.members.len() {
                wrong.push(format!("{name} has members that {version} does not know"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 6_000, "only {compared} members compared");
}

// Errno values are those of Linux.
#[cfg(target_os = "linux")]
#[test]
fn constants_have_the_value_of_every_release() {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (version, theirs) in constants() {
        for (name, value) in theirs {
            let own = generated::CONSTANTS.iter().find(|(own, _)| *own == name);
            match own {
                Some((_, own)) if *own as u64 == value => compared += 1,
                Some(_) if CHANGED.contains(&name) && version != NEWEST => {}
                Some((_, own)) => {
                    wrong.push(format!("{version}: {name} = {value:x}, here {own:x}"))
                }
                None if REMOVED.contains(&name) && version.starts_with("1.") => {}
                None => wrong.push(format!("{version}: {name} is missing")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 4_000, "only {compared} constants compared");
}
