//! What `fi_getinfo` found.

use std::{ffi::CStr, marker::PhantomData, net::SocketAddr, ptr::NonNull, slice, sync::Arc};

use ofi_sys::fi_info;

use super::{
    address,
    attrs::{DomainAttr, EndpointAttr, FabricAttr, RxAttr, TxAttr},
    nic::Nic,
    raw::RawList,
};
use crate::{
    attr::{AddressFormat, EndpointType},
    error::Result,
    flags::{Caps, Mode},
};

/// One way to communicate: a provider, a device, an endpoint type, and what they offer and ask for.
///
/// Comes from [`Hints::query`](super::Hints::query), or with a connection request. Cheap to clone:
/// the entries of one query share its memory, which goes when the last of them goes.
///
/// `{}` prints it as `fi_info` does, `{:#}` as `fi_info -v` does.
///
/// See `fi_getinfo(3)`.
#[doc(alias = "fi_info")]
#[doc(alias = "fi_tostr")]
#[doc(alias = "fi_tostr_r")]
#[derive(Clone)]
pub struct Info {
    /// An entry of `_list`.
    entry: NonNull<fi_info>,
    _list: Arc<RawList>,
}

// SAFETY: `entry` points into `_list`, which is Send and Sync (see there) and is kept alive; an Info
// only reads it.
unsafe impl Send for Info {}
// SAFETY: as above.
unsafe impl Sync for Info {}

impl Info {
    /// Every entry of a list.
    pub(crate) fn all_of(list: RawList) -> impl Iterator<Item = Info> {
        let list = Arc::new(list);
        let entries: Vec<_> = list.entries().collect();
        entries.into_iter().map(move |entry| Info { entry, _list: Arc::clone(&list) })
    }

    /// The first entry of a list.
    pub(crate) fn first_of(list: RawList) -> Info {
        Info { entry: list.head(), _list: Arc::new(list) }
    }

    /// Takes over the entry that came with a connection request.
    ///
    /// # Safety
    ///
    /// `entry` comes from libfabric and nobody else frees it.
    pub(crate) unsafe fn from_raw(entry: NonNull<fi_info>) -> Info {
        // SAFETY: the caller's word.
        Info::first_of(unsafe { RawList::from_raw(entry) })
    }

    /// The C structure. Alive as long as this `Info` or a clone of it; shared, so whoever passes it
    /// to a call that may write to it passes a [`duplicate`](Self::duplicate) instead.
    pub(crate) fn as_ptr(&self) -> *mut fi_info {
        self.entry.as_ptr()
    }

    /// The C structure, for calls that this crate does not wrap: to be read, not written, for as
    /// long as this `Info` or a clone of it lives.
    #[must_use]
    pub fn as_raw(&self) -> *const fi_info {
        self.as_ptr()
    }

    /// A copy in memory of its own, which nobody else looks at.
    #[doc(alias = "fi_dupinfo")]
    pub(crate) fn duplicate(&self) -> Result<Info> {
        // SAFETY: `entry` is alive as long as `_list`.
        Ok(Info::first_of(unsafe { RawList::duplicate(self.entry) }?))
    }

    /// A copy in memory of its own, changed by `change` before anybody sees it.
    ///
    /// # Safety
    ///
    /// `change` leaves an entry that libfabric can read and free: strings and keys from the C
    /// allocator (rule D3), `handle` alive as long as the copy is used.
    pub(crate) unsafe fn duplicate_with(&self, change: impl FnOnce(*mut fi_info)) -> Result<Info> {
        let copy = self.duplicate()?;
        change(copy.as_ptr());
        Ok(copy)
    }

    /// The capabilities: those asked for, and those that come for free.
    #[must_use]
    pub fn caps(&self) -> Caps {
        // SAFETY: `entry` is alive as long as `_list`; `caps` is in every version's layout.
        Caps::from_raw(unsafe { (*self.as_ptr()).caps })
    }

    /// Whether all of `caps` are among the capabilities.
    #[must_use]
    pub fn supports(&self, caps: Caps) -> bool {
        self.caps().contains(caps)
    }

    /// What the provider asks of the application.
    #[must_use]
    pub fn mode(&self) -> Mode {
        // SAFETY: as in `caps`.
        Mode::from_raw(unsafe { (*self.as_ptr()).mode })
    }

    /// The form of its addresses.
    #[must_use]
    pub fn address_format(&self) -> AddressFormat {
        // SAFETY: as in `caps`.
        AddressFormat::from_raw(unsafe { (*self.as_ptr()).addr_format })
    }

    /// Of how many providers' addresses one of this provider's consists: mrail puts those of its rails
    /// behind each other, and reads as many from any that it is given.
    pub(crate) fn rails(&self) -> usize {
        match self.provider().ends_with(";ofi_mrail") {
            // The address that goes with a key on a rail, and that key.
            true => (self.domain().mr_key_size() / 16).max(1),
            false => 1,
        }
    }

    /// This side's address, in the [`address_format`](Self::address_format).
    #[must_use]
    pub fn src_addr(&self) -> Option<&[u8]> {
        // SAFETY: as in `caps`.
        let (address, length) = unsafe {
            let entry = self.as_ptr();
            ((*entry).src_addr, (*entry).src_addrlen)
        };
        // SAFETY: members of `entry`, alive as long as `self`.
        unsafe { bytes(address.cast(), length) }
    }

    /// The peer's address, in the [`address_format`](Self::address_format).
    #[must_use]
    pub fn dest_addr(&self) -> Option<&[u8]> {
        // SAFETY: as in `caps`.
        let (address, length) = unsafe {
            let entry = self.as_ptr();
            ((*entry).dest_addr, (*entry).dest_addrlen)
        };
        // SAFETY: members of `entry`, alive as long as `self`.
        unsafe { bytes(address.cast(), length) }
    }

