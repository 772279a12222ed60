//! A builder is no endpoint: nothing can be posted before it is enabled, nothing bound after
//! (faults 16, 27).
// rule: L4, L5

use ofi::{CompletionQueue, Domain, Endpoint, Info, Rdm};

fn main() {}

fn posts_before_enable(domain: &Domain, info: &Info) {
    let _ = domain.endpoint::<Rdm>(info).recv(vec![0_u8; 8]).post();
}

fn binds_after_enable(ep: Endpoint<Rdm>, cq: &CompletionQueue) {
    let _ = ep.completion_queue(cq);
}
