//! A buffer on a `Shared` endpoint may be dropped by whichever thread reads the queue.
// rule: W10

use std::rc::Rc;

use ofi::{Buf, Endpoint, Rdm, Segments};

struct Local(Rc<Vec<u8>>);

unsafe impl Buf for Local {
    fn segments(&self, list: &mut Segments) {
        list.push(self.0.as_ptr().cast_mut(), self.0.len());
    }
}

fn main() {}

fn sends(ep: &Endpoint<Rdm>, to: ofi::Address) {
    let _ = ep.send(Local(Rc::new(vec![1])), to).post();
}
