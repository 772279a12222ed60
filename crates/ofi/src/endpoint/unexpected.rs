//! Taking in what nobody received, before an endpoint closes.
//!
//! Closing an endpoint of sm2 takes a lock for every message that still waits for a receive, and
//! holds that lock already (quirk 16). On shm it writes to the memory of whoever sent the message
//! (quirk 17). So receives take those messages first. Their entries have no context, and are dropped
//! as they are read.
//!
//! The receives name the room that is behind every receive there: see `op::overflow`.

use libc::iovec;

use super::Core;
use crate::{
    cq::{Deferred, Reader},
    quirks::{Defect, quirk},
    threading::Threading,
};

/// Far more than can wait, and an end where a peer never stops sending.
const MOST: usize = 1 << 16;

impl<T: Threading> Core<T> {
    /// Whether messages that wait for a receive have to go before the endpoint does.
    pub(super) fn minds_unexpected(&self) -> bool {
        quirk(self.provider(), Defect::CloseWithMessages).is_some()
    }

    /// Takes in all messages that wait. `reader` is that of the receives' queue; what reading it
    /// leaves to be done goes to `after`.
    #[cold]
    pub(super) fn take_unexpected(&self, reader: &mut Reader<T>, after: &mut Vec<Deferred<T>>) {
        let queue = &self.receive.core;
        let Some(overflow) = self.lane().habits.overflow else { return };
        let room = overflow.segment();
        let mut read = || {
            let mut batch = Deferred::new();
            let count = queue.read_batch(reader, &mut batch);
            after.push(batch);
            count
        };
        for _ in 0..MOST {
            let before = queue.swallowed();
            self.receive_anything(room, ofi_sys::FI_MSG);
            self.receive_anything(room, ofi_sys::FI_TAGGED);
            while read() > 0 {}
            if queue.swallowed() == before {
                break;
            }
        }
    }

    /// Posts a receive without a context. Where there is no place for it, reading the queue makes
    /// one.
    fn receive_anything(&self, room: iovec, way: u64) {
        use std::ptr::null_mut;
        if self.limits.caps & way == 0 {
            return;
        }
        let (ep, anybody) = (self.fid.as_ptr(), ofi_sys::FI_ADDR_UNSPEC);
        // SAFETY: the endpoint is open, with the capability; the room is never unmapped; shm and sm2
        // write to no context.
        let _ = unsafe {
            let (desc, context) = (null_mut(), null_mut());
            if way == ofi_sys::FI_MSG {
                ofi_sys::fi_recv(ep, room.iov_base, room.iov_len, desc, anybody, context)
            } else {
                let any = u64::MAX;
                ofi_sys::fi_trecv(ep, room.iov_base, room.iov_len, desc, anybody, 0, any, context)
            }
        };
    }
}
