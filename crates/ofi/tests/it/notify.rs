//! Writes that the peer is told of: when it has the message, it has the bytes.

use ofi::{Access, Caps, Connectionless, ErrorKind, Memory, Returned};

use crate::harness::{LIMIT, List, Mode, Pair, Target, Verdict, cases, pattern};

pub fn register(list: &mut List) {
    cases!(list, rdm: told_when_it_is_there told_of_failures);
}

const CAPS: Caps = Caps::MSG.union(Caps::TAGGED).union(Caps::RMA);

/// Whatever the size, and whichever way it is ordered.
// rule: B39
fn told_when_it_is_there<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LONGEST: usize = 1 << 20;
    let p = Pair::<K, T>::open(t, CAPS)?;
    p.warm()?;
    let memory = Memory::new(vec![0; LONGEST]).map_err(|failed| failed.error)?;
    let rights = Access::REMOTE_READ | Access::REMOTE_WRITE;
    let region = p.rig.domain.expose(&memory).access(rights).open()?;
    let remote = region.remote();
    let sizes = [1, 64, 4096, 70_000, LONGEST];
    for round in 0..40_usize {
        let (len, seed) = (sizes[round % sizes.len()], round as u8);
        let receive = p.b.recv(vec![0; 8]);
        let receive = if round % 2 == 0 { receive.tag(7) } else { receive }.post()?;
        let write = p.a.write(pattern(len, seed), p.to_b, remote.slice(..len)?);
        let notify = write.notify(vec![seed; 8]);
        let notify = if round % 2 == 0 { notify.tag(7) } else { notify };
        // All that is looked at before is the message.
        let (bytes, message) = match round % 3 {
            0 => {
                let mut notify = Box::pin(notify.complete());
                let mut receive = receive;
                let (mut told, mut done) = (false, None);
                while done.is_none() || !told {
                    if done.is_none() {
                        done = crate::harness::poll_once(notify.as_mut());
                    }
                    if !told {
                        if let Some(received) = crate::harness::poll_once(&mut receive) {
                            assert_eq!(received?.1, vec![seed; 8]);
                            assert!(memory.to_vec()[..len] == pattern(len, seed), "{len} bytes");
                            told = true;
                        }
                    }
                }
                done.expect("it is")?
            }
            _ => {
                let done = notify.wait(LIMIT)?;
                assert_eq!(receive.wait(LIMIT)?.1, vec![seed; 8]);
                assert!(memory.to_vec()[..len] == pattern(len, seed), "{len} bytes");
                done
            }
        };
        assert_eq!((bytes.len(), message), (len, vec![seed; 8]));
    }
    assert_eq!((p.a.in_flight(), p.b.in_flight()), (0, 0));
    Ok(())
}

/// Nobody is told of a write that could not be posted; both buffers come back.
// rule: B39
fn told_of_failures<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS)?;
    p.warm()?;
    let memory = Memory::new(vec![0; 64]).map_err(|failed| failed.error)?;
    let region = p.rig.domain.expose(&memory).access(Access::REMOTE_READ).open()?;
    let receive = p.b.recv(vec![0; 8]).post()?;
    let write = p.a.write(vec![1; 64], p.to_b, region.remote());
    let failed = write.notify(vec![2; 8]).wait(LIMIT).expect_err("it may only be read");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{}", failed.error);
    let (Returned::Back(bytes), Returned::Back(message)) = (failed.buf, failed.message) else {
        panic!("nothing was posted");
    };
    assert_eq!((bytes, message), (vec![1; 64], vec![2; 8]));
    for _ in 0..1000 {
        p.rig.cq.progress()?;
        assert!(!receive.is_done());
    }
    // What may be written goes, and its message with it.
    let region = p.rig.domain.expose(&memory).access(Access::REMOTE_WRITE).open()?;
    let write = p.a.write(vec![3; 64], p.to_b, region.remote());
    let (bytes, _) = write.notify(vec![0_u8; 1]).tag(1).wait(LIMIT)?;
    assert_eq!(bytes, vec![3; 64]);
    drop(receive);
    assert_eq!(p.b.recv(vec![0; 8]).tag(1).wait(LIMIT)?.0.len(), 1);
    assert_eq!(memory.to_vec(), vec![3; 64]);
    Ok(())
}
