//! Endpoint options: set by the builder, read from the endpoint.

use ofi::{Caps, CompletionLevel, Connectionless, ErrorKind, HmemP2p, Offload, OpFlags, Version};

use crate::harness::{LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, connectionless: unknown_options_are_told_apart options_of_efa_are_refused_elsewhere);
    cases!(list, connectionless: who_carries_out_what what_completions_mean_without_asking);
    cases!(list, connectionless: flags_that_change_what_operations_are);
    cases!(list, rdm: the_least_of_a_multi_receive_is_kept quirk_6_option_before_enable);
}

/// Set before the endpoint is enabled, or after on providers that crash otherwise; read after.
// rule: L4, L11, H11
fn the_least_of_a_multi_receive_is_kept<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::MULTI_RECV)?;
    let builder = || {
        let builder = rig.domain.endpoint::<K>(&rig.info);
        builder.address_vector(&rig.av).completion_queue(&rig.cq)
    };
    let plain = builder().enable()?;
    // What the provider has without being told, if it tells.
    let _default = plain.min_multi_recv()?;
    let set = builder().min_multi_recv(100).min_multi_recv(4000).enable()?;
    // Not every provider that takes it can be asked for it.
    if let Some(bytes) = set.min_multi_recv()? {
        assert_eq!(bytes, 4000);
    }
    Ok(())
}

/// A provider without an option says `None`, a library that is older than it `Unsupported`; setting
/// one that cannot be set is never silent.
// rule: L11
/// What operations would do without asking: a receive that stays posted, a write that is injected.
// rule: B1, B5
fn flags_that_change_what_operations_are<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let both = [
        t.hints(Caps::MSG).rx_op_flags(OpFlags::MULTI_RECV),
        t.hints(Caps::MSG).tx_op_flags(OpFlags::INJECT),
    ];
    for hints in both {
        // Not every provider offers it.
        let Ok(found) = hints.query() else { continue };
        let info = found.into_best();
        if (info.rx().op_flags() | info.tx().op_flags())
            .intersects(OpFlags::MULTI_RECV | OpFlags::INJECT)
        {
            let rig = Rig::<T>::on(info)?;
            let opened = rig.endpoint::<K>();
            let refused = matches!(&opened, Err(Stop::Failed(why)) if why.contains("op_flags"));
            assert!(refused, "it was opened");
        }
    }
    Ok(())
}

fn unknown_options_are_told_apart<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let builder = || {
        let builder = rig.domain.endpoint::<K>(&rig.info);
        builder.address_vector(&rig.av).completion_queue(&rig.cq)
    };
    let ep = builder().enable()?;
    // No software provider has it.
    assert_eq!(ep.hmem_p2p()?, None);
    let error = builder().hmem_p2p(HmemP2p::Disabled).enable().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("FI_OPT_FI_HMEM_P2P"), "{error}");
    let newer = |result: ofi::Result<Option<usize>>| match result {
        Ok(None) => assert!(ofi::version() >= Version::new(1, 22)),
        Err(error) => {
            assert!(ofi::version() < Version::new(1, 22), "{error}");
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        }
        Ok(Some(bytes)) => panic!("a software provider has it now: {bytes}"),
    };
    newer(ep.max_msg_size());
    newer(ep.max_tagged_size());
    newer(ep.max_rma_size());
    newer(ep.max_atomic_size());
    newer(ep.inject_msg_size());
    newer(ep.inject_tagged_size());
    newer(ep.inject_rma_size());
    newer(ep.inject_atomic_size());
    let error = builder().max_msg_size(100).enable().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    match ep.firewall_addr() {
        Ok(_) => assert!(ofi::version() >= Version::new(2, 2)),
        Err(error) => assert!(ofi::version() < Version::new(2, 2), "{error}"),
    }
    let error = builder().shared_memory_permitted(false).enable().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    // The endpoint that could be made goes on.
    assert_eq!(ep.hmem_p2p()?, None);
    Ok(())
}

