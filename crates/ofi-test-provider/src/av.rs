//! Address vectors: names of endpoints, `ofitest://4711:7`. The first number is the process: others are
//! never reached.

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char, c_int, c_void},
};

use ofi_sys::*;

use crate::{
    domain::{basics, no_control},
    record,
    world::{World, absent, begin, broken, give, object, table, world},
};

#[derive(Default)]
pub(crate) struct Av {
    pub(crate) domain: usize,
    /// The number of the endpoint at each address.
    pub(crate) entries: BTreeMap<u64, u64>,
    next: u64,
}

absent! {
    insertsvc(*mut fid_av, *const c_char, *const c_char, *mut fi_addr_t, u64, *mut c_void) -> c_int;
    insertsym(*mut fid_av, *const c_char, usize, *const c_char, usize, *mut fi_addr_t, u64,
              *mut c_void) -> c_int;
    bind(*mut fid, *mut fid, u64) -> c_int;
}

static AV: fi_ops = basics(close, bind, no_control);
static OPS: fi_ops_av = fi_ops_av {
    size: size_of::<fi_ops_av>(),
    insert: Some(insert),
    insertsvc: Some(insertsvc),
    insertsym: Some(insertsym),
    remove: Some(remove),
    lookup: Some(lookup),
    straddr: Some(straddr),
    av_set: None,
    insert_auth_key: Some(insert_auth_key),
    lookup_auth_key: None,
    set_user_id: Some(set_user_id),
};

/// The name of an endpoint, with its NUL.
pub(crate) fn name(number: u64) -> Vec<u8> {
    format!("ofitest://{}:{number}\0", std::process::id()).into_bytes()
}

/// The number of the endpoint with this name; 0 if it is another process's.
fn number(name: &str) -> Option<u64> {
    let (process, number) = name.strip_prefix("ofitest://")?.split_once(':')?;
    let (process, number): (u32, u64) = (process.parse().ok()?, number.parse().ok()?);
    Some(if process == std::process::id() { number } else { 0 })
}

/// Copies what `fi_getname` and `fi_av_lookup` tell.
///
/// # Safety
///
/// `len` may be read and written, and says how much may be at `addr`.
pub(crate) unsafe fn tell(name: &[u8], addr: *mut c_void, len: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let room = len.replace(name.len());
        addr.cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), room.min(name.len()));
        if room < name.len() { -FI_ETOOSMALL } else { 0 }
    }
}

pub(crate) unsafe extern "C" fn open(
    domain: *mut fid_domain,
    _attr: *mut fi_av_attr,
    av: *mut *mut fid_av,
    context: *mut c_void,
) -> c_int {
    let mut world = world();
    let _ = object!(world.domains, domain);
    let object = give(fid_av { fid: begin(FI_CLASS_AV, context, &AV), ops: table(&OPS) });
    world.avs.insert(object as usize, Av { domain: domain as usize, ..Av::default() });
    // SAFETY: the caller's: it may be written.
    unsafe { *av = object };
    0
}

unsafe extern "C" fn close(fid: *mut fid) -> c_int {
    let mut world = world();
    let _ = object!(world.avs, fid);
    if world.eps.values().any(|ep| ep.av == Some(fid as usize)) {
        broken("L1", "an address vector is closed before its endpoints");
    }
    world.avs.remove(&(fid as usize));
    0
}

unsafe extern "C" fn insert(
    av: *mut fid_av,
    addr: *const c_void,
    count: usize,
    fi_addr: *mut fi_addr_t,
    _flags: u64,
    _context: *mut c_void,
) -> c_int {
    let mut world = world();
    let av = object!(world.avs, av);
    let mut taken = 0;
    for i in 0..count {
        // SAFETY: of this form it is an array of C strings (fi_av.3).
        let text = unsafe { CStr::from_ptr(addr.cast::<*const c_char>().add(i).read()) };
        let at = match number(&text.to_string_lossy()) {
            Some(number) => {
                av.entries.insert(av.next, number);
                av.next += 1;
                taken += 1;
                av.next - 1
            }
            None => FI_ADDR_NOTAVAIL,
        };
        if !fi_addr.is_null() {
            // SAFETY: there is room for `count`.
            unsafe { fi_addr.add(i).write(at) };
        }
    }
    taken
}

unsafe extern "C" fn remove(
    av: *mut fid_av,
    fi_addr: *mut fi_addr_t,
    count: usize,
    _flags: u64,
) -> c_int {
    let mut world = world();
    let _ = object!(world.avs, av);
    for i in 0..count {
        // SAFETY: there are `count`.
        let at = unsafe { fi_addr.add(i).read() };
        if world.named(av as usize, at) {
            broken("A2", format_args!("address {at} is removed, and an operation names it"));
        }
        if object!(world.avs, av).entries.remove(&at).is_none() {
            broken("A2", format_args!("address {at} is removed, and is not in the vector"));
        }
    }
    0
}

impl World {
    fn named(&self, av: usize, at: u64) -> bool {
        self.ops.values().any(|op| {
            op.waits() && op.fi_addr == at && self.eps.get(&op.ep).is_some_and(|e| e.av == Some(av))
        })
    }
}

unsafe extern "C" fn lookup(
    av: *mut fid_av,
    fi_addr: fi_addr_t,
    addr: *mut c_void,
    len: *mut usize,
) -> c_int {
    let mut world = world();
    match object!(world.avs, av).entries.get(&fi_addr) {
        // SAFETY: the caller's promise.
        Some(number) => unsafe { tell(&name(*number), addr, len).min(0) },
        None => -FI_EINVAL,
    }
}

unsafe extern "C" fn straddr(
    _av: *mut fid_av,
    addr: *const c_void,
    text: *mut c_char,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: an address of this form is a C string; the rest is the caller's promise.
    unsafe { tell(CStr::from_ptr(addr.cast()).to_bytes_with_nul(), text.cast(), len) };
    text
}

unsafe extern "C" fn insert_auth_key(
    av: *mut fid_av,
    key: *const c_void,
    size: usize,
    fi_addr: *mut fi_addr_t,
    flags: u64,
) -> c_int {
    let mut world = world();
    let vector = object!(world.avs, av);
    let at = vector.next;
    vector.next += 1;
    // SAFETY: the caller's promise: the key is as long as it says, and there is room for the address.
    let key = unsafe {
        *fi_addr = at;
        record::bytes(key.cast(), size)
    };
    world.record(format!("av_insert_auth_key key={key} flags={flags:#x}"));
    0
}

unsafe extern "C" fn set_user_id(
    av: *mut fid_av,
    fi_addr: fi_addr_t,
    user_id: fi_addr_t,
    flags: u64,
) -> c_int {
    let mut world = world();
    let _ = object!(world.avs, av);
    world.record(format!("av_set_user_id addr={fi_addr} user_id={user_id} flags={flags:#x}"));
    0
}
