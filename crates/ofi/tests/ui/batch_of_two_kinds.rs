//! A batch has operations of one kind, which one counter counts: no others get in.
// rule: B22

use ofi::{Address, Endpoint, Rdm, RemoteRegion};

fn mixed(ep: &Endpoint<Rdm>, to: Address, there: RemoteRegion) {
    let mut batch = ep.batch().unwrap();
    batch.post(ep.send(vec![1_u8; 8], to)).unwrap();
    batch.post(ep.write(vec![1_u8; 8], to, there)).unwrap();
}

fn received(ep: &Endpoint<Rdm>) {
    // Receives are followed one by one: nothing else says how long a message was.
    let mut batch = ep.batch().unwrap();
    batch.post(ep.recv(vec![0_u8; 8])).unwrap();
}

fn main() {}
