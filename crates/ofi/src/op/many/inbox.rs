//! Messages that have come and nobody has taken yet, and where in the buffer they are.

use std::{collections::VecDeque, ffi::c_void};

use super::super::{Outcome, Received, recv::is_remote_write};
use crate::{
    Errno, Error, ErrorKind,
    threading::{Lock, Threading},
};

/// What the completer hands over to whoever takes messages.
pub(crate) struct Inbox<T: Threading> {
    /// The address of the buffer.
    start: usize,
    len: usize,
    tagged: bool,
    /// A cancelled buffer is free, whether its entry says so or not.
    cancel_is_last: bool,
    state: T::Lock<State>,
}

struct State {
    items: VecDeque<Item>,
    covered: Covered,
}

#[derive(Debug)]
pub(super) enum Item {
    Message { offset: usize, received: Received },
    Failed(Error),
}

/// What an entry means for the operation.
pub(crate) enum Taken {
    /// It goes on: somebody may want to know of a message.
    GoesOn,
    /// It has ended, so.
    Ended(Option<Error>),
}

impl<T: Threading> Inbox<T> {
    pub(super) fn new(start: usize, len: usize, tagged: bool, cancel_is_last: bool) -> Inbox<T> {
        let state = State { items: VecDeque::new(), covered: Covered(Vec::new()) };
        Inbox { start, len, tagged, cancel_is_last, state: T::Lock::new(state) }
    }

    /// Takes in what an entry says, with the place of its message; nothing of messages unless they are
    /// `wanted`.
    pub(crate) fn take_in(
        &self,
        outcome: &Outcome,
        place: *const c_void,
        error: Option<Error>,
        wanted: bool,
    ) -> Taken {
        let released = outcome.flags & ofi_sys::FI_MULTI_RECV != 0;
        let item = match error {
            Some(error) => {
                let cancelled = error.errno() == Some(Errno::ECANCELED);
                if released || cancelled && self.cancel_is_last {
                    return Taken::Ended(Some(error));
                }
                // Of a cancel that leaves messages in it, those come.
                (!cancelled).then_some(Item::Failed(error))
            }
            None => is_message(outcome.flags).then(|| self.message(outcome, place as usize)),
        };
        if let Some(item) = item.filter(|_| wanted) {
            self.state.lock().items.push_back(item);
        }
        if released { Taken::Ended(None) } else { Taken::GoesOn }
    }

    /// The next one. `taken` is what was taken out of here before: both keep their memory.
    pub(super) fn next(&self, taken: &mut VecDeque<Item>) -> Option<Item> {
        taken.pop_front().or_else(|| {
            std::mem::swap(&mut self.state.lock().items, taken);
            taken.pop_front()
        })
    }

    /// The message of an entry, if it is where the provider may have put one.
    fn message(&self, outcome: &Outcome, place: usize) -> Item {
        if is_remote_write(outcome) {
            let received = Received::RemoteWrite { data: outcome.data, len: outcome.len };
            return Item::Message { offset: 0, received };
        }
        let len = outcome.len;
        let offset = match len {
            // Where it is says nothing then.
            0 => Some(0),
            _ => place
                .checked_sub(self.start)
                .filter(|offset| offset.checked_add(len).is_some_and(|end| end <= self.len))
                .filter(|&offset| self.state.lock().covered.add(offset, offset + len)),
        };
        match offset {
            Some(offset) => Item::Message {
                offset,
                received: Received::Message {
                    len,
                    tag: self.tagged.then_some(outcome.tag),
                    data: outcome.data(),
                    source: outcome.source(),
                },
            },
            None => Item::Failed(misplaced(len, place, self.start..self.start + self.len)),
        }
    }
}

/// Whether there is more in an entry than that the buffer is released.
fn is_message(flags: u64) -> bool {
    const RELEASED: u64 = ofi_sys::FI_MULTI_RECV;
    const OF_MESSAGES: u64 = ofi_sys::FI_RECV
        | ofi_sys::FI_MSG
        | ofi_sys::FI_TAGGED
        | ofi_sys::FI_RMA
        | ofi_sys::FI_REMOTE_WRITE
        | ofi_sys::FI_REMOTE_CQ_DATA;
    flags & RELEASED == 0 || flags & OF_MESSAGES != 0
}

#[cold]
fn misplaced(len: usize, place: usize, buffer: std::ops::Range<usize>) -> Error {
    Error::new(ErrorKind::Failed, "fi_recvmsg").posted().detail(format!(
        "the provider says that {len} bytes came to {place:#x}: that is not in the buffer, {buffer:#x?}, \
         or another message is there",
    ))
}

/// Where messages are: pieces that do not touch, in order.
#[derive(Debug, Default)]
struct Covered(Vec<(usize, usize)>);

