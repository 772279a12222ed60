//! Attribute values as the numbers that libfabric keeps.

use std::fmt;

use crate::{
    Version,
    attr::{
        AddressFormat, AvType, EndpointType, Progress, Protocol, ResourceMgmt, ThreadingModel,
        TrafficClass,
    },
    flags::{Caps, CompOrder, Mode, MrMode, MsgOrder, OpFlags},
};

/// A value that libfabric keeps as a number of at most 64 bits.
pub(crate) trait Word: Copy + fmt::Display {
    /// The number.
    fn word(self) -> u64;

    /// The value of a number, which was made by [`word`](Self::word) or read from libfabric.
    fn from_word(word: u64) -> Self;

    /// The oldest libfabric that gives the number this meaning.
    fn since(self) -> Version {
        Version::OLDEST
    }
}

macro_rules! words {
    ($($type:ty: $raw:ty;)*) => {$(
        impl Word for $type {
            fn word(self) -> u64 {
                self.raw() as u64
            }

            fn from_word(word: u64) -> Self {
                <$type>::from_raw(word as $raw)
            }
        }
    )*};
}

words! {
    Mode: u64;
    MrMode: i32;
    OpFlags: u64;
    MsgOrder: u64;
    CompOrder: u64;
    EndpointType: u32;
    ThreadingModel: u32;
    ResourceMgmt: u32;
    AvType: u32;
    Protocol: u32;
    TrafficClass: u32;
}

macro_rules! words_with_versions {
    ($($type:ty: $raw:ty;)*) => {$(
        impl Word for $type {
            fn word(self) -> u64 {
                self.raw() as u64
            }

            fn from_word(word: u64) -> Self {
                <$type>::from_raw(word as $raw)
            }

            fn since(self) -> Version {
                <$type>::since(self)
            }
        }
    )*};
}

words_with_versions! {
    Caps: u64;
    Progress: u32;
    AddressFormat: u32;
}

macro_rules! plain_words {
    ($($type:ty),*) => {$(
        impl Word for $type {
            fn word(self) -> u64 {
                self as u64
            }

            fn from_word(word: u64) -> Self {
                word as $type
            }
        }
    )*};
}

plain_words!(u32, u64, usize);

/// How many transmit or receive contexts an endpoint has, or that it shares one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contexts(pub(crate) usize);

impl Contexts {
    /// The endpoint uses a shared context.
    pub(crate) const SHARED: Contexts = Contexts(ofi_sys::FI_SHARED_CONTEXT);
}

impl Word for Contexts {
    fn word(self) -> u64 {
        self.0 as u64
    }

    fn from_word(word: u64) -> Self {
        Contexts(word as usize)
    }
}

impl fmt::Display for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Contexts::SHARED { f.write_str("FI_SHARED_CONTEXT") } else { self.0.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        assert_eq!(MrMode::from_word(MrMode::from_raw(-1).word()).raw(), -1);
        assert_eq!(usize::from_word(usize::MAX.word()), usize::MAX);
        assert_eq!(Contexts::SHARED.to_string(), "FI_SHARED_CONTEXT");
        assert_eq!(Contexts(4).to_string(), "4");
    }

    // rule: D1
    #[test]
    fn values_know_their_version() {
        assert_eq!(Word::since(Progress::ControlUnified), Version::new(1, 21));
        assert_eq!(Word::since(AddressFormat::SockaddrIp), Version::new(2, 3));
        assert_eq!(Word::since(7_usize), Version::OLDEST);
    }
}
