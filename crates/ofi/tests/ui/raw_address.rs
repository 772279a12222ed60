//! An address comes from a vector: a number is none (`fi_addr_t` is a wild pointer waiting).
// rule: A1

use ofi::{Address, Endpoint, Rdm};

fn main() {}

fn sends_to_a_number(ep: &Endpoint<Rdm>) {
    let _ = ep.send(vec![0_u8; 8], 99_999_u64).post();
    let _ = Address { raw: 0 };
}
