//! A completion against whatever the `Op` does at the same time.

use super::*;

/// A dropped send: its buffer goes when the completion has come, once.
#[test]
fn complete_against_drop_of_a_send() {
    explore(3, || {
        let world = World::new(1);
        let op = world.send(1);
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || reader.cq.progress());
        drop(op);
        reader.join().unwrap();
        world.close();
        world.check();
    });
}

/// A dropped receive is cancelled; something may arrive for it before.
#[test]
fn complete_against_drop_of_a_receive() {
    explore(3, || {
        let world = World::new(1);
        let op = world.receive(1);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.cq.progress();
        });
        drop(op);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// The waker that a pending poll left is called.
#[test]
fn complete_against_waker() {
    explore(3, || {
        let world = World::new(1);
        let op = world.receive(1);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.cq.progress();
        });
        let (_, token) = world.block_on(op).unwrap();
        drop(token);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// A future that moves to another task: the waker of the last poll is called.
#[test]
fn complete_against_second_waker() {
    explore(3, || {
        let world = World::new(1);
        let mut op = world.receive(1);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.cq.progress();
        });
        match poll(&mut op, &Waker::from(world.flag())) {
            Poll::Ready(done) => drop(done.unwrap()),
            Poll::Pending => drop(world.block_on(op).unwrap()),
        }
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// A future that moves to a thread which blocks: it does not sleep where only the task is woken.
#[test]
fn complete_against_waker_then_wait() {
    explore(2, || {
        let world = World::new(1);
        let mut op = world.receive(1);
        assert!(poll(&mut op, &Waker::from(world.flag())).is_pending());
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.cq.progress();
        });
        let Ok((_, token)) = op.wait_deadline(None) else { panic!("it failed") };
        drop(token);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// The waker's task goes away while the completion comes: nobody calls what it took back.
#[test]
fn complete_against_drop_after_poll() {
    explore(3, || {
        let world = World::new(1);
        let mut op = world.receive(1);
        let done = poll(&mut op, &Waker::from(world.flag()));
        assert!(done.is_pending());
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.cq.progress();
        });
        drop(op);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// The buffer of an abandoned operation is in one place: with the caller, or with its claim.
#[test]
fn complete_against_abandon() {
    explore(3, || {
        let world = World::new(1);
        let op = world.receive(1);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.cq.progress();
        });
        let token = match op.abandon() {
            Returned::Back(token) => token,
            Returned::Held(held) => world.block_on(held),
        };
        assert_eq!(token.0.load(Ordering::Relaxed), 0);
        drop(token);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// A claim that is dropped leaves the buffer to whoever completes the operation.
#[test]
fn complete_against_drop_of_a_claim() {
    explore(3, || {
        let world = World::new(1);
        let op = world.receive(1);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.cq.progress();
        });
        drop(op.abandon());
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// A thread that blocks is woken although somebody else read its completion and left.
#[test]
fn reader_leaves_against_waiter_that_parks() {
    explore(2, || {
        let world = World::new(1);
        let op = world.receive(1);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.cq.progress();
        });
        let Ok((_, token)) = op.wait_deadline(None) else { panic!("it failed") };
        drop(token);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// A driver that is dropped takes nothing with it: who waits reads the queue itself.
#[test]
fn driver_dropped_while_another_waits() {
    explore(2, || {
        let world = World::new(1);
        let op = world.receive(1);
        let driver = Arc::clone(&world);
        let driver = thread::spawn(move || {
            driver.cq.progress();
        });
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || peer.device.arrive());
        let Ok((_, token)) = op.wait_deadline(None) else { panic!("it failed") };
        drop(token);
        driver.join().unwrap();
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// An `Op` whose completion was reaped, and which is dropped or cancelled then, cancels nothing
/// that came after it into its slot.
#[test]
fn reaped_op_against_next_in_its_slot() {
    explore(3, || {
        let world = World::new(8);
        // The other slot of the first chunk, so that the next post takes this one again.
        let other = world.receive(0);
        let op = world.receive(1);
        let context = op.slot;
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.arrive();
            peer.device.arrive();
            peer.cq.progress();
            peer.receive(2)
        });
        let _ = op.cancel();
        drop(op);
        let next = peer.join().unwrap();
        assert!(!world.device.cancelled().contains(&2), "a later operation was cancelled");
        assert!(!next.is_done());
        let _ = context;
        drop(next);
        drop(other);
        world.close();
        world.check();
    });
}
