//! What a peer knows of a region: where, how long, by which key, with which rights.

use std::{ops::RangeBounds, sync::Arc};

use super::NAME;
use crate::{Access, Error, Result, memory::part};

/// A peer's exposed region: made by [`ExposedRegion::remote`](crate::ExposedRegion::remote), sent to
/// whoever shall access it ([`to_bytes`](Self::to_bytes)).
///
/// Nothing in it can be trusted, and nothing needs to be: a wrong key or address fails at the owner,
/// or changes nothing there.
///
/// Where the owner's domain has `FI_MR_RAW` its key is longer than 64 bits, and has to be mapped
/// before it is used: [`Domain::map`](crate::Domain::map), which takes every region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<u8>", into = "Vec<u8>"))]
pub struct RemoteRegion(Parts);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Parts {
    /// The address of its first byte: the owner's, or 0 (rule M6).
    pub(super) base: u64,
    pub(super) len: u64,
    /// `FI_KEY_NOTAVAIL` where there is a raw one.
    pub(super) key: u64,
    pub(super) rights: Access,
    pub(super) raw: Option<RawKey>,
}

/// A key in the provider's own form (rule M8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RawKey {
    /// What goes with it when it is mapped.
    pub(super) base: u64,
    pub(super) key: Arc<[u8]>,
}

impl RawKey {
    /// Bytes of the longest one that is taken.
    pub(super) const MOST: usize = 4096;
}

/// Some bytes of a [`RemoteRegion`]: what is read, or written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemoteSlice {
    pub(crate) addr: u64,
    pub(crate) len: usize,
    /// As `kind` says.
    pub(crate) key: u64,
    pub(crate) rights: Access,
    pub(crate) kind: KeyKind,
}

/// What a slice's key is: bits, so that those of several slices can be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub(crate) enum KeyKind {
    /// The provider's, as it is.
    Plain = 1,
    /// The number of a mapping, see `mapped.rs`.
    Mapped = 2,
    /// None: the region's is raw, and has to be mapped first.
    Raw = 4,
}

/// The forms of the bytes: with a key of 64 bits, and with a raw one.
const PLAIN: u8 = 1;
const RAW: u8 = 2;
const READ: u8 = 1;
const WRITE: u8 = 2;
const BYTES: usize = 26;

impl RemoteRegion {
    pub(super) fn new(parts: Parts) -> RemoteRegion {
        RemoteRegion(parts)
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// What a peer says of its region in a form of its own: a program in C, mostly.
    ///
    /// `addr` is the address of the first byte, or 0 where that peer's domain has no
    /// `FI_MR_VIRT_ADDR` (rule M6); `access` what it permits.
    ///
    /// # Errors
    ///
    /// `Invalid` if the region goes beyond the last address.
    pub fn from_parts(addr: u64, len: u64, key: u64, access: Access) -> Result<RemoteRegion> {
        if addr.checked_add(len).is_none() {
            return Err(Error::invalid(NAME, "the region goes beyond the last address"));
        }
        let rights = access & (Access::REMOTE_READ | Access::REMOTE_WRITE);
        Ok(RemoteRegion(Parts { base: addr, len, key, rights, raw: None }))
    }

    /// Where a peer begins to count: the owner's address of the first byte, or 0 (rule M6).
    #[must_use]
    pub fn addr(&self) -> u64 {
        self.0.base
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// What its owner permits: `REMOTE_READ`, `REMOTE_WRITE`.
    #[must_use]
    pub fn access(&self) -> Access {
        self.0.rights
    }

    /// The key that the owner's domain knows it by; `u64::MAX` where it is longer.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.0.key
    }

    /// The key in the provider's own form, where it is longer than 64 bits (`FI_MR_RAW`).
    #[must_use]
    pub fn raw_key(&self) -> Option<&[u8]> {
        self.0.raw.as_ref().map(|raw| &*raw.key)
    }

    /// Some of its bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not within the region.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<RemoteSlice> {
        RemoteSlice::from(self).slice(range)
    }

    /// For another process: 26 bytes, the first of which is the version of the form; more with a raw
    /// key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Parts { base, len, key, rights, raw } = &self.0;
        let right = |access: Access, bit: u8| if rights.contains(access) { bit } else { 0 };
        let rights = right(Access::REMOTE_READ, READ) | right(Access::REMOTE_WRITE, WRITE);
        let version = if raw.is_some() { RAW } else { PLAIN };
        let third = raw.as_ref().map_or(*key, |raw| raw.base);
        let mut bytes = vec![version, rights];
        for number in [*base, *len, third] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(raw.iter().flat_map(|raw| raw.key.iter()));
        bytes
    }

    /// From another process.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not what [`to_bytes`](Self::to_bytes) makes.
    pub fn from_bytes(bytes: &[u8]) -> Result<RemoteRegion> {
        let wrong = |what: &str| Error::invalid(NAME, format!("not a remote region: {what}"));
        let &[version, rights, ref numbers @ ..] = bytes else { return Err(wrong("too short")) };
        let fits = match version {
            PLAIN => bytes.len() == BYTES,
            RAW => (BYTES + 1..=BYTES + RawKey::MOST).contains(&bytes.len()),
            _ => return Err(wrong(&format!("version {version}, this crate reads {PLAIN}, {RAW}"))),
        };
        if !fits || rights & !(READ | WRITE) != 0 {
            return Err(wrong(&format!("{} bytes, rights {rights:#x}", bytes.len())));
        }
        let number = |i: usize| {
            let word = numbers[8 * i..].first_chunk::<8>();
            u64::from_le_bytes(*word.expect("the length was checked"))
        };
        let (base, len, third) = (number(0), number(1), number(2));
        if base.checked_add(len).is_none() {
            return Err(wrong("it goes beyond the last address"));
        }
        let (key, raw) = match version {
            PLAIN => (third, None),
            _ => {
                let key = Arc::from(&bytes[BYTES..]);
                (ofi_sys::FI_KEY_NOTAVAIL, Some(RawKey { base: third, key }))
            }
        };
        let mut access = Access::empty();
        access.set(Access::REMOTE_READ, rights & READ != 0);
        access.set(Access::REMOTE_WRITE, rights & WRITE != 0);
        Ok(RemoteRegion(Parts { base, len, key, rights: access, raw }))
    }
}

