//! Descriptors as loom sees them: numbers that are readable or not, and a `poll` that blocks.

use std::{os::fd::RawFd, time::Duration};

use loom::sync::{Condvar, Mutex};

loom::lazy_static! {
    static ref READABLE: Mutex<Vec<bool>> = Mutex::new(Vec::new());
    static ref CHANGED: Condvar = Condvar::new();
}

/// A new descriptor.
pub(crate) fn open() -> RawFd {
    let mut readable = READABLE.lock().unwrap();
    readable.push(false);
    readable.len() as RawFd - 1
}

/// Makes a descriptor readable, or not.
pub(crate) fn set(fd: RawFd, to: bool) {
    READABLE.lock().unwrap()[fd as usize] = to;
    if to {
        CHANGED.notify_all();
    }
}

/// Readable once it was rung, until it is drained.
#[derive(Debug)]
pub(super) struct Bell(RawFd);

impl Bell {
    pub(super) fn new() -> std::io::Result<Bell> {
        Ok(Bell(open()))
    }

    pub(super) fn ring(&self) {
        set(self.0, true);
    }

    pub(super) fn drain(&self) {
        set(self.0, false);
    }

    /// Sleeps until it was rung (`true`) or one of `fds` has something. A short `limit` passes at
    /// once; a longer one never does, so that whoever counts on it is found asleep for good.
    pub(super) fn wait(&self, fds: &[RawFd], limit: Duration) -> bool {
        let mut readable = READABLE.lock().unwrap();
        loop {
            let rung = readable[self.0 as usize];
            let ready = fds.iter().any(|fd| readable[*fd as usize]);
            if rung || ready || limit <= Duration::from_millis(1) {
                drop(readable);
                // A look that changes nothing may be repeated: the others go on meanwhile.
                loom::thread::yield_now();
                return rung;
            }
            readable = CHANGED.wait(readable).unwrap();
        }
    }
}
