//! Memory regions.

use std::ffi::{c_int, c_void};

use ofi_sys::*;

use crate::{
    deferred,
    domain::basics,
    info::RAW_KEY,
    memory::{Piece, pieces, total},
    record,
    world::{World, begin, broken, give, object, world},
};

pub(crate) struct Mr {
    pub(crate) domain: usize,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) access: u64,
    pub(crate) key: u64,
    /// What peers must say to map a raw key.
    cookie: u64,
    /// What it is bound to, under FI_MR_ENDPOINT.
    pub(crate) ep: Option<usize>,
    pub(crate) enabled: bool,
}

static MR: fi_ops = basics(close, bind, control);
pub(crate) static OPS: fi_ops_mr = fi_ops_mr {
    size: size_of::<fi_ops_mr>(),
    reg: Some(reg),
    regv: Some(regv),
    regattr: Some(regattr),
};

unsafe extern "C" fn reg(
    domain: *mut fid,
    buf: *const c_void,
    len: usize,
    access: u64,
    offset: u64,
    key: u64,
    flags: u64,
    mr: *mut *mut fid_mr,
    context: *mut c_void,
) -> c_int {
    let piece = Piece::new(buf, len, std::ptr::null_mut());
    // SAFETY: the caller's promise.
    unsafe { register(domain, vec![piece], access, offset, key, flags, mr, context) }
}

unsafe extern "C" fn regv(
    domain: *mut fid,
    iov: *const iovec,
    count: usize,
    access: u64,
    offset: u64,
    key: u64,
    flags: u64,
    mr: *mut *mut fid_mr,
    context: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let pieces = pieces(iov, std::ptr::null_mut(), count);
        register(domain, pieces, access, offset, key, flags, mr, context)
    }
}

unsafe extern "C" fn regattr(
    domain: *mut fid,
    attr: *const fi_mr_attr,
    flags: u64,
    mr: *mut *mut fid_mr,
) -> c_int {
    // SAFETY: the caller's promise: the attributes are whole, with as many pieces as they say.
    unsafe {
        let attr = &*attr;
        let plain = attr.iface == FI_HMEM_SYSTEM
            && attr.auth_key_size == 0
            && attr.base_mr.is_null()
            && attr.sub_mr_cnt == 0
            && flags == 0;
        if !plain || attr.access & FI_COLLECTIVE != 0 {
            let call = record::registration(attr, flags);
            world().record(call);
        }
        // There is nothing at a device's address that could be touched here.
        let pieces = match flags & FI_MR_DMABUF {
            0 => pieces(attr.mem.mr_iov, std::ptr::null_mut(), attr.iov_count),
            _ => Vec::new(),
        };
        let (access, key) = (attr.access, attr.requested_key);
        register(domain, pieces, access, attr.offset, key, flags, mr, attr.context)
    }
}

/// # Safety
///
/// `mr` may be written.
#[expect(clippy::too_many_arguments, reason = "they are those of `fi_mr_reg`")]
unsafe fn register(
    domain: *mut fid,
    pieces: Vec<Piece>,
    access: u64,
    offset: u64,
    requested: u64,
    flags: u64,
    mr: *mut *mut fid_mr,
    context: *mut c_void,
) -> c_int {
    let mut world = world();
    let demand = object!(world.domains, domain).demand;
    if offset != 0 {
        return -FI_EINVAL;
    }
    if flags & FI_DIRECTED_RECV != 0 || access == 0 {
        return -FI_EBADFLAGS;
    }
    if pieces.iter().any(|piece| piece.addr == 0 || piece.len == 0) {
        broken("M14", "no memory is registered");
    }
    let number = world.number();
    let raw = demand.demands_mr(FI_MR_RAW);
    // Nobody guesses it.
    let chosen = demand.demands_mr(FI_MR_PROV_KEY) || raw;
    let key = if chosen { number.wrapping_mul(0x9E37_79B9_7F4A_7C15) } else { requested };
    if world.mrs.values().any(|mr| mr.domain == domain as usize && mr.key == key) {
        return -FI_ENOKEY;
    }
    let object = give(fid_mr {
        fid: begin(FI_CLASS_MR, context, &MR),
        mem_desc: std::ptr::null_mut(),
        key: if raw { FI_KEY_NOTAVAIL } else { key },
    });
    world.mrs.insert(
        object as usize,
        Mr {
            domain: domain as usize,
            pieces,
            access,
            key,
            cookie: !number,
            ep: None,
            enabled: !demand.demands_mr(FI_MR_ENDPOINT) && flags & FI_RMA_EVENT == 0,
        },
    );
    // SAFETY: the object is new; `mr` may be written, says the caller.
    unsafe {
        (*object).mem_desc = object.cast();
        *mr = object;
    }
    0
}

