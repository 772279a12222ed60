//! Posts: what is checked of each, and the calls for messages and remote memory.

use std::ffi::c_void;

use ofi_sys::*;

use crate::{
    deferred,
    info::{CONTEXTS, INJECT, IOV_LIMIT, MAX_MESSAGE, RMA_IOV_LIMIT},
    memory::{Piece, gather, pieces, scatter, sum, total},
    op::{Act, Fate, List, Op},
    world::{World, broken, object, world},
};

/// A call that posts.
pub(crate) struct Post {
    pub(crate) ep: *mut fid_ep,
    /// Where it goes; of a receive, whom it is from.
    pub(crate) peer: u64,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) lists: Vec<List>,
    pub(crate) context: *mut c_void,
    /// `None` for the endpoint's own.
    pub(crate) flags: Option<u64>,
    pub(crate) inject: bool,
}

impl Post {
    /// One piece of memory.
    pub(crate) fn one(
        ep: *mut fid_ep,
        peer: u64,
        (buf, len, desc): (*const c_void, usize, *mut c_void),
        context: *mut c_void,
    ) -> Post {
        let pieces = vec![Piece::new(buf, len, desc)];
        Post { ep, peer, pieces, lists: Vec::new(), context, flags: None, inject: false }
    }

    /// A copy of one piece.
    pub(crate) fn inject(ep: *mut fid_ep, peer: u64, (buf, len): (*const c_void, usize)) -> Post {
        let null = std::ptr::null_mut();
        Post { inject: true, ..Post::one(ep, peer, (buf, len, null), null) }
    }

    /// A vector.
    ///
    /// # Safety
    ///
    /// The list is as long as it says.
    pub(crate) unsafe fn many(
        ep: *mut fid_ep,
        peer: u64,
        (iov, desc, count): (*const iovec, *mut *mut c_void, usize),
        context: *mut c_void,
    ) -> Post {
        // SAFETY: the caller's promise.
        let pieces = unsafe { pieces(iov, desc, count) };
        let lists = vec![List { iov, desc, count }];
        Post { ep, peer, pieces, lists, context, flags: None, inject: false }
    }

    pub(crate) fn flags(self, flags: u64) -> Post {
        Post { flags: Some(flags), ..self }
    }

    /// Checks the call, and takes it. `act` is told the number of the peer's endpoint.
    pub(crate) fn go(self, act: impl FnOnce(Option<u64>) -> Act) -> isize {
        world().post(self, act)
    }
}

