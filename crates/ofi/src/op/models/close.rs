//! The endpoint closes while operations are under way, and while others read its queue.

use super::*;

/// A reader that holds a batch with an orphan in it ends it once.
#[test]
fn close_against_reader_with_a_batch() {
    explore(3, || {
        let world = World::new(1);
        drop(world.send(1));
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || reader.cq.progress());
        world.close();
        reader.join().unwrap();
        world.check();
    });
}

/// Limbo ends with a queue seen empty, whatever its `Op` does.
#[test]
fn limbo_against_drop() {
    explore(2, || {
        let world = World::new(1);
        let op = world.receive(1);
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || reader.settle());
        let waiter = thread::spawn(move || drop(op));
        world.close();
        waiter.join().unwrap();
        reader.join().unwrap();
        world.check();
    });
}

/// Who waits is told, and has the buffer.
#[test]
fn limbo_against_waiter() {
    explore(2, || {
        let world = World::new(1);
        let op = world.receive(1);
        let other = Arc::clone(&world);
        let waiter = thread::spawn(move || {
            let failed = other.block_on(op).err();
            assert!(failed.is_none_or(|failed| !failed.buf.is_held()));
        });
        world.close();
        waiter.join().unwrap();
        world.check();
    });
}

/// A claim is honoured by the close.
#[test]
fn limbo_against_abandon() {
    explore(2, || {
        let world = World::new(1);
        let op = world.receive(1);
        let other = Arc::clone(&world);
        let holder = thread::spawn(move || {
            let token = match op.abandon() {
                Returned::Back(token) => token,
                Returned::Held(held) => other.block_on(held),
            };
            assert_eq!(token.0.load(Ordering::Relaxed), 0);
        });
        world.close();
        holder.join().unwrap();
        world.check();
    });
}

/// Posts that wait for room end as never posted, or leave by themselves.
#[test]
fn backlog_fails_against_drop() {
    explore(3, || {
        let world = World::new(0);
        let op = world.receive(1);
        let waiter = thread::spawn(move || drop(op));
        world.close();
        waiter.join().unwrap();
        world.check();
    });
}

/// An endpoint that cannot be closed: who waits is told, before or after it went to sleep.
#[test]
fn given_up_against_waiter() {
    explore(3, || {
        let world = World::new(1);
        let op = world.receive(1);
        let other = Arc::clone(&world);
        let waiter = thread::spawn(move || {
            let failed = other.block_on(op).err().expect("nothing completed it");
            assert!(failed.buf.is_held());
        });
        world.lane().give_up(&[&world.cq]);
        waiter.join().unwrap();
        world.close();
        world.check();
    });
}
