//! A set is joined with once, and does not change after.
// rule: X7

use ofi::{Address, AvSet, Endpoint, Rdm};

fn main() {}

fn changed(endpoint: &Endpoint<Rdm>, mut set: AvSet, late: Address) {
    let _ = endpoint.join_collective(set);
    let _ = set.insert(late);
}
