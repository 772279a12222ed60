//! What to ask `fi_getinfo` for.

use std::{collections::BTreeMap, ffi::CString, fmt, net::SocketAddr};

use super::{
    address::CheckedAddress,
    hints_fields::Field,
    word::{Contexts, Word},
};
use crate::{
    attr::{AddressFormat, AvType, ThreadingModel},
    error::{Error, Needs, Result},
    flags::{Caps, GetInfoFlags, Mode, MrMode},
    version::{Version, api_version, version},
};

/// What is asked of a provider. Every attribute of `fi_info` can be set; the answer is an
/// [`InfoList`](super::InfoList), best match first.
///
/// Unless told otherwise it asks for messages (`FI_MSG`), for objects that any thread may use
/// (`FI_THREAD_SAFE`), for address vectors of type `Table`, and offers the modes and memory
/// registration modes that this crate can serve.
///
/// A value that cannot be passed on (text with a NUL, an attribute that the running libfabric is
/// too old for) is an error of [`query`](Self::query), not of the setter.
///
/// Not wrapped: `domain_attr.domain`, `fabric_attr.fabric` and `handle`, which name open objects.
/// Some providers (sockets, efa) cast them to their own types unchecked, so that an object of another
/// one would be misread (rule D6).
///
/// See `fi_getinfo(3)`.
///
/// ```
/// use ofi::{Caps, EndpointType, Hints};
///
/// let list = Hints::new()
///     .provider("tcp")
///     .endpoint_type(EndpointType::Rdm)
///     .caps(Caps::MSG | Caps::TAGGED)
///     .node("127.0.0.1")
///     .source()
///     .query()?;
/// println!("{}", list.best());
/// # Ok::<(), ofi::Error>(())
/// ```
#[doc(alias = "fi_getinfo")]
#[derive(Clone)]
#[must_use = "hints do nothing until they are queried"]
pub struct Hints {
    /// `None`: any, which only listing may ask for.
    pub(super) caps: Option<Caps>,
    pub(super) mode: Mode,
    pub(super) address_format: Option<AddressFormat>,
    pub(super) src_addr: Option<CheckedAddress>,
    pub(super) dest_addr: Option<CheckedAddress>,
    pub(super) fields: BTreeMap<Field, u64>,
    pub(super) texts: BTreeMap<Text, CString>,
    pub(super) keys: BTreeMap<Key, Box<[u8]>>,
    pub(super) node: Option<CString>,
    pub(super) service: Option<CString>,
    pub(super) flags: GetInfoFlags,
    pub(super) provider: Option<ProviderFilter>,
    pub(super) excluded: Vec<Box<str>>,
    pub(super) api: Option<Version>,
    pub(super) unchecked_shm: bool,
    /// For the search of `explain` alone: capabilities without a kind of transfer are asked for, and
    /// providers that are taken only by name are shown.
    pub(super) searching: bool,
    /// The first value that cannot be passed on.
    error: Option<Error>,
}

/// The attributes that are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Text {
    Domain,
    Fabric,
}

/// The attributes that are authorization keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Endpoint,
    Domain,
}

impl Text {
    /// Its path in C.
    pub(super) fn label(self) -> &'static str {
        match self {
            Text::Domain => "domain_attr.name",
            Text::Fabric => "fabric_attr.name",
        }
    }
}

impl Key {
    /// Its path in C.
    pub(super) fn label(self) -> &'static str {
        match self {
            Key::Endpoint => "ep_attr.auth_key",
            Key::Domain => "domain_attr.auth_key",
        }
    }
}

/// Which providers to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProviderFilter {
    pub(super) name: CString,
    /// With utility layers, or any.
    pub(super) exact: bool,
}

/// The modes that this crate serves (rule D7): slots are as large as `struct fi_context2`, they hold
/// I/O vectors until the completion, and a receive that ends with immediate data alone says so.
pub(crate) const SERVED_MODES: Mode =
    Mode::CONTEXT.union(Mode::CONTEXT2).union(Mode::ASYNC_IOV).union(Mode::RX_CQ_DATA);