/// The options of one provider are absent on all others, whatever their numbers mean there.
// rule: L11
fn options_of_efa_are_refused_elsewhere<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let builder = || {
        let builder = rig.domain.endpoint::<K>(&rig.info);
        builder.address_vector(&rig.av).completion_queue(&rig.cq)
    };
    let ep = builder().enable()?;
    if t.core() == "efa" {
        return Err(Stop::Unsupported("it has them".into()));
    }
    assert_eq!(ep.efa_rnr_retry()?, None);
    for emulated in [ep.efa_emulated_read(), ep.efa_emulated_write(), ep.efa_emulated_atomics()] {
        match emulated {
            Ok(none) => assert_eq!(none, None),
            Err(error) => {
                assert!(ofi::version() < Version::new(1, 18), "{error}");
                assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
            }
        }
    }
    let refused = [
        builder().efa_rnr_retry(3),
        builder().efa_use_device_rdma(true),
        builder().efa_sendrecv_in_order_aligned_128_bytes(true),
        builder().efa_write_in_order_aligned_128_bytes(true),
        builder().efa_homogeneous_peers(true),
        builder().efa_use_unsolicited_write_recv(false),
    ];
    for builder in refused {
        let error = builder.enable().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("FI_OPT_EFA_"), "{error}");
    }
    Ok(())
}

/// Software providers are known to be such; nobody is called hardware on a guess.
fn who_carries_out_what<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let report = rig.endpoint::<K>()?.offload()?;
    let all = [report.messages, report.tagged, report.reads, report.writes, report.atomics];
    if ["tcp", "udp", "sockets", "shm", "sm2"].contains(&t.core()) {
        assert!(all.iter().all(|who| *who == Offload::Emulated), "{report:?}");
    } else if t.core() != "efa" {
        assert!(all.iter().all(|who| *who != Offload::Hardware), "{report:?}");
    }
    Ok(())
}

/// Set by the builder and read back where the provider has the command; refused elsewhere, and
/// messages go all the same.
// rule: L8, B28
fn what_completions_mean_without_asking<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let builder = || {
        let builder = rig.domain.endpoint::<K>(&rig.info);
        builder.address_vector(&rig.av).completion_queue(&rig.cq)
    };
    let refused = |error: &ofi::Error| {
        assert_ne!(t.core(), "sockets", "{error}");
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    };
    let plain = builder().enable()?;
    for flags in [plain.transmit_flags(), plain.receive_flags()] {
        if let Err(error) = flags {
            refused(&error);
        }
    }
    let ep = match builder().default_level(CompletionLevel::Delivery).enable() {
        Ok(ep) => ep,
        Err(error) => {
            refused(&error);
            return Ok(());
        }
    };
    assert!(ep.transmit_flags()?.contains(OpFlags::DELIVERY_COMPLETE));
    assert!(!plain.transmit_flags()?.contains(OpFlags::DELIVERY_COMPLETE));
    let to = rig.av.insert(&plain.name()?)?;
    let receive = plain.recv(vec![0; 8]).post()?;
    ep.send(vec![9; 8], to).wait(LIMIT)?;
    // It was delivered when the send had ended.
    let (_, buffer) = receive.wait(LIMIT)?;
    assert_eq!(buffer, [9; 8]);
    Ok(())
}

/// Defects 6 and 7: setting an option of an endpoint that is not enabled crashes on shm before 2.0
/// and on sm2, and nowhere else.
fn quirk_6_option_before_enable<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let crashes = ofi::quirk(&t.provider, ofi::Defect::OptionBeforeEnable).is_some();
    if Parent::role().is_none() {
        let mut peer = Peer::start("set")?;
        assert_eq!(peer.hear()?, "now");
        return match peer.finish() {
            Ok(()) => {
                assert!(!crashes, "it does not crash any more");
                Ok(())
            }
            Err(Stop::Failed(how)) => {
                assert!(crashes && how.contains("signal: 11"), "{how}");
                Ok(())
            }
            Err(stop) => Err(stop),
        };
    }
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::MULTI_RECV)?;
    let mut ep = std::ptr::null_mut();
    let bytes = 100_usize;
    Parent::new().say("now")?;
    // SAFETY: all objects are open; the option's value is a size. Where it crashes regardless, this
    // process was started for it.
    unsafe {
        let (domain, info) = (rig.domain.as_raw(), rig.domain.info().as_raw().cast_mut());
        assert_eq!(ofi_sys::fi_endpoint(domain, info, &raw mut ep, std::ptr::null_mut()), 0);
        assert_eq!(ofi_sys::fi_ep_bind(ep, rig.av.as_raw().cast(), 0), 0);
        let status = ofi_sys::fi_setopt(
            ep.cast(),
            ofi_sys::FI_OPT_ENDPOINT,
            ofi_sys::FI_OPT_MIN_MULTI_RECV,
            (&raw const bytes).cast(),
            size_of::<usize>(),
        );
        println!("{status}");
        ofi_sys::fi_close(ep.cast());
    }
    Ok(())
}
