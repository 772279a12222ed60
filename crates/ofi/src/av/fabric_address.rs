//! A transport address in its provider's form.

use std::{fmt, net::SocketAddr};

use crate::{AddressFormat, Result, info};

/// A transport address: what [`Endpoint::name`](crate::Endpoint::name) tells of itself and
/// [`AddressVector::insert`](crate::AddressVector::insert) takes. Carry it to the peer by any
/// means: its form and its bytes are all there is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FabricAddress {
    format: AddressFormat,
    bytes: Box<[u8]>,
}

impl FabricAddress {
    /// An address of this form, from a peer. Text (`FI_ADDR_STR`) may end in a NUL or not.
    ///
    /// # Errors
    ///
    /// `Invalid` if `bytes` cannot be of this form: another length, no text.
    pub fn new(format: AddressFormat, bytes: &[u8]) -> Result<FabricAddress> {
        if info::CheckedAddress::has_known_length(format) {
            // One behind the other where the provider has several rails; a vector knows how many.
            let rails = info::CheckedAddress::rails_of(format, bytes);
            info::CheckedAddress::of_rails(format, bytes, rails)
                .or_else(|_| info::CheckedAddress::new(format, bytes).map(drop))?;
        }
        Ok(FabricAddress::from_provider(format, bytes))
    }

    /// What a provider wrote. Text is kept without its NUL, so that equal addresses are equal
    /// (rule A6).
    pub(crate) fn from_provider(format: AddressFormat, bytes: &[u8]) -> FabricAddress {
        let text = bytes.split(|b| *b == 0).next().filter(|_| format == AddressFormat::Str);
        FabricAddress { format, bytes: text.unwrap_or(bytes).into() }
    }

    /// The address's form.
    #[must_use]
    pub fn format(&self) -> AddressFormat {
        self.format
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The IP address and port, where the form holds them.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        info::decode(self.format, &self.bytes)
    }
}

impl From<SocketAddr> for FabricAddress {
    fn from(address: SocketAddr) -> FabricAddress {
        let (format, bytes) = info::encode(address);
        FabricAddress { format, bytes: bytes.into() }
    }
}

impl fmt::Display for FabricAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.socket_addr() {
            return address.fmt(f);
        }
        if self.format == AddressFormat::Str {
            return f.write_str(&String::from_utf8_lossy(&self.bytes));
        }
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FabricAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FabricAddress({} {self})", self.format)
    }
}
