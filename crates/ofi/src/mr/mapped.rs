//! Keys that are longer than 64 bits, mapped to such as operations take (rule M8).
//!
//! # Safety
//!
//! A mapped key may be a pointer of the provider's, so no other number, and none that was unmapped,
//! may reach it. Slices carry the number of a [`Mapping`] instead; a post looks it up in its domain's
//! table, puts the key in its place, and holds the mapping until the operation has ended. The key is
//! unmapped when the last handle and the last such operation are gone.

use std::{
    collections::HashMap,
    fmt,
    ops::RangeBounds,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{RemoteRegion, RemoteSlice, remote::KeyKind};
use crate::{
    Access, Domain, Error, MrMode, Result,
    domain::DomainCore,
    error::{Needs, check},
    object::{forked, refuse_fork, report},
    quirks::{Defect, quirk},
    threading::{Lock, Shared, Threading},
};

const NAME: &str = "fi_mr_map_raw";

/// The mapped keys of a domain, by their numbers.
pub(crate) type Mappings<T> = HashMap<u64, Weak<Mapping<T>>>;

/// A mapped key. Its domain stays open for as long (rule L3).
pub(crate) struct Mapping<T: Threading> {
    number: u64,
    key: u64,
    domain: Arc<DomainCore<T>>,
}

/// A peer's region, ready for operations on the endpoints of a domain: what [`Domain::map`] makes of a
/// [`RemoteRegion`].
///
/// A clone is another handle. A key that had to be mapped is unmapped with the last handle and the
/// last operation that names it; slices are none, and are refused by posts from then on.
pub struct MappedRegion<T: Threading = Shared> {
    all: RemoteSlice,
    mapping: Option<Arc<Mapping<T>>>,
}

impl<T: Threading> Domain<T> {
    /// Makes a peer's region ready for operations on this domain's endpoints. Needed where the domain
    /// has `FI_MR_RAW`; elsewhere it costs nothing and changes nothing.
    ///
    /// # Errors
    ///
    /// `Invalid` if its key is of another form than this domain's; what the provider says.
    #[doc(alias = "fi_mr_map_raw")]
    #[doc(alias = "fi_mr_unmap_key")]
    #[doc(alias = "FI_MAP_RAW_MR")]
    #[doc(alias = "FI_UNMAP_KEY")]
    pub fn map(&self, region: &RemoteRegion) -> Result<MappedRegion<T>> {
        refuse_fork(NAME)?;
        let all = RemoteSlice::from(region);
        let raw = region.parts().raw.as_ref();
        let Some(raw) = raw.filter(|_| self.0.mr_mode.contains(MrMode::RAW)) else {
            let expected = if self.0.mr_mode.contains(MrMode::RAW) { "a raw" } else { "no raw" };
            return match (raw, self.0.mr_mode.contains(MrMode::RAW)) {
                (None, false) => Ok(MappedRegion { all, mapping: None }),
                _ => Err(Error::invalid(NAME, format!("this domain's peers have {expected} key"))
                    .hint("both sides need the same provider, with FI_MR_RAW or without")),
            };
        };
        let info = &self.0.info;
        let size = info.domain().mr_key_size();
        let exact = quirk(info.provider(), Defect::RawKeyUnchecked).is_some();
        if raw.key.len() > size || exact && raw.key.len() != size {
            return Err(Error::invalid(
                NAME,
                format!("a key of {} bytes, this domain's have {size}", raw.key.len()),
            ));
        }
        // The call is not promised to leave it as it is.
        let mut bytes = raw.key.to_vec();
        let mut key = 0;
        // One at a time: they are calls of `fi_control` on one object (rule L8).
        let mut table = self.0.mappings.lock();
        // SAFETY: the domain is open; the key's bytes live during the call, and are as many as it
        // takes its own to have; `key` receives the mapped one.
        let status = unsafe {
            ofi_sys::fi_mr_map_raw(
                self.0.as_ptr(),
                raw.base,
                bytes.as_mut_ptr(),
                bytes.len(),
                &raw mut key,
                0,
            )
        };
        check(i64::from(status), NAME)
            .map_err(|error| error.absent(Needs::Property("mapping of raw keys")))?;
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mapping = Arc::new(Mapping { number, key, domain: Arc::clone(&self.0) });
        table.insert(number, Arc::downgrade(&mapping));
        let all = RemoteSlice { key: number, kind: KeyKind::Mapped, ..all };
        Ok(MappedRegion { all, mapping: Some(mapping) })
    }
}

impl<T: Threading> DomainCore<T> {
    /// Puts the key in the place of its mapping's number. Who uses the key holds the mapping.
    pub(crate) fn resolve(&self, key: &mut u64) -> Result<Arc<Mapping<T>>> {
        let found = self.mappings.lock().get(key).and_then(Weak::upgrade);
        let mapping = found.ok_or_else(|| {
            Error::invalid(NAME, "the key is not mapped on this domain, or not any more")
                .hint("keep the MappedRegion for as long as its slices are used")
        })?;
        *key = mapping.key;
        Ok(mapping)
    }
}

impl<T: Threading> Drop for Mapping<T> {
    fn drop(&mut self) {
        let mut table = self.domain.mappings.lock();
        table.remove(&self.number);
        if forked() {
            return;
        }
        // SAFETY: the domain is open, the key was mapped on it, and nobody has it any more: whoever
        // uses it holds the mapping.
        let status = unsafe { ofi_sys::fi_mr_unmap_key(self.domain.as_ptr(), self.key) };
        if let Err(error) = check(i64::from(status), "fi_mr_unmap_key") {
            report("mapped key", &error);
        }
    }
}

impl<T: Threading> Clone for MappedRegion<T> {
    fn clone(&self) -> Self {
        MappedRegion { all: self.all, mapping: self.mapping.clone() }
    }
}

impl<T: Threading> MappedRegion<T> {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What its owner permits: `REMOTE_READ`, `REMOTE_WRITE`.
    #[must_use]
    pub fn access(&self) -> Access {
        self.all.rights
    }

    /// Some of its bytes. They can be used for as long as there is a handle.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not within the region.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<RemoteSlice> {
        self.all.slice(range)
    }
}

impl<T: Threading> From<&MappedRegion<T>> for RemoteSlice {
    /// All of it.
    fn from(region: &MappedRegion<T>) -> RemoteSlice {
        region.all
    }
}

impl<T: Threading> fmt::Debug for MappedRegion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedRegion")
            .field("len", &self.len())
            .field("access", &self.access())
            .field("mapped", &self.mapping.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule: W11
    #[test]
    fn shared_regions_go_anywhere() {
        fn anywhere<X: Send + Sync>() {}
        anywhere::<MappedRegion>();
    }
}