impl TryFrom<Vec<u8>> for RemoteRegion {
    type Error = Error;

    fn try_from(bytes: Vec<u8>) -> Result<RemoteRegion> {
        RemoteRegion::from_bytes(&bytes)
    }
}

impl From<RemoteRegion> for Vec<u8> {
    fn from(region: RemoteRegion) -> Vec<u8> {
        region.to_bytes()
    }
}

impl RemoteSlice {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Some of its bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not within the slice.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<RemoteSlice> {
        let (start, len) = part(self.len, range)?;
        // A region that goes beyond the last address was refused by `from_bytes`.
        Ok(RemoteSlice { addr: self.addr + start as u64, len, ..*self })
    }
}

impl From<&RemoteRegion> for RemoteSlice {
    /// All of it.
    fn from(region: &RemoteRegion) -> RemoteSlice {
        let Parts { base, len, key, rights, ref raw } = region.0;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let kind = if raw.is_some() { KeyKind::Raw } else { KeyKind::Plain };
        RemoteSlice { addr: base, len, key, rights, kind }
    }
}

impl From<RemoteRegion> for RemoteSlice {
    /// All of it.
    fn from(region: RemoteRegion) -> RemoteSlice {
        RemoteSlice::from(&region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: RemoteRegion = RemoteRegion(Parts {
        base: 0x1000,
        len: 100,
        key: u64::MAX - 7,
        rights: Access::REMOTE_READ,
        raw: None,
    });

    fn raw(key: &[u8]) -> RemoteRegion {
        RemoteRegion(Parts {
            key: u64::MAX,
            raw: Some(RawKey { base: 0x2000, key: key.into() }),
            ..REGION.0
        })
    }

    #[test]
    fn survives_the_round_trip() {
        assert_eq!(RemoteRegion::from_bytes(&REGION.to_bytes()).unwrap(), REGION);
        assert_eq!(REGION.to_bytes().len(), BYTES);
        for size in [1, 8, 32, RawKey::MOST] {
            let region = raw(&vec![7; size]);
            assert_eq!(RemoteRegion::from_bytes(&region.to_bytes()).unwrap(), region);
            assert_eq!(region.raw_key().map(<[u8]>::len), Some(size));
        }
    }

    #[test]
    fn a_foreign_region_is_told_by_its_parts() {
        let Parts { base, len, key, rights, .. } = REGION.0;
        let made = RemoteRegion::from_parts(base, len, key, rights | Access::SEND).unwrap();
        assert_eq!((&made, made.addr()), (&REGION, base));
        assert!(RemoteRegion::from_parts(u64::MAX, 1, key, rights).is_err());
    }

    /// Bytes that an earlier release made.
    #[test]
    fn the_first_form_is_still_read() {
        let mut bytes = vec![1, 1];
        for number in [0x1000_u64, 100, u64::MAX - 7] {
            bytes.extend(number.to_le_bytes());
        }
        assert_eq!(RemoteRegion::from_bytes(&bytes).unwrap(), REGION);
        assert_eq!(REGION.to_bytes(), bytes);
    }

    // rule: M8
    #[test]
    fn a_raw_key_has_to_be_mapped() {
        assert_eq!(RemoteSlice::from(&raw(&[1; 32])).kind, KeyKind::Raw);
        assert_eq!(RemoteSlice::from(REGION).kind, KeyKind::Plain);
    }

    // rule: M6
    #[test]
    fn slices_stay_within() {
        let all = RemoteSlice::from(REGION);
        assert_eq!((all.addr, all.len()), (0x1000, 100));
        let slice = REGION.slice(10..20).unwrap();
        assert_eq!((slice.addr, slice.len()), (0x100A, 10));
        assert_eq!(slice.slice(4..).unwrap().addr, 0x100E);
        assert!(REGION.slice(90..101).is_err());
        assert!(slice.slice(..11).is_err());
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let good = REGION.to_bytes();
        for len in 0..good.len() {
            assert!(RemoteRegion::from_bytes(&good[..len]).is_err());
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            RemoteRegion::from_bytes(&bytes)
        };
        assert!(with(0, 2).is_err(), "a raw key of no byte");
        assert!(with(0, 3).is_err());
        let long = raw(&vec![7; RawKey::MOST + 1]).to_bytes();
        assert!(RemoteRegion::from_bytes(&long).is_err());
        assert!(with(1, 4).is_err());
        let mut beyond = good.clone();
        beyond[2..18].fill(0xFF);
        assert!(RemoteRegion::from_bytes(&beyond).is_err());
    }
}
