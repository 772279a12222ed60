//! The network interface behind an [`Info`](super::Info).

use std::{fmt, marker::PhantomData};

use ofi_sys::fid_nic;

use super::info::text;
use crate::attr::LinkState;

/// A network interface. See `fi_nic(3)`.
#[doc(alias = "fid_nic")]
#[derive(Clone, Copy, Debug)]
pub struct Nic<'a> {
    nic: *const fid_nic,
    info: PhantomData<&'a ()>,
}

// SAFETY: a view stands for a shared reference into an Info, which is Sync, and only reads.
unsafe impl Send for Nic<'_> {}
// SAFETY: as above.
unsafe impl Sync for Nic<'_> {}

/// Where a device sits on the PCI bus. Prints as `0000:3b:00.0`.
#[doc(alias = "fi_pci_attr")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciAddress {
    /// The domain.
    pub domain: u16,
    /// The bus.
    pub bus: u8,
    /// The device.
    pub device: u8,
    /// The function.
    pub function: u8,
}

/// The port of a network interface.
#[doc(alias = "fi_link_attr")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its link-level address.
    pub address: Option<&'a str>,
    /// The largest frame, in bytes.
    pub mtu: usize,
    /// Bits per second.
    pub speed: usize,
    /// Whether it is up.
    pub state: LinkState,
    /// The kind of network: `Ethernet`, `InfiniBand` …
    pub network_type: Option<&'a str>,
}

impl<'a> Nic<'a> {
    /// # Safety
    ///
    /// `nic` is null, or libfabric allocated it and it does not change for `'a`.
    pub(super) unsafe fn new(nic: *const fid_nic, info: PhantomData<&'a ()>) -> Option<Nic<'a>> {
        (!nic.is_null()).then_some(Nic { nic, info })
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        // SAFETY: see `device_text`.
        unsafe { self.device_text(|device| (*device).name) }
    }

    /// The vendor's number for the device.
    #[must_use]
    pub fn device_id(&self) -> Option<&'a str> {
        // SAFETY: see `device_text`.
        unsafe { self.device_text(|device| (*device).device_id) }
    }