/// The memory registration modes that this crate serves (rule D7).
pub(crate) const SERVED_MR_MODES: MrMode = MrMode::LOCAL
    .union(MrMode::VIRT_ADDR)
    .union(MrMode::ALLOCATED)
    .union(MrMode::PROV_KEY)
    .union(MrMode::RAW)
    .union(MrMode::ENDPOINT)
    .union(MrMode::RMA_EVENT)
    .union(MrMode::MMU_NOTIFY)
    .union(MrMode::HMEM)
    .union(MrMode::COLLECTIVE);

impl Hints {
    /// Hints that ask for messages and nothing else.
    #[doc(alias = "fi_allocinfo")]
    pub fn new() -> Hints {
        Hints::bare(Some(Caps::MSG), SERVED_MODES)
            .set(Field::Threading, ThreadingModel::Safe)
            .set(Field::AvType, AvType::Table)
            .set(Field::MrMode, SERVED_MR_MODES)
            .set(Field::DomainMode, SERVED_MODES)
    }

    /// Hints that exclude nothing: to list what there is, as `fi_info` does.
    ///
    /// Entries may ask for modes that this crate does not serve; opening such a one is refused.
    pub fn everything() -> Hints {
        // Not `all`: FI_MR_BASIC and FI_MR_SCALABLE stand alone.
        let mr_mode = MrMode::from_raw(!(MrMode::BASIC | MrMode::SCALABLE).raw());
        Hints::bare(None, Mode::all())
            .set(Field::MrMode, mr_mode)
            .set(Field::DomainMode, Mode::all())
    }

    fn bare(caps: Option<Caps>, mode: Mode) -> Hints {
        Hints {
            caps,
            mode,
            address_format: None,
            src_addr: None,
            dest_addr: None,
            fields: BTreeMap::new(),
            texts: BTreeMap::new(),
            keys: BTreeMap::new(),
            node: None,
            service: None,
            flags: GetInfoFlags::empty(),
            provider: None,
            excluded: Vec::new(),
            api: None,
            unchecked_shm: false,
            searching: false,
            error: None,
        }
    }

    /// What the endpoint must be able to do, in place of `FI_MSG`.
    ///
    /// At least one of `MSG`, `TAGGED`, `RMA` and `ATOMIC` must be among it.
    pub fn caps(mut self, caps: Caps) -> Hints {
        self.caps = Some(caps);
        self
    }

    /// The modes that the application can serve.
    ///
    /// Those that this crate serves by itself are offered anyway unless this is called. An endpoint
    /// whose provider insists on another one cannot be opened.
    pub fn mode(mut self, mode: Mode) -> Hints {
        self.mode = mode;
        self.set(Field::DomainMode, mode)
    }

    /// The application leaves room for the provider's header before every message: what it sends and
    /// receives is [`Prefixed`](crate::Prefixed), wherever the provider takes that up
    /// ([`Endpoint::prefix_size`](crate::Endpoint::prefix_size)). The datagrams of EFA and verbs insist on
    /// it.
    #[doc(alias = "FI_MSG_PREFIX")]
    pub fn message_prefix(self) -> Hints {
        let mode = self.mode | Mode::MSG_PREFIX;
        self.mode(mode)
    }

    /// The memory registration modes that the application can cope with.
    ///
    /// Unless this is called, all that this crate serves are offered. `FI_MR_VIRT_ADDR` is never
    /// offered to the shared memory provider, which checks nothing under it: see
    /// [`offer_virt_addr_to_shm`](Self::offer_virt_addr_to_shm).
    #[doc(alias = "fi_mr_mode")]
    pub fn mr_mode(self, mode: MrMode) -> Hints {
        self.mr_mode_offered(mode)
    }