impl World {
    fn post(&mut self, post: Post, act: impl FnOnce(Option<u64>) -> Act) -> isize {
        const EAGAIN: isize = -(FI_EAGAIN as isize);
        let Post { ep: fid, peer, pieces, lists, context, flags, inject } = post;
        let at = fid as usize;
        let ep = object!(self.eps, fid);
        let (caps, av, op_flags) = (ep.caps, ep.av, ep.op_flags);
        let demand = self.domains[&ep.domain].demand;
        if !ep.enabled {
            broken("L5", "something is posted on an endpoint that is not enabled");
        }
        let known = av.and_then(|av| self.avs[&av].entries.get(&peer).copied());
        let act = act(known);
        let (needed, receives, access) = match &act {
            Act::Send { tag: None, .. } => (FI_MSG, false, FI_SEND),
            Act::Send { .. } => (FI_TAGGED, false, FI_SEND),
            Act::Recv { tag: None, .. } => (FI_MSG, true, FI_RECV),
            Act::Recv { .. } => (FI_TAGGED, true, FI_RECV),
            Act::Write { .. } => (FI_RMA, false, FI_WRITE),
            Act::Read { .. } => (FI_RMA, false, FI_READ),
            Act::Atomic { .. } => (FI_ATOMIC, false, FI_WRITE),
            Act::Nothing => (FI_COLLECTIVE, false, 0),
        };
        if caps & needed == 0 {
            broken("D8", format_args!("{act:?} without the capability"));
        }
        let directed = receives && peer != FI_ADDR_UNSPEC && caps & FI_DIRECTED_RECV != 0;
        if known.is_none() && (!receives || directed) && !matches!(act, Act::Nothing) {
            broken("A2", format_args!("address {peer} is not in the vector of the endpoint"));
        }
        let flags = flags.unwrap_or(if receives { op_flags.1 } else { op_flags.0 });
        let unknown = flags & (FI_MULTI_RECV | FI_PEEK | FI_CLAIM | FI_DISCARD);
        if unknown != 0 {
            let (tag, peer) = (&act, peer);
            self.record(format!("{tag:?} peer={peer} flags={flags:#x} {pieces:?}"));
            return -(FI_EOPNOTSUPP as isize);
        }
        let copied = inject || flags & FI_INJECT != 0 && !receives;
        self.check_memory(at, &act, &pieces, access, copied);
        let number = self.number();
        let mut op = Op {
            number,
            ep: at,
            context: context as usize,
            act,
            pieces,
            lists: Vec::new(),
            flags,
            fi_addr: if receives && !directed { FI_ADDR_UNSPEC } else { peer },
            own: None,
            silent: inject,
            sum: 0,
            fate: Fate::Usual,
            done: None,
            work: None,
            got: Vec::new(),
        };
        if demand.demands(FI_CONTEXT | FI_CONTEXT2) && !inject {
            self.check_context(&op);
        }
        if demand.exclusive && !copied {
            self.check_exclusive(&op);
        }
        let beside =
            self.ops.values().filter(|other| other.ep == at && other.receives() == receives);
        if beside.count() >= CONTEXTS || self.plan.says("eagain") {
            self.counts.refused += 1;
            return EAGAIN;
        }
        // From here on it is the provider's.
        op.fate = match () {
            () if self.plan.says("never") && !copied => Fate::Never,
            () if self.plan.says("fail") => Fate::Fails,
            () => Fate::Usual,
        };
        // SAFETY: the caller lends the memory from now to the entry, or for the call.
        unsafe {
            if demand.prefix() > 0 && needed & (FI_MSG | FI_TAGGED) != 0 && !receives && !inject {
                // Its header.
                scatter(&op.pieces[..1], &vec![0xC3; demand.prefix()]);
            }
            if op.sends() {
                let bytes = gather(&op.pieces);
                op.sum = sum(&bytes);
                op.own = copied.then_some(bytes);
            }
        }
        op.work = deferred::starting();
        if demand.demands(FI_ASYNC_IOV) || op.work.is_some() {
            // SAFETY: as long as they say, now and until the entry (rules B9, X11).
            let copy = |list: List| (list, unsafe { pieces_of(list) });
            op.lists = lists.into_iter().filter(|list| list.count > 1).map(copy).collect();
        }
        op.mark_context(&demand);
        let ep = object!(self.eps, fid);
        ep.rounds = 0;
        ep.more = match flags & FI_MORE {
            0 => None,
            _ => ep.more.or(Some(number)),
        };
        self.counts.posted += 1;
        self.ops.insert(number, op);
        0
    }