    /// The revision of the device.
    #[must_use]
    pub fn device_version(&self) -> Option<&'a str> {
        // SAFETY: see `device_text`.
        unsafe { self.device_text(|device| (*device).device_version) }
    }

    /// The vendor's number.
    #[must_use]
    pub fn vendor_id(&self) -> Option<&'a str> {
        // SAFETY: see `device_text`.
        unsafe { self.device_text(|device| (*device).vendor_id) }
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> Option<&'a str> {
        // SAFETY: see `device_text`.
        unsafe { self.device_text(|device| (*device).driver) }
    }

    /// The firmware's version.
    #[must_use]
    pub fn firmware(&self) -> Option<&'a str> {
        // SAFETY: see `device_text`.
        unsafe { self.device_text(|device| (*device).firmware) }
    }

    /// Where it sits on the PCI bus, if it does.
    #[must_use]
    pub fn pci_address(&self) -> Option<PciAddress> {
        // SAFETY: `nic` is alive for 'a by `new`'s contract; its parts are null or live as long, and
        // `pci` is the member of the union that the bus type names.
        unsafe {
            let bus = (*self.nic).bus_attr;
            if bus.is_null() || (*bus).bus_type != ofi_sys::FI_BUS_PCI {
                return None;
            }
            let pci = (*bus).attr.pci;
            Some(PciAddress {
                domain: pci.domain_id,
                bus: pci.bus_id,
                device: pci.device_id,
                function: pci.function_id,
            })
        }
    }

    /// Its port.
    #[must_use]
    pub fn link(&self) -> Option<Link<'a>> {
        // SAFETY: `nic` is alive for 'a by `new`'s contract; its parts are null or live as long.
        unsafe {
            let link = (*self.nic).link_attr;
            if link.is_null() {
                return None;
            }
            Some(Link {
                address: text((*link).address),
                mtu: (*link).mtu,
                speed: (*link).speed,
                state: LinkState::from_raw((*link).state),
                network_type: text((*link).network_type),
            })
        }
    }

    /// A string of the device's attributes.
    ///
    /// # Safety
    ///
    /// `member` only reads a string member of the structure that it is given, which is alive: `nic`
    /// is, for 'a, by `new`'s contract, and so are its parts.
    unsafe fn device_text(
        &self,
        member: impl FnOnce(*const ofi_sys::fi_device_attr) -> *const libc::c_char,
    ) -> Option<&'a str> {
        // SAFETY: `nic` is alive for 'a.
        let device = unsafe { (*self.nic).device_attr };
        if device.is_null() {
            return None;
        }
        // SAFETY: a string member of a live structure, by the caller's word.
        unsafe { text(member(device)) }
    }

    /// How many bytes its texts have together: what printing it takes.
    pub(super) fn text_length(&self) -> usize {
        let link = self.link();
        [
            self.name(),
            self.device_id(),
            self.device_version(),
            self.vendor_id(),
            self.driver(),
            self.firmware(),
            link.and_then(|link| link.address),
            link.and_then(|link| link.network_type),
        ]
        .into_iter()
        .flatten()
        .map(str::len)
        .sum()
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

#[cfg(test)]
mod tests {
    use std::{ptr, ptr::NonNull};

    use super::*;

    /// A NIC as a driver of hardware fills it in; the software providers have none.
    #[test]
    fn every_attribute_is_read() {
        let mut device = ofi_sys::fi_device_attr {
            name: c"mlx5_0".as_ptr().cast_mut(),
            device_id: c"0x1017".as_ptr().cast_mut(),
            device_version: c"0".as_ptr().cast_mut(),
            vendor_id: c"0x02c9".as_ptr().cast_mut(),
            driver: c"mlx5_core".as_ptr().cast_mut(),
            firmware: ptr::null_mut(),
        };
        let mut bus = ofi_sys::fi_bus_attr {
            bus_type: ofi_sys::FI_BUS_PCI,
            attr: ofi_sys::fi_bus_attr_attr {
                pci: ofi_sys::fi_pci_attr {
                    domain_id: 1,
                    bus_id: 0x3b,
                    device_id: 2,
                    function_id: 7,
                },
            },
        };
        let mut link = ofi_sys::fi_link_attr {
            address: c"fe80::1".as_ptr().cast_mut(),
            mtu: 4096,
            speed: 100_000_000_000,
            state: ofi_sys::FI_LINK_UP,
            network_type: c"InfiniBand".as_ptr().cast_mut(),
        };
        // SAFETY: all zero is a fid_nic of nothing but null pointers.
        let mut raw: fid_nic = unsafe { std::mem::zeroed() };
        raw.device_attr = &raw mut device;
        raw.bus_attr = &raw mut bus;
        raw.link_attr = &raw mut link;
        // SAFETY: alive and unchanged until the end of the test.
        let nic = unsafe { Nic::new(NonNull::from(&mut raw).as_ptr(), PhantomData) }.unwrap();
        assert_eq!(nic.name(), Some("mlx5_0"));
        assert_eq!(nic.driver(), Some("mlx5_core"));
        assert_eq!(nic.firmware(), None);
        assert_eq!(nic.pci_address().unwrap().to_string(), "0001:3b:02.7");
        let port = nic.link().unwrap();
        assert_eq!((port.mtu, port.state), (4096, LinkState::Up));
        assert_eq!(port.network_type, Some("InfiniBand"));
        assert!(nic.text_length() > 30);

        raw.bus_attr = ptr::null_mut();
        raw.link_attr = ptr::null_mut();
        raw.device_attr = ptr::null_mut();
        // SAFETY: as above.
        let bare = unsafe { Nic::new(&raw const raw, PhantomData) }.unwrap();
        assert_eq!((bare.pci_address(), bare.link(), bare.name()), (None, None, None));
        // SAFETY: null is allowed.
        assert!(unsafe { Nic::new(ptr::null(), PhantomData) }.is_none());
    }
}
