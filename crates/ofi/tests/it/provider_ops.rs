//! What single providers offer by name: no software provider offers anything, and each says so.

use std::{
    ffi::{CStr, c_void},
    ptr::NonNull,
};

use ofi::{Caps, Connectionless, Domain, ErrorKind, Fabric, ProviderOps};

use crate::harness::{List, Mode, Rig, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, connectionless: names_that_nobody_has copies_cannot_be_replaced);
}

fn refused<X: std::fmt::Debug>(result: ofi::Result<X>, object: &str) {
    let error = result.unwrap_err();
    // Some have no such call at all, some say that the command or the name is wrong.
    let known = matches!(error.kind(), ErrorKind::Unsupported { .. })
        || error.errno().is_some_and(|errno| errno == ofi::Errno::EINVAL);
    assert!(known, "{object}: {error}");
}

fn names_that_nobody_has<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    fn named(object: &impl ProviderOps, name: &'static str) {
        const NOBODY: &CStr = c"ofi's tests";
        let mut nothing = [0_u64; 8];
        // SAFETY: no provider has anything of this name, so nothing is done; this thread is alone.
        unsafe {
            refused(object.open_ops(NOBODY, 0), name);
            refused(object.set_ops(NOBODY, 0, NonNull::from(&mut nothing).cast::<c_void>()), name);
        }
    }
    fn all(object: &impl ProviderOps, name: &'static str) {
        named(object, name);
        let mut nothing = [0_u64; 8];
        // SAFETY: no provider has anything of this number, so nothing is done; this thread is alone.
        unsafe {
            refused(object.value::<[u64; 8]>(-4711), name);
            refused(object.set_value(-4711, [0_u64; 8]), name);
            refused(object.control(-4711, nothing.as_mut_ptr().cast()), name);
        }
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let ep = rig.endpoint::<K>()?;
    all(&rig.fabric, "fabric");
    all(&rig.domain, "domain");
    all(&rig.av, "address vector");
    // Queues without a wait object follow one where they do not know a command (shm, sm2).
    named(&rig.cq, "completion queue");
    all(&ep, "endpoint");
    if let Ok(counter) = rig.domain.counter() {
        all(&counter, "counter");
    }
    Ok(())
}

unsafe extern "C" fn from(
    _: *mut c_void,
    _: usize,
    _: u32,
    _: u64,
    _: *const libc::iovec,
    _: usize,
    _: u64,
) -> isize {
    -1
}

unsafe extern "C" fn to(
    _: u32,
    _: u64,
    _: *const libc::iovec,
    _: usize,
    _: u64,
    _: *const c_void,
    _: usize,
) -> isize {
    -1
}

/// The domain is not left half made: it closes, and opens again without.
// rule: X12
fn copies_cannot_be_replaced<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let info = t.query(Caps::MSG)?;
    let fabric = Fabric::open(&info)?;
    // SAFETY: all buffers are the host's, and no provider here takes the functions.
    let refusal = unsafe { Domain::<T>::open_with_hmem(&fabric, &info, from, to) };
    let error = refusal.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    drop(fabric);
    Rig::<T>::open(t, Caps::MSG)?.endpoint::<K>()?;
    Ok(())
}