    /// This side's IP address and port, where its addresses are such.
    #[must_use]
    pub fn src_socket_addr(&self) -> Option<SocketAddr> {
        address::decode(self.address_format(), self.src_addr()?)
    }

    /// The peer's IP address and port, where its addresses are such.
    #[must_use]
    pub fn dest_socket_addr(&self) -> Option<SocketAddr> {
        address::decode(self.address_format(), self.dest_addr()?)
    }

    /// The transmit side.
    #[doc(alias = "fi_tx_attr")]
    #[must_use]
    pub fn tx(&self) -> TxAttr<'_> {
        // SAFETY: as in `caps`; the attributes live as long as the entry.
        unsafe { TxAttr::new((*self.as_ptr()).tx_attr, PhantomData) }
    }

    /// The receive side.
    #[doc(alias = "fi_rx_attr")]
    #[must_use]
    pub fn rx(&self) -> RxAttr<'_> {
        // SAFETY: as in `tx`.
        unsafe { RxAttr::new((*self.as_ptr()).rx_attr, PhantomData) }
    }

    /// The endpoint.
    #[doc(alias = "fi_ep_attr")]
    #[must_use]
    pub fn endpoint(&self) -> EndpointAttr<'_> {
        // SAFETY: as in `tx`.
        unsafe { EndpointAttr::new((*self.as_ptr()).ep_attr, PhantomData) }
    }

    /// The domain.
    #[doc(alias = "fi_domain_attr")]
    #[must_use]
    pub fn domain(&self) -> DomainAttr<'_> {
        // SAFETY: as in `tx`.
        unsafe { DomainAttr::new((*self.as_ptr()).domain_attr, PhantomData) }
    }

    /// The fabric.
    #[doc(alias = "fi_fabric_attr")]
    #[must_use]
    pub fn fabric(&self) -> FabricAttr<'_> {
        // SAFETY: as in `tx`.
        unsafe { FabricAttr::new((*self.as_ptr()).fabric_attr, PhantomData) }
    }

    /// The network interface, where the provider tells of one.
    #[doc(alias = "fid_nic")]
    #[must_use]
    pub fn nic(&self) -> Option<Nic<'_>> {
        // SAFETY: as in `tx`.
        unsafe { Nic::new((*self.as_ptr()).nic, PhantomData) }
    }

    /// The provider and the layers over it, as `core;utility`: the same as `fabric().provider()`.
    #[must_use]
    pub fn provider(&self) -> &str {
        // SAFETY: as in `tx`; the name lives as long as the entry.
        unsafe {
            let fabric = (*self.as_ptr()).fabric_attr;
            if fabric.is_null() { "" } else { text((*fabric).prov_name).unwrap_or("") }
        }
    }

    /// The provider that drives the device: what [`provider`](Self::provider) says without the
    /// utility layers.
    #[must_use]
    pub fn core_provider(&self) -> &str {
        core_name(self.provider())
    }

    /// The kind of its endpoints: the same as `endpoint().kind()`.
    #[must_use]
    pub fn endpoint_type(&self) -> EndpointType {
        self.endpoint().kind()
    }

    /// How many entries share the memory of this one. For tests.
    #[cfg(test)]
    pub(super) fn sharers(&self) -> usize {
        Arc::strong_count(&self._list)
    }
}

/// The core provider of a layered name: `tcp` of `tcp;ofi_rxm`.
pub(crate) fn core_name(provider: &str) -> &str {
    provider.split(';').find(|part| !part.starts_with("ofi_")).unwrap_or(provider)
}

/// What a query found: best first, never empty.
#[doc(alias = "fi_freeinfo")]
#[derive(Clone, Debug)]
pub struct InfoList(Vec<Info>);

impl InfoList {
    pub(super) fn new(entries: Vec<Info>) -> InfoList {
        debug_assert!(!entries.is_empty());
        InfoList(entries)
    }

    /// The best match.
    #[must_use]
    pub fn best(&self) -> &Info {
        &self.0[0]
    }

    /// The best match, alone.
    #[must_use]
    pub fn into_best(mut self) -> Info {
        self.0.swap_remove(0)
    }

    /// All matches, best first.
    pub fn iter(&self) -> slice::Iter<'_, Info> {
        self.0.iter()
    }

    /// How many matches there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a list is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::ops::Index<usize> for InfoList {
    type Output = Info;

    fn index(&self, index: usize) -> &Info {
        &self.0[index]
    }
}

impl IntoIterator for InfoList {
    type Item = Info;
    type IntoIter = std::vec::IntoIter<Info>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a InfoList {
    type Item = &'a Info;
    type IntoIter = slice::Iter<'a, Info>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The bytes of an address or key, if there are any.
///
/// # Safety
///
/// `start` is null or points to `length` bytes that do not change for `'a`.
pub(super) unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    if start.is_null() || length == 0 || isize::try_from(length).is_err() {
        return None;
    }
    // SAFETY: not null, and the caller's word.
    Some(unsafe { slice::from_raw_parts(start, length) })
}

/// A string member, if it is there; one that is not UTF-8 ends where it stops being so.
///
/// # Safety
///
/// `start` is null or a C string that does not change for `'a`.
pub(super) unsafe fn text<'a>(start: *const libc::c_char) -> Option<&'a str> {
    if start.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller's word.
    let bytes = unsafe { CStr::from_ptr(start) }.to_bytes();
    Some(match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
    })
}
