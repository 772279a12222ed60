//! Asking libfabric, and picking from the answer.

use std::{
    ffi::{CStr, CString},
    ptr::{self, NonNull},
};

use super::{
    hints::{Hints, Key, ProviderFilter, Text},
    hints_fields::Field,
    info::{Info, InfoList, core_name},
    raw::{RawList, replace_bytes, replace_string},
};
use crate::{
    attr::AddressFormat,
    error::{Error, ErrorKind, Result, check},
    flags::MrMode,
    version::Version,
};

/// Providers that check neither keys nor bounds under `FI_MR_VIRT_ADDR`, and honour remote access
/// even to what was closed long ago (facts measured on 1.17 and 2.1): safe hints never offer them
/// that mode. `lnx` links others, shared memory among them.
const UNCHECKED: [&str; 2] = ["shm", "lnx"];

/// Providers that are taken only where they are named: `net`, of 1.17 alone, claims atomics that it
/// does not have, and crashes.
const ONLY_BY_NAME: [&str; 1] = ["net"];

impl Hints {
    /// Asks libfabric what there is: the best match first.
    ///
    /// May take long where names are resolved. See `fi_getinfo(3)`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) where nothing matches ([`explain`](Self::explain) then
    /// tells why), [`Unsupported`](ErrorKind::Unsupported) and [`Invalid`](ErrorKind::Invalid) for
    /// hints that cannot be passed on, [`Load`](ErrorKind::Load) without a libfabric.
    #[doc(alias = "fi_getinfo")]
    pub fn query(&self) -> Result<InfoList> {
        let found = self.matches()?;
        if found.is_empty() {
            return Err(self.not_found());
        }
        Ok(InfoList::new(found))
    }

    /// What matches; nothing is no error.
    pub(super) fn matches(&self) -> Result<Vec<Info>> {
        load()?;
        let api = self.check()?;
        let provider = self.provider.as_ref().map(|filter| filter.name.as_c_str());
        let found = self.ask(api, provider, None)?;
        let mut taken = Vec::new();
        // A provider without checks is asked again, without the mode that makes it so. Its answers
        // go where the first of the refused ones was.
        let mut asked_again: Vec<String> = Vec::new();
        for info in found {
            if !self.wants(&info) || !self.is_named(&info) {
                continue;
            }
            if !self.is_unchecked(&info) {
                taken.push(info);
            } else if !asked_again.iter().any(|name| name == info.provider()) {
                let name = info.provider().to_owned();
                let again = CString::new(name.as_str()).expect("a C string has no NUL inside");
                let checked = self.ask(api, Some(&again), Some(self.checked_mr_mode()))?;
                taken.extend(checked.into_iter().filter(|info| {
                    info.provider() == name && self.is_named(info) && !self.is_unchecked(info)
                }));
                asked_again.push(name);
            }
        }
        Ok(taken)
    }

    /// The error for an empty answer.
    fn not_found(&self) -> Error {
        Error::new(ErrorKind::NotFound, "fi_getinfo")
            .detail(format!("asked for {self}"))
            .hint("`Hints::explain` tells which hints exclude which provider")
    }