    /// Offers `FI_MR_VIRT_ADDR` to the shared memory provider too: faster remote memory access,
    /// without any check.
    ///
    /// # Safety
    ///
    /// Under this mode the provider honours every key and address, even made-up ones, and goes on
    /// doing so after the region and all that it belongs to is closed. Every process of the same user
    /// that learns this endpoint's address can read and write any memory of this process; none may
    /// do so other than where this process expects it.
    pub unsafe fn offer_virt_addr_to_shm(mut self) -> Hints {
        self.unchecked_shm = true;
        self
    }

    /// The form that addresses must have.
    pub fn address_format(mut self, format: AddressFormat) -> Hints {
        self.address_format = Some(format);
        self
    }

    /// This side's address, in the given form.
    ///
    /// For IP addresses see [`src_socket_addr`](Self::src_socket_addr).
    pub fn src_addr(mut self, format: AddressFormat, bytes: &[u8]) -> Hints {
        match CheckedAddress::new(format, bytes) {
            Ok(address) => self.src_addr = Some(address),
            Err(error) => self.fail(error),
        }
        self
    }

    /// The peer's address, in the given form.
    ///
    /// For IP addresses see [`dest_socket_addr`](Self::dest_socket_addr).
    pub fn dest_addr(mut self, format: AddressFormat, bytes: &[u8]) -> Hints {
        match CheckedAddress::new(format, bytes) {
            Ok(address) => self.dest_addr = Some(address),
            Err(error) => self.fail(error),
        }
        self
    }

    /// This side's IP address and port.
    pub fn src_socket_addr(mut self, address: SocketAddr) -> Hints {
        self.src_addr = Some(CheckedAddress::from_socket_addr(address));
        self
    }

    /// The peer's IP address and port.
    pub fn dest_socket_addr(mut self, address: SocketAddr) -> Hints {
        self.dest_addr = Some(CheckedAddress::from_socket_addr(address));
        self
    }

    /// The name or address of the peer, or with [`source`](Self::source) of this side.
    pub fn node(mut self, node: impl Into<String>) -> Hints {
        self.node = self.text("node", node.into());
        self
    }

    /// The port or service name that goes with the [`node`](Self::node).
    pub fn service(mut self, service: impl Into<String>) -> Hints {
        self.service = self.text("service", service.into());
        self
    }

    /// [`node`](Self::node) and [`service`](Self::service) name this side: to listen there, or to
    /// be reachable there.
    #[doc(alias = "FI_SOURCE")]
    pub fn source(self) -> Hints {
        self.flags(GetInfoFlags::SOURCE)
    }

    /// Adds options of the query.
    pub fn flags(mut self, flags: GetInfoFlags) -> Hints {
        self.flags |= flags;
        self
    }

    /// The provider to take.
    ///
    /// Without a `;` it names the core provider, under any utility layer, and the best match wins:
    /// `tcp` with reliable datagrams is `tcp;ofi_rxm` on libfabric 1.17, and `tcp` itself on 2.x.
    /// With a `;` it must match as a whole: `tcp;ofi_rxm`.
    /// [`Info::provider`](super::Info::provider) tells what was taken.
    pub fn provider(mut self, name: impl Into<String>) -> Hints {
        let name = name.into();
        let exact = name.contains(';');
        if name.is_empty() {
            self.fail(Error::invalid("Hints::provider", "the name is empty"));
        } else if let Some(name) = self.text("provider", name) {
            self.provider = Some(ProviderFilter { name, exact });
        }
        self
    }

    /// A provider to leave out, named as in [`provider`](Self::provider). May be called again for
    /// further ones.
    pub fn exclude_provider(mut self, name: impl Into<String>) -> Hints {
        self.excluded.push(name.into().into());
        self
    }

