//! An allocator that notices a write to freed memory, whoever makes it: the network, the kernel
//! (`process_vm_readv`), or a library that no sanitizer has seen.
//!
//! Freed blocks are filled with a pattern and kept for a while. Before a block goes back to the
//! system, and when the process ends, the pattern must still be there. On in every case unless
//! `OFI_TEST_POISON=0`, or a sanitizer runs: those want the freed memory for themselves.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

/// The environment variable, and what switches it on.
pub(super) const POISON: &str = "OFI_TEST_POISON";
/// What the message of a finding begins with.
pub(super) const FOUND: &str = "freed memory was written to:";

const PATTERN: u8 = 0xDB;
/// How much is kept: as many bytes, as many blocks.
const KEPT_BYTES: usize = 64 << 20;
const KEPT_BLOCKS: usize = 1 << 15;

struct Poisoning;

#[global_allocator]
static ALLOCATOR: Poisoning = Poisoning;

// SAFETY: `System`'s own blocks, each returned to it once with its own layout: at once, or when it
// leaves the quarantine.
unsafe impl GlobalAlloc for Poisoning {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_on() {
            // SAFETY: the caller gives the block up.
            unsafe { keep(pointer, layout) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(pointer, layout) };
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_on() {
            // SAFETY: the caller's promise.
            return unsafe { System.realloc(pointer, layout, size) };
        }
        // SAFETY: the caller's promise: `size` fits the alignment and is not 0, and the old block
        // is the caller's until the new one holds its contents.
        unsafe {
            let new = System.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(pointer, size.min(layout.size()));
                keep(pointer, layout);
            }
            new
        }
    }
}

/// Whether freed blocks are kept. One answer for the whole life of the process.
fn is_on() -> bool {
    const UNKNOWN: u8 = 0;
    const OFF: u8 = 1;
    const ON: u8 = 2;
    static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
    match STATE.load(Ordering::Relaxed) {
        UNKNOWN => {
            // SAFETY: the first free happens before main, when nobody changes the environment.
            let value = unsafe { libc::getenv(c"OFI_TEST_POISON".as_ptr()) };
            // SAFETY: not null, so a string.
            let on = !value.is_null() && unsafe { *value.cast::<u8>() } == b'1';
            if on {
                // SAFETY: the function is there until the process is gone.
                unsafe { libc::atexit(check_all) };
            }
            STATE.store(if on { ON } else { OFF }, Ordering::Relaxed);
            on
        }
        state => state == ON,
    }
}

/// A freed block.
#[derive(Clone, Copy)]
struct Block {
    pointer: *mut u8,
    layout: Layout,
}

/// A ring of freed blocks, oldest first.
struct Quarantine {
    ring: *mut Block,
    first: usize,
    count: usize,
    bytes: usize,
}

// SAFETY: the blocks belong to nobody else, whichever thread looks at them.
unsafe impl Send for Quarantine {}

static QUARANTINE: Mutex<Quarantine> =
    Mutex::new(Quarantine { ring: std::ptr::null_mut(), first: 0, count: 0, bytes: 0 });

/// # Safety
///
/// The block is `System`'s, of this layout, and nobody's any more.
unsafe fn keep(pointer: *mut u8, layout: Layout) {
    // SAFETY: the block is as long as its layout says, and ours.
    unsafe { pointer.write_bytes(PATTERN, layout.size()) };
    let mut kept = QUARANTINE.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.ring.is_null() {
        let layout = Layout::array::<Block>(KEPT_BLOCKS).expect("it fits");
        // SAFETY: its size is not 0.
        kept.ring = unsafe { System.alloc(layout) }.cast();
        assert!(!kept.ring.is_null(), "no memory for the quarantine");
    }
    while kept.count == KEPT_BLOCKS
        || (kept.count > 0 && kept.bytes.saturating_add(layout.size()) > KEPT_BYTES)
    {
        // SAFETY: `first` is a place that was written, when it was the last.
        let oldest = unsafe { kept.ring.add(kept.first).read() };
        check(oldest);
        // SAFETY: `System`'s block with its layout; it leaves the ring with this.
        unsafe { System.dealloc(oldest.pointer, oldest.layout) };
        kept.first = (kept.first + 1) % KEPT_BLOCKS;
        kept.count -= 1;
        kept.bytes -= oldest.layout.size();
    }
    let place = (kept.first + kept.count) % KEPT_BLOCKS;
    // SAFETY: within the ring, and no block is at that place.
    unsafe { kept.ring.add(place).write(Block { pointer, layout }) };
    kept.count += 1;
    kept.bytes += layout.size();
}

/// Everything that is kept when the process ends.
extern "C" fn check_all() {
    let kept = QUARANTINE.lock().unwrap_or_else(PoisonError::into_inner);
    for i in 0..kept.count {
        // SAFETY: the `count` places from `first` on were written.
        check(unsafe { kept.ring.add((kept.first + i) % KEPT_BLOCKS).read() });
    }
}

/// Ends the process, with a message, if the block was written to.
fn check(block: Block) {
    let (pointer, size) = (block.pointer, block.layout.size());
    // SAFETY: a block of the quarantine is ours; bytes that another writes meanwhile are what is
    // looked for. memcmp, because this is every freed byte, in builds without optimisation.
    let untouched = size == 0
        || unsafe {
            pointer.read_volatile() == PATTERN
                && libc::memcmp(pointer.cast(), pointer.add(1).cast(), size - 1) == 0
        };
    if !untouched {
        report(block);
    }
}

#[cold]
fn report(block: Block) -> ! {
    let (pointer, size) = (block.pointer, block.layout.size());
    // SAFETY: as in `check`.
    let changed = |i: &usize| unsafe { pointer.add(*i).read_volatile() } != PATTERN;
    let first = (0..size).find(changed).unwrap_or(0);
    let last = (0..size).rev().find(changed).unwrap_or(0);
    // Nothing may be allocated here: the quarantine is locked.
    let mut line = Line { text: [0; 240], len: 0 };
    let _ =
        write!(line, "{FOUND} {size} bytes at {pointer:p}, bytes {first} to {last} of them, now");
    for i in first..size.min(first + 16) {
        // SAFETY: as in `check`.
        let _ = write!(line, " {:02x}", unsafe { pointer.add(i).read_volatile() });
    }
    let _ = line.write_char('\n');
    // SAFETY: the bytes are initialised and as many.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.text.as_ptr().cast(), line.len);
        libc::abort()
    }
}

/// Text without an allocation; what is too long is cut off.
struct Line {
    text: [u8; 240],
    len: usize,
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = &mut self.text[self.len..];
        let len = text.len().min(room.len());
        room[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}
