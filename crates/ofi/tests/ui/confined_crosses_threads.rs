//! `Confined` objects stay on their thread.
// rule: W11

use ofi::{AddressVector, CompletionQueue, Confined, Domain, Endpoint, Op, Rdm, SendVerb};

fn crosses<X: Send>() {}
fn is_shared<X: Sync>() {}

fn main() {
    crosses::<Domain<Confined>>();
    crosses::<CompletionQueue<Confined>>();
    crosses::<AddressVector<Confined>>();
    crosses::<Endpoint<Rdm, Confined>>();
    crosses::<Op<SendVerb, Vec<u8>, Confined>>();
    is_shared::<CompletionQueue<Confined>>();
}
