//! Which providers there must be, with which endpoints, and what is known to be missing.

use std::{collections::BTreeMap, fmt};

use ofi::{Caps, Defect, EndpointType, ErrorKind, Hints, Info, Version, quirk};

use super::Stop;

#[path = "../unsupported.rs"]
mod unsupported;

pub(super) use unsupported::UNSUPPORTED;

/// Kinds of endpoints that a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// No provider at all.
    pub const NONE: Kinds = Kinds(0);
    pub const RDM: Kinds = Kinds(1);
    pub const DGRAM: Kinds = Kinds(2);
    pub const MSG: Kinds = Kinds(4);
}

/// A provider, and the versions of libfabric that must have it.
struct Expected {
    provider: &'static str,
    kind: Kinds,
    from: Version,
}

const fn expected(provider: &'static str, kind: Kinds, from: Version) -> Expected {
    Expected { provider, kind, from }
}

const V1_17: Version = Version::new(1, 17);
const V2_0: Version = Version::new(2, 0);

const EXPECTED: &[Expected] = &[
    expected("tcp", Kinds::MSG, V1_17),
    expected("tcp;ofi_rxm", Kinds::RDM, V1_17),
    expected("shm", Kinds::RDM, V1_17),
    expected("udp", Kinds::DGRAM, V1_17),
    expected("udp;ofi_rxd", Kinds::RDM, V1_17),
    expected("sockets", Kinds::MSG, V1_17),
    expected("sockets", Kinds::RDM, V1_17),
    expected("sockets", Kinds::DGRAM, V1_17),
    expected("tcp", Kinds::RDM, V2_0),
    expected("sm2", Kinds::RDM, V2_0),
];

/// A case that a provider is known not to support.
pub(super) struct Unsupported {
    /// `module::case`, or `module::*` where it is all of them.
    pub(super) case: &'static str,
    /// The provider, and its kind of endpoint where that matters: `sockets`, `sockets::dgram`.
    pub(super) target: &'static str,
    /// From this version to before that one.
    pub(super) versions: (Version, Option<Version>),
    pub(super) reason: &'static str,
}

impl Unsupported {
    /// Whether it is about this case.
    pub(super) fn names(&self, case: &str) -> bool {
        match self.case.strip_suffix('*') {
            Some(module) => case.starts_with(module),
            None => case == self.case,
        }
    }
}

/// What a case runs on.
#[derive(Clone, Debug)]
pub struct Target {
    pub provider: String,
    pub kind: EndpointType,
    pub(super) threading: &'static str,
    pub(super) hints: Vec<(String, String)>,
}

impl Target {
    pub(super) fn none() -> Target {
        Target {
            provider: String::new(),
            kind: EndpointType::Unspec,
            threading: "",
            hints: Vec::new(),
        }
    }

    /// Whether an endpoint that closes with sends in flight is leaked, and their buffers held.
    pub fn leaks_what_is_in_flight(&self) -> bool {
        [Defect::CloseInFlight, Defect::EntriesComeLate]
            .into_iter()
            .any(|defect| quirk(&self.provider, defect).is_some())
    }

    /// Hints for this provider and kind, on the loopback address where it has such.
    pub fn hints(&self, caps: Caps) -> Hints {
        let mut hints =
            Hints::new().provider(self.provider.as_str()).endpoint_type(self.kind).caps(caps);
        let mut node = None;
        let mut service = "0";
        for (key, value) in &self.hints {
            match key.as_str() {
                "domain" => hints = hints.domain_name(value.as_str()),
                "fabric" => hints = hints.fabric_name(value.as_str()),
                "node" => node = Some(value.as_str()),
                "service" => service = value,
                _ => {}
            }
        }
        let ip = ["tcp", "udp", "sockets"].contains(&self.core());
        if let Some(node) = node.or(ip.then_some("127.0.0.1")) {
            hints = hints.node(node).service(service).source();
        }
        hints
    }

    /// The best match of exactly this provider.
    ///
    /// `Unsupported` where the provider has nothing with these capabilities; messages alone every
    /// provider of the matrix has.
    pub fn query(&self, caps: Caps) -> Result<Info, Stop> {
        let list = match self.hints(caps).query() {
            Ok(list) => list,
            Err(error) if *error.kind() == ErrorKind::NotFound && caps != Caps::MSG => {
                return Err(Stop::Unsupported(format!("{} has not all of {caps}", self.provider)));
            }
            Err(error) => return Err(error.into()),
        };
        let best = list.iter().find(|info| info.provider() == self.provider);
        match best {
            Some(info) => Ok(info.clone()),
            None if caps != Caps::MSG => {
                Err(Stop::Unsupported(format!("{} has not all of {caps}", self.provider)))
            }
            None => Err(Stop::Failed(format!(
                "asked for {}, got {}",
                self.provider,
                list.best().provider()
            ))),
        }
    }

    /// The provider under the utility layers.
    pub fn core(&self) -> &str {
        self.provider.split(';').next().unwrap_or_default()
    }

    /// Whether a layer of the provider has this name.
    pub fn has_layer(&self, layer: &str) -> bool {
        self.provider.split(';').any(|part| part == layer)
    }

    /// Ends the case as unsupported unless `offered`.
    pub fn require(&self, offered: bool, what: &str) -> Result<(), Stop> {
        if offered { Ok(()) } else { Err(Stop::Unsupported(what.to_owned())) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}::{}", self.provider, kind_name(self.kind), self.threading)
    }
}

fn kind_name(kind: EndpointType) -> &'static str {
    match kind {
        EndpointType::Msg => "msg",
        EndpointType::Dgram => "dgram",
        _ => "rdm",
    }
}

