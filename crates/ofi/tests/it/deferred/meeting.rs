//! Deferred work where several meet: threads, and the ends of a connection.

use ofi::{BindFlags, Caps, Connectionless, Domain, EventQueue, Fabric, Msg, Progress, Shared};

use super::{exposed, pair};
use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Target, Verdict, cases, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, rdm_shared: work_of_several_threads);
    cases!(list, msg: work_of_a_connection);
    cases!(list, rdm: driven_by_its_callers);
}

/// One thread queues, one changes the counters, one drives the queue; work is waited for, dropped, and
/// given up, and all of it is done.
// rule: X11, W10
fn work_of_several_threads<K: Connectionless + Sync>(t: &Target) -> Verdict {
    const MANY: usize = 400;
    let p = pair::<K, Shared>(t)?;
    let region = exposed(&p.rig, vec![0; MANY * 8])?;
    let (first, go, last) =
        (p.rig.domain.counter()?, p.rig.domain.counter()?, p.rig.domain.counter()?);
    let (a, to_b, rig) = (&p.a, p.to_b, &p.rig);
    std::thread::scope(|scope| -> Verdict {
        let (first, go, last, region) = (&first, &go, &last, &region);
        let queueing = scope.spawn(move || -> Result<(), ofi::Error> {
            let mut held = Vec::new();
            for i in 0..MANY {
                let target = region.remote().slice(i * 8..i * 8 + 8)?;
                let write = a.write((i as u64 + 1).to_ne_bytes().to_vec(), to_b, target);
                let work = write.when(go.at(i as u64)).then(last).queue()?;
                match i % 3 {
                    0 => drop(work.wait(LIMIT)?),
                    1 => held.push(work.abandon()),
                    _ => drop(work),
                }
            }
            Ok(())
        });
        let changing = scope.spawn(move || -> Result<(), ofi::Error> {
            for i in 0..MANY as u64 {
                let change = first.at(i + 1).add(go, 1)?;
                first.add(1)?;
                assert!(change.wait(LIMIT));
            }
            Ok(())
        });
        progress_until(&rig.cq, "all of it", || last.read() == MANY as u64);
        queueing.join().expect("no panic")?;
        changing.join().expect("no panic")?;
        Ok(())
    })?;
    for i in 0..MANY {
        assert_eq!(region.memory().load_u64(i * 8)?, i as u64 + 1);
    }
    progress_until(&rig.cq, "the ends", || a.in_flight() == 0);
    drop((first, go, last));
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// Without a thread of the provider's: all of it happens inside of the calls made here.
// rule: X11, W8
fn driven_by_its_callers<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const MANY: usize = 3000;
    let caps = Caps::MSG | Caps::RMA | Caps::TRIGGER;
    t.query(caps)?;
    let info = t.hints(caps).progress(Progress::Manual).query()?.into_best();
    t.require(info.provider() == "sockets", "deferred work that is known to be safe")?;
    let p = Pair::<K, T>::on(Rig::on(info)?)?;
    p.warm()?;
    let (arrived, steps) = (p.rig.domain.counter()?, p.rig.domain.counter()?);
    let builder = p.rig.domain.endpoint::<K>(&p.rig.info).address_vector(&p.rig.av);
    let builder = builder.completion_queue(&p.rig.cq);
    let c = builder.counter(&arrived, BindFlags::RECV | BindFlags::WRITE).enable()?;
    let to_c = p.rig.av.insert(&c.name()?)?;
    let region = exposed(&p.rig, vec![0; MANY * 8])?;
    let answer = c.send(pattern(64, 2), p.to_a).when(arrived.at(1)).then(&steps).queue()?;
    let mut writes = Vec::new();
    for i in 0..MANY {
        let target = region.remote().slice(i * 8..i * 8 + 8)?;
        let write = c.write((i as u64 + 1).to_ne_bytes().to_vec(), p.to_b, target);
        writes.push(write.when(arrived.at(1)).queue()?);
    }
    let (receive, answered) = (c.recv(vec![0; 64]).post()?, p.a.recv(vec![0; 64]).post()?);
    p.a.send(pattern(64, 1), to_c).wait(LIMIT)?;
    assert_eq!(answered.wait(LIMIT)?.1, pattern(64, 2));
    assert_eq!(receive.wait(LIMIT)?.1, pattern(64, 1));
    answer.wait(LIMIT)?;
    assert_eq!(steps.read(), 1);
    for write in writes {
        write.wait(LIMIT)?;
    }
    for i in 0..MANY {
        assert_eq!(region.memory().load_u64(i * 8)?, i as u64 + 1);
    }
    // Looking at the counter drives what is bound to it.
    let change = arrived.at(2).add(&steps, 1)?;
    let receive = c.recv(vec![0; 64]).post()?;
    p.a.send(pattern(64, 3), to_c).wait(LIMIT)?;
    assert!(change.wait(LIMIT));
    receive.wait(LIMIT)?;
    Ok(())
}

/// The answer to what arrives on a connection.
// rule: X11
fn work_of_a_connection<T: Mode>(t: &Target) -> Verdict {
    let info = t.query(Caps::MSG | Caps::TRIGGER)?;
    let fabric = Fabric::open(&info)?;
    let domain: Domain<T> = fabric.domain(&info)?;
    let cq = domain.completion_queue().open()?;
    let events: EventQueue<T> = fabric.event_queue().open()?;
    let arrived = domain.counter()?;
    let builder = || {
        let builder = domain.endpoint::<Msg>(&info);
        builder.completion_queue(&cq).event_queue(&events)
    };
    let listener = fabric.passive_endpoint(&info).event_queue(&events).listen()?;
    let connecting = builder().connect(&listener.name()?, b"")?;
    let request = listener.next_request(LIMIT)?.expect("it connects");
    let counted = builder().counter(&arrived, BindFlags::RECV);
    let (b, _) = request.accept(counted, b"")?.wait(LIMIT)?;
    let (a, _) = connecting.wait(LIMIT)?;
    let answer = b.send(pattern(64, 2)).when(arrived.at(1)).queue()?;
    let (receive, answered) = (b.recv(vec![0; 64]).post()?, a.recv(vec![0; 64]).post()?);
    a.send(pattern(64, 1)).wait(LIMIT)?;
    assert_eq!(answered.wait(LIMIT)?.1, pattern(64, 2));
    assert_eq!(receive.wait(LIMIT)?.1, pattern(64, 1));
    answer.wait(LIMIT)?;
    drop((a, b));
    arrived.close()?;
    Ok(())
}
