//! Pools and budgets: buffers of every kind in operations, who waits for them, and what is counted.

use std::{
    collections::HashSet,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use ofi::{
    Accepts, Budget, Caps, Confined, Connectionless, ErrorKind, Memory, Pool, PoolBuf, PoolBytes,
    PoolPiece, Returned, Shared, Usage, block_on,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Stop, Target, Verdict, cases, expired, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, connectionless: sent_and_received);
    cases!(list, rdm:
        eight_tasks_share_three_windows
        sixteen_receives_in_one_window
        pieces_that_do_not_fit_together
        frozen_bytes_are_sent_many_times
        reads_and_writes
        dropped_in_flight
        closed_with_buffers_in_flight
        leaked_with_a_send_in_flight
        the_pool_goes_first
        one_budget_for_two_pools
        a_wait_on_another_thread
        what_cannot_be_had_is_refused
        of_another_domain
        what_is_old_and_what_is_zero
        small_buffers_share_a_slab
    );
    cases!(list, rdm_shared: eight_threads_share_three_windows two_threads_read_one_window);
    list.leaks("pool::leaked_with_a_send_in_flight");
}

/// Both threadings, with buffers of pools.
trait Pooled:
    Mode + Accepts<PoolBuf<Self>> + Accepts<PoolPiece<Self>> + Accepts<PoolBytes<Self>>
{
}

impl Pooled for Shared {}
impl Pooled for Confined {}

const WINDOW: usize = 64 << 10;
const PIECE: usize = WINDOW / 16;
/// More than any provider takes without a receive.
const LONG: usize = 16 << 20;

/// A pool of windows, registered or not.
fn windows<T: Mode>(rig: &Rig<T>, budget: &Budget, registered: bool) -> Result<Pool<T>, Stop> {
    let builder = rig.domain.pool(budget).classes([WINDOW]);
    Ok(if registered { builder.registered().open()? } else { builder.open()? })
}

fn take<T: Mode>(pool: &Pool<T>, len: usize) -> Result<PoolBuf<T>, Stop> {
    Ok(pool.take(len).wait(LIMIT)?)
}

/// A buffer with a pattern in it.
fn filled<T: Mode>(pool: &Pool<T>, len: usize, seed: u8) -> Result<PoolBuf<T>, Stop> {
    let mut buffer = take(pool, len)?;
    buffer.copy_from_slice(&pattern(len, seed));
    Ok(buffer)
}

/// What of a budget is in use, by the name of it.
#[track_caller]
fn assert_usage(budget: &Budget, expected: Usage, what: &str) {
    let usage = budget.usage();
    assert_eq!(usage, expected, "{what}: {usage}");
}

macro_rules! usage {
    ($budget:expr, $($field:ident: $bytes:expr),*) => {{
        #[allow(unused_mut, reason = "nothing is used")]
        let mut expected = Usage::default();
        expected.limit = $budget.limit();
        $(expected.$field = $bytes;)*
        expected
    }};
}

/// Registered and not, the bytes arrive, the same memory comes back, and it is idle when dropped.
// rule: M3, M15, B1
fn sent_and_received<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    for registered in [false, true] {
        let budget = Budget::new(1 << 20);
        let pool = p.rig.domain.pool(&budget).classes([256, 1024]);
        let pool = if registered { pool.registered().open()? } else { pool.open()? };
        let from = filled(&pool, 1000, 3)?;
        let mut into = take(&pool, 1024)?;
        into.fill(0xEE);
        assert_eq!((from.len(), from.capacity(), into.len()), (1000, 1024, 1024));
        let start = into.as_ptr();
        let receive = p.b.recv(into).post()?;
        assert_usage(&budget, usage!(budget, leased: 1024, in_flight: 1024), "one posted");
        let (_, from) = p.a.send(from, p.to_b).wait(LIMIT)?;
        let (received, mut into) = receive.wait(LIMIT)?;
        assert_usage(&budget, usage!(budget, leased: 2048), "both back");
        assert_eq!((received.len(), into.as_ptr()), (1000, start));
        assert_eq!(into[..1000], pattern(1000, 3));
        assert!(into[1000..].iter().all(|byte| *byte == 0xEE));
        into.set_len(1000);
        assert_eq!(*into, *from);
        drop(from);
        assert_usage(&budget, usage!(budget, idle: 1024, leased: 1024), "one dropped");
        // The largest that a small message needs is a small one.
        let small = take(&pool, 256)?;
        assert_eq!(small.capacity(), 256);
        drop((into, small));
        assert_usage(&budget, usage!(budget, idle: 2048 + 256), "all dropped");
        assert_eq!(pool.trim(), 2048 + 256);
        assert_usage(&budget, usage!(budget,), "freed");
    }
    Ok(())
}