unsafe extern "C" fn close(fid: *mut fid) -> c_int {
    let mut world = world();
    let at = fid as usize;
    let _ = object!(world.mrs, fid);
    if let Some(op) = world.ops.values().find(|op| op.uses(at)) {
        broken("M2", format_args!("a region is closed that {op} uses"));
    }
    world.mrs.remove(&at);
    0
}

unsafe extern "C" fn bind(fid: *mut fid, other: *mut fid, flags: u64) -> c_int {
    let mut world = world();
    let at = other as usize;
    let (is_ep, is_cntr) = (world.eps.contains_key(&at), world.cntrs.contains_key(&at));
    let mr = object!(world.mrs, fid);
    if mr.enabled {
        broken("M9", "a region is bound that is enabled");
    }
    match (is_ep, is_cntr) {
        (true, _) => mr.ep = Some(at),
        (_, true) => world.record(format!("mr_bind counter flags={flags:#x}")),
        _ => broken("M9", "a region is bound to something else"),
    }
    0
}

unsafe extern "C" fn control(fid: *mut fid, command: c_int, arg: *mut c_void) -> c_int {
    let mut world = world();
    let domain = object!(world.mrs, fid).domain;
    let demand = object!(world.domains, domain).demand;
    let mr = object!(world.mrs, fid);
    match command {
        FI_ENABLE => {
            if demand.demands_mr(FI_MR_ENDPOINT) && mr.ep.is_none() {
                broken("M9", "a region is enabled that is bound to no endpoint");
            }
            mr.enabled = true;
            world.record("mr_enable".into());
            0
        }
        FI_GET_RAW_MR => {
            let (base, key, cookie) = (mr.pieces[0].addr as u64, mr.key, mr.cookie);
            // SAFETY: with this command it is that structure, whose pointers may be written; the key
            // is as long as it says.
            unsafe {
                let attr = &*arg.cast::<fi_mr_raw_attr>();
                if attr.key_size.replace(RAW_KEY) < RAW_KEY {
                    return -FI_ETOOSMALL;
                }
                let virt = demand.demands_mr(FI_MR_VIRT_ADDR);
                *attr.base_addr = if virt { base } else { 0 };
                let words = [key, cookie, !key].map(u64::to_le_bytes).concat();
                attr.raw_key.copy_from_nonoverlapping(words.as_ptr(), RAW_KEY);
            }
            0
        }
        FI_REFRESH => {
            // SAFETY: with this command it is that structure, with as many pieces as it says.
            let call = unsafe {
                let modify = &*arg.cast::<fi_mr_modify>();
                let pieces =
                    pieces(modify.attr.mem.mr_iov, std::ptr::null_mut(), modify.attr.iov_count);
                let words: Vec<_> =
                    pieces.iter().map(|p| format!("iov({:#x},{})", p.addr, p.len)).collect();
                format!("mr_refresh {} flags={:#x}", words.concat(), modify.flags)
            };
            world.record(call);
            0
        }
        _ => -FI_ENOSYS,
    }
}

