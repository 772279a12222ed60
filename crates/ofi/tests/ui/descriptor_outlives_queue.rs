//! The descriptor borrows its queue (by reading, of the peers: a `BorrowedFd<'static>`).
// rule: W2

use std::os::fd::BorrowedFd;

use ofi::CompletionQueue;

fn main() {}

fn outlives(cq: CompletionQueue) -> Option<BorrowedFd<'static>> {
    let fd = cq.fd();
    let _ = cq.close();
    fd
}
