//! Versions of libfabric: the one that runs, the one this crate was linked to, and the one asked for.

use std::fmt;

/// A version of libfabric's API, `major.minor`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The major number.
    pub major: u16,
    /// The minor number.
    pub minor: u16,
}

impl Version {
    /// `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Version {
        Version { major, minor }
    }

    /// From libfabric's packed form.
    #[doc(alias = "FI_MAJOR")]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Version {
        Version { major: (raw >> 16) as u16, minor: (raw & 0xffff) as u16 }
    }

    /// libfabric's packed form.
    #[doc(alias = "FI_VERSION")]
    #[must_use]
    pub const fn raw(self) -> u32 {
        (self.major as u32) << 16 | self.minor as u32
    }

    /// The newest version whose structures this crate defines.
    pub const KNOWN: Version = Version::new(2, 6);

    /// The oldest version this crate works with.
    pub const OLDEST: Version = Version::new(1, 17);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

/// The version of the libfabric that runs. `0.0` when it could not be loaded.
///
/// See `fi_version(3)`.
#[doc(alias = "fi_version")]
#[must_use]
pub fn version() -> Version {
    // SAFETY: fi_version takes nothing and returns a constant of the library.
    Version::from_raw(unsafe { ofi_sys::fi_version() })
}

/// The API version to ask for: the newest that both sides know (rule D1, rule C of the ABI).
pub(crate) fn api_version() -> Version {
    version().min(Version::KNOWN)
}
