//! Authorization keys in address vectors (rule A12).

use super::{Address, AddressVector, FabricAddress};
use crate::{
    Errno, Error, ErrorKind, Result, Version,
    error::{Needs, check},
    object::CloseError,
    threading::{Lock, Threading},
    version,
};

const SINCE: Version = Version::new(1, 20);
const MISSING: Needs = Needs::Property("a provider whose vectors hold authorization keys");

/// An authorization key in an [`AddressVector`]: stands for all peers that hold it.
///
/// Leaves the vector with [`AddressVector::remove_auth_key`], or when that closes.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "dropping it leaves the key in its vector"]
pub struct AuthKey {
    raw: u64,
    vector: u64,
}

impl AuthKey {
    /// The provider's number for it (`fi_addr_t`), for calls that this crate does not wrap: good only
    /// with FI_AUTH_KEY.
    #[must_use]
    pub fn as_raw(&self) -> u64 {
        self.raw
    }
}

/// Keys: of a domain that was asked for with
/// [`Hints::auth_keys_in_vectors`](crate::Hints::auth_keys_in_vectors). `Unsupported` where the
/// provider, or the running library (1.20), has no such thing. Endpoints that are enabled later hold all
/// keys that are in their vector by then.
impl<T: Threading> AddressVector<T> {
    /// Puts a key into the vector. What keys look like is the provider's.
    ///
    /// # Errors
    ///
    /// `Unsupported` as above; what the provider says (the key has a wrong length).
    #[doc(alias = "fi_av_insert_auth_key")]
    pub fn insert_auth_key(&self, key: &[u8]) -> Result<AuthKey> {
        const NAME: &str = "fi_av_insert_auth_key";
        self.holds_keys(NAME)?;
        let _table = self.0.table.lock();
        let mut raw = ofi_sys::FI_ADDR_NOTAVAIL;
        // SAFETY: the vector is open; the key is as long as stated and read during the call; one number
        // is written.
        let status = unsafe {
            let (av, bytes) = (self.0.fid.as_ptr(), key.as_ptr().cast());
            ofi_sys::fi_av_insert_auth_key(av, bytes, key.len(), &raw mut raw, 0)
        };
        check(i64::from(status), NAME).map_err(|error| error.absent(MISSING))?;
        if raw == ofi_sys::FI_ADDR_NOTAVAIL {
            return Err(Error::new(ErrorKind::Failed, NAME).detail("it left no number"));
        }
        Ok(AuthKey { raw, vector: self.0.id })
    }

    /// The bytes of a key.
    ///
    /// # Errors
    ///
    /// `StaleAddress` for a key of another vector; what the provider says.
    #[doc(alias = "fi_av_lookup_auth_key")]
    pub fn lookup_auth_key(&self, key: &AuthKey) -> Result<Vec<u8>> {
        self.own_key(key)?;
        let _table = self.0.table.lock();
        self.key_of(key.raw)
    }

    /// The bytes of the key that an address was inserted for.
    ///
    /// # Errors
    ///
    /// `StaleAddress` for an address that is not in this vector; what the provider says.
    #[doc(alias = "fi_av_lookup_auth_key")]
    pub fn auth_key_of(&self, address: Address) -> Result<Vec<u8>> {
        self.holds_keys("fi_av_lookup_auth_key")?;
        let table = self.0.table.lock();
        self.own(address)?;
        if !table.by_raw.contains_key(&address.raw) {
            return Err(Error::new(ErrorKind::StaleAddress, "fi_av_lookup_auth_key"));
        }
        self.key_of(address.raw)
    }

    /// Inserts a peer's address as one that holds `key`. An address is in a vector for one key at most.
    ///
    /// # Errors
    ///
    /// `Invalid` if the address is in the vector already, or still named by operations in flight;
    /// `StaleAddress` for a key of another vector; otherwise as [`insert`](Self::insert).
    #[doc(alias = "fi_av_insert")]
    #[doc(alias = "FI_AUTH_KEY")]
    pub fn insert_for_key(&self, address: &FabricAddress, key: &AuthKey) -> Result<Address> {
        const NAME: &str = "fi_av_insert";
        self.own_key(key)?;
        self.without_id(NAME)?;
        let bytes = self.checked(address)?;
        let mut table = self.0.table.lock();
        self.sweep(&mut table);
        let same = address.bytes();
        if table.known.contains_key(same) || table.retired.iter().any(|(_, b)| **b == *same) {
            return Err(Error::invalid(NAME, format!("{address} is in the vector already"))
                .hint("remove it first; operations in flight keep it until they have ended"));
        }
        let raw = self.0.insert_given(&bytes, key.raw, ofi_sys::FI_AUTH_KEY)?;
        let raw = raw
            .ok_or_else(|| Error::invalid(NAME, format!("the provider did not take {address}")))?;
        Ok(table.add(self.0.id, raw, raw, same))
    }

    /// Takes a key out of the vector.
    ///
    /// # Errors
    ///
    /// Gives the key back while endpoints that hold it are open; what else the provider says, and then
    /// it stays until the vector closes.
    #[doc(alias = "fi_av_remove")]
    #[doc(alias = "FI_AUTH_KEY")]
    pub fn remove_auth_key(&self, key: AuthKey) -> Result<(), CloseError<AuthKey>> {
        const NAME: &str = "fi_av_remove";
        if let Err(error) = self.own_key(&key) {
            return Err(CloseError::Failed(error));
        }
        let _table = self.0.table.lock();
        let mut raw = key.raw;
        // SAFETY: the vector is open; the number is that of a key, which its only handle gives up here.
        let status = unsafe {
            ofi_sys::fi_av_remove(self.0.fid.as_ptr(), &raw mut raw, 1, ofi_sys::FI_AUTH_KEY)
        };
        match check(i64::from(status), NAME) {
            Ok(_) => Ok(()),
            Err(error) if error.errno() == Some(Errno::EBUSY) => Err(CloseError::InUse(key)),
            Err(error) => Err(CloseError::Failed(error)),
        }
    }

    fn key_of(&self, raw: u64) -> Result<Vec<u8>> {
        const NAME: &str = "fi_av_lookup_auth_key";
        let mut bytes = vec![0_u8; 256];
        for _ in 0..2 {
            let mut length = bytes.len();
            // SAFETY: the vector is open, the number is one it gave out; `length` bytes may be written.
            let status = unsafe {
                let (av, room) = (self.0.fid.as_ptr(), bytes.as_mut_ptr().cast());
                ofi_sys::fi_av_lookup_auth_key(av, raw, room, &raw mut length)
            };
            check(i64::from(status), NAME).map_err(|error| error.absent(MISSING))?;
            if length <= bytes.len() {
                bytes.truncate(length);
                return Ok(bytes);
            }
            // It was cut: `length` is what it takes (rule A6).
            bytes.resize(length, 0);
        }
        Err(Error::invalid(NAME, "the key kept growing"))
    }

    /// Whether keys are asked for at all, before a provider sees flags that it may take for others.
    fn holds_keys(&self, attempted: &'static str) -> Result<()> {
        if version() < SINCE {
            return Err(Error::unsupported(attempted, Needs::Version(SINCE)));
        }
        if !self.0.domain.info.domain().auth_keys_in_vectors() {
            return Err(Error::unsupported(attempted, MISSING)
                .hint("ask for them in the hints: Hints::auth_keys_in_vectors"));
        }
        Ok(())
    }

    fn own_key(&self, key: &AuthKey) -> Result<()> {
        if key.vector == self.0.id {
            return Ok(());
        }
        Err(Error::new(ErrorKind::StaleAddress, "authorization key"))
    }
}
