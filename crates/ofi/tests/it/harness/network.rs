//! A network of a case's own, where the system's would not do: multicast over the loopback device.

use std::{
    ffi::c_int,
    net::Ipv4Addr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

use super::Stop;

static SHARED_PORTS: AtomicBool = AtomicBool::new(false);

/// From here on sockets of this process may have a port in common, as they have on different hosts.
pub fn share_ports() {
    SHARED_PORTS.store(true, Ordering::Relaxed);
}

/// The C library's, for this program and for libfabric in it: sees to [`share_ports`].
///
/// # Safety
///
/// As bind(2).
// SAFETY: it is that function, with the same signature.
#[unsafe(no_mangle)]
unsafe extern "C" fn bind(
    socket: c_int,
    address: *const libc::sockaddr,
    length: libc::socklen_t,
) -> c_int {
    // SAFETY: the caller's descriptor and address; the option is an int.
    unsafe {
        if SHARED_PORTS.load(Ordering::Relaxed) {
            let on: c_int = 1;
            libc::setsockopt(
                socket,
                libc::SOL_SOCKET,
                libc::SO_REUSEADDR,
                (&raw const on).cast(),
                size_of::<c_int>() as libc::socklen_t,
            );
        }
        libc::syscall(libc::SYS_bind, socket, address, length) as c_int
    }
}

/// Gives this process, which must have one thread, a network of its own: a loopback device that
/// multicast goes over. The processes that it starts from here on are in it, too.
pub fn own_network() -> Result<(), Stop> {
    let failed = |what: &str| -> Stop {
        Stop::Failed(format!("{what}: {}", std::io::Error::last_os_error()))
    };
    // SAFETY: plain numbers; one thread, so nothing is shared with anybody. Without the right to make
    // a network one has it in a user namespace of one's own.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNET) < 0
            && libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) < 0
        {
            return Err(failed(
                "a network of its own (as root, or where users may make namespaces)",
            ));
        }
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(failed("a socket"));
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let mut up: libc::ifreq = std::mem::zeroed();
        up.ifr_name[0] = b'l' as libc::c_char;
        up.ifr_name[1] = b'o' as libc::c_char;
        up.ifr_ifru.ifru_flags =
            (libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_MULTICAST) as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut up) < 0 {
            return Err(failed("the loopback device"));
        }
        let name = c"lo";
        let mut route: libc::rtentry = std::mem::zeroed();
        route.rt_dst = address(Ipv4Addr::new(224, 0, 0, 0));
        route.rt_genmask = address(Ipv4Addr::new(240, 0, 0, 0));
        route.rt_gateway = address(Ipv4Addr::UNSPECIFIED);
        route.rt_flags = libc::RTF_UP as libc::c_ushort;
        route.rt_dev = name.as_ptr().cast_mut();
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &raw mut route) < 0 {
            return Err(failed("a route for multicast"));
        }
    }
    Ok(())
}

fn address(ip: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: all zero is a sockaddr_in, and both have one size.
    unsafe {
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_addr.s_addr = u32::from(ip).to_be();
        std::mem::transmute(address)
    }
}
