//! An array moves with its handle: its address is not stable.
// rule: B1

use ofi::{Endpoint, Rdm};

fn main() {}

fn receives_into_an_array(ep: &Endpoint<Rdm>) {
    let _ = ep.recv([0_u8; 64]).post();
}
