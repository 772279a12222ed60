//! The reader of a `Confined` queue cannot be shared with another thread.
// rule: W11

use ofi::{CompletionQueue, Confined};

fn main() {}

fn reads_on_two_threads(cq: CompletionQueue<Confined>) {
    let other = cq.clone();
    std::thread::spawn(move || other.progress());
    let _ = cq.progress();
}
