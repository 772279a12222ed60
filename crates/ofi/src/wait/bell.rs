//! A descriptor of one's own to be woken by, beside those of queues.

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

/// Readable once it was rung, until it is drained.
#[derive(Debug)]
pub(super) struct Bell {
    reads: OwnedFd,
    writes: Option<OwnedFd>,
}

impl Bell {
    pub(super) fn new() -> std::io::Result<Bell> {
        let (reads, writes) = descriptors()?;
        Ok(Bell { reads, writes })
    }

    pub(super) fn ring(&self) {
        let fd = self.writes.as_ref().unwrap_or(&self.reads).as_raw_fd();
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the descriptor is open and the eight bytes are ours. A full pipe or counter
        // is readable already, which is all that is wanted.
        unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
    }

    pub(super) fn drain(&self) {
        let mut sink = [0_u8; 64];
        // SAFETY: the descriptor is open (and does not block), the buffer ours.
        unsafe { libc::read(self.reads.as_raw_fd(), sink.as_mut_ptr().cast(), sink.len()) };
    }

    /// Sleeps until it was rung (`true`) or one of `fds` has something, for at most `limit`.
    pub(super) fn wait(&self, fds: &[RawFd], limit: Duration) -> bool {
        // A descriptor may tell by being writable or in error, too (rule W3).
        let source = |fd: &RawFd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
        let mut polled: Vec<libc::pollfd> = fds.iter().map(source).collect();
        polled.push(source(&self.reads.as_raw_fd()));
        let millis = i32::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        // SAFETY: the array is ours and as long as it says. Whatever it returns, the caller looks.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
        polled.last().is_some_and(|own| own.revents != 0)
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn descriptors() -> std::io::Result<(OwnedFd, Option<OwnedFd>)> {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: newly opened, ours.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, None))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn descriptors() -> std::io::Result<(OwnedFd, Option<OwnedFd>)> {
    let mut fds = [-1; 2];
    // SAFETY: the array has room for the two descriptors.
    if unsafe { libc::pipe(fds.as_mut_ptr()) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: newly opened, ours; fcntl with these commands touches no memory.
    unsafe {
        for fd in fds {
            libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK);
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), Some(OwnedFd::from_raw_fd(fds[1]))))
    }
}