    /// Lengths, limits, descriptors.
    fn check_memory(&self, ep: usize, act: &Act, pieces: &[Piece], access: u64, copied: bool) {
        let demand = self.domains[&self.eps[&ep].domain].demand;
        let message = matches!(act, Act::Send { .. } | Act::Recv { .. });
        let prefix = if message { demand.prefix() } else { 0 };
        let len = total(pieces);
        if pieces.len() > IOV_LIMIT {
            broken("B32", format_args!("{} pieces of memory", pieces.len()));
        }
        if len > MAX_MESSAGE + prefix && !matches!(act, Act::Recv { .. }) {
            broken("B32", format_args!("{len} bytes in one operation"));
        }
        if copied && len > INJECT + prefix {
            broken("B5", format_args!("{len} bytes are injected"));
        }
        if prefix > 0 && pieces.first().is_none_or(|piece| piece.len < prefix) {
            broken("B10", format_args!("no room for the prefix of {prefix} bytes in {pieces:x?}"));
        }
        if !copied {
            pieces.iter().for_each(|piece| self.check_descriptor(ep, piece, access));
        }
        let remote = match act {
            Act::Write { remote, .. } | Act::Read { remote, .. } => remote,
            Act::Atomic { remote, compare, result, .. } => {
                compare.iter().for_each(|piece| self.check_descriptor(ep, piece, FI_WRITE));
                result.iter().for_each(|piece| self.check_descriptor(ep, piece, FI_READ));
                remote
            }
            _ => return,
        };
        let there: usize = remote.iter().map(|piece| piece.1).sum();
        if remote.len() > RMA_IOV_LIMIT {
            broken("B32", format_args!("{} pieces of remote memory", remote.len()));
        }
        let none = matches!(act, Act::Atomic { kind: (_, FI_ATOMIC_READ), .. }) && len == 0;
        if there != len && !none {
            broken("B32", format_args!("{len} bytes here for {there} there"));
        }
    }

    /// That the context is the operation's own.
    fn check_context(&self, op: &Op) {
        if op.context == 0 || op.context % 8 != 0 {
            broken("B7", format_args!("{:#x} is no context", op.context));
        }
        let same = |other: &&Op| {
            let apart = other.context.abs_diff(op.context);
            !other.silent && apart < size_of::<fi_context2>()
        };
        if let Some(other) = self.ops.values().find(same) {
            broken("B7", format_args!("the context of {op} is that of {other}"));
        }
    }

    /// That the memory is in no other operation.
    fn check_exclusive(&self, op: &Op) {
        for other in self.ops.values() {
            let clash = |writes: &[Piece], all: &Op| {
                writes.iter().any(|piece| all.holds(piece.addr, piece.len))
            };
            if clash(op.written(), other) || other.own.is_none() && clash(other.written(), op) {
                broken("B1", format_args!("{op} is given memory of {other}"));
            }
        }
    }
}

/// # Safety
///
/// The list is as long as it says.
unsafe fn pieces_of(list: List) -> Vec<Piece> {
    // SAFETY: the caller's promise.
    unsafe { pieces(list.iov, list.desc, list.count) }
}

fn send(tag: Option<u64>, data: Option<u64>) -> impl FnOnce(Option<u64>) -> Act {
    move |to| Act::Send { to: to.unwrap_or(0), tag, data }
}

/// `None` for a sender who is not known is anybody.
fn receive(tag: Option<(u64, u64)>) -> impl FnOnce(Option<u64>) -> Act {
    move |from| Act::Recv { from, tag }
}

fn write(remote: Vec<(u64, usize, u64)>, data: Option<u64>) -> impl FnOnce(Option<u64>) -> Act {
    move |to| Act::Write { to: to.unwrap_or(0), remote, data }
}

fn read(remote: Vec<(u64, usize, u64)>) -> impl FnOnce(Option<u64>) -> Act {
    move |to| Act::Read { to: to.unwrap_or(0), remote }
}

/// Tables of calls: each names its arguments, and how it is posted.
macro_rules! calls {
    ($($name:ident($($arg:ident: $ty:ty),*) = $post:expr;)*) => {$(
        unsafe extern "C" fn $name($($arg: $ty),*) -> isize {
            // SAFETY: the caller's promise: lists and messages are whole.
            #[allow(unused_unsafe, reason = "some have no list")]
            unsafe { $post }
        }
    )*};
}
pub(crate) use calls;

type Ep = *mut fid_ep;
type Buf = *const c_void;
type Room = *mut c_void;
type Descs = *mut *mut c_void;

