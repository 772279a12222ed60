//! Shared contexts, scalable endpoints and their contexts, aliases.

use ofi::{Caps, Connectionless, ErrorKind, Hints, Info};

use crate::harness::{List, Mode, Rig, Stop, Target, Verdict, cases};

mod aliases;
mod known;
mod scalable;
mod shared_connections;
mod shared_contexts;

pub fn register(list: &mut List) {
    aliases::register(list);
    known::register(list);
    scalable::register(list);
    shared_contexts::register(list);
    shared_connections::register(list);
    cases!(list, connectionless: not_asked_for);
}

/// The best match of the target's provider for hints that are changed so.
fn query(t: &Target, caps: Caps, change: impl Fn(Hints) -> Hints) -> Result<Info, Stop> {
    let none = || Stop::Unsupported(format!("{} has no such contexts", t.provider));
    match change(t.hints(caps)).query() {
        Ok(list) => {
            let found = list.iter().find(|info| info.provider() == t.provider).cloned();
            found.ok_or_else(none)
        }
        Err(error) if *error.kind() == ErrorKind::NotFound => Err(none()),
        Err(error) => Err(error.into()),
    }
}

/// Where an info was not asked for with them, shared contexts are refused: as unsupported where
/// there are none.
// rule: L14, L15, D8
// quirk: 38
fn not_asked_for<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let builder = || {
        let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
        builder.completion_queue(&rig.cq)
    };
    let has = t.provider == "sockets";
    match rig.domain.shared_receive(&rig.info, &rig.cq) {
        Ok(context) if has => {
            let error = builder().shared_receive(&context).enable().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
        }
        Err(error) if !has => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        }
        other => panic!("{other:?}"),
    }
    match rig.domain.shared_transmit(&rig.info) {
        Ok(context) if has => {
            let error = builder().shared_transmit(&context).enable().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
        }
        Err(error) if !has => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}
