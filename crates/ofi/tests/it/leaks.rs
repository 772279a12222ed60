//! Opening and closing a thousand times leaves nothing: no descriptor, thread, mapping or segment.

use ofi::{Caps, Connectionless};

use crate::harness::{List, Mode, Pair, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, connectionless: open_and_close open_use_and_close);
    list.limit("leaks::open_and_close", 300);
    list.limit("leaks::open_use_and_close", 300);
}

/// How many cycles: a thousand, fewer where one takes 20 to 80 ms (`ofi_rxm`).
fn cycles(t: &Target) -> usize {
    if t.has_layer("ofi_rxm") { 200 } else { 1_000 }
}

/// What a process has open.
#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    segments: usize,
}

fn held() -> std::io::Result<Held> {
    let count = |path: &str| std::fs::read_dir(path).map(Iterator::count);
    let mine = std::process::id().to_string();
    let segments = std::fs::read_dir("/dev/shm")?
        .filter_map(Result::ok)
        // Other cases run at the same time: only what is named after this process is ours.
        .filter(|entry| entry.file_name().to_string_lossy().contains(&mine))
        .count();
    Ok(Held {
        descriptors: count("/proc/self/fd")?,
        threads: count("/proc/self/task")?,
        mappings: std::fs::read_to_string("/proc/self/maps")?.lines().count(),
        segments,
    })
}

/// The allocator and libfabric's caches may keep a few mappings; a leak makes hundreds.
const SLACK: usize = 40;

fn cycle<K: Connectionless, T: Mode>(t: &Target, used: bool) -> Verdict {
    let count = cycles(t);
    let once = || -> Verdict {
        let p = Pair::<K, T>::open(t, Caps::MSG)?;
        if used {
            p.warm()?;
        }
        Ok(())
    };
    for _ in 0..count / 20 {
        once()?;
    }
    let before = held()?;
    for _ in 0..count {
        once()?;
    }
    let mut after = held()?;
    // Threads of a provider end a little after the close that told them to.
    let deadline = std::time::Instant::now() + crate::harness::LIMIT;
    while after.threads > before.threads && std::time::Instant::now() < deadline {
        std::thread::yield_now();
        after = held()?;
    }
    println!("{count} cycles: {before:?} -> {after:?}");
    assert!(after.descriptors <= before.descriptors, "{before:?} -> {after:?}");
    assert!(after.threads <= before.threads, "{before:?} -> {after:?}");
    assert!(after.segments <= before.segments, "{before:?} -> {after:?}");
    assert!(after.mappings <= before.mappings + SLACK, "{before:?} -> {after:?}");
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// Fault 20: twenty connections left 182 descriptors and 60 threads.
// rule: L1
fn open_and_close<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    cycle::<K, T>(t, false)
}

fn open_use_and_close<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    cycle::<K, T>(t, true)
}
