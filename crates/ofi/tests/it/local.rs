//! Endpoints of one process that close while others of it know them. shm keeps pointers into them.

use std::time::Duration;

use ofi::{Caps, Connectionless, ErrorKind, FabricAddress};

use crate::harness::{LIMIT, List, Mode, Pair, Rig, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, rdm: a_send_to_one_that_closed a_new_one_beside_one_that_closed);
    cases!(list, rdm: removing_one_that_closed the_sender_closes other_vectors_know_it);
}

const MOMENT: Duration = Duration::from_millis(100);

/// A new endpoint on the vector works, whatever became of the others.
fn another_works<K: Connectionless, T: Mode>(rig: &Rig<T>) -> Verdict {
    let (x, y) = (rig.endpoint::<K>()?, rig.endpoint::<K>()?);
    let to = rig.av.insert(&y.name()?)?;
    let receive = y.recv(vec![0; 64]).post()?;
    x.send(vec![3; 64], to).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![3; 64]);
    Ok(())
}

// rule: A1, A2
fn a_send_to_one_that_closed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let Pair { a, b, to_b, rig, .. } = p;
    b.close(LIMIT)?;
    let sent = a.send(vec![1; 64], to_b).wait(MOMENT);
    if t.provider == "shm" {
        // Its address left the vector with it.
        let error = ofi::Error::from(sent.unwrap_err());
        assert_eq!(*error.kind(), ErrorKind::StaleAddress, "{error}");
    }
    drop(a);
    another_works::<K, T>(&rig)
}

fn a_new_one_beside_one_that_closed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let Pair { a, b, rig, .. } = p;
    b.close(LIMIT)?;
    another_works::<K, T>(&rig)?;
    drop(a);
    another_works::<K, T>(&rig)
}

// rule: A2
fn removing_one_that_closed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let Pair { a, b, to_b, rig, .. } = p;
    b.close(LIMIT)?;
    match rig.av.remove(to_b) {
        Ok(()) => assert_ne!(t.provider, "shm", "it went with the endpoint"),
        Err(error) => assert_eq!(*error.kind(), ErrorKind::StaleAddress, "{error}"),
    }
    drop(a);
    another_works::<K, T>(&rig)
}

/// The receiver knows the sender from its message alone.
fn the_sender_closes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (a, b) = (rig.endpoint::<K>()?, rig.endpoint::<K>()?);
    let to_b = rig.av.insert(&b.name()?)?;
    let receive = b.recv(vec![0; 64]).post()?;
    a.send(vec![1; 64], to_b).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    a.close(LIMIT)?;
    let c = rig.endpoint::<K>()?;
    let receive = b.recv(vec![0; 64]).post()?;
    c.send(vec![2; 64], to_b).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![2; 64]);
    Ok(())
}

/// A vector of another domain knows it, too; and may be told its name again.
fn other_vectors_know_it<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let (here, there) = (Rig::<T>::open(t, Caps::MSG)?, Rig::<T>::open(t, Caps::MSG)?);
    let (a, b) = (there.endpoint::<K>()?, here.endpoint::<K>()?);
    let name: FabricAddress = b.name()?;
    let to_b = there.av.insert(&name)?;
    let receive = b.recv(vec![0; 64]).post()?;
    // Each on its own queue: both have to move.
    let send = a.send(vec![1; 64], to_b).post();
    let send = match send {
        Ok(op) => Some(op),
        Err(failed) if failed.error.is_busy() => None,
        Err(failed) => return Err(failed.into()),
    };
    for _ in 0..1000 {
        here.cq.progress()?;
        there.cq.progress()?;
    }
    drop((send, receive));
    b.close(LIMIT)?;
    match there.av.insert(&name) {
        Ok(again) => {
            assert_ne!(t.provider, "shm", "what is left of it would be used");
            let _ = a.send(vec![1; 64], again).wait(MOMENT);
        }
        Err(error) => assert_eq!(*error.kind(), ErrorKind::StaleAddress, "{error}"),
    }
    drop(a);
    another_works::<K, T>(&there)?;
    another_works::<K, T>(&here)
}
