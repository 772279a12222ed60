//! Discovery against the installed libfabric and its software providers.

use super::*;
use crate::{
    AddressFormat, Caps, EndpointType, ErrorKind, GetInfoFlags, MrMode, Needs, Progress,
    ThreadingModel, Version, version,
};

fn local(provider: &str, kind: EndpointType) -> Hints {
    Hints::new().provider(provider).endpoint_type(kind).node("127.0.0.1").source()
}

#[test]
fn every_software_provider_is_found() {
    for (provider, kind) in [
        ("tcp", EndpointType::Msg),
        ("tcp", EndpointType::Rdm),
        ("tcp;ofi_rxm", EndpointType::Rdm),
        ("udp", EndpointType::Dgram),
        ("udp;ofi_rxd", EndpointType::Rdm),
        ("sockets", EndpointType::Rdm),
        ("sockets", EndpointType::Msg),
    ] {
        let list = local(provider, kind).query().unwrap_or_else(|e| panic!("{provider}: {e}"));
        let best = list.best();
        assert_eq!(best.endpoint_type(), kind, "{provider}");
        assert_eq!(best.core_provider(), provider.split(';').next().unwrap());
        assert!(best.supports(Caps::MSG), "{provider}");
        let address = best.src_socket_addr().expect("an IP address");
        assert!(address.ip().is_loopback(), "{provider}: {address}");
        assert!(best.endpoint().max_msg_size() > 0, "{provider}");
        assert_eq!(best.fabric().api_version(), crate::version::api_version());
    }
    let shm = Hints::new().provider("shm").endpoint_type(EndpointType::Rdm).query().unwrap();
    assert_eq!(shm.best().address_format(), AddressFormat::Str);
    assert_eq!(shm.best().src_addr().unwrap().last(), Some(&0));
    assert_eq!(shm.best().src_socket_addr(), None);
}

// rule: D11
#[test]
fn a_provider_without_layers_is_its_core_and_with_layers_exact() {
    let any = local("tcp", EndpointType::Rdm).query().unwrap();
    assert!(any.iter().all(|info| info.core_provider() == "tcp"));
    let taken = any.best().provider();
    assert!(taken == "tcp" || taken == "tcp;ofi_rxm", "{taken}");
    if version() < Version::new(1, 18) {
        assert_eq!(taken, "tcp;ofi_rxm");
    }
    let exact = local("tcp;ofi_rxm", EndpointType::Rdm).query().unwrap();
    assert!(exact.iter().all(|info| info.provider() == "tcp;ofi_rxm"));
    let error = local("tcp;ofi_rxd", EndpointType::Rdm).query().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);

    let without = Hints::new().exclude_provider("tcp").exclude_provider("udp").query().unwrap();
    assert!(without.iter().all(|i| i.core_provider() != "tcp" && i.core_provider() != "udp"));
}

// rule: D1
#[test]
fn the_version_is_only_overridden_downwards() {
    let newer = Version::new(crate::version::api_version().major, 99);
    let error = Hints::new().api_version(newer).query().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unsupported { needs: Needs::Version(newer) });
    let error = Hints::new().api_version(Version::new(1, 4)).query().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid);
    let list = Hints::new().api_version(Version::OLDEST).query().unwrap();
    assert_eq!(list.best().fabric().api_version(), Version::OLDEST);
}

// rule: D1
#[test]
fn attributes_newer_than_the_library_are_refused_before_it_sees_them() {
    let newer = [
        (Version::new(1, 20), Hints::new().max_ep_auth_key(1)),
        (Version::new(2, 0), Hints::new().max_group_id(1)),
        (Version::new(2, 5), Hints::new().max_cntr_value(1)),
        (Version::new(2, 5), Hints::new().max_err_cntr_value(1)),
        (Version::new(1, 21), Hints::new().progress(Progress::ControlUnified)),
        (Version::new(2, 0), Hints::new().caps(Caps::MSG | Caps::EXACT_DIRECTED_RECV)),
        (Version::new(2, 2), Hints::new().flags(GetInfoFlags::RESCAN)),
        (Version::new(2, 3), Hints::new().address_format(AddressFormat::SockaddrIp)),
    ];
    for (needed, hints) in newer {
        if version() >= needed {
            continue;
        }
        let error = hints.query().unwrap_err();
        let needs = Needs::Version(needed);
        assert_eq!(*error.kind(), ErrorKind::Unsupported { needs }, "{hints}");
    }
    // A build linked to an older library than the one that runs cannot pass appended members on.
    if version() >= Version::new(2, 0)
        && ofi_sys::LINKED_VERSION.is_some_and(|linked| Version::from_raw(linked).major < 2)
    {
        let error = Hints::new().max_group_id(1).query().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Unsupported { needs: Needs::Dlopen });
    }
    let domain = Hints::new().query().unwrap().into_best();
    let appended = domain.domain().max_ep_auth_key().is_some();
    assert_eq!(appended, version() >= Version::new(1, 20));
}

