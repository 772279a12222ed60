//! On the provider for tests: what the call says.

use ofi::{ErrorKind, Rdm, Shared};

use super::*;
use crate::harness::Probe;

/// Every argument, of plain and of tagged messages. The provider refuses both, and the buffer is back.
// rule: B25
pub(super) fn written_down(t: &Target) -> Verdict {
    // Tagged ones need what came with libfabric 2.
    let offered = ofi::version() >= ofi::Version::new(2, 0);
    let caps = CAPS | Caps::TAGGED;
    let caps = if offered { caps | Caps::TAGGED_MULTI_RECV } else { caps };
    let p = Pair::<Rdm, Shared>::open(t, caps)?;
    let probe = Probe::get();
    let buffer = vec![0_u8; 4096];
    let piece = format!("[Piece {{ addr: {}, len: 4096, desc: 0 }}]", buffer.as_ptr() as usize);
    let flags = ofi_sys::FI_MULTI_RECV | ofi_sys::FI_COMPLETION;
    let record = |tag: &str| {
        let peer = ofi_sys::FI_ADDR_UNSPEC;
        [format!("Recv {{ from: None, tag: {tag} }} peer={peer} flags={flags:#x} {piece}")]
    };
    let before = probe.records();
    assert!(before.iter().all(|call| !call.starts_with("Recv")), "{before:?}");
    let failed = p.b.recv_many(buffer).post().expect_err("it is only written down");
    assert_eq!(failed.error.errno(), Some(ofi::Errno::EOPNOTSUPP));
    let buffer = failed.buf.into_buffer().expect("it was not taken");
    assert_eq!(probe.records(), record("None"));
    let failed = p.b.recv_many(buffer).tag(0x77).ignore(0xF0).post().expect_err("neither");
    assert!(!failed.buf.is_held());
    if offered {
        assert_eq!(failed.error.errno(), Some(ofi::Errno::EOPNOTSUPP));
        assert_eq!(probe.records(), record("Some((119, 240))"));
    } else {
        let needs = Needs::Capability("TAGGED_MULTI_RECV");
        assert_eq!(*failed.error.kind(), ErrorKind::Unsupported { needs });
        assert!(probe.records().is_empty());
    }
    assert_eq!(p.b.in_flight(), 0);
    Ok(())
}
