//! Numbers of the user's own for addresses: what completions then call a peer (rule A11). And groups
//! of peers.

use super::{Address, AddressVector, AddressVectorBuilder, FabricAddress, Known};
use crate::{
    Caps, Error, ErrorKind, Info, Result, Version,
    error::{Needs, check},
    quirks::{Defect, quirk},
    threading::{Lock, Threading},
    version,
};

const NO_IDS: Needs = Needs::Property("a provider that reports the user's numbers");

/// How a vector's addresses get numbers of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// Not at all.
    None,
    /// With each insert. Receives from one peer alone are matched by them, too.
    Insert {
        /// The largest that the provider has room for.
        most: u64,
    },
    /// In a call of their own.
    Call,
}

impl Ids {
    /// How the provider does it.
    pub(super) fn of(info: &Info) -> Result<Ids> {
        const NAME: &str = "fi_av_open";
        /// What these providers sort received messages by is an index of a table of this size.
        const INSERT: Ids = Ids::Insert { most: (1 << 20) - 1 };
        const CALLED_SINCE: Version = Version::new(1, 20);
        const RXM_SINCE: Version = Version::new(2, 6);
        /// Before, it was not looked at.
        const SHM_SINCE: Version = Version::new(2, 0);
        let provider = info.provider();
        if let Some(quirk) = quirk(provider, Defect::UserIdLost) {
            return Err(Error::unsupported(NAME, NO_IDS)
                .detail(format!("{} (defect #{})", quirk.text, quirk.id)));
        }
        match provider.rsplit(';').next().unwrap_or_default() {
            "shm" | "sm2" if version() >= SHM_SINCE => Ok(INSERT),
            "shm" => Err(Error::unsupported(NAME, Needs::Version(SHM_SINCE))),
            "ofi_rxm" if version() >= RXM_SINCE => Ok(INSERT),
            "ofi_rxm" => Err(Error::unsupported(NAME, Needs::Version(RXM_SINCE))),
            // They refuse the flag, or take and forget it.
            "tcp" | "udp" | "sockets" | "net" | "ofi_rxd" => Err(Error::unsupported(NAME, NO_IDS)),
            _ if version() < CALLED_SINCE => {
                Err(Error::unsupported(NAME, Needs::Version(CALLED_SINCE)))
            }
            _ if info.domain().caps().contains(Caps::AV_USER_ID) => Ok(Ids::Call),
            _ => Err(Error::unsupported(NAME, Needs::Capability("FI_AV_USER_ID"))
                .hint("ask for it in the hints: Hints::domain_caps")),
        }
    }

    pub(super) fn open_flags(self) -> u64 {
        match self {
            Ids::Call => ofi_sys::FI_AV_USER_ID,
            Ids::None | Ids::Insert { .. } => 0,
        }
    }
}

impl<T: Threading> AddressVectorBuilder<T> {
    /// Every address is inserted with a number of the user's
    /// ([`insert_with_id`](AddressVector::insert_with_id)), which is what
    /// [`Received::source`](crate::Received::source) then says.
    ///
    /// Shared memory has it since 2.0, `ofi_rxm` since 2.6; other providers may with
    /// [`Caps::AV_USER_ID`] among the [domain's capabilities](crate::Hints::domain_caps).
    #[doc(alias = "FI_AV_USER_ID")]
    pub fn user_ids(mut self) -> Self {
        self.user_ids = true;
        self
    }
}

impl<T: Threading> AddressVector<T> {
    /// Inserts a peer's address under a number of the user's, which no other address of the vector
    /// has. The same address again, with the same number, gives the same handle; it is then to be
    /// removed twice.
    ///
    /// # Errors
    ///
    /// `Invalid` if the vector was not opened with [`user_ids`](AddressVectorBuilder::user_ids), the
    /// number is another address's, or the address has another; [`ErrorKind::TooLarge`] if the
    /// provider has no room for a number as large as that; otherwise as [`insert`](Self::insert).
    #[doc(alias = "fi_av_insert")]
    #[doc(alias = "FI_AV_USER_ID")]
    pub fn insert_with_id(&self, address: &FabricAddress, id: u64) -> Result<Address> {
        const NAME: &str = "fi_av_insert";
        self.fits(NAME, id)?;
        let bytes = self.checked(address)?;
        let mut table = self.0.table.lock();
        self.sweep(&mut table);
        let (known, retired) = (table.known.contains_key(address.bytes()), {
            table.retired.iter().any(|(_, bytes)| **bytes == *address.bytes())
        });
        match table.ids.get(&id) {
            Some(named) if **named != *address.bytes() => return Err(taken(NAME, id)),
            None if known || retired => {
                return Err(Error::invalid(NAME, format!("{address} has another number"))
                    .hint("remove it first; operations in flight keep it until they have ended"));
            }
            _ => {}
        }
        if let Some(Known { address, count }) = table.known.get_mut(address.bytes()) {
            *count += 1;
            return Ok(*address);
        }
        if let Some(address) = table.revive(address.bytes()) {
            return Ok(address);
        }
        if super::local::is_gone(address.bytes()) {
            return Err(Error::new(ErrorKind::StaleAddress, NAME)
                .detail(format!("{address} was an endpoint of this process, which is closed")));
        }
        let (given, flags) = match self.0.ids {
            Ids::Insert { .. } => (id, ofi_sys::FI_AV_USER_ID),
            _ => (ofi_sys::FI_ADDR_NOTAVAIL, 0),
        };
        let raw = self
            .0
            .insert_given(&bytes, given, flags)?
            .ok_or_else(|| Error::invalid(NAME, format!("the provider did not take {address}")))?;
        if self.0.ids == Ids::Call {
            self.name(raw, id).inspect_err(|_| self.discard(raw))?;
        }
        table.ids.insert(id, address.bytes().into());
        let matched = if flags == 0 { raw } else { id };
        Ok(table.add(self.0.id, raw, matched, address.bytes()))
    }

