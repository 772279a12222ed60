//! Endpoints: made, bound, enabled, closed.

use std::{
    collections::{HashMap, VecDeque},
    ffi::{c_int, c_void},
};

use ofi_sys::*;

use crate::{
    atomic, av, collective,
    domain::basics,
    engine::Message,
    op::Outcome,
    post, record,
    world::{absent, begin, broken, give, object, table, world},
};

#[derive(Default)]
pub(crate) struct Ep {
    pub(crate) number: u64,
    pub(crate) domain: usize,
    pub(crate) caps: u64,
    /// Flags of calls that take none: transmit, receive.
    pub(crate) op_flags: (u64, u64),
    pub(crate) av: Option<usize>,
    /// The queue, and whether only those complete there that say so.
    pub(crate) transmit: Option<(usize, bool)>,
    pub(crate) receive: Option<(usize, bool)>,
    pub(crate) cntrs: Vec<(usize, u64)>,
    pub(crate) enabled: bool,
    /// The first post of a batch that is open, and for how many rounds it is.
    pub(crate) more: Option<u64>,
    pub(crate) rounds: u32,
    pub(crate) unexpected: VecDeque<Message>,
    options: HashMap<c_int, Vec<u8>>,
}

absent! {
    tx_ctx(*mut fid_ep, c_int, *mut fi_tx_attr, *mut *mut fid_ep, *mut c_void) -> c_int;
    rx_ctx(*mut fid_ep, c_int, *mut fi_rx_attr, *mut *mut fid_ep, *mut c_void) -> c_int;
}

static EP: fi_ops = basics(close, bind, control);
static OPS: fi_ops_ep = fi_ops_ep {
    size: size_of::<fi_ops_ep>(),
    cancel: Some(cancel),
    getopt: Some(getopt),
    setopt: Some(setopt),
    tx_ctx: Some(tx_ctx),
    rx_ctx: Some(rx_ctx),
    rx_size_left: None,
    tx_size_left: None,
};
static CM: fi_ops_cm = fi_ops_cm {
    size: size_of::<fi_ops_cm>(),
    setname: None,
    getname: Some(getname),
    getpeer: None,
    connect: None,
    listen: None,
    accept: None,
    reject: None,
    shutdown: None,
    join: None,
};

pub(crate) unsafe extern "C" fn open(
    domain: *mut fid_domain,
    info: *mut fi_info,
    ep: *mut *mut fid_ep,
    context: *mut c_void,
) -> c_int {
    let mut world = world();
    let _ = object!(world.domains, domain);
    // SAFETY: the info is one of `fi_getinfo`'s, or a copy, so its attributes are there.
    let (caps, op_flags, tag_format) = unsafe {
        let (tx, rx) = ((*(*info).tx_attr).op_flags, (*(*info).rx_attr).op_flags);
        ((*info).caps, (tx, rx), (*(*info).ep_attr).mem_tag_format)
    };
    if tag_format < FI_TAG_MAX_FORMAT && tag_format != 0 {
        world.record(format!("endpoint mem_tag_format={tag_format:#x}"));
    }
    fn offered<T>(caps: u64, cap: u64, functions: &'static T) -> *mut T {
        if caps & cap == 0 { std::ptr::null_mut() } else { table(functions) }
    }
    let object = give(fid_ep {
        fid: begin(FI_CLASS_EP, context, &EP),
        ops: table(&OPS),
        cm: table(&CM),
        msg: table(&post::MSG),
        rma: offered(caps, FI_RMA, &post::RMA),
        tagged: offered(caps, FI_TAGGED, &post::TAGGED),
        atomic: offered(caps, FI_ATOMIC, &atomic::OPS),
        collective: offered(caps, FI_COLLECTIVE, &collective::OPS),
    });
    let number = world.number();
    let domain = domain as usize;
    world.eps.insert(object as usize, Ep { number, domain, caps, op_flags, ..Ep::default() });
    // SAFETY: the caller's: it may be written.
    unsafe { *ep = object };
    0
}

