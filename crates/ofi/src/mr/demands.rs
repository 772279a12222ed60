//! Tests of what no provider here demands: a table of functions in place of the provider's own writes
//! down what registrations are asked to be, in which order, and what becomes of them.

use std::{
    cell::{Cell, RefCell},
    ffi::{c_int, c_void},
    time::Duration,
};

use ofi_sys::{fi_mr_attr, fi_mr_modify, fi_mr_raw_attr, fi_ops, fi_ops_mr, fid, fid_mr};

use super::{register::REMOTE, *};
use crate::{
    AddressVector, BindFlags, Caps, CompletionQueue, Confined, Dmabuf, EndpointType, ErrorKind,
    ExternalMemory, Fabric, Hints, HmemIface, Memory, Needs, Rdm, Returned, Version,
};

thread_local! {
    /// What was called. Everything is on the test's own thread.
    static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// What a call of this name returns.
    static FAILS: Cell<(&'static str, c_int)> = const { Cell::new(("", 0)) };
}

fn called(what: String) -> c_int {
    let (name, status) = FAILS.get();
    let fails = !name.is_empty() && what.starts_with(name);
    CALLS.with_borrow_mut(|calls| calls.push(what));
    if fails { status } else { 0 }
}

/// What was called since the last time.
fn calls() -> Vec<String> {
    CALLS.take()
}

unsafe extern "C" fn close(fid: *mut fid) -> c_int {
    let status = called("close".into());
    if status == 0 {
        // SAFETY: made by `regattr`, closed once: that is what is tested.
        drop(unsafe { Box::from_raw(fid.cast::<fid_mr>()) });
    }
    status
}

unsafe extern "C" fn bind(_: *mut fid, other: *mut fid, flags: u64) -> c_int {
    // SAFETY: what is bound is open.
    let class = unsafe { (*other).fclass };
    let name = if class == ofi_sys::FI_CLASS_EP { "endpoint" } else { "counter" };
    called(format!("bind {name} {flags:#x}"))
}

unsafe extern "C" fn control(_: *mut fid, command: c_int, arg: *mut c_void) -> c_int {
    match command {
        ofi_sys::FI_ENABLE => called("enable".into()),
        ofi_sys::FI_REFRESH => {
            // SAFETY: that is the command's argument.
            let modify = unsafe { &*arg.cast::<fi_mr_modify>() };
            called(format!("refresh {}", modify.attr.iov_count))
        }
        ofi_sys::FI_GET_RAW_MR => {
            // SAFETY: that is the command's argument.
            unsafe {
                let raw = &*arg.cast::<fi_mr_raw_attr>();
                let room = raw.key_size.replace(KEY);
                if room < KEY {
                    return -ofi_sys::FI_ETOOSMALL;
                }
                raw.base_addr.write(0xBA5E);
                raw.raw_key.write_bytes(7, KEY);
            }
            0
        }
        _ => -ofi_sys::FI_ENOSYS,
    }
}

/// Bytes of a raw key.
const KEY: usize = 40;

unsafe extern "C" fn regattr(
    _: *mut fid,
    attr: *const fi_mr_attr,
    flags: u64,
    mr: *mut *mut fid_mr,
) -> c_int {
    static OPS: Table<fi_ops> = Table(fi_ops {
        size: size_of::<fi_ops>(),
        close: Some(close),
        bind: Some(bind),
        control: Some(control),
        ops_open: None,
        tostr: None,
        ops_set: None,
    });
    // SAFETY: the attributes are whole; `mr` receives the region.
    unsafe {
        let attr = &*attr;
        let mut text = format!("register {:#x} {flags:#x}", attr.access);
        if flags & ofi_sys::FI_MR_DMABUF != 0 {
            let dmabuf = &*attr.mem.dmabuf;
            let (fd, offset, len) = (dmabuf.fd, dmabuf.offset, dmabuf.len);
            text += &format!(" dmabuf {fd} {offset} {len} {:#x}", dmabuf.base_addr.addr());
        } else {
            let pieces = std::slice::from_raw_parts(attr.mem.mr_iov, attr.iov_count);
            text += &format!(" {:?}", pieces.iter().map(|p| p.iov_len).collect::<Vec<_>>());
        }
        if attr.iface != 0 {
            text += &format!(" iface {} {}", attr.iface, attr.device.reserved);
        }
        if attr.page_size != 0 || attr.sub_mr_cnt != 0 || !attr.base_mr.is_null() {
            let part = !attr.base_mr.is_null();
            text += &format!(" pages {} parts {} {part}", attr.page_size, attr.sub_mr_cnt);
        }
        assert_eq!((attr.offset, attr.context.is_null()), (0, true));
        assert!(attr.hmem_data.is_null() && attr.auth_key.is_null());
        let status = called(text);
        if status == 0 {
            let fid = fid {
                fclass: ofi_sys::FI_CLASS_MR,
                context: std::ptr::null_mut(),
                ops: (&raw const OPS.0).cast_mut(),
            };
            let mem_desc = std::ptr::without_provenance_mut(0xDE5C);
            *mr = Box::into_raw(Box::new(fid_mr { fid, mem_desc, key: attr.requested_key }));
        }
        status
    }
}

/// Functions, which any thread may look at.
struct Table<X>(X);

// SAFETY: it is only read.
unsafe impl<X> Sync for Table<X> {}

static REGISTER: Table<fi_ops_mr> = Table(fi_ops_mr {
    size: size_of::<fi_ops_mr>(),
    reg: None,
    regv: None,
    regattr: Some(regattr),
});

struct Demanding {
    info: crate::Info,
    queue: CompletionQueue<Confined>,
    vector: AddressVector<Confined>,
    domain: Domain<Confined>,
}

const ALL: Caps = Caps::MSG.union(Caps::RMA).union(Caps::RMA_EVENT);

/// A domain of sockets that demands these modes, with the newest libfabric as far as it can tell.
fn demanding(mode: MrMode) -> Demanding {
    let hints = Hints::new().provider("sockets").endpoint_type(EndpointType::Rdm).caps(ALL);
    let info = hints.node("127.0.0.1").service("0").source().query().unwrap().into_best();
    let fabric = Fabric::open(&info).unwrap();
    // SAFETY: numbers only; `domain_attr` is set in every answer of fi_getinfo.
    let info = unsafe {
        info.duplicate_with(|copy| {
            (*copy).caps |= (Caps::HMEM | Caps::COLLECTIVE).raw();
            (*(*copy).domain_attr).mr_mode |= mode.raw();
            (*(*copy).domain_attr).mr_iov_limit = 4;
        })
    };
    let info = info.unwrap();
    let domain: Domain<Confined> = fabric.domain(&info).unwrap();
    // SAFETY: both are open; tables are read only, and live as long as the program.
    unsafe {
        (*domain.as_raw()).mr = (&raw const REGISTER.0).cast_mut();
        (*domain.0.fabric.as_ptr()).api_version = Version::new(2, 6).raw();
    }
    let queue = domain.completion_queue().open().unwrap();
    let vector = domain.address_vector().open().unwrap();
    Demanding { info, queue, vector, domain }
}

impl Demanding {
    fn endpoint(&self) -> Endpoint<Rdm, Confined> {
        let builder = self.domain.endpoint::<Rdm>(&self.info);
        builder.address_vector(&self.vector).completion_queue(&self.queue).enable().unwrap()
    }
}

fn memory(len: usize) -> Memory {
    Memory::new(vec![0_u8; len]).unwrap()
}

const SEND: Access = Access::SEND;

// rule: M9, L3
#[test]
fn regions_are_bound_to_their_endpoint_and_go_before_it() {
    let d = demanding(MrMode::ENDPOINT);
    let failed = d.domain.register(vec![0_u8; 8], SEND).unwrap_err();
    let Returned::Back(buffer) = failed.buf else { panic!("nobody has it") };
    let needs = Needs::Property("an endpoint to bind the region to");
    assert_eq!(*failed.error.kind(), ErrorKind::Unsupported { needs });
    let (a, b) = (d.endpoint(), d.endpoint());
    let memory = memory(16);
    assert!(d.domain.expose(&memory).open().is_err());
    assert!(calls().is_empty(), "nothing was asked of the provider");

    let local = a.register(buffer, SEND).unwrap();
    assert_eq!(calls(), ["register 0x800 0x0 [8]", "bind endpoint 0x0", "enable"]);
    let exposed = d.domain.expose(&memory).endpoint(&a).open().unwrap();
    assert_eq!(calls()[1..], ["bind endpoint 0x0", "enable"]);
    // One that closes by itself closes once.
    a.register_frozen("text", SEND).unwrap().into_buffer().unwrap();
    assert_eq!(calls()[1..], ["bind endpoint 0x0", "enable", "close"]);

    // They are good for this endpoint, and for no other.
    let to = d.vector.insert(&b.name().unwrap()).unwrap();
    let failed = b.send(local, to).post().unwrap_err();
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{}", failed.error);
    let local = failed.buf.into_buffer().unwrap();
    let slice = exposed.slice(..).unwrap();
    assert!(b.send((slice, local), to).post().is_err());
    let local = a.register(vec![0_u8; 8], SEND).unwrap();
    let slice = exposed.slice(..8).unwrap();
    calls();

    a.close(Duration::from_secs(5)).unwrap();
    assert_eq!(calls(), ["close", "close"], "before the endpoint");
    assert!(b.send(slice, to).post().is_err(), "its endpoint is gone");
    assert_eq!(local.into_buffer().unwrap().len(), 8);
    drop(exposed);
    assert!(calls().is_empty(), "none is closed twice");
    assert_eq!(d.domain.parked_bytes(), 16);
}

// rule: L2, L3
#[test]
fn an_endpoint_whose_region_cannot_be_closed_stays() {
    let d = demanding(MrMode::ENDPOINT);
    let a = d.endpoint();
    let local = a.register(vec![0_u8; 8], SEND).unwrap();
    let exposed = d.domain.expose(&memory(16)).endpoint(&a).open().unwrap();
    FAILS.set(("close", -ofi_sys::FI_EBUSY));
    assert!(a.close(Duration::ZERO).is_err());
    // Both were tried, once.
    assert_eq!(calls().iter().filter(|call| *call == "close").count(), 2);
    // The device may know the memory still.
    assert!(matches!(local.into_buffer(), Err(CloseError::Failed(_))));
    let memory = exposed.memory().clone();
    assert!(matches!(exposed.close(), Err(CloseError::Failed(_))));
    assert!(memory.into_buffer::<Vec<u8>>().is_err(), "a handle is kept for good");
    assert!(calls().is_empty());
    FAILS.set(("", 0));
}

// rule: M9, M7
#[test]
fn what_is_half_made_is_closed() {
    let d = demanding(MrMode::ENDPOINT);
    let a = d.endpoint();
    for name in ["bind", "enable"] {
        FAILS.set((name, -ofi_sys::FI_ENOMEM));
        let memory = memory(16);
        let error = d.domain.expose(&memory).key(7).endpoint(&a).open().unwrap_err();
        assert_eq!(error.errno(), Some(crate::Errno::ENOMEM));
        assert_eq!(calls().last().unwrap(), "close");
        FAILS.set(("", 0));
        // The key is free again, and so is the memory.
        drop(d.domain.expose(&memory).key(7).endpoint(&a).open().unwrap());
    }
    calls();
    a.close(Duration::from_secs(5)).unwrap();
    assert!(calls().is_empty());
}

// rule: M10
#[test]
fn regions_with_counters_are_enabled_when_all_is_bound() {
    let d = demanding(MrMode::RMA_EVENT);
    let (one, two) = (d.domain.counter().unwrap(), d.domain.counter().unwrap());
    let memory = memory(16);
    let expose = || d.domain.expose(&memory).access(REMOTE);
    let region = expose().counter(&one, BindFlags::REMOTE_WRITE);
    let region = region.counter(&two, BindFlags::REMOTE_READ).open().unwrap();
    let event = ofi_sys::FI_RMA_EVENT;
    let all = [
        format!("register 0x3000 {event:#x} [16]"),
        "bind counter 0x2000".into(),
        "bind counter 0x1000".into(),
        "enable".into(),
    ];
    assert_eq!(calls(), all);
    let Err(CloseError::InUse(one)) = one.close() else { panic!("it is bound") };
    drop(region);
    one.close().unwrap();
    calls();
    // For a counter of the endpoint, and for none.
    let _events = expose().rma_event().open().unwrap();
    assert_eq!(calls(), [&all[0], "enable"]);
    let _plain = expose().open().unwrap();
    assert_eq!(calls(), ["register 0x3000 0x0 [16]"]);
    // Where the mode is not demanded nothing is to be enabled.
    let d = demanding(MrMode::empty());
    let _events = d.domain.expose(&memory).rma_event().open().unwrap();
    assert_eq!(calls().len(), 1);
}

// rule: M11
#[test]
fn pages_are_told_of_while_nobody_uses_the_region() {
    let d = demanding(MrMode::MMU_NOTIFY);
    let memory = memory(10_000);
    let mut region = d.domain.expose(&memory).open().unwrap();
    assert_eq!(calls()[1..], ["refresh 0"], "all of it, before it is used");
    let slice = region.slice(..).unwrap();
    assert_eq!(*region.refresh(..).unwrap_err().kind(), ErrorKind::Busy);
    drop(slice);
    let part = region.part(..8).open().unwrap();
    calls();
    assert_eq!(*region.refresh(..).unwrap_err().kind(), ErrorKind::Busy);
    drop(part);
    calls();
    region.refresh(5..7).unwrap();
    region.refresh(5..5).unwrap();
    assert_eq!(calls(), ["refresh 1"]);
    let mut local = d.domain.register(vec![0_u8; 64], SEND).unwrap();
    calls();
    let tail = local.split_off(9);
    assert_eq!(*local.refresh().unwrap_err().kind(), ErrorKind::Busy);
    drop(tail);
    local.refresh().unwrap();
    assert_eq!(calls(), ["refresh 1"]);
}

// rule: M12, M6, D12
#[test]
fn devices_are_named_and_used_with_their_descriptor() {
    let d = demanding(MrMode::HMEM | MrMode::VIRT_ADDR);
    let nowhere = std::ptr::without_provenance_mut(0x10_0000);
    // SAFETY: nobody looks there: every operation below is refused.
    let cuda = unsafe { ExternalMemory::new(nowhere, 4096, HmemIface::Cuda(3), ()) };
    let cuda = Memory::from(cuda.unwrap().device_only());
    let region = d.domain.expose(&cuda).range(16..80).open().unwrap();
    let only = ofi_sys::FI_HMEM_DEVICE_ONLY;
    assert_eq!(calls(), [format!("register 0x1f00 {only:#x} [64] iface 1 3")]);
    assert_eq!(RemoteSlice::from(region.remote()).addr, 0x10_0010);
    assert!(region.slice(..).unwrap().copy_to(&mut [0; 4]).is_err());
    assert!(region.slice(..).unwrap().copy_from(&[0; 4]).is_err());
    let dmabuf = |base| Dmabuf { fd: 9, offset: 4096, len: 1024, base };
    // SAFETY: as above.
    let made = |base| unsafe { ExternalMemory::from_dmabuf(dmabuf(base), HmemIface::Rocr(2), ()) };
    let mapped = Memory::from(made(nowhere).unwrap());
    let _part = d.domain.expose(&mapped).range(100..200).open().unwrap();
    let flag = ofi_sys::FI_MR_DMABUF;
    let text = |base| format!("register 0x1f00 {flag:#x} dmabuf 9 4196 100 {base} iface 2 2");
    assert_eq!(calls(), [text("0x100000")]);
    assert_eq!(RemoteSlice::from(_part.remote()).addr, 0x10_0000 + 4196);
    let unmapped = Memory::from(made(std::ptr::null_mut()).unwrap());
    let part = d.domain.expose(&unmapped).range(100..200).open().unwrap();
    assert_eq!(calls(), [text("0x0")]);
    assert_eq!(*part.part(..8).open().unwrap_err().kind(), ErrorKind::Invalid);
    // In operations: not without a descriptor, and not without an address.
    let a = d.endpoint();
    let to = d.vector.insert(&a.name().unwrap()).unwrap();
    let refused = |result: Option<Error>| {
        let error = result.expect("refused");
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    };
    refused(a.send(cuda.clone(), to).post().err().map(|failed| failed.error));
    refused(a.send(part.slice(..).unwrap(), to).post().err().map(|failed| failed.error));
    let only_read = d.domain.expose(&cuda).access(Access::REMOTE_READ).open().unwrap();
    refused(a.send(only_read.slice(..).unwrap(), to).post().err().map(|failed| failed.error));
    // Different kinds are no one region.
    let host = memory(8);
    assert!(d.domain.expose(&host).and(&cuda).open().is_err());
}

// rule: M13, M14, M16, M17
#[test]
fn attributes_are_passed_on() {
    let d = demanding(MrMode::COLLECTIVE);
    let memory = memory(64);
    let access = Access::SEND | Access::RECV | Access::COLLECTIVE;
    let region = d.domain.expose(&memory).range(..32).and(&memory).range(40..);
    let region = region.access(access).page_size(4096).expected_parts(2).open().unwrap();
    let part = region.part(30..50).access(access).open().unwrap();
    let local = d.domain.register(vec![0_u8; 8], access).unwrap();
    assert_eq!(
        calls(),
        [
            "register 0xc40 0x0 [32, 24] pages 4096 parts 2 false",
            "register 0xc40 0x0 [2, 18] pages 0 parts 0 true",
            "register 0xc40 0x0 [8]",
        ]
    );
    assert_eq!((region.len(), part.len(), region.remote_pieces().len()), (56, 20, 2));
    assert!(local.descriptor().present);
    let flags = MrFlagsText::of(d.domain.expose(&memory).single_use().persistent());
    assert_eq!(flags.0, ofi_sys::FI_MR_SINGLE_USE | ofi_sys::FI_RMA_PMEM);
    // The base goes last.
    calls();
    drop(region);
    assert!(!calls().contains(&"close".to_owned()));
    drop(part);
    assert_eq!(calls(), ["close", "close"]);
    let many = (0..5).fold(d.domain.expose(&memory), |builder, _| builder.and(&memory));
    assert_eq!(*many.open().unwrap_err().kind(), ErrorKind::TooLarge { limit: 4 });
    assert!(d.domain.register(vec![0_u8; 8], Access::COLLECTIVE).is_err());
}

/// The flags that a region was registered with.
struct MrFlagsText(u64);

impl MrFlagsText {
    fn of(builder: RegionBuilder<'_, Confined>) -> MrFlagsText {
        calls();
        let _region = builder.open().unwrap();
        let call = &calls()[0];
        let flags = call.split(' ').nth(2).and_then(|flags| flags.strip_prefix("0x"));
        MrFlagsText(u64::from_str_radix(flags.unwrap(), 16).unwrap())
    }
}

// rule: M8
#[test]
fn raw_keys_are_asked_for_until_they_fit() {
    let d = demanding(MrMode::RAW | MrMode::VIRT_ADDR);
    let memory = memory(64);
    let region = d.domain.expose(&memory).open().unwrap();
    let remote = RemoteRegion::from_bytes(&region.remote().to_bytes()).unwrap();
    assert_eq!(remote.raw_key(), Some(&[7_u8; KEY][..]));
    assert_eq!(remote.parts().raw.as_ref().unwrap().base, 0xBA5E);
    assert_eq!(remote.parts().base, memory.as_ptr().addr() as u64);
    // What peers do not reach has no such key.
    let local = d.domain.expose(&memory).access(SEND).open().unwrap();
    assert_eq!(local.remote().raw_key(), None);
    // Longer than this domain's keys: not mapped, and not used.
    assert!(d.domain.map(&remote).is_err());
    let a = d.endpoint();
    let to = d.vector.insert(&a.name().unwrap()).unwrap();
    assert!(a.write(vec![0_u8; 8], to, &remote).post().is_err());
}

// rule: M4
#[test]
fn pages_are_there_and_bytes_unchanged() {
    let d = demanding(MrMode::ALLOCATED | MrMode::LOCAL);
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
    for len in [1, 100, 4096, 20_000] {
        let region = d.domain.register(bytes[..len].to_vec(), SEND).unwrap();
        assert_eq!(*region, bytes[..len]);
        let frozen = d.domain.register_frozen("read-only", SEND).unwrap();
        assert_eq!(&*frozen, b"read-only");
    }
}