pub(crate) unsafe extern "C" fn control_domain(
    fid: *mut fid,
    command: c_int,
    arg: *mut c_void,
) -> c_int {
    match command {
        // SAFETY: with this command it is such a structure.
        FI_QUEUE_WORK => return unsafe { deferred::queue(fid, arg) },
        FI_CANCEL_WORK => return deferred::cancel(fid, arg),
        _ => {}
    }
    let mut world = world();
    let number = world.number();
    let domain = object!(world.domains, fid);
    match command {
        FI_MAP_RAW_MR => {
            // SAFETY: with this command it is that structure; the key is as long as it says, and the
            // number may be written.
            let (words, out) = unsafe {
                let map = &*arg.cast::<fi_mr_map_raw>();
                if map.key_size != RAW_KEY {
                    return -FI_EINVAL;
                }
                let bytes = std::slice::from_raw_parts(map.raw_key, RAW_KEY);
                let word = |i: usize| u64::from_le_bytes(bytes[8 * i..][..8].try_into().unwrap());
                ([word(0), word(1), word(2)], map.key)
            };
            let known = world.mrs.values().any(|mr| [mr.key, mr.cookie, !mr.key] == words);
            if !known {
                return -FI_EKEYREJECTED;
            }
            object!(world.domains, fid).mapped.insert(number, words[0]);
            // SAFETY: as above.
            unsafe { *out = number };
            0
        }
        FI_UNMAP_KEY => {
            // SAFETY: with this command it is a number.
            match domain.mapped.remove(&unsafe { *arg.cast::<u64>() }) {
                Some(_) => 0,
                None => broken("M8", "a key is unmapped that is not mapped"),
            }
        }
        _ => -FI_ENOSYS,
    }
}

impl World {
    /// Looks at the descriptor of a piece of local memory.
    pub(crate) fn check_descriptor(&self, ep: usize, piece: &Piece, access: u64) {
        let domain = self.eps[&ep].domain;
        let demand = self.domains[&domain].demand;
        if piece.desc == 0 {
            if demand.demands_mr(FI_MR_LOCAL) && piece.len > 0 {
                broken("M3", format_args!("{piece:x?} comes without a descriptor"));
            }
            return;
        }
        let Some(mr) = self.mrs.get(&piece.desc).filter(|mr| mr.domain == domain) else {
            broken("M3", format_args!("{piece:x?}: the descriptor is of no region of the domain"));
        };
        let within = |part: &Piece| {
            part.addr <= piece.addr && piece.addr + piece.len <= part.addr + part.len
        };
        if piece.len > 0 && !mr.pieces.iter().any(within) {
            broken("M3", format_args!("{piece:x?} is not within its region {:x?}", mr.pieces));
        }
        if access & !mr.access != 0 {
            broken("M15", format_args!("{access:#x} is done with a region for {:#x}", mr.access));
        }
        if !mr.enabled || demand.demands_mr(FI_MR_ENDPOINT) && mr.ep != Some(ep) {
            broken("M9", "a region is used that is not enabled on the endpoint");
        }
    }

    /// The local memory that an endpoint's peer means, or why it has none such.
    pub(crate) fn remote(
        &self,
        from: usize,
        to: usize,
        (addr, len, key): (u64, usize, u64),
        access: u64,
    ) -> Result<Vec<Piece>, c_int> {
        let domain = self.eps[&to].domain;
        let demand = self.domains[&domain].demand;
        let key = match demand.demands_mr(FI_MR_RAW) {
            true => {
                *self.domains[&self.eps[&from].domain].mapped.get(&key).ok_or(FI_EKEYREJECTED)?
            }
            false => key,
        };
        let found = |mr: &&Mr| {
            let there = mr.domain == domain && mr.key == key && mr.enabled;
            there && (!demand.demands_mr(FI_MR_ENDPOINT) || mr.ep == Some(to))
        };
        let mr = self.mrs.values().find(found).ok_or(FI_EKEYREJECTED)?;
        if access & !mr.access != 0 {
            return Err(FI_EACCES);
        }
        let start = match demand.demands_mr(FI_MR_VIRT_ADDR) {
            true => addr.checked_sub(mr.pieces.first().map_or(0, |p| p.addr) as u64),
            false => Some(addr),
        };
        let end = start.and_then(|start| start.checked_add(len as u64));
        if end.is_none_or(|end| end > total(&mr.pieces) as u64) {
            return Err(FI_EKEYREJECTED);
        }
        let mut start = start.unwrap_or_default() as usize;
        let mut left = len;
        let mut list = Vec::new();
        for piece in &mr.pieces {
            let skipped = start.min(piece.len);
            let now = left.min(piece.len - skipped);
            list.push(Piece { addr: piece.addr + skipped, len: now, desc: 0 });
            start -= skipped;
            left -= now;
        }
        Ok(list)
    }
}