    /// Which calls the application promises to keep apart: `Safe` (none, the default), or `Domain`.
    ///
    /// `FI_THREAD_COMPLETION` is refused: `Safe` covers it, and `Domain` is faster.
    #[doc(alias = "fi_threading")]
    pub fn threading(mut self, model: ThreadingModel) -> Hints {
        if !matches!(model, ThreadingModel::Safe | ThreadingModel::Domain | ThreadingModel::Unspec)
        {
            self.fail(Error::invalid("Hints::threading", format!("{model} is not served")));
            return self;
        }
        self.threading_model(model)
    }

    /// How many transmit contexts a scalable endpoint has.
    pub fn tx_contexts(self, count: usize) -> Hints {
        self.tx_contexts_or_shared(Contexts(count))
    }

    /// How many receive contexts a scalable endpoint has.
    pub fn rx_contexts(self, count: usize) -> Hints {
        self.rx_contexts_or_shared(Contexts(count))
    }

    /// The endpoint is to use a shared transmit context.
    #[doc(alias = "FI_SHARED_CONTEXT")]
    pub fn share_tx_context(self) -> Hints {
        self.tx_contexts_or_shared(Contexts::SHARED)
    }

    /// The endpoint is to use a shared receive context.
    #[doc(alias = "FI_SHARED_CONTEXT")]
    pub fn share_rx_context(self) -> Hints {
        self.rx_contexts_or_shared(Contexts::SHARED)
    }

    /// The name of the domain, which is that of a device or an interface.
    pub fn domain_name(mut self, name: impl Into<String>) -> Hints {
        if let Some(name) = self.text("domain name", name.into()) {
            self.texts.insert(Text::Domain, name);
        }
        self
    }

    /// The name of the fabric, for IP providers the network: `127.0.0.0/8`.
    pub fn fabric_name(mut self, name: impl Into<String>) -> Hints {
        if let Some(name) = self.text("fabric name", name.into()) {
            self.texts.insert(Text::Fabric, name);
        }
        self
    }

    /// The authorization key of the endpoint. It is copied; the copy is not erased.
    pub fn endpoint_auth_key(self, key: &[u8]) -> Hints {
        self.key(Key::Endpoint, key)
    }

    /// The authorization key of the domain. It is copied; the copy is not erased.
    pub fn domain_auth_key(mut self, key: &[u8]) -> Hints {
        self.fields.remove(&Field::DomainAuthKeySize);
        self.key(Key::Domain, key)
    }

    /// The domain's authorization keys are those that its address vectors hold (1.20), in place of one
    /// key of its own: see [`AddressVector::insert_auth_key`](crate::AddressVector::insert_auth_key).
    #[doc(alias = "FI_AV_AUTH_KEY")]
    pub fn auth_keys_in_vectors(mut self) -> Hints {
        self.keys.remove(&Key::Domain);
        self.domain_auth_key_size(ofi_sys::FI_AV_AUTH_KEY)
    }

    /// Asks for an older version of libfabric's interface than the newest that both sides know.
    ///
    /// A newer one is refused, and so is one before 1.17.
    pub fn api_version(mut self, version: Version) -> Hints {
        self.api = Some(version);
        self
    }

    pub(super) fn set<T: Word>(mut self, field: Field, value: T) -> Hints {
        self.fields.insert(field, value.word());
        self
    }

    fn key(mut self, which: Key, key: &[u8]) -> Hints {
        if key.is_empty() {
            self.fail(Error::invalid("authorization key", "it is empty"));
        } else {
            self.keys.insert(which, key.into());
        }
        self
    }