/// The providers of this run.
pub(super) struct Matrix(Vec<Target>);

impl Matrix {
    /// What must be there on the running libfabric, as `OFI_TEST_PROVIDERS` and `OFI_TEST_HINTS`
    /// restrict and extend it.
    pub(super) fn of_environment() -> Result<Matrix, String> {
        let text = |name| std::env::var(name).unwrap_or_default();
        let hints = parse_hints(&text("OFI_TEST_HINTS"))?;
        // The version is libfabric's own word; without a library there is nothing to run on.
        Hints::new().provider("no such provider").query().err().map_or(
            Ok(()),
            |error| match error.kind() {
                ErrorKind::Load => Err(error.to_string()),
                _ => Ok(()),
            },
        )?;
        Ok(Matrix::new(&parse_providers(&text("OFI_TEST_PROVIDERS")), &hints, ofi::version()))
    }

    fn new(
        wanted: &[String],
        hints: &BTreeMap<String, Vec<(String, String)>>,
        running: Version,
    ) -> Matrix {
        let target = |provider: &str, kind| Target {
            provider: provider.to_owned(),
            kind,
            threading: "",
            hints: hints.get(provider).cloned().unwrap_or_default(),
        };
        let listed = EXPECTED.iter().filter(|e| e.from <= running);
        let mut targets: Vec<Target> = listed
            .filter(|e| wanted.is_empty() || wanted.iter().any(|name| name == e.provider))
            .map(|e| target(e.provider, kind_of(e.kind)))
            .collect();
        for name in wanted {
            if !EXPECTED.iter().any(|e| e.provider == name) {
                let kind = hints.get(name).into_iter().flatten().find(|(key, _)| key == "type");
                let kind = match kind.map(|(_, value)| value.as_str()) {
                    Some("msg") => EndpointType::Msg,
                    Some("dgram") => EndpointType::Dgram,
                    _ => EndpointType::Rdm,
                };
                targets.push(target(name, kind));
            }
        }
        Matrix(targets)
    }

    pub(super) fn targets(&self, kinds: Kinds, threading: &'static str) -> Vec<Target> {
        let fitting =
            self.0.iter().filter(|target| kinds != Kinds::NONE && kind_of(kinds) == target.kind);
        fitting.map(|target| Target { threading, ..target.clone() }).collect()
    }

    /// Why a case is known to be unsupported on the running version.
    pub(super) fn known_unsupported(&self, case: &str, full: &str) -> Option<&'static str> {
        let running = ofi::version();
        let known = UNSUPPORTED.iter().find(|known| {
            let (from, until) = known.versions;
            known.names(case)
                && format!("{full}::").starts_with(&format!("{case}::{}::", known.target))
                && from <= running
                && until.is_none_or(|until| running < until)
        });
        known.map(|known| known.reason)
    }
}

fn kind_of(kinds: Kinds) -> EndpointType {
    match kinds {
        Kinds::MSG => EndpointType::Msg,
        Kinds::DGRAM => EndpointType::Dgram,
        _ => EndpointType::Rdm,
    }
}

/// `shm,tcp;ofi_rxm`: provider names hold semicolons.
fn parse_providers(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// `provider:key=value;key=value;provider:key=value`. Provider names hold semicolons too: a part
/// with neither `:` nor `=` is the beginning of one.
fn parse_hints(text: &str) -> Result<BTreeMap<String, Vec<(String, String)>>, String> {
    const KEYS: &[&str] = &["domain", "fabric", "node", "service", "type"];
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut provider = String::new();
    let mut begun = String::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((left, value)) = part.split_once('=') else {
            begun += part;
            begun.push(';');
            continue;
        };
        let key = match left.split_once(':') {
            Some((name, key)) => {
                provider = std::mem::take(&mut begun) + name;
                key
            }
            None => left,
        };
        if provider.is_empty() || !KEYS.contains(&key) {
            return Err(format!("OFI_TEST_HINTS: `{part}` in `{text}`; keys are {KEYS:?}"));
        }
        let hints = all.entry(provider.clone()).or_default();
        hints.push((key.to_owned(), value.to_owned()));
    }
    if begun.is_empty() {
        Ok(all)
    } else {
        Err(format!("OFI_TEST_HINTS: `{text}` ends in a provider without a hint"))
    }
}

/// The test of the knobs; the harness has no other place for unit tests.
pub(super) fn check_parsing() {
    let hints = parse_hints("efa:domain=rdmap0s6;fabric=efa;tcp;ofi_rxm:node=::1").unwrap();
    let of = |name: &str| hints[name].iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    assert_eq!(of("efa"), ["domain=rdmap0s6", "fabric=efa"]);
    assert_eq!(of("tcp;ofi_rxm"), ["node=::1"]);
    assert!(parse_hints("domain=x").is_err());
    assert!(parse_hints("efa:colour=red").is_err());
    assert!(parse_hints("efa").is_err());
    assert_eq!(parse_providers("shm, tcp;ofi_rxm"), ["shm", "tcp;ofi_rxm"]);
    let names = |wanted: &[&str], version| -> Vec<String> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let matrix = Matrix::new(&wanted, &hints, version);
        matrix.0.iter().map(|t| format!("{}/{}", t.provider, kind_name(t.kind))).collect()
    };
    assert_eq!(names(&[], V1_17).len(), EXPECTED.len() - 2);
    assert_eq!(names(&[], V2_0).len(), EXPECTED.len());
    assert_eq!(names(&["sockets"], V1_17), ["sockets/msg", "sockets/rdm", "sockets/dgram"]);
    assert_eq!(names(&["efa"], V1_17), ["efa/rdm"]);
}
