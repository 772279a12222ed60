//! Every inline function of this crate does what its C original does: the same entry of the same
//! table, the same arguments, the same result.
//!
//! The C originals are those of the installed headers, or of `OFI_TEST_INCLUDE`. They are compiled
//! here with tables of functions that only write down that they were called (recorder.c).

mod header;
mod recorder;
mod twins;

use std::sync::{LazyLock, Mutex, MutexGuard};

use header::Headers;
use recorder::{Recorder, Tables, class_of, is_pointer};
use twins::{Kind, TWINS, Twin};

/// The numbers that stand in for arguments which are not pointers, by position.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    /// Different in every byte that a narrower type would drop; all flags of C's are unset.
    Wide,
    Small,
    Zero,
}

#[test]
fn every_inline_has_a_twin() {
    let headers = Headers::find();
    let mut expected = Vec::new();
    for (file, _) in &headers.files {
        expected.extend(headers.inlines(file).into_iter().map(|inline| (file.as_str(), inline)));
    }
    assert!(expected.len() >= 154, "1.17 has 154 inline functions, here are {}", expected.len());
    for (file, inline) in &expected {
        let name = &inline.name;
        let twin = TWINS.iter().find(|twin| twin.name == name).unwrap_or_else(|| {
            panic!("{file} has {name}, for which this crate (or twins.rs) has no twin")
        });
        assert_eq!(twin.header, *file, "{name}");
        assert_eq!(twin.params.len(), inline.params.len(), "{name}");
    }
    for twin in TWINS {
        assert_eq!(
            expected.iter().any(|(_, inline)| inline.name == twin.name),
            headers.version >= twin.since,
            "{} is of {:?}, these headers are of {:?}",
            twin.name,
            twin.since,
            headers.version
        );
    }
    assert_eq!(TWINS.len(), 169, "the inline functions of 2.6");
}

#[test]
fn the_order_is_that_of_the_headers() {
    let headers = Headers::find();
    for (file, _) in &headers.files {
        let theirs = headers.inlines(file);
        let known = |twin: &&Twin| theirs.iter().any(|inline| inline.name == twin.name);
        let ours = TWINS.iter().filter(|twin| twin.header == file).filter(known);
        assert!(ours.map(|twin| twin.name).eq(theirs.iter().map(|f| f.name.as_str())), "{file}");
    }
}

#[test]
fn twins_do_the_same() {
    let recorder = recorder();
    for twin in here(&recorder) {
        let name = twin.name;
        for numbers in [Numbers::Wide, Numbers::Small, Numbers::Zero] {
            let args = arguments(&recorder, twin, numbers);
            for ret in [0, 7, -11, 0x7654_3210_fedc] {
                // C asks for a table's size in the 13 functions that are `sized` in C too.
                let sizes: &[_] = match twin.kind {
                    Kind::sized => &[Tables::Full],
                    _ => &[Tables::Full, Tables::Sized(0)],
                };
                for tables in sizes {
                    let mut c = recorder.run(*tables, ret, || recorder.c(name, &args));
                    let rust = recorder.run(*tables, ret, || (twin.rust)(&args));
                    if name == "fi_cq_readerr" && recorder.headers.version < (1, 20) {
                        // A newer member of the entry: FI_ADDR_NOTAVAIL, as 1.20 and later do.
                        let at = 256 + std::mem::offset_of!(ofi_sys::fi_cq_err_entry, src_addr);
                        c.written.extend((at..at + 8).map(|at| (at, 0xff)));
                    }
                    assert_eq!(c, rust, "{name} with {numbers:?} numbers, entries returning {ret}");
                    assert_eq!(rust.calls.is_empty(), is_pure(name), "{name}: {}", rust.calls);
                }
            }
        }
    }
}

#[test]
fn what_is_missing_answers_enosys() {
    let recorder = recorder();
    for twin in here(&recorder) {
        let args = arguments(&recorder, twin, Numbers::Wide);
        let run = |tables| recorder.run(tables, 7, || (twin.rust)(&args));
        let full = run(Tables::Full);
        let offset = recorder.offset();
        let missing = |tables, what: &str| {
            let effect = run(tables);
            assert_eq!(effect.calls, "", "{}: {what}", twin.name);
            assert_eq!(effect.ret, enosys(twin), "{}: {what}", twin.name);
            assert_eq!(effect.written, [], "{}: {what}", twin.name);
        };
        if matches!(twin.kind, Kind::offered | Kind::checked | Kind::sized) {
            missing(Tables::Missing, "no table");
        }
        if matches!(twin.kind, Kind::checked | Kind::sized) {
            missing(Tables::Empty, "no entry");
        }
        if twin.kind == Kind::sized {
            missing(Tables::Sized(0), "no size");
            missing(Tables::Sized(offset), "the table ends before the entry");
            assert_eq!(run(Tables::Sized(offset + size_of::<usize>())), full, "{}", twin.name);
        }
    }
}

