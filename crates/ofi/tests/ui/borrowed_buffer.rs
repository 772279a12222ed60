//! A borrowed slice cannot be received into: it may be gone before the message comes (hole 1).
// rule: B1

use ofi::{Endpoint, Rdm};

fn main() {}

fn receives_into_a_borrow(ep: &Endpoint<Rdm>) {
    let mut buffer = vec![0_u8; 64];
    let _ = ep.recv(&mut buffer[..]).post();
}
