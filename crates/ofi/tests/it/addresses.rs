//! Address vectors: what may be inserted, what an address is good for, what a removed one is.

use crate::harness::{List, cases};

pub fn register(_: &mut List) {}
