//! What `fi_control` says of endpoints: the flags that operations have without asking, the descriptor
//! behind one.

use std::os::fd::RawFd;

use ofi_sys::fid_ep;

use super::{Endpoint, EndpointBuilder, Kind, Msg};
use crate::{
    CompletionLevel, Errno, Error, OpFlags, Result, Version,
    error::{Needs, check},
    threading::Threading,
    version,
};

const NAME: &str = "fi_control";

impl<K: Kind, T: Threading> EndpointBuilder<K, T> {
    /// What the completions of sends, writes and atomic operations mean that do not say it themselves
    /// ([`level`](crate::SendOp::level)). Without it, what the info says; the hints can ask for that,
    /// too, on every provider. Enabling fails with `Unsupported` where the provider does not let one
    /// choose here (all but sockets, efa, cxi, psm).
    #[doc(alias = "FI_SETOPSFLAG")]
    pub fn default_level(mut self, level: CompletionLevel) -> Self {
        self.options.level = Some(level);
        self
    }
}

/// Sets the level of an endpoint that nobody else has yet (rule L8).
pub(super) fn set_level(ep: *mut fid_ep, level: CompletionLevel) -> Result<()> {
    let mut flags = level.flag().raw() | ofi_sys::FI_COMPLETION | ofi_sys::FI_TRANSMIT;
    // SAFETY: the endpoint is open and its builder's alone; the command reads one word.
    let status =
        unsafe { ofi_sys::fi_control(ep.cast(), ofi_sys::FI_SETOPSFLAG, (&raw mut flags).cast()) };
    check(i64::from(status), NAME).map(drop).map_err(absent)
}

impl<K: Kind, T: Threading> Endpoint<K, T> {
    /// The flags that sends, writes and atomic operations have without asking.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider does not tell (all but sockets, efa, cxi, psm): see
    /// [`TxAttr::op_flags`](crate::TxAttr::op_flags).
    #[doc(alias = "FI_GETOPSFLAG")]
    pub fn transmit_flags(&self) -> Result<OpFlags> {
        flags(self.as_raw(), ofi_sys::FI_TRANSMIT)
    }

    /// The flags that receives have without asking.
    ///
    /// # Errors
    ///
    /// As [`transmit_flags`](Self::transmit_flags).
    #[doc(alias = "FI_GETOPSFLAG")]
    pub fn receive_flags(&self) -> Result<OpFlags> {
        flags(self.as_raw(), ofi_sys::FI_RECV)
    }
}

impl<T: Threading> Endpoint<Msg, T> {
    /// The socket of the connection, on tcp (2.2): to look at its addresses or its options. It is the
    /// provider's: whoever reads from it, writes to it or closes it breaks the connection.
    ///
    /// # Errors
    ///
    /// `Unsupported` on other providers, and where the running library is older.
    #[doc(alias = "FI_GET_FD")]
    pub fn socket(&self) -> Result<RawFd> {
        const SINCE: Version = Version::new(2, 2);
        if version() < SINCE {
            return Err(Error::unsupported(NAME, Needs::Version(SINCE)));
        }
        if self.core.provider() != "tcp" {
            return Err(Error::unsupported(NAME, Needs::Property("a provider over sockets")));
        }
        let mut fd: RawFd = -1;
        // SAFETY: the endpoint is open; the command writes one int, and changes nothing.
        let status = unsafe {
            let fid = self.as_raw().cast();
            ofi_sys::fi_control(fid, ofi_sys::FI_GET_FD, (&raw mut fd).cast())
        };
        check(i64::from(status), NAME).map_err(absent)?;
        if fd < 0 {
            return Err(Error::closed(NAME).detail("the connection has ended"));
        }
        Ok(fd)
    }
}

fn flags(ep: *mut fid_ep, way: u64) -> Result<OpFlags> {
    let mut flags = way;
    // SAFETY: the endpoint is open; the command reads and writes one word of ours, and says what was set
    // before the endpoint was anybody's: only its builder sets it.
    let status =
        unsafe { ofi_sys::fi_control(ep.cast(), ofi_sys::FI_GETOPSFLAG, (&raw mut flags).cast()) };
    check(i64::from(status), NAME).map_err(absent)?;
    Ok(OpFlags::from_raw(flags & !way))
}

/// Those without the command say that it is none, or that the argument is wrong, or that it is not for
/// them.
fn absent(error: Error) -> Error {
    match error.errno() {
        Some(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL) => {
            Error::unsupported(NAME, Needs::Property("a provider with this command"))
        }
        _ => error,
    }
}