/// Futures that run side by side on one thread.
struct All<F: Future>(Vec<Option<Pin<Box<F>>>>);

impl<F: Future<Output = Verdict>> Future for All<F> {
    type Output = Verdict;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Verdict> {
        let mut pending = false;
        for place in &mut self.0 {
            if let Some(future) = place {
                match future.as_mut().poll(context) {
                    Poll::Ready(Ok(())) => *place = None,
                    Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

const TASKS: u64 = 8;
const ROUNDS: u64 = 20;

/// More tasks than windows: everybody gets theirs, some after waiting, some give up in between.
fn eight_tasks_share_three_windows<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::TAGGED)?;
    let budget = Budget::new(3 * WINDOW);
    let pool = windows(&p.rig, &budget, true)?;
    let windows = std::cell::RefCell::new(HashSet::new());
    let task = |task: u64| {
        let (p, pool, budget, windows) = (&p, &pool, &budget, &windows);
        async move {
            for round in 0..ROUNDS {
                if (task + round) % 5 == 0 {
                    // One that gives its place up again: the others do not wait for it.
                    let mut gives_up = pin!(pool.take(WINDOW));
                    let polled =
                        std::future::poll_fn(|c| Poll::Ready(gives_up.as_mut().poll(c))).await;
                    drop(polled);
                }
                let window = pool.take(WINDOW).driving(&p.rig.cq).await?;
                windows.borrow_mut().insert(window.as_ptr() as usize);
                let usage = budget.usage();
                assert!(usage.used() <= 3 * WINDOW, "{usage}");
                let seed = (task * ROUNDS + round) as u8;
                let receive = p.b.recv(window).tag(task).post()?;
                p.a.send(pattern(WINDOW, seed), p.to_b).tag(task).await?;
                let (received, window) = receive.await?;
                assert_eq!(received.len(), WINDOW);
                assert!(*window == *pattern(WINDOW, seed), "task {task}, round {round}");
            }
            Ok(())
        }
    };
    block_on(All((0..TASKS).map(|n| Some(Box::pin(task(n)))).collect()))?;
    // Registered once: windows are used again and again.
    assert!(windows.borrow().len() <= 3, "{} windows", windows.borrow().len());
    drop(pool);
    assert_usage(&budget, usage!(budget,), "the pool is gone");
    Ok(())
}

/// The same on threads, with deadlines.
fn eight_threads_share_three_windows<K: Connectionless>(t: &Target) -> Verdict {
    let p = Arc::new(Pair::<ofi::Rdm, Shared>::open(t, Caps::TAGGED)?);
    let budget = Budget::new(3 * WINDOW);
    let pool = windows(&p.rig, &budget, true)?;
    let threads = (0..TASKS).map(|task| {
        let (p, pool, budget) = (Arc::clone(&p), pool.clone(), budget.clone());
        std::thread::spawn(move || -> Verdict {
            for round in 0..ROUNDS {
                let window = match (task + round) % 4 {
                    0 => block_on(pool.take(WINDOW))?,
                    1 => match pool.try_take(WINDOW) {
                        Ok(window) => window,
                        Err(error) => {
                            assert_eq!(*error.kind(), ErrorKind::Busy);
                            take(&pool, WINDOW)?
                        }
                    },
                    _ => pool.take(WINDOW).driving(&p.rig.cq).wait(LIMIT)?,
                };
                let usage = budget.usage();
                assert!(usage.used() <= 3 * WINDOW, "{usage}");
                let seed = (task * ROUNDS + round) as u8;
                let receive = p.b.recv(window).tag(task).post()?;
                p.a.send(pattern(WINDOW, seed), p.to_b).tag(task).wait(LIMIT)?;
                let (received, window) = receive.wait(LIMIT)?;
                assert_eq!(received.len(), WINDOW);
                assert!(*window == *pattern(WINDOW, seed), "task {task}, round {round}");
            }
            Ok(())
        })
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    let usage = budget.usage();
    assert_eq!((usage.idle, usage.used()), (usage.used(), usage.idle));
    drop(pool);
    assert_usage(&budget, usage!(budget,), "the pool is gone");
    Ok(())
}

/// Fills a window by sixteen receives, posted in another order than they are sent to.
fn receive_in_pieces<K: Connectionless, T: Pooled>(
    p: &Pair<K, T>,
    window: PoolBuf<T>,
) -> Result<PoolBuf<T>, Stop> {
    let start = window.as_ptr();
    let pieces = window.split(PIECE);
    assert_eq!(pieces.len(), 16);
    let mut posted = Vec::new();
    for (n, piece) in (0..).zip(pieces) {
        assert_eq!((piece.offset(), piece.len()), (n as usize * PIECE, PIECE));
        posted.push(p.b.recv(piece).tag(n).post()?);
    }
    for n in [3, 0, 15, 7, 8, 1, 2, 14, 4, 13, 5, 12, 6, 11, 9, 10] {
        p.a.send(pattern(PIECE, n as u8), p.to_b).tag(n).wait(LIMIT)?;
    }
    let mut pieces = Vec::new();
    for (n, receive) in (0..).zip(posted) {
        let (received, piece) = receive.wait(LIMIT)?;
        assert_eq!((received.len(), piece.len()), (PIECE, PIECE));
        assert!(*piece == *pattern(PIECE, n), "piece {n}");
        pieces.push(piece);
    }
    pieces.rotate_left(5);
    let window = PoolBuf::join(pieces)?;
    assert_eq!((window.as_ptr(), window.len()), (start, WINDOW));
    Ok(window)
}

fn sixteen_patterns() -> Vec<u8> {
    (0..16).flat_map(|n| pattern(PIECE, n)).collect()
}

// rule: M2, M3, B1
fn sixteen_receives_in_one_window<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::TAGGED)?;
    let budget = Budget::new(WINDOW);
    for registered in [false, true] {
        let pool = windows(&p.rig, &budget, registered)?;
        let window = receive_in_pieces(&p, take(&pool, WINDOW)?)?;
        assert!(*window == *sixteen_patterns());
        assert_usage(&budget, usage!(budget, leased: WINDOW), "one again");
        drop((window, pool));
        assert_usage(&budget, usage!(budget,), "the pool is gone");
    }
    Ok(())
}

fn two_threads_read_one_window<K: Connectionless>(t: &Target) -> Verdict {
    let p = Pair::<K, Shared>::open(t, Caps::TAGGED)?;
    let budget = Budget::new(WINDOW);
    let pool = windows(&p.rig, &budget, true)?;
    let window = receive_in_pieces(&p, take(&pool, WINDOW)?)?;
    let start = window.as_ptr() as usize;
    let bytes = window.freeze(WINDOW);
    let readers = [bytes.clone(), bytes].map(|bytes| {
        std::thread::spawn(move || {
            assert_eq!(bytes.as_ptr() as usize, start);
            assert!(*bytes == *sixteen_patterns());
        })
    });
    for reader in readers {
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    assert_usage(&budget, usage!(budget, idle: WINDOW), "the last reader is gone");
    // And the endpoint's side: closed, the budget is back to zero.
    drop(pool);
    assert_usage(&budget, usage!(budget,), "the pool is gone");
    Ok(())
}

/// What `join` does not take it gives back.
fn pieces_that_do_not_fit_together<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let budget = Budget::new(1 << 20);
    let pool = rig.domain.pool(&budget).classes([100]).open()?;
    let mut first = filled(&pool, 100, 1)?.split(30);
    assert_eq!(first.iter().map(|piece| piece.len()).collect::<Vec<_>>(), [30, 30, 30, 10]);
    let mut second = take(&pool, 60)?.split(30);
    // Too few, none, and of two buffers; as many bytes as there should be, too.
    let last = first.pop().expect("four");
    first = PoolBuf::join(first).expect_err("one is missing").0;
    assert_eq!(PoolBuf::<T>::join([]).expect_err("nothing").0.len(), 0);
    let mixed = vec![first.pop().expect("three"), second.pop().expect("two")];
    let mut mixed = PoolBuf::join(mixed).expect_err("of two buffers").0;
    assert_eq!(mixed.len(), 2);
    second.push(mixed.pop().expect("two"));
    first.extend([mixed.pop().expect("one"), last]);
    first[0].fill(7);
    let whole = PoolBuf::join(first)?;
    assert_eq!((&whole[..30], &whole[30..]), (&[7; 30][..], &pattern(100, 1)[30..]));
    // One that was dropped is missing for good, and the rest is worth no less.
    drop(second.pop());
    let second = PoolBuf::join(second).expect_err("one is gone").0;
    assert_eq!((second.len(), budget.usage().leased), (1, 200));
    drop(second);
    assert_usage(&budget, usage!(budget, idle: 100, leased: 100), "the last piece is gone");
    // A buffer of no bytes has a piece, too.
    let empty = take(&pool, 0)?.split(8);
    assert_eq!((empty.len(), PoolBuf::join(empty)?.len()), (1, 0));
    drop(whole);
    assert_usage(&budget, usage!(budget, idle: 200), "all is idle");
    Ok(())
}

/// Read-only handles overlap as they like, in flight and out of it.
fn frozen_bytes_are_sent_many_times<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    // Until there is a connection there is no room.
    p.warm()?;
    let budget = Budget::new(1 << 20);
    let pool = p.rig.domain.pool(&budget).classes([256]).registered().open()?;
    let bytes = filled(&pool, 256, 5)?.freeze(200);
    assert_eq!(*bytes, pattern(256, 5)[..200]);
    let handles = [bytes.clone(), bytes.slice(10..)?, bytes.slice(..=9)?];
    assert!(bytes.slice(..201).is_err());
    let mut receives = Vec::new();
    for handle in &handles {
        receives.push((p.b.recv(vec![0; 256]).post()?, handle.to_vec()));
    }
    let mut sends = Vec::new();
    for handle in handles {
        sends.push(p.a.send(handle, p.to_b).post()?);
    }
    assert_usage(&budget, usage!(budget, in_flight: 256), "counted once");
    for (receive, expected) in receives {
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(buffer[..received.len()], expected);
    }
    let bytes = bytes.thaw().expect_err("there are others");
    for send in sends {
        send.wait(LIMIT)?;
    }
    let mut buffer = bytes.thaw().expect("it is the last");
    buffer.fill(1);
    assert_usage(&budget, usage!(budget, leased: 256), "written to again");
    Ok(())
}

/// As the local side of remote memory.
// rule: M3, M15
fn reads_and_writes<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG | Caps::RMA)?;
    let budget = Budget::new(1 << 20);
    let pool = windows(&p.rig, &budget, true)?;
    let memory = Memory::new(vec![0; WINDOW]).map_err(|failed| failed.error)?;
    let access = ofi::Access::REMOTE_READ | ofi::Access::REMOTE_WRITE;
    let region = p.rig.domain.expose(&memory).access(access).open()?;
    let sent = filled(&pool, WINDOW, 9)?;
    let (_, sent) = p.a.write(sent, p.to_b, region.remote()).wait(LIMIT)?;
    progress_until(&p.rig.cq, "the bytes", || memory.to_vec() == *sent);
    let (_, read) = p.a.read(take(&pool, WINDOW)?, p.to_b, region.remote()).wait(LIMIT)?;
    assert!(*read == *sent);
    assert_usage(&budget, usage!(budget, leased: 2 * WINDOW), "both back");
    Ok(())
}

