//! An operation that is not posted yet borrows its endpoint: it cannot be posted on a closed one.
// rule: L1

use std::time::Duration;

use ofi::{Endpoint, Rdm};

fn main() {}

fn closes_under_it(ep: Endpoint<Rdm>) {
    let recv = ep.recv(vec![0_u8; 8]);
    let _ = ep.close(Duration::ZERO);
    let _ = recv.post();
}
