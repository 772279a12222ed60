//! What `fi_control` says of connections.

use ofi::{ErrorKind, Version};

use super::Rig;
use crate::harness::{Mode, Target, Verdict};

/// tcp tells it since 2.2, nobody else.
pub(super) fn the_socket_of_a_connection<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let [client, _server] = rig.pair(&listener)?;
    match client.socket() {
        Ok(fd) => {
            let mut kind = 0_i32;
            let mut length = size_of::<i32>() as libc::socklen_t;
            // SAFETY: one int is written; the descriptor is open while the endpoint is.
            let status = unsafe {
                let room = (&raw mut kind).cast();
                libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, room, &raw mut length)
            };
            assert_eq!((status, kind), (0, libc::SOCK_STREAM));
            assert!(t.core() == "tcp" && ofi::version() >= Version::new(2, 2));
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
            assert!(t.core() != "tcp" || ofi::version() < Version::new(2, 2), "{error}");
        }
    }
    Ok(())
}