/// The memory of a dropped operation is nobody's until the operation has ended.
// rule: B1, B2
fn dropped_in_flight<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::TAGGED)?;
    let budget = Budget::new(WINDOW);
    let pool = windows(&p.rig, &budget, true)?;
    let window = take(&pool, WINDOW)?;
    let start = window.as_ptr();
    drop(p.b.recv(window).tag(1).post()?);
    if budget.usage().in_flight == WINDOW {
        // Where the cancel did not end it at once.
        assert_eq!(*pool.try_take(WINDOW).expect_err("in flight").kind(), ErrorKind::Busy);
    }
    // Whoever waits drives the queue, and gets it.
    let window = pool.take(WINDOW).driving(&p.rig.cq).wait(LIMIT)?;
    assert_eq!(window.as_ptr(), start);
    // The same with pieces: the others are used on, and the buffer is idle with the last.
    let mut pieces = window.split(PIECE);
    let (kept, early) = (pieces.split_off(8), pieces.split_off(4));
    for (n, piece) in (0..).zip(pieces) {
        drop(p.b.recv(piece).tag(100 + n).post()?);
    }
    drop(early);
    let mut received = Vec::new();
    for (n, piece) in (0..).zip(kept) {
        let receive = p.b.recv(piece).tag(n).post()?;
        p.a.send(pattern(PIECE, n as u8), p.to_b).tag(n).wait(LIMIT)?;
        let (_, piece) = receive.wait(LIMIT)?;
        assert!(*piece == *pattern(PIECE, n as u8));
        received.push(piece);
    }
    assert_eq!(budget.usage().idle, 0);
    drop(received);
    let window = block_on(pool.take(WINDOW).driving(&p.rig.cq))?;
    assert_eq!(window.as_ptr(), start);
    drop((window, pool));
    assert_usage(&budget, usage!(budget,), "the pool is gone");
    Ok(())
}

