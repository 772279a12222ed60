//! An operation is waited for once: its buffer comes out once.
// rule: B1

use std::time::Duration;

use ofi::{Op, RecvVerb};

fn main() {}

fn waits_twice(op: Op<RecvVerb, Vec<u8>>) {
    let _ = op.wait(Duration::ZERO);
    let _ = op.wait(Duration::ZERO);
}
