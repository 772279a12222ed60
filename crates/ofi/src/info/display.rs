//! Printing an [`Info`].

use std::{
    ffi::{CStr, c_char},
    fmt,
};

use super::info::Info;

/// `{}`: the lines of `fi_info`; `{:#}`: all of it, as `fi_info -v` prints it.
impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(self.verbose().trim_end());
        }
        let fabric = self.fabric();
        writeln!(f, "provider: {}", self.provider())?;
        writeln!(f, "    fabric: {}", fabric.name().unwrap_or("(null)"))?;
        writeln!(f, "    domain: {}", self.domain().name().unwrap_or("(null)"))?;
        writeln!(f, "    version: {}", fabric.provider_version())?;
        writeln!(f, "    type: {}", self.endpoint_type())?;
        write!(f, "    protocol: {}", self.endpoint().protocol())
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("provider", &self.provider())
            .field("fabric", &self.fabric().name())
            .field("domain", &self.domain().name())
            .field("endpoint_type", &self.endpoint_type())
            .field("caps", &self.caps())
            .finish_non_exhaustive()
    }
}

impl Info {
    /// The whole of it in libfabric's own words (rule D10: the re-entrant function).
    fn verbose(&self) -> String {
        let mut size = self.print_size();
        loop {
            let mut buffer = vec![0_u8; size];
            // SAFETY: the buffer has `size` bytes, and `self` is an fi_info.
            let text = unsafe {
                ofi_sys::fi_tostr_r(
                    buffer.as_mut_ptr().cast::<c_char>(),
                    size,
                    self.as_ptr().cast(),
                    ofi_sys::FI_TYPE_INFO,
                )
            };
            let text = if text.is_null() {
                c""
            } else {
                CStr::from_bytes_until_nul(&buffer).unwrap_or(c"")
            };
            // Text that reaches the end was cut off there.
            if text.count_bytes() + 2 < size || size >= LIMIT {
                return text.to_string_lossy().into_owned();
            }
            size *= 4;
        }
    }

    /// A buffer that holds the text with ease.
    ///
    /// libfabric's printing of the NIC counts what is already in the buffer twice, and writes past
    /// the end of one that is more than half full: so the first try must not be near that.
    fn print_size(&self) -> usize {
        let domain = self.domain();
        let texts = [self.fabric().name(), domain.name(), Some(self.provider())];
        let names: usize = texts.into_iter().flatten().map(str::len).sum();
        let addresses =
            self.src_addr().map_or(0, <[u8]>::len) + self.dest_addr().map_or(0, <[u8]>::len);
        let nic = self.nic().map_or(0, |nic| nic.text_length());
        // The labels and numbers are some 4 KiB.
        let text = 16 * 1024 + 4 * (names + addresses + nic);
        4 * text
    }
}

/// No entry of libfabric prints to more.
const LIMIT: usize = 16 << 20;
