//! Operations under way: what they hold, and whether their caller has kept it as it was.

use std::{
    ffi::{c_int, c_void},
    fmt,
};

use ofi_sys::*;

use crate::{
    config::Demand,
    deferred::Work,
    memory::{Piece, gather, pieces, scatter, sum},
    world::broken,
};

/// Remote memory: address, length, key.
pub(crate) type Remote = (u64, usize, u64);

/// What an operation is to do. Endpoints go by their numbers.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Send {
        to: u64,
        tag: Option<u64>,
        data: Option<u64>,
    },
    Recv {
        from: Option<u64>,
        tag: Option<(u64, u64)>,
    },
    Write {
        to: u64,
        remote: Vec<Remote>,
        data: Option<u64>,
    },
    Read {
        to: u64,
        remote: Vec<Remote>,
    },
    Atomic {
        to: u64,
        remote: Vec<Remote>,
        kind: (u32, u32),
        compare: Vec<Piece>,
        result: Vec<Piece>,
    },
    /// A collective, which moves nothing.
    Nothing,
}

/// A list of pieces that the caller made, where it is and what was in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) iov: *const iovec,
    pub(crate) desc: *mut *mut c_void,
    pub(crate) count: usize,
}

// SAFETY: what it points at is the caller's, who lent it to the operation, whatever the thread.
unsafe impl Send for List {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Usual,
    Fails,
    Never,
}

/// How it ended: what the entry says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) flags: u64,
    pub(crate) len: usize,
    pub(crate) data: u64,
    pub(crate) tag: u64,
    pub(crate) source: Option<u64>,
    pub(crate) err: c_int,
    pub(crate) olen: usize,
}

#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) number: u64,
    pub(crate) ep: usize,
    pub(crate) context: usize,
    pub(crate) act: Act,
    pub(crate) pieces: Vec<Piece>,
    /// With a copy of each.
    pub(crate) lists: Vec<(List, Vec<Piece>)>,
    pub(crate) flags: u64,
    /// The address that it was posted with.
    pub(crate) fi_addr: u64,
    /// What was copied at the post: then it holds no memory.
    pub(crate) own: Option<Vec<u8>>,
    /// Injected: nothing says that it is done.
    pub(crate) silent: bool,
    pub(crate) sum: u64,
    pub(crate) fate: Fate,
    pub(crate) done: Option<Outcome>,
    /// The work that it is of, if it was deferred.
    pub(crate) work: Option<Work>,
    /// What it brings, copied to its memory at the last moment.
    pub(crate) got: Vec<u8>,
}

impl Op {
    pub(crate) fn receives(&self) -> bool {
        matches!(self.act, Act::Recv { .. })
    }

    pub(crate) fn is_never(&self) -> bool {
        self.fate == Fate::Never
    }

    /// The endpoint that it goes to; none for a receive.
    pub(crate) fn to(&self) -> Option<u64> {
        match self.act {
            Act::Recv { .. } => None,
            Act::Send { to, .. }
            | Act::Write { to, .. }
            | Act::Read { to, .. }
            | Act::Atomic { to, .. } => Some(to),
            Act::Nothing => Some(0),
        }
    }

    /// Whether it is still to be done.
    pub(crate) fn waits(&self) -> bool {
        self.done.is_none()
    }

    /// Whether its pieces are read from.
    pub(crate) fn sends(&self) -> bool {
        !matches!(self.act, Act::Recv { .. } | Act::Read { .. })
    }

    /// The memory that it writes to.
    pub(crate) fn written(&self) -> &[Piece] {
        match &self.act {
            Act::Recv { .. } | Act::Read { .. } => &self.pieces,
            Act::Atomic { result, .. } => result,
            _ => &[],
        }
    }

    /// All the memory that it holds.
    pub(crate) fn memory(&self) -> impl Iterator<Item = &Piece> {
        let (first, second): (&[Piece], &[Piece]) = match &self.act {
            Act::Atomic { compare, result, .. } => (compare, result),
            _ => (&[], &[]),
        };
        let held = self.own.is_none();
        self.pieces.iter().chain(first).chain(second).filter(move |_| held)
    }

    pub(crate) fn holds(&self, start: usize, len: usize) -> bool {
        self.memory().any(|piece| piece.overlaps(start, len))
    }

    /// Whether it names the region with this descriptor.
    pub(crate) fn uses(&self, desc: usize) -> bool {
        self.memory().any(|piece| piece.desc == desc)
    }

    /// Takes what it lent to the caller: the context.
    pub(crate) fn mark_context(&self, demand: &Demand) {
        for (word, value) in self.words(demand) {
            // SAFETY: the context is the provider's from the post to the entry (rule B7).
            unsafe { word.write(value) };
        }
    }

    /// The words of the context, and what is in them.
    fn words(&self, demand: &Demand) -> impl Iterator<Item = (*mut u64, u64)> + use<> {
        let count = match () {
            () if self.silent => 0,
            () if demand.demands(FI_CONTEXT2) => 8,
            () if demand.demands(FI_CONTEXT) => 4,
            () => 0,
        };
        let (start, number) = (self.context, self.number);
        (0..count).map(move |i| {
            let value = (number << 8 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            ((start + 8 * i as usize) as *mut u64, value)
        })
    }

    /// Whether the caller has kept still.
    pub(crate) fn check(&self, demand: &Demand) {
        for (word, value) in self.words(demand) {
            // SAFETY: as in `mark_context`.
            if unsafe { word.read() } != value {
                broken("B7", format_args!("the context of {self} was written to"));
            }
        }
        self.work.iter().for_each(Work::check);
        for (list, copy) in &self.lists {
            // SAFETY: the lists stay until the entry (rule B9).
            if unsafe { pieces(list.iov, list.desc, list.count) } != *copy {
                broken("B9", format_args!("the vectors of {self} have changed"));
            }
        }
    }

    /// The bytes that it sends; none where it brings some.
    ///
    /// # Safety
    ///
    /// It has not ended.
    pub(crate) unsafe fn bytes(&self, demand: &Demand) -> Vec<u8> {
        if let Some(own) = &self.own {
            return own.clone();
        }
        if !self.sends() {
            return Vec::new();
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe { gather(&self.pieces) };
        if demand.exclusive && sum(&bytes) != self.sum {
            broken("B1", format_args!("the memory of {self} has changed under way"));
        }
        bytes
    }

    /// Gives the caller back what it lent: the last time that it is touched.
    ///
    /// # Safety
    ///
    /// Its entry is about to be read, or its endpoint to be closed.
    pub(crate) unsafe fn give_back(&self, demand: &Demand) {
        self.check(demand);
        let Some(outcome) = self.done else { return };
        // SAFETY: the caller's promise: until now the memory is lent.
        unsafe {
            // Looks at it.
            self.bytes(demand);
            if outcome.err == 0 || outcome.err == FI_ETRUNC {
                scatter(self.written(), &self.got);
            } else if outcome.err != FI_ECANCELED {
                // What is in memory that an operation has failed with is anybody's guess.
                self.written().iter().for_each(|p| scatter(&[*p], &vec![0xEE; p.len]));
            }
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {} ({:?})", self.number, self.act)
    }
}