/// Kept, dropped, forgotten or given up: what is in flight when the endpoint closes comes back.
// rule: B1, B2, B3
fn closed_with_buffers_in_flight<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let budget = Budget::new(4 * WINDOW);
    let pool = windows(&p.rig, &budget, true)?;
    let receive = || -> Result<_, Stop> { Ok(p.b.recv(take(&pool, WINDOW)?).post()?) };
    let (kept, dropped, expired, abandoned) = (receive()?, receive()?, receive()?, receive()?);
    let expired = expired!(expired.wait(Duration::ZERO));
    assert_usage(&budget, usage!(budget, in_flight: 4 * WINDOW), "all posted");
    let abandoned = abandoned.abandon();
    if abandoned.is_held() {
        let usage = budget.usage();
        assert_eq!((usage.held, usage.in_flight), (WINDOW, 3 * WINDOW), "{usage}");
    }
    drop(dropped);
    assert_eq!(budget.usage().used(), 4 * WINDOW);
    let Pair { a, b, rig, .. } = p;
    b.close(LIMIT)?;
    let window = match abandoned {
        Returned::Back(window) => window,
        Returned::Held(mut held) => {
            // It is the claim's until it is taken.
            assert_eq!(budget.usage().held, WINDOW);
            held.try_take().expect("the endpoint is closed")
        }
    };
    assert_eq!(window.len(), WINDOW);
    let in_flight = 2 * WINDOW;
    assert_usage(
        &budget,
        usage!(budget, idle: WINDOW, leased: WINDOW, in_flight: in_flight),
        "closed",
    );
    for op in [kept, expired] {
        let Err(ofi::WaitError::Failed(failed)) = op.wait(LIMIT) else { panic!("it is closed") };
        assert!(failed.buf.into_buffer().is_some());
    }
    drop(window);
    assert_usage(&budget, usage!(budget, idle: 4 * WINDOW), "all is back");
    // The domain is last, and nothing keeps it open.
    a.close(LIMIT)?;
    rig.cq.close()?;
    rig.av.close()?;
    drop(pool);
    rig.domain.close()?;
    assert_usage(&budget, usage!(budget,), "the pool is gone");
    assert_eq!((ofi::leaked().objects, ofi::leaked().operations), (0, 0));
    Ok(())
}