#[test]
fn c_agrees_on_what_is_missing() {
    let recorder = recorder();
    let headers = &recorder.headers;
    let inlines = headers.files.iter().flat_map(|(file, _)| headers.inlines(file));
    let checked: Vec<_> = inlines.filter(|inline| inline.body.contains("FI_CHECK_OP")).collect();
    assert!(checked.len() >= 10, "1.17 checks in 10 functions, here in {}", checked.len());
    let checked = |twin: &&Twin| checked.iter().any(|inline| inline.name == twin.name);
    for twin in here(&recorder).filter(checked) {
        let args = arguments(&recorder, twin, Numbers::Wide);
        let sizes = (0..=128).step_by(8).map(Tables::Sized);
        for tables in sizes.chain([Tables::Missing, Tables::Empty]) {
            let c = recorder.run(tables, 7, || recorder.c(twin.name, &args));
            let rust = recorder.run(tables, 7, || (twin.rust)(&args));
            assert_eq!(c, rust, "{}", twin.name);
        }
    }
}

/// A table of 1.17 ends before these entries; on its headers C does not have the functions.
#[test]
fn entries_newer_than_the_library_answer_enosys() {
    const SIZE_IN_1_17: usize = 64;
    let recorder = recorder();
    let new = ["fi_av_insert_auth_key", "fi_av_lookup_auth_key", "fi_av_set_user_id"];
    for name in new {
        let twin = TWINS.iter().find(|twin| twin.name == name).expect("in the list");
        let mut args = vec![7; twin.params.len()];
        args[0] = recorder.object("fid_av", 0);
        let effect = recorder.run(Tables::Sized(SIZE_IN_1_17), 7, || (twin.rust)(&args));
        assert_eq!((effect.calls.as_str(), effect.ret), ("", enosys(twin)), "{name}");
    }
}

#[test]
fn fi_fabric2_opens_the_fabric_of_the_info() {
    let recorder = recorder();
    let attr = recorder.memory(0) as *mut ofi_sys::fi_fabric_attr;
    let fabric = recorder.memory(1) as *mut *mut ofi_sys::fid_fabric;
    let context = recorder.memory(2) as *mut _;
    // SAFETY: plain C data: numbers, and pointers that may be NULL.
    let mut info: ofi_sys::fi_info = unsafe { std::mem::zeroed() };
    info.fabric_attr = attr;
    let open = |info, flags| {
        recorder.run(Tables::Full, 7, || {
            // SAFETY: the info above or NULL, and the recorder's memory.
            unsafe { ofi_sys::fi_fabric2(info, fabric, flags, context) as i64 as u64 }
        })
    };
    let opened = open(&raw mut info, 0);
    assert_eq!(opened.ret, 7);
    assert_eq!(
        opened.calls,
        format!("\nfi_fabric attr={attr:?} fabric={fabric:?} context={context:?}")
    );
    for effect in [open(&raw mut info, 1), open(std::ptr::null_mut(), 0)] {
        assert_eq!(effect.ret, -i64::from(ofi_sys::FI_EINVAL) as u64);
        assert_eq!(effect.calls, "");
    }
}

/// The one recorder of the process, for one test at a time.
fn recorder() -> MutexGuard<'static, Recorder> {
    static RECORDER: LazyLock<Mutex<Recorder>> = LazyLock::new(|| {
        let recorder = Recorder::new();
        exported::set(&recorder);
        recorder.remove_file();
        Mutex::new(recorder)
    });
    // A test that failed leaves nothing behind that the next one does not set anew.
    RECORDER.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The twins whose C originals the headers have.
fn here(recorder: &Recorder) -> impl Iterator<Item = &'static Twin> {
    let version = recorder.headers.version;
    TWINS.iter().filter(move |twin| version >= twin.since)
}

