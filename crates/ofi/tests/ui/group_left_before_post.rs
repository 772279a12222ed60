//! What is to be sent to a group borrows the group until it is posted: the provider's address of it is
//! a pointer into what leaving frees.
// rule: A9

use ofi::{Dgram, Endpoint, MulticastGroup};

fn main() {}

fn left_too_early(ep: &Endpoint<Dgram>, group: MulticastGroup) {
    let send = ep.send(vec![0_u8; 8], &group);
    drop(group);
    let _ = send.post();
}
