//! Ending the connections that are being made to an endpoint, before it closes.
//!
//! tcp keeps a pointer to the listener in every connection that it has accepted and not yet read the
//! request of, and follows it when that request arrives, closed or not (quirk 11). Only the listener's
//! owner could tell it to let go. So the sockets are told that nothing more will come: the listener's,
//! that it takes in no more, and those it has taken in, that they end where they are. Driving the
//! provider then ends each of these connections in one way or another.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use super::Core;
use crate::{
    EndpointType,
    quirks::{Defect, quirk},
    threading::Threading,
};

impl<T: Threading> Core<T> {
    /// Ends what is being connected to this endpoint. Nothing waits for it any more. `false` if that
    /// could not be seen to, for want of descriptors.
    #[must_use]
    pub(super) fn hang_up(&self) -> bool {
        let concerned = self.info.endpoint_type() == EndpointType::Rdm
            && quirk(self.provider(), Defect::ListenerDangles).is_some();
        let address = match concerned.then(|| self.name()) {
            Some(Ok(name)) => name.socket_addr(),
            _ => None,
        };
        let Some(address) = address else { return true };
        /// Events that the provider handles in one look.
        const EVENTS: usize = 32;
        let Ok(ended) = end_all(address) else { return false };
        for _ in 0..ended.div_ceil(EVENTS) {
            self.transmit.core.poke();
            self.receive.core.poke();
        }
        true
    }
}

/// Ends the stream sockets of this process that are at this address, and counts them. None where the
/// system does not list them.
fn end_all(address: SocketAddr) -> io::Result<usize> {
    let entries = match std::fs::read_dir("/proc/self/fd") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut ended = 0;
    for entry in entries.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|number| is_stream(*number)) else { continue };
        // Through a descriptor of our own: whatever is closed meanwhile, that one names what was
        // looked at.
        // SAFETY: a number; what comes back says whether it was open.
        let own = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
        if own >= 0 {
            // SAFETY: a descriptor just made, and nobody else's.
            let own = TcpListener::from(unsafe { OwnedFd::from_raw_fd(own) });
            ended += usize::from(end(&own, address));
        } else if is_stream(number) {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(ended)
}

/// Whether this number is a stream socket's just now.
fn is_stream(number: RawFd) -> bool {
    let mut kind: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: a number, which need not be open; one int is written.
    let status = unsafe {
        let kind = (&raw mut kind).cast();
        libc::getsockopt(number, libc::SOL_SOCKET, libc::SO_TYPE, kind, &raw mut length)
    };
    status == 0 && kind == libc::SOCK_STREAM
}

/// Tells the socket that nothing more will come, if it is at this address.
fn end(socket: &TcpListener, address: SocketAddr) -> bool {
    let Ok(local) = socket.local_addr() else { return false };
    // A listener at all addresses takes connections in at each of them.
    let anywhere = address.ip().is_unspecified()
        && local.is_ipv4() == address.is_ipv4()
        && local.port() == address.port();
    // SAFETY: an open socket.
    (local == address || anywhere)
        && unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) } == 0
}
