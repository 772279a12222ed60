use std::{
    ptr,
    sync::{Arc, Mutex as StdMutex},
};

use super::*;
use crate::{Caps, EndpointType, Hints};

/// A query that fails, so that the provider says why.
fn fail_loudly() {
    let hints = Hints::new().provider("udp").caps(Caps::ATOMIC).endpoint_type(EndpointType::Dgram);
    assert!(hints.query().is_err());
}

#[test]
fn capture_sees_this_thread_alone() {
    let ((), messages) = capture(|| {
        std::thread::scope(|scope| {
            let (_, theirs) = scope.spawn(|| capture(|| ())).join().unwrap();
            assert_eq!(theirs, []);
            scope.spawn(fail_loudly).join().unwrap();
        });
    });
    assert_eq!(messages, []);
    let ((), messages) = capture(fail_loudly);
    let line = messages.iter().find(|m| m.provider == "udp").expect("the provider's own message");
    assert_eq!(line.subsystem, "core");
    assert!(line.level <= Level::Info && line.line > 0 && !line.function.is_empty());
    assert!(!line.text.ends_with('\n'));
    assert!(line.to_string().starts_with("udp:core:"), "{line}");
}

// rule: X13
#[test]
fn a_panic_ends_capture_and_messages_are_given_back() {
    let result = catch_unwind(|| capture(|| panic!("on purpose")));
    assert!(result.is_err());
    assert!(CAPTURED.with(|slot| slot.borrow().is_none()));
    // Libfabric lets nobody open its log while somebody has it.
    let uses = lock(&USES);
    let mut fid = ptr::null_mut();
    // SAFETY: a C string, no attributes, and `fid` may be written.
    let status = unsafe {
        ofi_sys::fi_open(
            api_version().raw(),
            c"logging".as_ptr(),
            ptr::null_mut(),
            0,
            0,
            &raw mut fid,
            ptr::null_mut(),
        )
    };
    let expected = if *uses == 0 { 0 } else { -crate::Errno::EALREADY.raw() };
    assert_eq!(status, expected);
}

// rule: X13
#[test]
fn no_panic_and_no_second_entry_into_libfabric() {
    assert_eq!(guarded(|| panic!("on purpose")), 0);
    assert_eq!(guarded(|| 7 + guarded(|| 100)), 7);
    assert_eq!(guarded(|| 7), 7);
    // Null pointers, as no libfabric passes them, are text of no length.
    let ((), messages) = capture(|| {
        // SAFETY: `log` takes null for each of its pointers.
        unsafe { log(ptr::null(), 0, 99, ptr::null(), -1, ptr::null()) }
    });
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].subsystem, messages[0].level), ("unknown", Level::Warn));
}

#[cfg(feature = "tracing")]
mod tracing_events {
    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span,
    };

    use super::*;

    /// Keeps every event as `level target field=value …`.
    #[derive(Clone, Default)]
    struct Keep {
        lines: Arc<StdMutex<Vec<String>>>,
        panics: bool,
    }

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0 += &format!(" {field}={value:?}");
        }
    }

    impl Subscriber for Keep {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            let meta = event.metadata();
            let mut line = Line(format!("{} {}", meta.level(), meta.target()));
            event.record(&mut line);
            self.lines.lock().unwrap().push(line.0);
            // What libfabric says meanwhile must not come back here.
            fail_loudly();
            assert!(!self.panics, "on purpose");
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    // rule: X13
    #[test]
    fn messages_become_events_with_the_provider_as_a_field() {
        let keep = Keep::default();
        tracing::subscriber::with_default(keep.clone(), || {
            install(Filter::new(Level::Info).provider("udp").subsystem("core")).unwrap();
            fail_loudly();
            let count = keep.lines.lock().unwrap().len();
            assert!(count > 0);

            // Filters that do not fit leave nothing.
            install(Filter::new(Level::Info).provider("shm")).unwrap();
            fail_loudly();
            install(Filter::new(Level::Info).subsystem("mr")).unwrap();
            fail_loudly();
            install(Filter::new(Level::Warn).provider("udp")).unwrap();
            fail_loudly();
            uninstall();
            fail_loudly();
            assert_eq!(keep.lines.lock().unwrap().len(), count);

            // A subscriber that panics does not reach C.
            let panics = Keep { panics: true, ..Keep::default() };
            tracing::subscriber::with_default(panics.clone(), || {
                install(Filter::new(Level::Info).provider("udp;ofi_rxd")).unwrap();
                fail_loudly();
                uninstall();
            });
            assert!(!panics.lines.lock().unwrap().is_empty());
        });
        for line in keep.lines.lock().unwrap().iter() {
            assert!(line.starts_with("DEBUG libfabric"), "{line}");
            assert!(line.contains(" provider=\"udp\"") && line.contains(" subsystem=\"core\""));
            assert!(line.contains(" message=") && line.contains(" line="), "{line}");
        }
    }
}