    /// Gives an address another number.
    ///
    /// # Errors
    ///
    /// `Unsupported` where numbers are given with the insert only (shared memory, `ofi_rxm`);
    /// `StaleAddress` if it is not in this vector; otherwise as
    /// [`insert_with_id`](Self::insert_with_id).
    #[doc(alias = "fi_av_set_user_id")]
    pub fn set_user_id(&self, address: Address, id: u64) -> Result<()> {
        const NAME: &str = "fi_av_set_user_id";
        self.fits(NAME, id)?;
        if self.0.ids != Ids::Call {
            return Err(Error::unsupported(
                NAME,
                Needs::Property("a provider whose numbers can be changed"),
            ));
        }
        let mut table = self.0.table.lock();
        self.own(address)?;
        let address = self.peer(address);
        let bytes = table.by_raw.get(&address.raw).cloned();
        let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::StaleAddress, NAME))?;
        match table.ids.get(&id) {
            Some(named) if *named == bytes => return Ok(()),
            Some(_) => return Err(taken(NAME, id)),
            None => {}
        }
        self.name(address.raw, id)?;
        table.ids.retain(|_, named| *named != bytes);
        table.ids.insert(id, bytes);
        Ok(())
    }

    /// The number that completions call an address by: the user's, or the provider's where the vector
    /// has none.
    ///
    /// # Errors
    ///
    /// `StaleAddress` if it is not in this vector.
    pub fn reported(&self, address: Address) -> Result<u64> {
        let table = self.0.table.lock();
        self.own(address)?;
        let address = self.peer(address);
        let bytes = table.by_raw.get(&address.raw);
        let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::StaleAddress, "address vector"))?;
        match self.0.ids {
            Ids::None => Ok(address.raw),
            _ => table
                .ids
                .iter()
                .find_map(|(id, named)| (named == bytes).then_some(*id))
                .ok_or_else(|| Error::new(ErrorKind::StaleAddress, "address vector")),
        }
    }

    /// A member of a group of peers: `address`, as that group reaches it. Good for operations; it is
    /// `address` itself that is removed and looked up.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider, or the running library (2.0), has no groups; `StaleAddress` if
    /// the address is not in this vector; [`ErrorKind::TooLarge`] beyond the domain's largest group.
    // rule A8
    #[doc(alias = "fi_group_addr")]
    pub fn in_group(&self, address: Address, group: u32) -> Result<Address> {
        const NAME: &str = "fi_group_addr";
        let limit = match self.0.domain.info.domain().max_group_id() {
            None => return Err(Error::unsupported(NAME, Needs::Version(Version::new(2, 0)))),
            Some(0) => {
                return Err(Error::unsupported(NAME, Needs::Property("a provider with groups")));
            }
            // The highest bits may name receive contexts.
            Some(limit) => limit.min(u32::MAX >> self.0.context_bits),
        };
        let table = self.0.table.lock();
        self.own(address)?;
        if !table.by_raw.contains_key(&address.raw) {
            return Err(
                Error::new(ErrorKind::StaleAddress, NAME).detail("it is in a group already")
            );
        }
        if group > limit {
            return Err(Error::new(ErrorKind::TooLarge { limit: limit as usize }, NAME));
        }
        Ok(Address { raw: ofi_sys::fi_group_addr(address.raw, group), ..address })
    }

    /// Fails for a vector whose addresses have numbers of the user's.
    pub(super) fn without_id(&self, attempted: &'static str) -> Result<()> {
        if self.0.ids == Ids::None {
            return Ok(());
        }
        Err(Error::invalid(attempted, "the vector's addresses have numbers of the user's")
            .hint("insert_with_id inserts with one"))
    }

    /// Whether there can be such a number here.
    fn fits(&self, attempted: &'static str, id: u64) -> Result<()> {
        let most = match self.0.ids {
            Ids::None => {
                return Err(Error::invalid(attempted, "the vector was opened without numbers")
                    .hint("open it with AddressVectorBuilder::user_ids"));
            }
            Ids::Insert { most } => most,
            // The last one means that there is none.
            Ids::Call => u64::MAX - 1,
        };
        if id > most {
            let limit = usize::try_from(most).unwrap_or(usize::MAX);
            return Err(Error::new(ErrorKind::TooLarge { limit }, attempted));
        }
        Ok(())
    }

    /// Has completions call an entry by the user's number.
    fn name(&self, raw: u64, id: u64) -> Result<()> {
        const NAME: &str = "fi_av_set_user_id";
        // SAFETY: the vector is open, the number is one that it gave out and that nobody has removed.
        let status = unsafe { ofi_sys::fi_av_set_user_id(self.0.fid.as_ptr(), raw, id, 0) };
        check(i64::from(status), NAME).map(drop).map_err(|error| error.absent(NO_IDS))
    }
}

fn taken(attempted: &'static str, id: u64) -> Error {
    Error::invalid(attempted, format!("{id} is another address's number"))
}
