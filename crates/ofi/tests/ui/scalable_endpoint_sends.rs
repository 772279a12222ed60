//! A scalable endpoint is an address: its contexts send and receive, each in one direction.
// rule: L14
use ofi::{Address, ReceiveContext, Rdm, ScalableEndpoint, TransmitContext};

fn wrong(all: &ScalableEndpoint<Rdm>, out: &TransmitContext, into: &ReceiveContext, to: Address) {
    let _ = all.send(vec![0], to);
    let _ = all.recv(vec![0]);
    let _ = out.recv(vec![0]);
    let _ = into.send(vec![0], to);
}

fn main() {}
