//! A connected endpoint takes no destination, a connectionless one needs one (fault 16).
// rule: C3

use ofi::{Address, Endpoint, Msg, Rdm};

fn main() {}

fn msg_with_destination(ep: &Endpoint<Msg>, to: Address) {
    let _ = ep.send(vec![0_u8; 8], to).post();
}

fn rdm_without_destination(ep: &Endpoint<Rdm>) {
    let _ = ep.send(vec![0_u8; 8]).post();
}
