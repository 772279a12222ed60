//! Address vectors that processes share by name (rule A10).

use std::ffi::CString;

use super::{AddressVector, AddressVectorBuilder, FabricAddress};
use crate::{
    Address, Caps, Error, ErrorKind, Info, Result,
    error::Needs,
    threading::{Lock, Threading},
};

/// How a vector is shared.
#[derive(Debug)]
pub(super) struct Sharing {
    /// Kept for as long as the vector: the provider keeps the pointer.
    pub(super) name: CString,
    /// What it holds is another process's to change.
    pub(super) read_only: bool,
}

impl Sharing {
    /// That the provider can share this one.
    pub(super) fn check(&self, info: &Info, numbered: bool) -> Result<()> {
        const NAME: &str = "fi_av_open";
        if self.name.is_empty() {
            return Err(Error::invalid(NAME, "the name is empty, or has a NUL in it"));
        }
        if numbered {
            return Err(Error::invalid(NAME, "a shared vector has no numbers of the user's"));
        }
        if !(info.caps() | info.domain().caps()).contains(Caps::SHARED_AV) {
            return Err(Error::unsupported(NAME, Needs::Capability("FI_SHARED_AV"))
                .hint("ask for the capability in the hints"));
        }
        Ok(())
    }

    pub(super) fn flags(&self) -> u64 {
        if self.read_only { ofi_sys::FI_READ } else { 0 }
    }
}

impl<T: Threading> AddressVectorBuilder<T> {
    /// Shares the vector with other processes of this host that open this name on a domain of the same
    /// name: makes it, or takes the one that is there. A provider that does (sockets) needs
    /// [`Caps::SHARED_AV`].
    ///
    /// An address has the same place in all of them
    /// ([`Address::as_raw`], [`AddressVector::address_at`]). `map_addr` is not offered: this crate's
    /// vectors are tables.
    ///
    /// # Safety
    ///
    /// Places are looked up in memory that the processes share, unchecked:
    /// - every process that can open the name is trusted to change it through libfabric only, and runs
    ///   the same libfabric;
    /// - all open it with the same [`count`](Self::count), and no more addresses than that are ever in
    ///   it;
    /// - one process at a time inserts and removes, and none removes an address that another process
    ///   still uses.
    #[doc(alias = "FI_SHARED_AV")]
    pub unsafe fn shared(self, name: &str) -> Self {
        self.sharing(name, false)
    }

    /// As [`shared`](Self::shared), of a vector that is there, to look up and send to what is in it:
    /// inserting finds an address that another process has inserted, removing forgets it here.
    ///
    /// # Safety
    ///
    /// As [`shared`](Self::shared).
    #[doc(alias = "FI_READ")]
    pub unsafe fn shared_read_only(self, name: &str) -> Self {
        self.sharing(name, true)
    }

    fn sharing(mut self, name: &str, read_only: bool) -> Self {
        let name = CString::new(name).unwrap_or_default();
        self.sharing = Some(Sharing { name, read_only });
        self
    }
}

impl<T: Threading> AddressVector<T> {
    /// The address at a place of a shared vector, which any of its processes may have inserted.
    ///
    /// # Errors
    ///
    /// `Invalid` for a vector that is not shared; `NotFound` if nothing is there. Before libfabric 2.6 an
    /// address that was removed is still found.
    pub fn address_at(&self, place: u64) -> Result<Address> {
        const NAME: &str = "fi_av_lookup";
        if self.0.sharing.is_none() {
            return Err(Error::invalid(NAME, "the vector is not shared"));
        }
        let mut table = self.0.table.lock();
        self.sweep(&mut table);
        let bytes = self.looked_up(place).map_err(|error| {
            Error::new(ErrorKind::NotFound, NAME).detail(format!("place {place}: {error}"))
        })?;
        // Before 2.6 sockets finds zeroes where nothing was.
        if crate::info::decode(self.0.format, &bytes).is_none() {
            return Err(Error::new(ErrorKind::NotFound, NAME).detail(format!("place {place}")));
        }
        if let Some(known) = table.known.get_mut(&*bytes) {
            known.count += 1;
            return Ok(known.address);
        }
        if let Some(address) = table.revive(&bytes) {
            return Ok(address);
        }
        let found = FabricAddress::from_provider(self.0.format, &bytes);
        Ok(table.add(self.0.id, place, place, found.bytes()))
    }
}
