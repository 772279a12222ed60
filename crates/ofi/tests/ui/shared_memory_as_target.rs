//! What others may read is not received into (peers' hole 9: writes to statics and `&[u8]`).
// rule: B1

use std::sync::Arc;

use ofi::{Endpoint, Rdm};

fn main() {}

fn receives_into_shared_bytes(ep: &Endpoint<Rdm>, bytes: Arc<[u8]>) {
    let _ = ep.recv(bytes).post();
    let _ = ep.recv(&b"static"[..]).post();
}