/// Where a provider is known to crash in a close, memory in flight is out of use, and counted so.
// rule: B1, B3
fn leaked_with_a_send_in_flight<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let budget = Budget::new(2 * LONG);
    let pool = p.rig.domain.pool(&budget).classes([LONG]).open()?;
    let send = |seed| -> Result<_, Stop> {
        Ok(p.a.send(filled(&pool, LONG, seed)?, p.to_b).wait(Duration::ZERO))
    };
    let (dropped, kept) = (send(1)?, send(2)?);
    if t.provider == "sockets" {
        // It takes all in before there is a receive, sooner or later.
        drop((dropped, kept));
        let idle = || budget.usage() == usage!(budget, idle: 2 * LONG);
        progress_until(&p.rig.cq, "the ends of the sends", idle);
        return Ok(());
    }
    let (dropped, kept) = (expired!(dropped), expired!(kept));
    drop(dropped);
    assert_usage(&budget, usage!(budget, in_flight: 2 * LONG), "both under way");
    let Pair { a, b, rig, .. } = p;
    let closed = a.close(Duration::from_millis(10));
    if closed.is_ok() {
        drop(kept);
        progress_until(&rig.cq, "the receiver to settle", || b.in_flight() == 0);
        assert_usage(&budget, usage!(budget, idle: 2 * LONG), "closed");
        return Ok(());
    }
    let usage = budget.usage();
    assert_eq!((usage.quarantined, usage.in_flight), (LONG, LONG), "{usage}");
    drop(b);
    match kept.abandon() {
        Returned::Held(held) => {
            // The other one may have ended after all, when its receiver closed.
            let left = budget.usage();
            assert_eq!(left.quarantined + left.idle, 2 * LONG, "nothing ends it: {left}");
            drop(held);
            assert_usage(&budget, left, "for good");
            if left.idle == 0 {
                let error = pool.try_take(1).expect_err("all is out of use");
                assert_eq!(*error.kind(), ErrorKind::Busy);
            }
        }
        // It waited for room, and the provider never had it.
        Returned::Back(buffer) => {
            drop(buffer);
            let left = budget.usage();
            assert!(left.idle >= LONG && left.quarantined + left.idle == 2 * LONG, "{left}");
        }
    }
    Ok(())
}

