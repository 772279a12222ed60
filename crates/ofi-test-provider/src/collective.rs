//! Collectives: written down argument by argument, and done at once without moving anything.

use std::ffi::c_void;

use ofi_sys::*;

use crate::{op::Act, post::Post, world::world};

type Ep = *mut fid_ep;
type Buf = *const c_void;
type Room = *mut c_void;

/// Calls, each with what it writes down: pointers as numbers.
macro_rules! collectives {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        unsafe extern "C" fn $name(ep: Ep, $($arg: $ty,)* context: Room) -> isize {
            let mut call = String::from(stringify!($name));
            $(call += &format!(concat!(" ", stringify!($arg), "={:#x}"), $arg as u64);)*
            done(ep, call, context)
        }
    )*};
}

collectives! {
    barrier(coll_addr: u64);
    barrier2(coll_addr: u64, flags: u64);
    broadcast(buf: Room, count: usize, desc: Room, coll_addr: u64, root_addr: u64, datatype: u32,
              flags: u64);
    alltoall(buf: Buf, count: usize, desc: Room, result: Room, result_desc: Room, coll_addr: u64,
             datatype: u32, flags: u64);
    allreduce(buf: Buf, count: usize, desc: Room, result: Room, result_desc: Room, coll_addr: u64,
              datatype: u32, op: u32, flags: u64);
    allgather(buf: Buf, count: usize, desc: Room, result: Room, result_desc: Room, coll_addr: u64,
              datatype: u32, flags: u64);
    reduce_scatter(buf: Buf, count: usize, desc: Room, result: Room, result_desc: Room, coll_addr: u64,
                   datatype: u32, op: u32, flags: u64);
    reduce(buf: Buf, count: usize, desc: Room, result: Room, result_desc: Room, coll_addr: u64,
           root_addr: u64, datatype: u32, op: u32, flags: u64);
    scatter(buf: Buf, count: usize, desc: Room, result: Room, result_desc: Room, coll_addr: u64,
            root_addr: u64, datatype: u32, flags: u64);
    gather(buf: Buf, count: usize, desc: Room, result: Room, result_desc: Room, coll_addr: u64,
           root_addr: u64, datatype: u32, flags: u64);
}

fn done(ep: Ep, call: String, context: Room) -> isize {
    world().record(call);
    let post = Post {
        ep,
        peer: FI_ADDR_UNSPEC,
        pieces: Vec::new(),
        lists: Vec::new(),
        context,
        flags: None,
        inject: false,
    };
    post.go(|_| Act::Nothing)
}

pub(crate) static OPS: fi_ops_collective = fi_ops_collective {
    size: size_of::<fi_ops_collective>(),
    barrier: Some(barrier),
    broadcast: Some(broadcast),
    alltoall: Some(alltoall),
    allreduce: Some(allreduce),
    allgather: Some(allgather),
    reduce_scatter: Some(reduce_scatter),
    reduce: Some(reduce),
    scatter: Some(scatter),
    gather: Some(gather),
    msg: None,
    barrier2: Some(barrier2),
};
