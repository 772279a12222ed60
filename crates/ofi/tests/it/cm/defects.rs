//! Defects of providers in their connections, reproduced: entries of the quirk table.

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use ofi::{Caps, ConnectError, ErrorKind, EventQueue};

use super::{Rig, refusal, talk};
use crate::harness::{LIMIT, Mode, Parent, Peer, Stop, Target, Verdict};

/// A listener closes while a request is on its way: the request is refused, and a new listener of the
/// same queue gets the address. In a process of its own: where the provider's listener itself is
/// closed then, reading the queue crashes.
// quirk: 11
pub(super) fn listener_dangles<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let other: EventQueue<T> = rig.fabric.event_queue().open()?;
    let listener = rig.listen()?;
    let address = listener.name()?;
    let connecting = rig.builder().event_queue(&other).connect(&address, b"")?;
    // The system has the connection; the request is sent when the client's queue is read.
    let read_a_little = |eq: &EventQueue<T>| eq.wait(Duration::from_millis(50));
    read_a_little(&rig.eq)?;
    if Parent::role().is_some() {
        // SAFETY: none: what is shown is that the provider's own object may not be closed here.
        unsafe { ofi_sys::fi_close(listener.as_raw().cast()) };
        std::mem::forget(listener);
        // Whatever the size of what was freed, something else is there now.
        let poison: Vec<Vec<u8>> =
            (2..80).flat_map(|size| vec![vec![0xAA_u8; size * 16 - 8]; 16]).collect();
        for _ in 0..5 {
            read_a_little(&other)?;
            read_a_little(&rig.eq)?;
        }
        drop(poison);
        std::process::exit(0);
    }
    if ofi::quirk(&t.provider, ofi::Defect::ListenerDangles).is_none() {
        return Ok(());
    }
    assert!(Peer::start("raw")?.finish().is_err(), "closing a listener is safe now");
    drop(listener);
    let deadline = Instant::now() + LIMIT;
    let mut connecting = connecting;
    let refused = loop {
        rig.eq.progress()?;
        connecting = match connecting.wait(Duration::from_millis(5)) {
            Err(ConnectError::Expired(connecting)) => connecting,
            ended => break refusal(ended),
        };
        assert!(Instant::now() < deadline, "neither refused nor connected");
    };
    assert_eq!(*refused.error.kind(), ErrorKind::Peer);
    // The address is still there, for the same queue.
    let socket = address.socket_addr().expect("an IP provider");
    let hints = t.hints(Caps::MSG).node("127.0.0.1").service(socket.port().to_string());
    let info = hints.source().query()?.into_best();
    let listener = rig.fabric.passive_endpoint(&info).event_queue(&rig.eq).listen()?;
    assert_eq!(listener.name()?.socket_addr(), Some(socket));
    let [a, b] = rig.pair(&listener)?;
    talk(&a, &b, 10)
}

/// The entry of the quirk table: on `sockets`, fi_shutdown closes the connection's descriptor and
/// fi_close closes the number again, here a file's of ours. On the others it does not.
// quirk: 8
pub(super) fn descriptor_closed_twice<T: Mode>(t: &Target) -> Verdict {
    use std::os::fd::AsRawFd;
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let [a, b] = rig.pair(&listener)?;
    // While the peer's end is open somewhere, its close says nothing to this end: else the
    // provider's own thread may hear it first and close the descriptor for good.
    let ends = sockets()?;
    // SAFETY: an open, connected endpoint.
    assert_eq!(unsafe { ofi_sys::fi_shutdown(a.as_raw(), 0) }, 0);
    // They take the lowest free numbers.
    let open = |_| std::fs::File::open("/dev/null");
    let files: Vec<_> = (0..16).map(open).collect::<Result<_, _>>()?;
    drop(a);
    let gone = files.iter().filter(|file| {
        // SAFETY: asks about a number, nothing more.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) == -1 }
    });
    let closed = gone.count();
    // The standard library aborts where it finds a file of its own closed already.
    files.into_iter().for_each(std::mem::forget);
    drop((b, ends));
    let known = ofi::quirk(&t.provider, ofi::Defect::ShutdownClosesTwice).is_some();
    assert_eq!(closed > 0, known, "{closed} foreign descriptors were closed");
    Ok(())
}

/// A second descriptor for every socket of this process.
fn sockets() -> Result<Vec<OwnedFd>, Stop> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let what = std::fs::read_link(&path);
        if what.is_ok_and(|what| what.to_string_lossy().starts_with("socket:")) {
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let number: i32 = number.expect("a descriptor's number");
            // SAFETY: the provider keeps the descriptor open while it is copied: nothing closes now.
            all.push(unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()?);
        }
    }
    Ok(all)
}