/// Buffers keep what they stand on.
// rule: L1, M2
fn the_pool_goes_first<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let budget = Budget::new(1 << 20);
    let pool = p.rig.domain.pool(&budget).classes([100]).registered().open()?;
    let (from, into, idle) = (filled(&pool, 100, 1)?, take(&pool, 100)?, take(&pool, 100)?);
    drop(idle);
    assert_eq!(pool.usage().used(), 300);
    drop(pool);
    assert_usage(&budget, usage!(budget, leased: 200), "what was idle is gone");
    let receive = p.b.recv(into).post()?;
    let (_, from) = p.a.send(from, p.to_b).wait(LIMIT)?;
    let (_, into) = receive.wait(LIMIT)?;
    assert_eq!(*into, *from);
    drop(from);
    assert_usage(&budget, usage!(budget, leased: 100), "one is freed");
    let Pair { a, b, rig, .. } = p;
    a.close(LIMIT)?;
    b.close(LIMIT)?;
    rig.cq.close()?;
    rig.av.close()?;
    let Err(ofi::CloseError::InUse(domain)) = rig.domain.close() else {
        panic!("closed under a buffer")
    };
    drop(into);
    assert_usage(&budget, usage!(budget,), "the other too");
    domain.close()?;
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// What one pool does not use is the other's.
fn one_budget_for_two_pools<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let other = Rig::<T>::on(rig.info.clone())?;
    let budget = Budget::new(4 * WINDOW);
    let small = rig.domain.pool(&budget).classes([WINDOW]).registered().open()?;
    let large = other.domain.pool(&budget).classes([4 * WINDOW]).registered().open()?;
    let used = take(&small, WINDOW)?;
    drop((take(&small, 1)?, [take(&small, 1)?, take(&small, 1)?]));
    let usage = budget.usage();
    assert_eq!((usage.used(), usage.leased), (small.usage().used(), WINDOW));
    let mut waiting = pin!(large.take(4 * WINDOW));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    // Nobody overtakes it.
    assert_eq!(*small.try_take(1).expect_err("it is first").kind(), ErrorKind::Busy);
    drop(used);
    let Poll::Ready(whole) = waiting.as_mut().poll(&mut context) else { panic!("there is room") };
    let whole = whole?;
    assert_usage(&budget, usage!(budget, leased: 4 * WINDOW), "all of it");
    assert_eq!((small.usage().used(), large.usage().used()), (0, 4 * WINDOW));
    let error = small.take(1).wait(Duration::from_millis(1)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut);
    drop(whole);
    drop(take(&small, WINDOW)?);
    assert_usage(&budget, usage!(budget, idle: WINDOW), "and back");
    Ok(())
}

/// Idle buffers of a pool that stays on its thread are freed there, for whoever waits elsewhere.
fn a_wait_on_another_thread<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let budget = Budget::new(WINDOW);
    let pool = windows(&rig, &budget, true)?;
    drop(take(&pool, WINDOW)?);
    let other = budget.clone();
    let waiter = std::thread::spawn(move || other.reserve(WINDOW).wait(LIMIT).map(drop));
    while !waiter.is_finished() {
        drop(pool.try_take(1));
        std::thread::yield_now();
    }
    waiter.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    drop(pool);
    assert_usage(&budget, usage!(budget,), "the pool is gone");
    Ok(())
}

