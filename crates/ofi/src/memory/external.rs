//! Memory that something else allocated: on the host, or on a device.
//!
//! # Safety
//!
//! What is promised here (where the memory is, what may reach it, until when) only the caller can
//! know; it is the contract of the two functions that make an [`ExternalMemory`]. Nothing here looks
//! into it.

use std::{any::Any, fmt, os::fd::RawFd, ptr::NonNull};

use super::{Core, Memory, NAME};
use crate::{Error, MrFlags, Result, Version};

/// Whose memory it is: the programming interface that it was allocated with, and the device.
///
/// See `fi_mr(3)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "fi_hmem_iface")]
pub enum HmemIface {
    /// The host's own memory.
    #[default]
    #[doc(alias = "FI_HMEM_SYSTEM")]
    System,
    /// CUDA, on this device (`CUdevice`).
    #[doc(alias = "FI_HMEM_CUDA")]
    Cuda(i32),
    /// ROCm, on this device. Libraries before 2.5 find the device out by themselves.
    #[doc(alias = "FI_HMEM_ROCR")]
    Rocr(i32),
    /// oneAPI Level Zero, on this device of this driver.
    #[doc(alias = "FI_HMEM_ZE")]
    #[doc(alias = "fi_hmem_ze_device")]
    Ze {
        /// Place in the list of `zeDriverGet`, from 0.
        driver: u16,
        /// Place in the list of `zeDeviceGet`, from 0.
        device: u16,
    },
    /// AWS Neuron, on this device.
    #[doc(alias = "FI_HMEM_NEURON")]
    Neuron(i32),
    /// Habana SynapseAI, on this device.
    #[doc(alias = "FI_HMEM_SYNAPSEAI")]
    SynapseAi(i32),
}

impl HmemIface {
    /// libfabric's number, and what goes into `fi_mr_attr.device` where the fabric was opened with
    /// `api`.
    pub(crate) fn raw(self, api: Version) -> (ofi_sys::fi_hmem_iface, ofi_sys::fi_mr_attr_device) {
        // All of the union, whichever member is written below (rule D12).
        let mut device = ofi_sys::fi_mr_attr_device { reserved: 0 };
        let iface = match self {
            HmemIface::System => ofi_sys::FI_HMEM_SYSTEM,
            HmemIface::Cuda(number) => {
                device.cuda = number;
                ofi_sys::FI_HMEM_CUDA
            }
            HmemIface::Rocr(number) => {
                if api >= Version::new(2, 5) {
                    device.rocr = number;
                }
                ofi_sys::FI_HMEM_ROCR
            }
            HmemIface::Ze { driver, device: number } => {
                device.ze = ofi_sys::fi_hmem_ze_device(driver.into(), number.into());
                ofi_sys::FI_HMEM_ZE
            }
            HmemIface::Neuron(number) => {
                device.neuron = number;
                ofi_sys::FI_HMEM_NEURON
            }
            HmemIface::SynapseAi(number) => {
                device.synapseai = number;
                ofi_sys::FI_HMEM_SYNAPSEAI
            }
        };
        (iface, device)
    }
}

/// Part of a buffer that a device shares through a file descriptor.
///
/// See `fi_mr(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "fi_mr_dmabuf")]
pub struct Dmabuf {
    /// The buffer's descriptor.
    pub fd: RawFd,
    /// Where the memory begins in it, in bytes.
    pub offset: u64,
    /// Bytes from there.
    pub len: usize,
    /// Where the whole buffer is in this process's address space; null if it is not.
    pub base: *mut u8,
}

/// What is said of memory that is not plainly the host's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) iface: HmemIface,
    pub(crate) dmabuf: Option<Dmabuf>,
    /// `FI_HMEM_DEVICE_ONLY`, `FI_HMEM_HOST_ALLOC`, `FI_MR_DMABUF`.
    pub(crate) flags: MrFlags,
}

impl Place {
    /// Whether the processor may read and write there.
    pub(crate) fn is_host(&self) -> bool {
        self.dmabuf.is_none()
            && !self.flags.contains(MrFlags::HMEM_DEVICE_ONLY)
            && (self.iface == HmemIface::System || self.flags.contains(MrFlags::HMEM_HOST_ALLOC))
    }