unsafe extern "C" fn bind(fid: *mut fid, other: *mut fid, flags: u64) -> c_int {
    let mut world = world();
    let at = other as usize;
    let kinds = (world.avs.contains_key(&at), world.cqs.contains_key(&at));
    let is_cntr = world.cntrs.contains_key(&at);
    let ep = object!(world.eps, fid);
    if ep.enabled {
        broken("L4", "an endpoint is bound that is enabled");
    }
    let selective = flags & FI_SELECTIVE_COMPLETION != 0;
    match (kinds, is_cntr) {
        ((true, _), _) => ep.av = Some(at),
        ((_, true), _) => {
            if flags & FI_TRANSMIT != 0 {
                ep.transmit = Some((at, selective));
            }
            if flags & FI_RECV != 0 {
                ep.receive = Some((at, selective));
            }
        }
        (_, true) => ep.cntrs.push((at, flags)),
        _ => broken("L4", "an endpoint is bound to something else"),
    }
    0
}

unsafe extern "C" fn control(fid: *mut fid, command: c_int, _arg: *mut c_void) -> c_int {
    if command != FI_ENABLE {
        return -FI_ENOSYS;
    }
    let mut world = world();
    let ep = object!(world.eps, fid);
    match (ep.av, ep.transmit.and(ep.receive)) {
        (None, _) => -FI_ENOAV,
        (_, None) => -FI_ENOCQ,
        _ => {
            ep.enabled = true;
            0
        }
    }
}

unsafe extern "C" fn close(fid: *mut fid) -> c_int {
    let mut world = world();
    let at = fid as usize;
    if object!(world.eps, fid).more.is_some() {
        broken("B31", "FI_MORE was said, and the endpoint is closed");
    }
    if world.mrs.values().any(|mr| mr.ep == Some(at)) {
        broken("L3", "an endpoint is closed before the regions bound to it");
    }
    world.check_no_work(at);
    world.end_all(at);
    world.eps.remove(&at);
    0
}

unsafe extern "C" fn cancel(fid: fid_t, context: *mut c_void) -> isize {
    let mut world = world();
    let _ = object!(world.eps, fid);
    let meant = world.ops.values().find(|op| {
        op.ep == fid as usize && op.context == context as usize && op.receives() && op.waits()
    });
    let Some(op) = meant else { return -FI_ENOENT as isize };
    // Whatever is said to it.
    if !op.is_never() {
        let tagged =
            if let crate::op::Act::Recv { tag: Some(_), .. } = op.act { FI_TAGGED } else { FI_MSG };
        let (number, flags) = (op.number, FI_RECV | tagged);
        world.finish(number, Outcome { flags, err: FI_ECANCELED, ..Outcome::default() });
    }
    0
}

unsafe extern "C" fn setopt(
    fid: fid_t,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: usize,
) -> c_int {
    if level != FI_OPT_ENDPOINT || name != FI_OPT_MIN_MULTI_RECV {
        return -FI_ENOPROTOOPT;
    }
    let mut world = world();
    // SAFETY: the value is as long as it says.
    let (bytes, text) = unsafe {
        let bytes = std::slice::from_raw_parts(value.cast::<u8>(), len).to_vec();
        (bytes, record::bytes(value.cast(), len))
    };
    object!(world.eps, fid).options.insert(name, bytes);
    world.record(format!("setopt level={level} name={name} value={text}"));
    0
}

unsafe extern "C" fn getopt(
    fid: fid_t,
    _level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut usize,
) -> c_int {
    let mut world = world();
    // The smallest room that a message may need.
    let least = 64_usize.to_ne_bytes();
    let options = &object!(world.eps, fid).options;
    let known = (name == FI_OPT_MIN_MULTI_RECV).then_some(&least[..]);
    match options.get(&name).map(Vec::as_slice).or(known) {
        // SAFETY: the caller's promise.
        Some(bytes) => unsafe { av::tell(bytes, value, len) },
        None => -FI_ENOPROTOOPT,
    }
}

unsafe extern "C" fn getname(fid: fid_t, addr: *mut c_void, len: *mut usize) -> c_int {
    let mut world = world();
    let ep = object!(world.eps, fid);
    if !ep.enabled {
        broken("A7", "an endpoint's name is asked before it is enabled");
    }
    // SAFETY: the caller's promise.
    unsafe { av::tell(&av::name(ep.number), addr, len) }
}
