//! What counts a batch is nobody's to read, set or add to, and no handle to it can be had.
// rule: L6, W14

use ofi::{Batch, Endpoint, Rdm, SendVerb};

fn added(batch: &Batch<SendVerb, Vec<u8>>) {
    batch.counter().add(1).unwrap();
    batch.add(1).unwrap();
}

fn set(ep: &mut Endpoint<Rdm>) {
    ep.counters()[0].set(0).unwrap();
}

fn main() {}