    /// One call of `fi_getinfo`. An empty answer is no error.
    fn ask(
        &self,
        api: Version,
        provider: Option<&CStr>,
        mr_mode: Option<MrMode>,
    ) -> Result<Vec<Info>> {
        let hints = self.build(provider, mr_mode)?;
        // Hints that exclude nothing are not the same as none: providers then leave out entries
        // for applications of old.
        let hints = match (provider, mr_mode) {
            (None, None) if self.asks_for_anything() => None,
            _ => Some(hints),
        };
        let raw_hints = hints.as_ref().map_or(ptr::null_mut(), |hints| hints.head().as_ptr());
        let mut head = ptr::null_mut();
        let node = self.node.as_ref().map_or(ptr::null(), |node| node.as_ptr());
        let service = self.service.as_ref().map_or(ptr::null(), |service| service.as_ptr());
        // SAFETY: the strings are C strings of `self`, `hints` is absent or came from fi_allocinfo
        // and is filled in as rules D2 and D3 ask, `head` may be written, and the version is one
        // that this crate and the library know (rule C). fi_getinfo may be called from any thread
        // (rule D10).
        let status = unsafe {
            ofi_sys::fi_getinfo(
                api.raw(),
                node,
                service,
                self.flags.raw(),
                raw_hints,
                &raw mut head,
            )
        };
        match check(status, "fi_getinfo") {
            Ok(_) => {}
            Err(error) if *error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.detail(format!("asked for {self}"))),
        }
        let Some(head) = NonNull::new(head) else {
            return Ok(Vec::new());
        };
        // SAFETY: a list that fi_getinfo just gave to us alone.
        let list = unsafe { RawList::from_raw(head) };
        Ok(Info::all_of(list).collect())
    }

    /// The hints as libfabric takes them.
    fn build(&self, provider: Option<&CStr>, mr_mode: Option<MrMode>) -> Result<RawList> {
        let list = RawList::empty()?;
        let info = list.head().as_ptr();
        // SAFETY: `info` has all its attributes (fi_allocinfo), zeroed (rule D12), and is ours
        // alone. Fields newer than the running library were refused by `check`, which `matches`
        // calls first. The string and byte members are null or ours, from the C allocator.
        unsafe {
            (*info).caps = self.caps.map_or(0, |caps| caps.raw());
            (*info).mode = self.mode.raw();
            for (field, value) in &self.fields {
                field.write(info, *value);
            }
            if let Some(mode) = mr_mode {
                (*(*info).domain_attr).mr_mode = mode.raw();
            }
            let format = self.src_addr.as_ref().or(self.dest_addr.as_ref());
            let format = format.map(|address| address.format()).or(self.address_format);
            (*info).addr_format = format.unwrap_or(AddressFormat::Unspec).raw();
            if let Some(address) = &self.src_addr {
                let length = &raw mut (*info).src_addrlen;
                replace_bytes(&raw mut (*info).src_addr, length, address.bytes())?;
            }
            if let Some(address) = &self.dest_addr {
                let length = &raw mut (*info).dest_addrlen;
                replace_bytes(&raw mut (*info).dest_addr, length, address.bytes())?;
            }
            let (endpoint, domain, fabric) =
                ((*info).ep_attr, (*info).domain_attr, (*info).fabric_attr);
            for (text, value) in &self.texts {
                let slot = match text {
                    Text::Domain => &raw mut (*domain).name,
                    Text::Fabric => &raw mut (*fabric).name,
                };
                replace_string(slot, value)?;
            }
            for (key, bytes) in &self.keys {
                let (slot, length) = match key {
                    Key::Endpoint => {
                        (&raw mut (*endpoint).auth_key, &raw mut (*endpoint).auth_key_size)
                    }
                    Key::Domain => (&raw mut (*domain).auth_key, &raw mut (*domain).auth_key_size),
                };
                replace_bytes(slot, length, bytes)?;
            }
            if let Some(provider) = provider {
                replace_string(&raw mut (*fabric).prov_name, provider)?;
            }
        }
        Ok(list)
    }

    /// Whether nothing but node, service and flags was set since [`Hints::everything`].
    fn asks_for_anything(&self) -> bool {
        let everything = Hints::everything();
        self.caps.is_none()
            && self.mode == everything.mode
            && self.fields == everything.fields
            && self.address_format.is_none()
            && self.src_addr.is_none()
            && self.dest_addr.is_none()
            && self.texts.is_empty()
            && self.keys.is_empty()
    }

    /// Whether the provider is one that was asked for (rule D11: by the results, not by the
    /// environment).
    fn wants(&self, info: &Info) -> bool {
        let name = info.provider();
        if self.excluded.iter().any(|excluded| names(excluded, name)) {
            return false;
        }
        match &self.provider {
            Some(filter) => filter.takes(name),
            // Listing (`everything`) shows all there is.
            None => self.searching || self.caps.is_none() || !only_by_name(name),
        }
    }

    /// Whether the fabric and the domain are those that were asked for: providers over IP do not
    /// look at the names.
    fn is_named(&self, info: &Info) -> bool {
        let is = |text: Text, name: Option<&str>| {
            let wanted = self.texts.get(&text).map(|wanted| wanted.to_bytes());
            wanted.is_none_or(|wanted| name.is_some_and(|name| name.as_bytes() == wanted))
        };
        is(Text::Fabric, info.fabric().name()) && is(Text::Domain, info.domain().name())
    }

    /// Whether opening this would let others into this process's memory unchecked.
    fn is_unchecked(&self, info: &Info) -> bool {
        !self.unchecked_shm && is_unchecked(info)
    }

    /// What a provider without checks is offered.
    fn checked_mr_mode(&self) -> MrMode {
        let word = self.fields.get(&Field::MrMode).copied().unwrap_or(0);
        MrMode::from_raw(word as i32) - (MrMode::VIRT_ADDR | MrMode::BASIC)
    }
}

/// Whether this provider, in this mode, lets others into the process's memory unchecked.
fn is_unchecked(info: &Info) -> bool {
    info.domain().mr_mode().intersects(MrMode::VIRT_ADDR | MrMode::BASIC)
        && info
            .provider()
            .split(';')
            .any(|part| UNCHECKED.iter().any(|name| part.eq_ignore_ascii_case(name)))
}

/// Whether a provider is taken only where it is named.
pub(super) fn only_by_name(provider: &str) -> bool {
    ONLY_BY_NAME.iter().any(|only| core_name(provider).eq_ignore_ascii_case(only))
}

impl ProviderFilter {
    /// Whether it takes the provider of this (layered) name.
    pub(super) fn takes(&self, provider: &str) -> bool {
        self.name.to_str().is_ok_and(|name| names(name, provider))
    }
}

/// Whether `name` names `provider`: as a whole, or where it has no `;` as its core.
pub(super) fn names(name: &str, provider: &str) -> bool {
    name.eq_ignore_ascii_case(provider)
        || !name.contains(';') && core_name(provider).eq_ignore_ascii_case(name)
}

/// Makes sure that there is a libfabric.
pub(crate) fn load() -> Result<()> {
    ofi_sys::load()
        .map_err(|error| Error::new(ErrorKind::Load, "load libfabric").detail(error.to_string()))
}