// rule: D9
#[test]
fn a_kind_of_transfer_is_always_asked_for() {
    let error = Hints::new().caps(Caps::SOURCE).query().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("FI_TAGGED"), "{error}");
    assert!(Hints::new().query().unwrap().iter().all(|info| info.supports(Caps::MSG)));
}

// rule: D2 D4
#[test]
fn the_list_lives_as_long_as_its_last_entry() {
    let list = Hints::new().query().unwrap();
    let first = list.best().clone();
    assert!(first.sharers() > 1);
    let name = first.provider().to_owned();
    drop(list);
    assert_eq!(first.sharers(), 1);
    assert_eq!(first.provider(), name);
    let copy = first.duplicate().unwrap();
    drop(first);
    assert_eq!(copy.provider(), name);
}

// rule: D3, H5, H6
#[test]
fn names_keys_and_addresses_reach_the_provider() {
    let named = local("tcp", EndpointType::Msg).domain_name("lo").query().unwrap();
    assert!(named.iter().all(|info| info.domain().name() == Some("lo")));
    let fabric = named.best().fabric().name().unwrap().to_owned();
    let again = local("tcp", EndpointType::Msg).fabric_name(&*fabric).query().unwrap();
    assert!(again.iter().all(|info| info.fabric().name() == Some(&*fabric)));
    // An unknown name excludes everything.
    let none = local("tcp", EndpointType::Msg).domain_name("no such device").query();
    assert_eq!(*none.unwrap_err().kind(), ErrorKind::NotFound);

    let address = "127.0.0.1:4711".parse().unwrap();
    let hints = Hints::new().provider("tcp").endpoint_type(EndpointType::Msg);
    let bound = hints.src_socket_addr(address).query().unwrap();
    assert_eq!(bound.best().src_socket_addr(), Some(address));
    assert_eq!(bound.best().address_format(), AddressFormat::SockaddrIn);

    // No software provider takes keys; libfabric copies and frees them all the same.
    let _ = Hints::new().endpoint_auth_key(b"key").domain_auth_key(b"another").query();
}

#[test]
fn text_with_a_nul_is_an_error_of_the_query() {
    for hints in [
        Hints::new().node("a\0b"),
        Hints::new().service("\0"),
        Hints::new().provider("tcp\0"),
        Hints::new().domain_name("\0"),
        Hints::new().provider(""),
        Hints::new().endpoint_auth_key(b""),
        Hints::new().src_addr(AddressFormat::SockaddrIn, &[0; 3]),
        Hints::new().threading(ThreadingModel::Completion),
        Hints::new()
            .src_socket_addr("127.0.0.1:1".parse().unwrap())
            .dest_socket_addr("[::1]:1".parse().unwrap()),
    ] {
        assert_eq!(*hints.query().unwrap_err().kind(), ErrorKind::Invalid, "{hints}");
    }
}

