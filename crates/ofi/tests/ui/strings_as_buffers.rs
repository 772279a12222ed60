//! Bytes are received into bytes, not into anything that has a size (peers' hole 4: `[&'static str]`).
// rule: H4
use ofi::{Endpoint, Rdm};

fn main() {}

fn receives_into_references(ep: &Endpoint<Rdm>) {
    let _ = ep.recv(vec!["a", "b"]).post();
}
