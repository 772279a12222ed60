//! Many threads on `Shared` objects.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicBool, Ordering},
};

use ofi::{BindFlags, Caps, Connectionless, Endpoint, Shared};

use crate::harness::{LIMIT, List, Pair, Rig, Stop, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, rdm_shared: posting_at_once waiting_on_one_queue removing_while_posting closing_while_waiting opened_and_closed_while_read);
    cases!(list, once: what_may_cross_threads);
}

const THREADS: u64 = 4;
const EACH: u64 = 100;

fn joined(threads: Vec<std::thread::JoinHandle<Verdict>>) -> Verdict {
    threads.into_iter().try_for_each(|thread| match thread.join() {
        Ok(verdict) => verdict,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Everybody gets their own messages: waiting on one queue steals nothing.
///
/// Faults 10, 11 (sync helpers that steal each other's completions).
// rule: W10, F10, F11
fn posting_at_once<K: Connectionless>(t: &Target) -> Verdict {
    let p = Arc::new(Pair::<ofi::Rdm, Shared>::open(t, Caps::TAGGED)?);
    let receive = p.b.recv(vec![0; 8]).tag(u64::MAX >> 1).post()?;
    p.a.send(vec![0; 8], p.to_b).tag(u64::MAX >> 1).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    let start = Arc::new(Barrier::new(2 * THREADS as usize));
    let mut threads = Vec::new();
    for thread in 0..THREADS {
        let (p2, start2) = (Arc::clone(&p), Arc::clone(&start));
        threads.push(std::thread::spawn(move || -> Verdict {
            start2.wait();
            for n in 0..EACH {
                let bytes = [thread.to_ne_bytes(), n.to_ne_bytes()].concat();
                p2.a.send(bytes, p2.to_b).tag(thread).wait(LIMIT)?;
            }
            Ok(())
        }));
        let (p2, start2) = (Arc::clone(&p), Arc::clone(&start));
        threads.push(std::thread::spawn(move || -> Verdict {
            start2.wait();
            for n in 0..EACH {
                let (received, buffer) = p2.b.recv(vec![0; 16]).tag(thread).wait(LIMIT)?;
                assert_eq!(received.tag(), Some(thread));
                assert_eq!(buffer, [thread.to_ne_bytes(), n.to_ne_bytes()].concat());
            }
            Ok(())
        }));
    }
    joined(threads)
}

/// Several threads wait for operations of their own on the one queue.
fn waiting_on_one_queue<K: Connectionless>(t: &Target) -> Verdict {
    let p = Pair::<ofi::Rdm, Shared>::open(t, Caps::TAGGED)?;
    let threads: Vec<_> = (0..THREADS)
        .map(|tag| {
            let b: Endpoint<ofi::Rdm> = p.b.clone();
            std::thread::spawn(move || -> Verdict {
                for n in 0..20_u8 {
                    let (_, buffer) = b.recv(vec![0; 8]).tag(tag).wait(LIMIT)?;
                    assert_eq!(buffer, [n; 8]);
                }
                Ok(())
            })
        })
        .collect();
    for n in 0..20 {
        for tag in (0..THREADS).rev() {
            p.a.send(vec![n; 8], p.to_b).tag(tag).wait(LIMIT)?;
        }
    }
    joined(threads)
}

/// One thread removes and inserts an address that others send to: they are refused or served.
// rule: A2
fn removing_while_posting<K: Connectionless>(t: &Target) -> Verdict {
    let p = Arc::new(Pair::<ofi::Rdm, Shared>::open(t, Caps::MSG)?);
    p.warm()?;
    let stop = Arc::new(AtomicBool::new(false));
    let current = Arc::new(std::sync::Mutex::new(p.to_b));
    let sender = std::thread::spawn({
        let (p, stop, current) = (Arc::clone(&p), Arc::clone(&stop), Arc::clone(&current));
        move || -> Verdict {
            while !stop.load(Ordering::SeqCst) {
                let to = *current.lock().expect("not poisoned");
                match p.a.send(vec![1; 16], to).post() {
                    Ok(op) => drop(op.wait(LIMIT)?),
                    Err(failed) if failed.error.is_busy() => drop(p.rig.cq.progress()?),
                    Err(failed) => {
                        assert_eq!(*failed.error.kind(), ofi::ErrorKind::StaleAddress);
                    }
                }
            }
            Ok(())
        }
    });
    let receiver = std::thread::spawn({
        let (p, stop) = (Arc::clone(&p), Arc::clone(&stop));
        move || -> Verdict {
            let mut receives = std::collections::VecDeque::new();
            while !stop.load(Ordering::SeqCst) {
                while receives.len() < 16 {
                    receives.push_back(p.b.recv(vec![0; 16]).post()?);
                }
                p.rig.cq.progress()?;
                receives.retain(|receive| !receive.is_done());
            }
            Ok(())
        }
    });
    let name = p.b.name()?;
    let mut result = Ok(());
    for _ in 0..200 {
        let to = *current.lock().expect("not poisoned");
        result = p.rig.av.remove(to).and_then(|()| {
            *current.lock().expect("not poisoned") = p.rig.av.insert(&name)?;
            Ok(())
        });
        if result.is_err() || sender.is_finished() || receiver.is_finished() {
            break;
        }
    }
    // The receiver goes on until the last send is through.
    stop.store(true, Ordering::SeqCst);
    while !sender.is_finished() {
        let receive = p.b.recv(vec![0; 16]).wait(std::time::Duration::from_millis(1));
        drop(receive);
    }
    joined(vec![sender, receiver])?;
    Ok(result?)
}

/// A close on one thread ends the waits of the others.
///
/// Fault 21.
// rule: F21
fn closing_while_waiting<K: Connectionless>(t: &Target) -> Verdict {
    let p = Pair::<ofi::Rdm, Shared>::open(t, Caps::MSG)?;
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let receive = p.b.recv(vec![0; 16]).post()?;
            Ok(std::thread::spawn(move || match receive.wait(LIMIT) {
                Err(ofi::WaitError::Failed(failed)) => {
                    assert!(failed.buf.into_buffer().is_some(), "the endpoint is closed");
                    Ok(())
                }
                Ok(_) => Err(Stop::Failed("nothing was sent".into())),
                Err(expired) => Err(expired.into()),
            }))
        })
        .collect::<Result<_, Stop>>()?;
    p.b.close(LIMIT)?;
    joined(waiters)
}

/// `Send` and `Sync` as documented; what must not cross is among the compile-fail tests.
// rule: W10, W11
fn what_may_cross_threads(_: &Target) -> Verdict {
    fn crosses<X: Send + Sync>() {}
    crosses::<Endpoint<ofi::Rdm>>();
    crosses::<ofi::CompletionQueue>();
    crosses::<ofi::AddressVector>();
    crosses::<ofi::Domain>();
    crosses::<ofi::Fabric>();
    crosses::<ofi::Info>();
    crosses::<ofi::Hints>();
    crosses::<ofi::Address>();
    crosses::<ofi::Error>();
    crosses::<ofi::Op<ofi::SendVerb, Vec<u8>>>();
    crosses::<ofi::Held<Vec<u8>>>();
    crosses::<ofi::AvSet>();
    crosses::<ofi::Join<ofi::CollectiveGroup>>();
    crosses::<ofi::Join<ofi::MulticastGroup>>();
    Ok(())
}

/// What is bound to a queue, or to a counter, opens and closes while others drive both: none of them
/// sees an endpoint that is not enabled yet, which crashes most providers.
// rule: L4, W10
fn opened_and_closed_while_read<K: Connectionless>(t: &Target) -> Verdict {
    let rig = Rig::<Shared>::open(t, Caps::MSG)?;
    let counter = rig.domain.counter()?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| -> Verdict {
        let readers = [
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    rig.cq.progress().expect("healthy");
                }
            }),
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::black_box(counter.read());
                }
            }),
        ];
        let run = || -> Verdict {
            for round in 0..16 {
                let open = || {
                    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
                    let builder = builder.completion_queue(&rig.cq);
                    builder.counter(&counter, BindFlags::RECV).enable()
                };
                let (a, b) = (open()?, open()?);
                let to = rig.av.insert(&b.name()?)?;
                let receive = b.recv(vec![0; 32]).post()?;
                a.send(vec![round; 32], to).wait(LIMIT)?;
                assert_eq!(receive.wait(LIMIT)?.1, vec![round; 32]);
                rig.av.remove(to)?;
            }
            Ok(())
        };
        let result = run();
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().expect("it ends"));
        result
    })
}