/// shm honours made-up keys under FI_MR_VIRT_ADDR: no safe hints may bring it about.
#[test]
fn shm_never_gets_virt_addr_from_safe_hints() {
    let rma = Caps::MSG | Caps::RMA;
    let all = MrMode::LOCAL | MrMode::VIRT_ADDR | MrMode::ALLOCATED | MrMode::PROV_KEY;
    for hints in [
        Hints::new(),
        Hints::new().provider("shm").caps(rma),
        Hints::new().provider("shm").caps(rma).mr_mode(all),
        Hints::new().provider("shm").caps(rma).mr_mode(MrMode::BASIC),
        Hints::new().provider("shm").caps(rma).mr_mode(MrMode::VIRT_ADDR),
        Hints::everything(),
        Hints::everything().provider("shm"),
    ] {
        let list = hints.query().unwrap();
        let shm: Vec<_> = list.iter().filter(|info| info.core_provider() == "shm").collect();
        assert!(!shm.is_empty(), "{hints}");
        for info in shm {
            let mode = info.domain().mr_mode();
            assert!(!mode.intersects(MrMode::VIRT_ADDR | MrMode::BASIC), "{hints}: {mode}");
        }
    }
    // SAFETY: the entry is only looked at.
    let unsafely = unsafe { Hints::new().provider("shm").caps(rma).offer_virt_addr_to_shm() };
    let mode = unsafely.query().unwrap().best().domain().mr_mode();
    assert!(mode.contains(MrMode::VIRT_ADDR), "{mode}");
}

#[test]
fn progress_and_threading_are_set_in_every_place() {
    let list = local("sockets", EndpointType::Rdm)
        .progress(Progress::Auto)
        .threading(ThreadingModel::Domain)
        .query()
        .unwrap();
    let domain = list.best().domain();
    assert_eq!(domain.control_progress(), Progress::Auto);
    assert_eq!(domain.data_progress(), Progress::Auto);
    assert_eq!(domain.threading(), ThreadingModel::Domain);
    assert_eq!(domain.av_type(), crate::AvType::Table);
}

#[test]
fn everything_lists_what_queries_leave_out() {
    let all = Hints::everything().query().unwrap();
    let names: std::collections::BTreeSet<_> =
        all.iter().map(|info| info.core_provider().to_owned()).collect();
    for name in ["tcp", "udp", "shm", "sockets"] {
        assert!(names.contains(name), "{names:?}");
    }
    let asked = Hints::new().query().unwrap();
    assert!(asked.iter().all(|info| info.core_provider() != "net"));
    if version() < Version::new(1, 18) {
        assert!(names.contains("net"), "{names:?}");
        assert!(Hints::new().provider("net").query().is_ok());
    }
    let providers = Hints::everything().flags(GetInfoFlags::PROV_ATTR_ONLY).query().unwrap();
    assert!(providers.iter().any(|info| info.provider() == "ofi_rxm"));
    // Such entries have no more than a name; nothing of them is missing in the eyes of a reader.
    assert_eq!(providers.best().domain().name(), None);
    assert_eq!(providers.best().src_addr(), None);
}

// rule: D10
#[test]
fn printing_is_what_fi_info_prints() {
    for info in Hints::everything().query().unwrap() {
        let short = info.to_string();
        assert!(short.starts_with(&format!("provider: {}\n", info.provider())), "{short}");
        assert!(short.contains(&format!("type: {}", info.endpoint_type())), "{short}");
        let long = format!("{info:#}");
        assert!(long.starts_with("fi_info:"), "{long}");
        assert!(long.contains("fi_fabric_attr:"), "{long}");
        assert!(long.contains(&format!("prov_name: {}", info.provider())), "{long}");
        assert!(long.contains(&format!("caps: [ {}", Caps::MSG)), "{long}");
    }
}

// rule: D10
#[test]
fn queries_and_printing_run_on_many_threads() {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let list = local("tcp", EndpointType::Msg).query().unwrap();
                    (0..50).map(|_| format!("{:#}", list.best()).len()).collect::<Vec<_>>()
                })
            })
            .collect();
        for thread in threads {
            let lengths = thread.join().unwrap();
            assert!(lengths.iter().all(|length| *length == lengths[0] && *length > 500));
        }
    });
}