    /// Whether registering it needs `FI_HMEM`.
    pub(crate) fn needs_hmem(&self) -> bool {
        self.dmabuf.is_some() || self.iface != HmemIface::System || !self.flags.is_empty()
    }

    /// Whether it has an address in this process, so that local operations can name it.
    pub(crate) fn has_address(&self) -> bool {
        self.dmabuf.is_none_or(|dmabuf| !dmabuf.base.is_null())
    }
}

/// Memory that another library allocated, on its way to become a [`Memory`] ([`From`]).
///
/// The owner is dropped once, with the last handle, region and operation of the memory. What is on a
/// device has no bytes for the processor: reads and writes of it are refused, operations take it where
/// the domain was opened with `FI_HMEM`.
///
/// ```
/// use ofi::{ExternalMemory, HmemIface, Memory};
///
/// let owner = vec![7_u8; 64].leak();
/// // SAFETY: the bytes are leaked, so they stay, and nobody else uses them.
/// let memory = unsafe { ExternalMemory::new(owner.as_mut_ptr(), 64, HmemIface::System, ()) }?;
/// assert_eq!(Memory::from(memory).to_vec(), [7; 64]);
/// # Ok::<(), ofi::Error>(())
/// ```
#[must_use = "it becomes a `Memory` by `into`"]
pub struct ExternalMemory {
    start: NonNull<u8>,
    len: usize,
    place: Place,
    owner: Box<dyn Any + Send>,
}

impl ExternalMemory {
    /// `len` bytes at `start`, allocated by `iface`; `owner` is dropped when nothing uses them any
    /// more.
    ///
    /// # Errors
    ///
    /// `Invalid` for a null pointer, no bytes, or more than an address space has.
    ///
    /// # Safety
    ///
    /// Until `owner` is dropped the `len` bytes at `start` belong to `iface` and its device, are
    /// initialised, may be read and written by whom `iface` lets, and stay where they are (rule M4);
    /// nobody has a reference to any of them meanwhile, and who else reads or writes them expects that
    /// peers do so, too.
    pub unsafe fn new(
        start: *mut u8,
        len: usize,
        iface: HmemIface,
        owner: impl Send + 'static,
    ) -> Result<ExternalMemory> {
        let start =
            NonNull::new(start).filter(|start| len > 0 && start.addr().checked_add(len).is_some());
        let start = start.ok_or_else(|| Error::invalid(NAME, "there is no memory there"))?;
        let place = Place { iface, ..Place::default() };
        Ok(ExternalMemory { start, len, place, owner: Box::new(owner) })
    }

    /// Memory of a device that is named by a file descriptor; `owner` keeps that open, and is dropped
    /// when nothing uses the memory any more. Needs libfabric 1.20 and `FI_HMEM` to be registered.
    ///
    /// # Errors
    ///
    /// `Invalid` for no bytes, or more than an address space has.
    ///
    /// # Safety
    ///
    /// Until `owner` is dropped, `dmabuf` names memory of `iface`, as it says, and its `base` is null
    /// or where that buffer is mapped. For the bytes [`new`](Self::new)'s contract holds.
    pub unsafe fn from_dmabuf(
        dmabuf: Dmabuf,
        iface: HmemIface,
        owner: impl Send + 'static,
    ) -> Result<ExternalMemory> {
        let offset = usize::try_from(dmabuf.offset).ok();
        let start = offset.and_then(|offset| dmabuf.base.addr().checked_add(offset));
        let end = start.and_then(|start| start.checked_add(dmabuf.len));
        let (Some(offset), Some(_)) = (offset, end.filter(|_| dmabuf.len > 0)) else {
            return Err(Error::invalid(NAME, "there is no memory there"));
        };
        // Without a base it has no address: this one is never used, `has_address` says so.
        let start = NonNull::new(dmabuf.base.wrapping_add(offset));
        let start = start.filter(|_| !dmabuf.base.is_null()).unwrap_or(NonNull::dangling());
        let place = Place { iface, dmabuf: Some(dmabuf), flags: MrFlags::MR_DMABUF };
        Ok(ExternalMemory { start, len: dmabuf.len, place, owner: Box::new(owner) })
    }

    /// Only the device reaches it.
    #[doc(alias = "FI_HMEM_DEVICE_ONLY")]
    pub fn device_only(mut self) -> Self {
        self.place.flags.remove(MrFlags::HMEM_HOST_ALLOC);
        self.place.flags.insert(MrFlags::HMEM_DEVICE_ONLY);
        self
    }