fn what_cannot_be_had_is_refused<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let budget = Budget::new(10_000);
    let open = |sizes: &[usize]| rig.domain.pool(&budget).classes(sizes.iter().copied()).open();
    for sizes in [&[0, 5][..], &[10_001]] {
        assert_eq!(*open(sizes).unwrap_err().kind(), ErrorKind::Invalid);
    }
    // A class that is larger than the budget is none.
    let pool = open(&[100, 5_000, 20_000])?;
    let all = [take(&pool, 5_000)?, take(&pool, 5_000)?];
    for len in [5_001, 20_000, usize::MAX] {
        let error = pool.take(len).wait(LIMIT).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 5_000 }, "{error}");
        assert_eq!(*block_on(pool.take(len)).unwrap_err().kind(), *error.kind());
    }
    drop(all);
    // By itself it has powers of two, as far as there is room for one.
    let pool = rig.domain.pool(&budget).limit(9_000).open()?;
    assert_eq!(pool.classes(), [4096, 8192]);
    let one = take(&pool, 5_000)?;
    assert_eq!(one.capacity(), 8192);
    assert_eq!(*pool.try_take(1).expect_err("the pool's own bound").kind(), ErrorKind::Busy);
    drop(one);
    assert_eq!(take(&pool, 1)?.capacity(), 4096);
    Ok(())
}

/// A registered buffer means something in its own domain only, and comes back refused.
// rule: M3
fn of_another_domain<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let other = Rig::<T>::on(p.rig.info.clone())?;
    let budget = Budget::new(WINDOW);
    let pool = windows(&other, &budget, true)?;
    let failed = p.a.send(take(&pool, 8)?, p.to_b).post().unwrap_err();
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{}", failed.error);
    let buffer = failed.buf.into_buffer().expect("never posted");
    assert_usage(&budget, usage!(budget, leased: WINDOW), "it came back");
    assert_eq!(buffer.len(), 8);
    Ok(())
}

fn what_is_old_and_what_is_zero<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let budget = Budget::new(1 << 20);
    let pool = rig.domain.pool(&budget).classes([100]).open()?;
    let mut buffer = take(&pool, 100)?;
    assert_eq!(*buffer, [0; 100], "new");
    buffer.fill(7);
    drop(buffer);
    let mut buffer = take(&pool, 10)?;
    assert_eq!(*buffer, [7; 10], "old");
    buffer.set_len(100);
    assert_eq!(*buffer, [7; 100], "old");
    let zeroed = rig.domain.pool(&budget).classes([100]).zeroed().open()?;
    let mut buffer = take(&zeroed, 100)?;
    buffer.fill(7);
    drop(buffer);
    let mut buffer = take(&zeroed, 10)?;
    buffer.set_len(100);
    assert_eq!(*buffer, [0; 100]);
    Ok(())
}

/// Their bytes do not overlap, and the slab goes with the last of them.
fn small_buffers_share_a_slab<K: Connectionless, T: Pooled>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let budget = Budget::new(1 << 20);
    let pool = p.rig.domain.pool(&budget).classes([64]).slab(1024).registered().open()?;
    let buffers: Result<Vec<_>, Stop> = (0..16).map(|n| filled(&pool, 64, n)).collect();
    let mut buffers = buffers?;
    assert_usage(&budget, usage!(budget, leased: 1024), "one slab");
    let starts: HashSet<usize> = buffers.iter().map(|b| b.as_ptr() as usize / 64).collect();
    assert_eq!(starts.len(), 16);
    for (n, buffer) in (0..).zip(&buffers) {
        assert_eq!(**buffer, pattern(64, n));
    }
    let receive = p.b.recv(buffers.remove(3)).post()?;
    p.a.send(buffers.remove(8), p.to_b).wait(LIMIT)?;
    assert_eq!(*receive.wait(LIMIT)?.1, pattern(64, 9));
    assert_usage(&budget, usage!(budget, idle: 128, leased: 1024 - 128), "two are back");
    assert_eq!(pool.trim(), 0, "the others are used");
    drop(buffers);
    assert_eq!(pool.trim(), 1024);
    assert_usage(&budget, usage!(budget,), "freed");
    Ok(())
}