#[test]
fn an_empty_answer_says_what_was_asked() {
    let error = Hints::new()
        .provider("udp")
        .caps(Caps::MSG | Caps::ATOMIC)
        .endpoint_type(EndpointType::Msg)
        .query()
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);
    let text = error.to_string();
    for part in ["explain", "provider udp", "FI_MSG, FI_ATOMIC", "ep_attr.type FI_EP_MSG"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

#[test]
fn one_hint_that_excludes_a_provider_is_named_with_libfabrics_words() {
    let hints = Hints::new()
        .provider("udp")
        .endpoint_type(EndpointType::Dgram)
        .exclude_provider("udp;ofi_rxd")
        .max_msg_size(1 << 30)
        .node("127.0.0.1")
        .source();
    assert_eq!(*hints.query().unwrap_err().kind(), ErrorKind::NotFound);
    let why = hints.explain().unwrap();
    assert!(why.complete && why.matching.is_empty() && why.unknown_provider.is_none());
    let [excluded] = &why.excluded[..] else { panic!("{why}") };
    assert_eq!(excluded.provider, "udp");
    let [set] = &excluded.sets[..] else { panic!("{why}") };
    assert_eq!(set.hints, ["ep_attr.max_msg_size 1073741824"]);
    let said = |text: &str| set.messages.iter().any(|message| message.text.contains(text));
    assert!(said("Max message size too large"), "{why}");
    let report = why.to_string();
    for part in ["nothing matches", "\nudp\n", "would match without ep_attr.max_msg_size"] {
        assert!(report.contains(part), "{report} lacks {part}");
    }
}

#[test]
fn pairs_of_hints_are_found_where_no_single_one_is_in_the_way() {
    let hints = Hints::new()
        .provider("udp")
        .endpoint_type(EndpointType::Dgram)
        .caps(Caps::MSG | Caps::TAGGED)
        .inject_size(1 << 30);
    let why = hints.explain().unwrap();
    let udp = why.excluded.iter().find(|excluded| excluded.provider == "udp").expect("udp");
    assert!(!udp.sets.is_empty(), "{why}");
    for set in &udp.sets {
        assert_eq!(set.hints.len(), 2, "{why}");
        assert!(set.hints.iter().any(|hint| hint == "tx_attr.inject_size 1073741824"), "{why}");
        assert!(!set.messages.is_empty(), "{why}");
    }
    let with_tagged = |set: &&HintSet| set.hints.iter().any(|hint| hint == "caps FI_TAGGED");
    assert_eq!(udp.sets.iter().filter(with_tagged).count(), 1, "{why}");
}

#[test]
fn larger_sets_are_found_and_none_of_their_hints_is_idle() {
    let hints = Hints::new()
        .provider("udp")
        .endpoint_type(EndpointType::Dgram)
        .caps(Caps::MSG | Caps::TAGGED | Caps::ATOMIC)
        .inject_size(1 << 30);
    let why = hints.explain().unwrap();
    let udp = why.excluded.iter().find(|excluded| excluded.provider == "udp").expect("udp");
    let [set] = &udp.sets[..] else { panic!("{why}") };
    let mut names = set.hints.clone();
    names.sort();
    assert_eq!(names, ["caps FI_ATOMIC", "caps FI_TAGGED", "tx_attr.inject_size 1073741824"]);
}

#[test]
fn explaining_what_matches_says_so() {
    let why = local("tcp", EndpointType::Msg).explain().unwrap();
    assert!(why.matching.iter().any(|name| name == "tcp"), "{why}");
    assert!(why.to_string().contains("matching: tcp"), "{why}");
    let unknown = Hints::new().provider("nonesuch").explain().unwrap();
    assert_eq!(unknown.unknown_provider.as_deref(), Some("nonesuch"));
    assert!(unknown.to_string().contains("no provider `nonesuch`"), "{unknown}");
}

#[test]
fn without_a_filter_every_provider_is_explained() {
    let why = Hints::new().endpoint_type(EndpointType::Rdm).caps(Caps::RMA | Caps::FENCE).explain();
    let why = why.unwrap();
    // Only sockets has fences, of the software providers.
    assert!(why.matching.iter().any(|name| name == "sockets"), "{why}");
    assert!(why.excluded.iter().all(|excluded| !excluded.provider.starts_with("net")), "{why}");
    for name in ["shm", "tcp;ofi_rxm", "udp;ofi_rxd"] {
        let excluded = why.excluded.iter().find(|excluded| excluded.provider == name);
        let sets = &excluded.unwrap_or_else(|| panic!("{name}: {why}")).sets;
        assert!(sets.iter().any(|set| set.hints == ["caps FI_FENCE"]), "{name}: {why}");
    }
}
