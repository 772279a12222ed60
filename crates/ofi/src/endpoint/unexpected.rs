//! Taking in what nobody received, before an endpoint closes.
//!
//! Closing an endpoint of sm2 takes a lock for every message that still waits for a receive, and
//! holds that lock already (quirk 16). On shm it writes to the memory of whoever sent the message
//! (quirk 17). So receives take those messages first. Their entries have no context, and are dropped
//! as they are read.
//!
//! Both copy a long message into a shorter receive without ever ending. So the receives have room for
//! any message: address space, of which only what is written to becomes memory.

use std::{ffi::c_void, ptr::NonNull};

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
        quirk(self.info.provider(), Defect::CloseWithMessages).is_some()
    }

    /// Takes in all messages that wait. `reader` is that of the receives' queue; what reading it
    /// leaves to be done goes to `after`. The room
    /// that is returned stays until the endpoint is closed: the last receives name it.
    #[cold]
    pub(super) fn take_unexpected(
        &self,
        reader: &mut Reader<T>,
        after: &mut Vec<Deferred<T>>,
    ) -> Option<Room> {
        let queue = &self.receive.core;
        let room = Room::new()?;
        let mut read = || {
            let mut batch = Deferred::new();
            let count = queue.read_batch(reader, &mut batch);
            after.push(batch);
            count
        };
        for _ in 0..MOST {
            let before = queue.swallowed();
            self.receive_anything(&room, ofi_sys::FI_MSG);
            self.receive_anything(&room, ofi_sys::FI_TAGGED);
            while read() > 0 {}
            if queue.swallowed() == before {
                break;
            }
        }
        Some(room)
    }

    /// Posts a receive without a context. Where there is no place for it, reading the queue makes
    /// one.
    fn receive_anything(&self, room: &Room, way: u64) {
        use std::ptr::null_mut;
        if self.limits.caps & way == 0 {
            return;
        }
        let (ep, anybody) = (self.fid.as_ptr(), ofi_sys::FI_ADDR_UNSPEC);
        // SAFETY: the endpoint is open, with the capability; the room stays until it is closed,
        // by the contract of `take_unexpected`; shm and sm2 write to no context.
        let _ = unsafe {
            let (desc, context) = (null_mut(), null_mut());
            if way == ofi_sys::FI_MSG {
                ofi_sys::fi_recv(ep, room.0.as_ptr(), Room::LENGTH, desc, anybody, context)
            } else {
                let ignored = u64::MAX;
                ofi_sys::fi_trecv(
                    ep,
                    room.0.as_ptr(),
                    Room::LENGTH,
                    desc,
                    anybody,
                    0,
                    ignored,
                    context,
                )
            }
        };
    }
}

/// Room for any message.
pub(super) struct Room(NonNull<c_void>);

impl Room {
    /// More than a message is long.
    const LENGTH: usize = if usize::BITS > 32 { (1_u64 << 36) as usize } else { 1 << 28 };

    /// `None` where the system limits address space.
    fn new() -> Option<Room> {
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: a new mapping, wherever the system likes.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), Self::LENGTH, access, kind, -1, 0) };
        if start == libc::MAP_FAILED { None } else { NonNull::new(start).map(Room) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`; nothing in Rust points into it, and no provider does (see
        // `take_unexpected`).
        unsafe { libc::munmap(self.0.as_ptr(), Self::LENGTH) };
    }
}
