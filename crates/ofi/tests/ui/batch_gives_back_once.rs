//! A batch's buffers are its own until it has ended, and come back once.
// rule: B1, B22, W11

use std::time::Duration;

use ofi::{Address, Batch, Confined, Endpoint, Rdm, SendVerb};

fn touched(ep: &Endpoint<Rdm>, to: Address) {
    let mut buffer = vec![1_u8; 8];
    let mut batch = ep.batch().unwrap();
    batch.post(ep.send(buffer, to)).unwrap();
    buffer[0] = 2;
}

fn borrowed(ep: &Endpoint<Rdm>, to: Address) {
    let buffer = [1_u8; 8];
    let mut batch = ep.batch().unwrap();
    batch.post(ep.send(&buffer[..], to)).unwrap();
}

fn twice(batch: Batch<SendVerb, Vec<u8>>) {
    let first = batch.wait(Duration::ZERO);
    let second = batch.wait(Duration::ZERO);
}

fn elsewhere(batch: Batch<SendVerb, Vec<u8>, Confined>) {
    std::thread::spawn(move || drop(batch));
}

fn main() {}