/// What the prototype asks for: objects, memory for pointers, numbers.
fn arguments(recorder: &Recorder, twin: &Twin, numbers: Numbers) -> Vec<u64> {
    let inlines = recorder.headers.inlines(twin.header);
    let inline = inlines.iter().find(|inline| inline.name == twin.name).expect(twin.name);
    let argument = |(position, param)| match (class_of(param), is_pointer(&param.ty)) {
        (Some(class), _) => recorder.object(class, position),
        (None, true) => recorder.memory(position),
        // More than 63 bits, or fewer than 0, are undefined in C.
        (None, false) if param.name == "rx_ctx_bits" => 8,
        (None, false) => match numbers {
            Numbers::Wide => 0xf0e0_d0c0_8000_0001 + ((position as u64) << 8),
            Numbers::Small => position as u64 + 1,
            Numbers::Zero => 0,
        },
    };
    inline.params.iter().enumerate().map(argument).collect()
}

/// Whether a function calls nothing.
fn is_pure(name: &str) -> bool {
    matches!(
        name,
        "fi_tc_dscp_set"
            | "fi_tc_dscp_get"
            | "fi_hmem_ze_device"
            | "fi_mr_desc"
            | "fi_mr_key"
            | "fi_rx_addr"
            | "fi_group_addr"
            | "fi_mc_addr"
            | "fi_tag_mpi"
    )
}

/// What a missing entry answers; three functions return nothing.
fn enosys(twin: &Twin) -> u64 {
    match twin.name {
        "fi_profile_reset" | "fi_profile_start_reads" | "fi_profile_end_reads" => 0,
        _ => -i64::from(ofi_sys::FI_ENOSYS) as u64,
    }
}

/// The exported functions that inline functions call, led to the recorder.
#[cfg(not(feature = "dlopen"))]
mod exported {
    use core::ffi::{c_char, c_int, c_void};
    use std::sync::OnceLock;

    use ofi_sys::{fi_fabric_attr, fi_info, fid, fid_fabric};

    use crate::recorder::Recorder;

    type Open = extern "C" fn(
        u32,
        *const c_char,
        *mut c_void,
        usize,
        u64,
        *mut *mut fid,
        *mut c_void,
    ) -> c_int;
    type Dupinfo = extern "C" fn(*const fi_info) -> *mut fi_info;
    type Fabric = extern "C" fn(*mut fi_fabric_attr, *mut *mut fid_fabric, *mut c_void) -> c_int;

    static FUNCTIONS: OnceLock<(Open, Dupinfo, Fabric)> = OnceLock::new();

    pub(super) fn set(recorder: &Recorder) {
        use std::mem::transmute;
        let (open, dupinfo) = (recorder.symbol("fi_open"), recorder.symbol("fi_dupinfo"));
        // SAFETY: recorder.c's functions of these names have these types.
        let functions = unsafe {
            (
                transmute::<*mut c_void, Open>(open),
                transmute::<*mut c_void, Dupinfo>(dupinfo),
                transmute::<*mut c_void, Fabric>(recorder.symbol("fi_fabric")),
            )
        };
        assert!(FUNCTIONS.set(functions).is_ok(), "set once");
    }

    // The linker takes these before libfabric's.
    // SAFETY: of the type of libfabric's function of that name; no other code of this program's is
    // linked to it.
    #[unsafe(no_mangle)]
    extern "C" fn fi_open(
        version: u32,
        name: *const c_char,
        attr: *mut c_void,
        attr_len: usize,
        flags: u64,
        fid: *mut *mut fid,
        context: *mut c_void,
    ) -> c_int {
        FUNCTIONS.get().expect("set").0(version, name, attr, attr_len, flags, fid, context)
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn fi_dupinfo(info: *const fi_info) -> *mut fi_info {
        FUNCTIONS.get().expect("set").1(info)
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn fi_fabric(
        attr: *mut fi_fabric_attr,
        fabric: *mut *mut fid_fabric,
        context: *mut c_void,
    ) -> c_int {
        FUNCTIONS.get().expect("set").2(attr, fabric, context)
    }
}

/// The loader takes the recorder for libfabric.
#[cfg(feature = "dlopen")]
mod exported {
    use crate::recorder::Recorder;

    pub(super) fn set(recorder: &Recorder) {
        // SAFETY: under the lock of the recorder's first use; no other test has begun, and the
        // harness's threads do not read the environment.
        unsafe { std::env::set_var("OFI_LIBFABRIC", &recorder.path) };
        ofi_sys::load().expect("the recorder has all symbols");
    }
}