calls! {
    msg_recv(ep: Ep, buf: Room, len: usize, desc: Room, peer: u64, context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(receive(None));
    msg_recvv(ep: Ep, iov: *const iovec, desc: Descs, count: usize, peer: u64, context: Room) =
        Post::many(ep, peer, (iov, desc, count), context).go(receive(None));
    msg_recvmsg(ep: Ep, msg: *const fi_msg, flags: u64) = message(ep, &*msg, flags).go(receive(None));
    msg_send(ep: Ep, buf: Buf, len: usize, desc: Room, peer: u64, context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(send(None, None));
    msg_sendv(ep: Ep, iov: *const iovec, desc: Descs, count: usize, peer: u64, context: Room) =
        Post::many(ep, peer, (iov, desc, count), context).go(send(None, None));
    msg_sendmsg(ep: Ep, msg: *const fi_msg, flags: u64) =
        message(ep, &*msg, flags).go(send(None, data(flags, (*msg).data)));
    msg_inject(ep: Ep, buf: Buf, len: usize, peer: u64) =
        Post::inject(ep, peer, (buf, len)).go(send(None, None));
    msg_senddata(ep: Ep, buf: Buf, len: usize, desc: Room, data: u64, peer: u64, context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(send(None, Some(data)));
    msg_injectdata(ep: Ep, buf: Buf, len: usize, data: u64, peer: u64) =
        Post::inject(ep, peer, (buf, len)).go(send(None, Some(data)));

    tag_recv(ep: Ep, buf: Room, len: usize, desc: Room, peer: u64, tag: u64, ignore: u64,
             context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(receive(Some((tag, ignore))));
    tag_recvv(ep: Ep, iov: *const iovec, desc: Descs, count: usize, peer: u64, tag: u64, ignore: u64,
              context: Room) =
        Post::many(ep, peer, (iov, desc, count), context).go(receive(Some((tag, ignore))));
    tag_recvmsg(ep: Ep, msg: *const fi_msg_tagged, flags: u64) =
        tagged(ep, &*msg, flags).go(receive(Some(((*msg).tag, (*msg).ignore))));
    tag_send(ep: Ep, buf: Buf, len: usize, desc: Room, peer: u64, tag: u64, context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(send(Some(tag), None));
    tag_sendv(ep: Ep, iov: *const iovec, desc: Descs, count: usize, peer: u64, tag: u64,
              context: Room) =
        Post::many(ep, peer, (iov, desc, count), context).go(send(Some(tag), None));
    tag_sendmsg(ep: Ep, msg: *const fi_msg_tagged, flags: u64) =
        tagged(ep, &*msg, flags).go(send(Some((*msg).tag), data(flags, (*msg).data)));
    tag_inject(ep: Ep, buf: Buf, len: usize, peer: u64, tag: u64) =
        Post::inject(ep, peer, (buf, len)).go(send(Some(tag), None));
    tag_senddata(ep: Ep, buf: Buf, len: usize, desc: Room, data: u64, peer: u64, tag: u64,
                 context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(send(Some(tag), Some(data)));
    tag_injectdata(ep: Ep, buf: Buf, len: usize, data: u64, peer: u64, tag: u64) =
        Post::inject(ep, peer, (buf, len)).go(send(Some(tag), Some(data)));

    rma_read(ep: Ep, buf: Room, len: usize, desc: Room, peer: u64, addr: u64, key: u64,
             context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(read(vec![(addr, len, key)]));
    rma_readv(ep: Ep, iov: *const iovec, desc: Descs, count: usize, peer: u64, addr: u64, key: u64,
              context: Room) = {
        let post = Post::many(ep, peer, (iov, desc, count), context);
        let len = total(&post.pieces);
        post.go(read(vec![(addr, len, key)]))
    };
    rma_readmsg(ep: Ep, msg: *const fi_msg_rma, flags: u64) = {
        let (post, remote) = remote(ep, &*msg, flags);
        post.go(read(remote))
    };
    rma_write(ep: Ep, buf: Buf, len: usize, desc: Room, peer: u64, addr: u64, key: u64,
              context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(write(vec![(addr, len, key)], None));
    rma_writev(ep: Ep, iov: *const iovec, desc: Descs, count: usize, peer: u64, addr: u64, key: u64,
               context: Room) = {
        let post = Post::many(ep, peer, (iov, desc, count), context);
        let len = total(&post.pieces);
        post.go(write(vec![(addr, len, key)], None))
    };
    rma_writemsg(ep: Ep, msg: *const fi_msg_rma, flags: u64) = {
        let (post, remote) = remote(ep, &*msg, flags);
        post.go(write(remote, data(flags, (*msg).data)))
    };
    rma_inject(ep: Ep, buf: Buf, len: usize, peer: u64, addr: u64, key: u64) =
        Post::inject(ep, peer, (buf, len)).go(write(vec![(addr, len, key)], None));
    rma_writedata(ep: Ep, buf: Buf, len: usize, desc: Room, data: u64, peer: u64, addr: u64, key: u64,
                  context: Room) =
        Post::one(ep, peer, (buf, len, desc), context).go(write(vec![(addr, len, key)], Some(data)));
    rma_injectdata(ep: Ep, buf: Buf, len: usize, data: u64, peer: u64, addr: u64, key: u64) =
        Post::inject(ep, peer, (buf, len)).go(write(vec![(addr, len, key)], Some(data)));
}

fn data(flags: u64, data: u64) -> Option<u64> {
    (flags & FI_REMOTE_CQ_DATA != 0).then_some(data)
}

/// # Safety
///
/// The lists are as long as they say.
unsafe fn message(ep: Ep, msg: &fi_msg, flags: u64) -> Post {
    let list = (msg.msg_iov, msg.desc, msg.iov_count);
    // SAFETY: the caller's promise.
    unsafe { Post::many(ep, msg.addr, list, msg.context) }.flags(flags)
}

/// # Safety
///
/// As [`message`].
unsafe fn tagged(ep: Ep, msg: &fi_msg_tagged, flags: u64) -> Post {
    let list = (msg.msg_iov, msg.desc, msg.iov_count);
    // SAFETY: the caller's promise.
    unsafe { Post::many(ep, msg.addr, list, msg.context) }.flags(flags)
}

/// # Safety
///
/// As [`message`].
unsafe fn remote(ep: Ep, msg: &fi_msg_rma, flags: u64) -> (Post, Vec<(u64, usize, u64)>) {
    let list = (msg.msg_iov, msg.desc, msg.iov_count);
    // SAFETY: the caller's promise.
    unsafe {
        let piece = |i| msg.rma_iov.add(i).read();
        let pieces = (0..msg.rma_iov_count).map(piece).map(|p| (p.addr, p.len, p.key)).collect();
        (Post::many(ep, msg.addr, list, msg.context).flags(flags), pieces)
    }
}

pub(crate) static MSG: fi_ops_msg = fi_ops_msg {
    size: size_of::<fi_ops_msg>(),
    recv: Some(msg_recv),
    recvv: Some(msg_recvv),
    recvmsg: Some(msg_recvmsg),
    send: Some(msg_send),
    sendv: Some(msg_sendv),
    sendmsg: Some(msg_sendmsg),
    inject: Some(msg_inject),
    senddata: Some(msg_senddata),
    injectdata: Some(msg_injectdata),
};

pub(crate) static TAGGED: fi_ops_tagged = fi_ops_tagged {
    size: size_of::<fi_ops_tagged>(),
    recv: Some(tag_recv),
    recvv: Some(tag_recvv),
    recvmsg: Some(tag_recvmsg),
    send: Some(tag_send),
    sendv: Some(tag_sendv),
    sendmsg: Some(tag_sendmsg),
    inject: Some(tag_inject),
    senddata: Some(tag_senddata),
    injectdata: Some(tag_injectdata),
};

pub(crate) static RMA: fi_ops_rma = fi_ops_rma {
    size: size_of::<fi_ops_rma>(),
    read: Some(rma_read),
    readv: Some(rma_readv),
    readmsg: Some(rma_readmsg),
    write: Some(rma_write),
    writev: Some(rma_writev),
    writemsg: Some(rma_writemsg),
    inject: Some(rma_inject),
    writedata: Some(rma_writedata),
    injectdata: Some(rma_injectdata),
};
