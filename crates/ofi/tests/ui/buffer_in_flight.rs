//! A buffer is the operation's from the post on (peers' holes 1, 2; fault 9).
// rule: B1

use ofi::{Endpoint, Rdm};

fn main() {}

fn reads_while_in_flight(ep: &Endpoint<Rdm>) {
    let buffer = vec![0_u8; 64];
    let op = ep.recv(buffer).post().unwrap();
    assert_eq!(buffer[0], 0);
    drop(op);
}
