//! A borrowed slice cannot be sent from, except as a copy (`inject`).
// rule: B1

use ofi::{Address, Endpoint, Rdm};

fn main() {}

fn sends_a_borrow(ep: &Endpoint<Rdm>, to: Address) {
    let buffer = vec![0_u8; 64];
    let _ = ep.send(&buffer[..], to).post();
}
