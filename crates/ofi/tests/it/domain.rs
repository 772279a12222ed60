//! Domains: what is refused before anything is opened on them.

use ofi::{Caps, Domain, EndpointType, ErrorKind, Fabric, Hints, Shared, Version};

use crate::harness::{List, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, once: an_unusable_provider_is_refused);
}

/// Defect 5: `net`, in 1.17 alone, claims what it has not and crashes; no domain of it is opened,
/// alone or under another layer, and the error says what to do.
fn an_unusable_provider_is_refused(_: &Target) -> Verdict {
    let exists = ofi::version() < Version::new(1, 18);
    for provider in ["net", "net;ofi_rxm"] {
        let hints = Hints::new()
            .provider(provider)
            .endpoint_type(EndpointType::Rdm)
            .caps(Caps::MSG)
            .node("127.0.0.1")
            .service("0")
            .source();
        let list = match hints.query() {
            Ok(list) => list,
            Err(error) => {
                assert_eq!(*error.kind(), ErrorKind::NotFound, "{error}");
                assert!(!exists, "{provider} is there and was not found");
                continue;
            }
        };
        let info = list.into_best();
        let fabric = Fabric::open(&info)?;
        let error = Domain::<Shared>::open(&fabric, &info).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("defect #5") && text.contains("name a provider"), "{text}");
    }
    Ok(())
}