    /// The device's interface allocated it on the host (`cudaMallocHost`, say), so that the processor
    /// reaches it, too.
    ///
    /// # Safety
    ///
    /// It is so.
    #[doc(alias = "FI_HMEM_HOST_ALLOC")]
    pub unsafe fn host_allocated(mut self) -> Self {
        self.place.flags.remove(MrFlags::HMEM_DEVICE_ONLY);
        self.place.flags.insert(MrFlags::HMEM_HOST_ALLOC);
        self
    }
}

impl From<ExternalMemory> for Memory {
    fn from(external: ExternalMemory) -> Memory {
        let ExternalMemory { start, len, place, owner } = external;
        Memory::of(Core { start, len, place, owner })
    }
}

impl fmt::Debug for ExternalMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalMemory")
            .field("len", &self.len)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    // rule: M12, D12
    #[test]
    fn the_device_is_in_its_member_alone() {
        let raw = |iface: HmemIface, api| {
            let (number, device) = iface.raw(api);
            // SAFETY: all of the union was written.
            (number, unsafe { device.reserved })
        };
        let new = Version::new(2, 5);
        assert_eq!(raw(HmemIface::System, new), (0, 0));
        assert_eq!(raw(HmemIface::Cuda(3), new), (1, 3));
        assert_eq!(raw(HmemIface::Rocr(4), new), (2, 4));
        assert_eq!(raw(HmemIface::Rocr(4), Version::OLDEST), (2, 0));
        assert_eq!(raw(HmemIface::Ze { driver: 1, device: 2 }, new), (3, 0x1_0002));
        assert_eq!(raw(HmemIface::Neuron(5), new), (4, 5));
        assert_eq!(raw(HmemIface::SynapseAi(6), new), (5, 6));
    }

    /// A device's memory, as far as this process can see: an address that nothing is at.
    fn elsewhere(owner: impl Send + 'static) -> ExternalMemory {
        let nowhere = std::ptr::without_provenance_mut(0x10_0000);
        // SAFETY: nothing here is looked at: what holds for the bytes holds for none.
        unsafe { ExternalMemory::new(nowhere, 64, HmemIface::Cuda(0), owner) }.unwrap()
    }

    // rule: M12
    #[test]
    fn the_processor_keeps_off_a_device() {
        let memory = Memory::from(elsewhere(()).device_only());
        assert!(!memory.is_host());
        assert!(memory.read(0, &mut [0; 4]).is_err());
        assert!(memory.write(0, &[0; 4]).is_err());
        assert!(memory.load_u64(0).is_err());
        assert!(memory.fetch_add_u64(0, 1).is_err());
        assert!(memory.store_u64(0, 1).is_err());
        let copied = std::panic::AssertUnwindSafe(|| memory.to_vec());
        assert!(std::panic::catch_unwind(copied).is_err());
    }

    #[test]
    fn the_owner_is_dropped_once_and_last() {
        struct Owner(Arc<AtomicUsize>);
        impl Drop for Owner {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let memory = Memory::from(elsewhere(Owner(Arc::clone(&drops))));
        let other = memory.clone();
        drop(memory);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(other);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(elsewhere(Owner(Arc::clone(&drops))));
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }

    // rule: M6
    #[test]
    fn a_dmabuf_begins_behind_its_base() {
        let dmabuf = |base, offset, len| Dmabuf { fd: 0, offset, len, base };
        let base = std::ptr::without_provenance_mut(0x1000);
        // SAFETY: none of the bytes is looked at.
        let made = |dmabuf| unsafe { ExternalMemory::from_dmabuf(dmabuf, HmemIface::Cuda(0), ()) };
        let memory = Memory::from(made(dmabuf(base, 16, 32)).unwrap());
        assert_eq!((memory.as_ptr().addr(), memory.len()), (0x1010, 32));
        assert!(memory.place().has_address());
        let nowhere = Memory::from(made(dmabuf(std::ptr::null_mut(), 16, 32)).unwrap());
        assert!(!nowhere.place().has_address() && !nowhere.is_host());
        assert!(made(dmabuf(base, 16, 0)).is_err());
        assert!(made(dmabuf(base, u64::MAX, 32)).is_err());
        assert!(made(dmabuf(base, 0, usize::MAX)).is_err());
    }
}