impl Covered {
    /// Adds a piece; `false` if something is there.
    fn add(&mut self, start: usize, end: usize) -> bool {
        // Mostly it comes behind the last one.
        let at = self.0.iter().rposition(|&(from, _)| from <= start).map_or(0, |at| at + 1);
        if at > 0 && self.0[at - 1].1 > start || self.0.get(at).is_some_and(|next| next.0 < end) {
            return false;
        }
        let after = at > 0 && self.0[at - 1].1 == start;
        let before = self.0.get(at).is_some_and(|next| next.0 == end);
        match (after, before) {
            (true, true) => self.0[at - 1].1 = self.0.remove(at).1,
            (true, false) => self.0[at - 1].1 = end,
            (false, true) => self.0[at].0 = start,
            (false, false) => self.0.insert(at, (start, end)),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shared;

    #[test]
    fn pieces_never_overlap() {
        let mut covered = Covered::default();
        assert!(covered.add(10, 20) && covered.add(20, 30) && covered.add(40, 50));
        assert_eq!(covered.0, [(10, 30), (40, 50)]);
        for (start, end) in [(0, 11), (10, 20), (29, 31), (30, 41), (0, 100), (45, 46), (49, 60)] {
            assert!(!covered.add(start, end), "{start}..{end}");
        }
        assert!(covered.add(0, 5) && covered.add(30, 40) && covered.add(5, 10));
        assert_eq!(covered.0, [(0, 50)]);
    }

    fn entry(flags: u64, len: usize) -> Outcome {
        Outcome { flags, len, data: 7, tag: 9, source: ofi_sys::FI_ADDR_NOTAVAIL }
    }

    fn inbox() -> Inbox<Shared> {
        Inbox::new(1000, 100, false, false)
    }

    fn all(inbox: &Inbox<Shared>) -> Vec<Item> {
        let mut taken = VecDeque::new();
        std::iter::from_fn(|| inbox.next(&mut taken)).collect()
    }

    const RECV: u64 = ofi_sys::FI_RECV | ofi_sys::FI_MSG;
    const LAST: u64 = ofi_sys::FI_MULTI_RECV;

    // rule: B23
    #[test]
    fn both_ways_to_release_a_buffer() {
        let inbox = inbox();
        let take = |flags, len, place| {
            inbox.take_in(&entry(flags, len), place as *const c_void, None, true)
        };
        assert!(matches!(take(RECV, 10, 1000), Taken::GoesOn));
        // Flags are as poor as providers please.
        assert!(matches!(take(0, 10, 1010), Taken::GoesOn));
        assert!(matches!(take(RECV | LAST, 10, 1020), Taken::Ended(None)));
        assert!(matches!(take(LAST, 0, 0), Taken::Ended(None)));
        let offsets: Vec<_> = all(&inbox)
            .iter()
            .map(|item| match item {
                Item::Message { offset, received } => (*offset, received.len()),
                Item::Failed(error) => panic!("{error}"),
            })
            .collect();
        assert_eq!(offsets, [(0, 10), (10, 10), (20, 10)]);
    }

    // rule: B23
    #[test]
    fn a_message_somewhere_else_is_an_error() {
        let inbox = inbox();
        for (place, len) in
            [(999, 10), (1091, 10), (0, 1), (1100, 1), (1000, usize::MAX), (1001, 101)]
        {
            inbox.take_in(&entry(RECV, len), place as *const c_void, None, true);
        }
        inbox.take_in(&entry(RECV, 60), 1010 as *const c_void, None, true);
        inbox.take_in(&entry(RECV, 10), 1069 as *const c_void, None, true);
        // One without bytes is nowhere.
        inbox.take_in(&entry(RECV, 0), std::ptr::null(), None, true);
        let good: Vec<_> = all(&inbox).iter().map(|i| matches!(i, Item::Message { .. })).collect();
        assert_eq!(good, [false, false, false, false, false, false, true, false, true]);
    }

    #[test]
    fn a_cancel_ends_it_where_that_is_known() {
        let cancelled = || Some(Error::from_errno(Errno::ECANCELED, "fi_recvmsg"));
        let none = std::ptr::null();
        let unsure = inbox();
        assert!(matches!(unsure.take_in(&entry(RECV, 0), none, cancelled(), true), Taken::GoesOn));
        let marked = unsure.take_in(&entry(RECV | LAST, 0), none, cancelled(), true);
        assert!(matches!(marked, Taken::Ended(Some(_))));
        assert!(all(&unsure).is_empty());
        let sure = Inbox::<Shared>::new(1000, 100, false, true);
        let end = sure.take_in(&entry(RECV, 0), none, cancelled(), true);
        assert!(matches!(end, Taken::Ended(Some(_))));
        let lost = Some(Error::from_errno(Errno::ETRUNC, "fi_recvmsg"));
        assert!(matches!(sure.take_in(&entry(RECV, 0), none, lost, true), Taken::GoesOn));
        assert!(matches!(all(&sure)[..], [Item::Failed(_)]));
    }
}
