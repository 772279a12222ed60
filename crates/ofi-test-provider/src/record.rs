//! What is asked for and not done: written down, argument by argument.

use ofi_sys::{fi_mr_attr, iovec};

use crate::world::World;

impl World {
    /// Writes down a call.
    pub(crate) fn record(&mut self, call: String) {
        self.records.push(call);
    }
}

/// A registration's attributes, whole.
///
/// # Safety
///
/// They are valid, with as many pieces as they say.
pub(crate) unsafe fn registration(attr: &fi_mr_attr, flags: u64) -> String {
    // SAFETY: the caller's promise; every variant begins at the same address.
    let (pieces, device) = unsafe { (attr.mem.mr_iov, attr.device.reserved) };
    let mut memory = String::new();
    if flags & ofi_sys::FI_MR_DMABUF != 0 {
        // SAFETY: with this flag it is that variant.
        let of = |i: usize| unsafe { attr.mem.dmabuf.add(i).read() };
        for part in (0..attr.iov_count).map(of) {
            memory += &format!(
                "dmabuf({},{},{},{:#x})",
                part.fd, part.offset, part.len, part.base_addr as usize
            );
        }
    } else {
        // SAFETY: the caller's promise.
        let of = |i: usize| unsafe { pieces.add(i).read() };
        for iovec { iov_base, iov_len } in (0..attr.iov_count).map(of) {
            memory += &format!("iov({:#x},{iov_len})", iov_base as usize);
        }
    }
    // SAFETY: the caller's promise.
    let key = unsafe { bytes(attr.auth_key, attr.auth_key_size) };
    format!(
        "mr_regattr {memory} access={:#x} offset={} requested_key={:#x} auth_key={key} iface={} \
         device={device} page_size={} base_mr={:#x} sub_mr_cnt={} flags={flags:#x}",
        attr.access,
        attr.offset,
        attr.requested_key,
        attr.iface,
        attr.page_size,
        attr.base_mr as usize,
        attr.sub_mr_cnt,
    )
}

/// Bytes in hexadecimal; `-` for none.
///
/// # Safety
///
/// `len` bytes at `start` may be read, unless it is null.
pub(crate) unsafe fn bytes(start: *const u8, len: usize) -> String {
    if start.is_null() || len == 0 {
        return "-".into();
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(start, len) };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