    fn text(&mut self, what: &str, text: String) -> Option<CString> {
        CString::new(text)
            .map_err(|_| self.fail(Error::invalid("Hints", format!("the {what} holds a NUL"))))
            .ok()
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// The version to ask for, if all that was set can be passed on to it.
    pub(super) fn check(&self) -> Result<Version> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let known = api_version();
        let api = self.api.unwrap_or(known);
        if api > known {
            // The library refuses what it does not know, and this crate would misread the rest.
            return Err(Error::unsupported("Hints::api_version", Needs::Version(api)));
        }
        if api < Version::OLDEST {
            let text = format!("{api} is older than {}", Version::OLDEST);
            return Err(Error::invalid("Hints::api_version", text));
        }
        let idle = |caps: &Caps| !self.searching && !caps.intersects(Caps::TRANSFERS);
        if let Some(caps) = self.caps.filter(idle) {
            let text = format!("{caps} has none of FI_MSG, FI_TAGGED, FI_RMA and FI_ATOMIC");
            return Err(Error::invalid("Hints::caps", text));
        }
        let formats = self.src_addr.iter().chain(&self.dest_addr).map(CheckedAddress::format);
        let mut formats = formats.chain(self.address_format);
        if let Some(first) = formats.next() {
            if let Some(other) = formats.find(|format| *format != first) {
                let text = format!("addresses of two forms: {first} and {other}");
                return Err(Error::invalid("Hints", text));
            }
            newest_or(api, first.since(), "Hints::address_format")?;
        }
        newest_or(api, self.caps.map_or(Version::OLDEST, Caps::since), "Hints::caps")?;
        newest_or(api, self.flags.since(), "Hints::flags")?;
        for (field, value) in &self.fields {
            let kind = field.kind();
            newest_or(api, kind.since.max((kind.value_since)(*value)), kind.label)?;
            // A build linked to an older libfabric is bound to the older symbol, which drops the
            // members that were appended since.
            if ofi_sys::LINKED_VERSION.is_some_and(|linked| Version::from_raw(linked) < kind.since)
            {
                return Err(Error::unsupported(kind.label, Needs::Dlopen));
            }
        }
        Ok(api)
    }
}

/// Fails unless `api` is at least `needed`.
fn newest_or(api: Version, needed: Version, what: &'static str) -> Result<()> {
    debug_assert!(api <= version());
    if api < needed {
        return Err(Error::unsupported(what, Needs::Version(needed)));
    }
    Ok(())
}

impl Default for Hints {
    fn default() -> Hints {
        Hints::new()
    }
}

/// All that is asked for, in one line, without what [`Hints::new`] asks for by itself.
impl fmt::Display for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lossy = |text: &CString| text.to_string_lossy().into_owned();
        let mut parts = Vec::new();
        if let Some(provider) = &self.provider {
            parts.push(format!("provider {}", lossy(&provider.name)));
        }
        parts.extend(self.excluded.iter().map(|name| format!("no provider {name}")));
        match self.caps {
            Some(caps) => parts.push(format!("caps {caps}")),
            None => parts.push("any caps".into()),
        }
        parts.extend(self.node.iter().map(|node| format!("node {}", lossy(node))));
        parts.extend(self.service.iter().map(|service| format!("service {}", lossy(service))));
        if !self.flags.is_empty() {
            parts.push(format!("flags {}", self.flags));
        }
        for (name, address) in [("src_addr", &self.src_addr), ("dest_addr", &self.dest_addr)] {
            parts.extend(address.iter().map(|address| format!("{name} in {}", address.format())));
        }
        parts.extend(self.address_format.map(|format| format!("addr_format {format}")));
        let new = Hints::new();
        if self.mode != new.mode {
            parts.push(format!("mode {}", self.mode));
        }
        for (field, value) in &self.fields {
            if new.fields.get(field) == Some(value) {
                continue;
            }
            let kind = field.kind();
            parts.push(format!("{} {}", kind.label, (kind.show)(*value)));
        }
        parts.extend(self.texts.iter().map(|(text, name)| format!("{text:?} {}", lossy(name))));
        parts.extend(self.keys.keys().map(|key| format!("{key:?} authorization key")));
        parts.extend(self.api.map(|api| format!("API {api}")));
        f.write_str(&parts.join("; "))
    }
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hints({self})")
    }
}
