//! Reading events, and handing each to the mailbox of the object that it names.

use std::{
    collections::HashMap, ffi::c_void, mem::offset_of, ptr::NonNull, sync::atomic::AtomicUsize,
    task::Waker,
};

use ofi_sys::{fi_eq_cm_entry, fi_eq_entry, fi_eq_err_entry, fid};

use super::{
    event::{Event, EventKind},
    mail::{Arrival, Handle, Joining, Mailbox},
    *,
};
use crate::{Errno, Info, abi::Roomy, passive};

/// Room for private data in an event, at first and at least (rule C5, fault 13).
const DATA_ROOM: usize = 4096;
/// More private data than this no provider has.
const DATA_ROOM_LIMIT: usize = 1 << 20;
/// Where the private data begin.
const HEADER: usize = offset_of!(fi_eq_cm_entry, data);

/// What only the reader of the moment touches.
pub(crate) struct Reader {
    pub(super) open: bool,
    /// As aligned as any event; grows where an event does not fit.
    buffer: Vec<u64>,
    error_data: Vec<u8>,
    /// The open objects bound to this queue, by the address of their fid. An object enters after
    /// it was made and leaves after it was closed and its events were read, all under the reader's
    /// lock: so an event never meets another object at the same address.
    members: HashMap<usize, Mailbox>,
    /// Joins under way, by the context that they were begun with: a number that is used once, so that
    /// an event never meets another join.
    joins: HashMap<usize, Arc<Joining>>,
    pub(super) fatal: Option<Error>,
}

/// The context of the next join. From 1: a provider's own events may have a context of NULL. As wide as
/// a pointer: a program that begins 2^32 joins where pointers are so narrow meets an event of the first.
static NEXT_JOIN: AtomicUsize = AtomicUsize::new(1);

/// Whether a join was begun with this context, here or on another queue.
fn is_join(context: *mut c_void) -> bool {
    (1..NEXT_JOIN.load(Ordering::Relaxed)).contains(&context.addr())
}

/// What one read came to.
enum Read {
    Nothing,
    Event,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader {
            open: true,
            buffer: vec![0; (HEADER + DATA_ROOM).div_ceil(8)],
            error_data: vec![0; DATA_ROOM],
            members: HashMap::new(),
            joins: HashMap::new(),
            fatal: None,
        }
    }

    /// Enters an object that was just made. `data_size`: the most private data it may get.
    pub(crate) fn enter(&mut self, fid: *mut fid, mailbox: Mailbox, data_size: usize) {
        if let Some(error) = &self.fatal {
            mailbox.broken(error, &mut Vec::new());
        }
        self.make_room(data_size.min(DATA_ROOM_LIMIT));
        // A listener that takes over a parked one finds its old mailbox.
        let before = self.members.insert(fid as usize, mailbox);
        let link = matches!(before, Some(Mailbox::Link(_)));
        debug_assert!(!link, "two open objects at one address");
    }

    /// Enters a join that is about to begin.
    pub(crate) fn begin_join(&mut self) -> Arc<Joining> {
        let joining = Arc::new(Joining::new(NEXT_JOIN.fetch_add(1, Ordering::Relaxed)));
        if let Some(error) = &self.fatal {
            joining.broken(error.clone(), &mut Vec::new());
        }
        self.joins.insert(joining.number, Arc::clone(&joining));
        joining
    }

    /// Strikes a join off: nobody waits for its event, or none will come.
    pub(crate) fn end_join(&mut self, joining: &Joining) {
        self.joins.remove(&joining.number);
    }

    fn make_room(&mut self, data: usize) {
        let words = (HEADER + data).div_ceil(8);
        if words > self.buffer.len() {
            self.buffer.resize(words, 0);
        }
        if data > self.error_data.len() {
            self.error_data.resize(data, 0);
        }
    }
}

impl Mailbox {
    /// Nothing will come any more.
    fn broken(&self, error: &Error, woken: &mut Vec<Waker>) {
        match self {
            Mailbox::Link(link) => link.failed(error.clone(), Vec::new(), woken),
            Mailbox::Door(door) => door.broken(error.clone(), woken),
            Mailbox::Closed => {}
        }
    }
}

impl<T: Threading> EqCore<T> {
    /// Reads what is there, at most `limit` events.
    pub(super) fn read(&self, reader: &mut Reader, limit: usize, woken: &mut Vec<Waker>) -> usize {
        let mut count = 0;
        while count < limit && reader.open && reader.fatal.is_none() {
            match self.read_one(reader, woken) {
                Read::Event => count += 1,
                Read::Nothing => break,
            }
        }
        count
    }

    /// The end of an object that was bound to this queue and is closed now: reads what the queue
    /// still has (others' events reach their mailboxes, its own go nowhere), then strikes it off.
    pub(crate) fn leave(&self, reader: &mut Reader, fid: *mut fid, woken: &mut Vec<Waker>) {
        reader.members.insert(fid as usize, Mailbox::Closed);
        self.read(reader, usize::MAX, woken);
        reader.members.remove(&(fid as usize));
    }

    /// Reads everything now, for an object that is about to close.
    pub(crate) fn read_all(&self, reader: &mut Reader, woken: &mut Vec<Waker>) {
        self.read(reader, usize::MAX, woken);
    }

    fn read_one(&self, reader: &mut Reader, woken: &mut Vec<Waker>) -> Read {
        const EAGAIN: isize = -(ofi_sys::FI_EAGAIN as isize);
        const EAVAIL: isize = -(ofi_sys::FI_EAVAIL as isize);
        const ETOOSMALL: isize = -(ofi_sys::FI_ETOOSMALL as isize);
        const EINTR: isize = -(ofi_sys::FI_EINTR as isize);
        loop {
            let mut event = 0;
            let room = reader.buffer.len() * 8;
            // SAFETY: the queue is open (`reader.open`); the buffer has that many bytes and is as
            // aligned as any event.
            let status = unsafe {
                ofi_sys::fi_eq_read(
                    self.fid.as_ptr(),
                    &raw mut event,
                    reader.buffer.as_mut_ptr().cast(),
                    room,
                    0,
                )
            };
            match status {
                0 | EAGAIN => return Read::Nothing,
                EINTR => {}
                EAVAIL => return self.read_error(reader, woken),
                ETOOSMALL if room < DATA_ROOM_LIMIT => reader.make_room(room * 2),
                ..0 => {
                    let error = check(status as i64, "fi_eq_read").err();
                    self.fail(reader, error, woken);
                    return Read::Nothing;
                }
                length => {
                    self.dispatch(reader, event, length as usize, woken);
                    return Read::Event;
                }
            }
        }
    }

    fn dispatch(&self, reader: &mut Reader, event: u32, length: usize, woken: &mut Vec<Waker>) {
        let kind = EventKind::from_raw(event);
        // SAFETY: the provider wrote an event into the buffer, which was all initialised and is
        // longer than either structure; every event begins with the fid that it concerns.
        let (fid, info) = unsafe {
            let entry = reader.buffer.as_ptr().cast::<fi_eq_cm_entry>();
            ((*entry).fid, (*entry).info)
        };
        if kind == EventKind::Joined {
            // SAFETY: as above; a join's event has a context where others have their info.
            let context = unsafe { (*reader.buffer.as_ptr().cast::<fi_eq_entry>()).context };
            if let Some(joining) = reader.joins.remove(&context.addr()) {
                return joining.end(failed_join(reader, length), woken);
            }
            if is_join(context) {
                // Of a group that is closed.
                return;
            }
        }
        // SAFETY: within the buffer: it starts behind the header, and ends before the buffer does.
        let data = unsafe {
            let room = reader.buffer.len() * 8 - HEADER;
            let start = reader.buffer.as_ptr().cast::<u8>().add(HEADER);
            std::slice::from_raw_parts(start, length.saturating_sub(HEADER).min(room)).to_vec()
        };
        let member = reader.members.get(&(fid as usize));
        match (kind, member) {
            (EventKind::ConnectionRequest, member) => {
                let door = match member {
                    Some(Mailbox::Door(door)) => Some(door),
                    _ => None,
                };
                // SAFETY: a connection request brings an info that is ours to free (rule C1).
                let arrival = unsafe { arrival(info, data) };
                let closed = matches!(member, Some(Mailbox::Closed));
                let rest = match (door, arrival) {
                    (Some(door), Some(arrival)) => door.arrived(arrival, woken),
                    (None, Some(_)) if !closed => {
                        return self.keep(Event { kind, error: None, data: Vec::new() });
                    }
                    // The info is freed, the provider keeps its end.
                    _ => None,
                };
                if let Some(arrival) = rest {
                    // SAFETY: the fid is registered as an open passive endpoint, and closing it
                    // takes the lock that we hold; the handle is from its own request.
                    unsafe { passive::refuse(fid.cast(), &arrival.handle) };
                }
            }
            (EventKind::Connected, Some(Mailbox::Link(link))) => link.connected(data, woken),
            (EventKind::Shutdown, Some(Mailbox::Link(link))) => link.shut_down(woken),
            (_, Some(Mailbox::Closed)) => {}
            _ => self.keep(Event { kind, error: None, data }),
        }
    }

    /// Fetches the one error event that `-FI_EAVAIL` announced (rules B18, C4).
    fn read_error(&self, reader: &mut Reader, woken: &mut Vec<Waker>) -> Read {
        // SAFETY: a plain C structure; all zero is what fi_eq.3 asks for.
        let mut roomy = unsafe { Roomy::<fi_eq_err_entry>::zeroed() };
        let entry = roomy.as_mut();
        let own: *mut c_void = reader.error_data.as_mut_ptr().cast();
        entry.err_data = own;
        entry.err_data_size = reader.error_data.len();
        // SAFETY: the queue is open; the entry is the newest layout with room behind it, and its
        // data buffer is ours and as long as it says.
        let status = unsafe { ofi_sys::fi_eq_readerr(self.fid.as_ptr(), entry, 0) };
        if status <= 0 {
            if status < 0 && status != -(ofi_sys::FI_EAGAIN as isize) {
                let error = check(status as i64, "fi_eq_readerr").err();
                self.fail(reader, error, woken);
            }
            return Read::Nothing;
        }
        let data = match (entry.err_data.is_null(), entry.err_data_size) {
            (true, _) | (_, 0) => Vec::new(),
            (_, size) => {
                let size = if entry.err_data == own {
                    size.min(reader.error_data.len())
                } else {
                    size.min(DATA_ROOM_LIMIT)
                };
                // SAFETY: our buffer, or the provider's, which is valid until the next read of
                // this queue (fi_eq.3); the reader's lock holds that off.
                unsafe { std::slice::from_raw_parts(entry.err_data.cast::<u8>(), size).to_vec() }
            }
        };
        let text = self.error_text(entry.prov_errno, entry.err_data);
        let error = Error::from_errno(Errno::from_raw(entry.err), "connection")
            .provider(entry.prov_errno, text)
            .posted();
        let fid = entry.fid;
        if error.errno() == Some(Errno::EOVERRUN) {
            self.fail(reader, Some(error), woken);
            return Read::Nothing;
        }
        if is_join(entry.context) {
            if let Some(joining) = reader.joins.remove(&entry.context.addr()) {
                joining.end(Some(error), woken);
            }
            return Read::Event;
        }
        // The fid may be NULL, or of something that is closed.
        match reader.members.get(&(fid as usize)) {
            Some(Mailbox::Link(link)) => link.failed(error, data, woken),
            Some(Mailbox::Door(door)) => door.failed(error, woken),
            Some(Mailbox::Closed) => {}
            None => self.keep(Event { kind: EventKind::Failed, error: Some(error), data }),
        }
        Read::Event
    }

    /// The queue is beyond use (rule B21): everybody who waits is told.
    #[cold]
    fn fail(&self, reader: &mut Reader, error: Option<Error>, woken: &mut Vec<Waker>) {
        let Some(error) = error else { return };
        for mailbox in reader.members.values() {
            mailbox.broken(&error, woken);
        }
        for joining in reader.joins.values() {
            joining.broken(error.clone(), woken);
        }
        reader.fatal = Some(error);
    }

    fn error_text(&self, provider_errno: i32, data: *const c_void) -> Option<String> {
        if provider_errno == 0 {
            return None;
        }
        let mut text = [0_u8; 256];
        // SAFETY: the queue is open; the buffer is longer than stated, so that it ends with a NUL;
        // `data` is what the error event had.
        let words = unsafe {
            ofi_sys::fi_eq_strerror(
                self.fid.as_ptr(),
                provider_errno,
                data,
                text.as_mut_ptr().cast(),
                text.len() - 1,
            )
        };
        if words.is_null() {
            return None;
        }
        // SAFETY: not NULL; a C string, in our buffer or static.
        let words = unsafe { std::ffi::CStr::from_ptr(words) };
        Some(words.to_string_lossy().into_owned())
    }

    #[cold]
    fn keep(&self, event: Event) {
        /// A consumer that lags this far loses the oldest, counted.
        const KEPT: usize = 1024;
        let mut kept = mail::lock(&self.unsolicited);
        if kept.len() == KEPT {
            kept.pop_front();
            self.unsolicited_lost.fetch_add(1, Ordering::Relaxed);
        }
        kept.push_back(event);
    }
}

/// The failure that an event about a join tells of. udp makes no error event of it: it is longer than
/// others, and has the errno with the wrong sign (quirk 30).
fn failed_join(reader: &Reader, length: usize) -> Option<Error> {
    if length < size_of::<fi_eq_err_entry>() {
        return None;
    }
    // SAFETY: the buffer was all initialised, is as aligned as any event and longer than this.
    let errno = unsafe { (*reader.buffer.as_ptr().cast::<fi_eq_err_entry>()).err };
    let errno = Errno::from_raw(errno.wrapping_abs());
    (errno.raw() != 0).then(|| Error::from_errno(errno, "fi_join").posted())
}

/// Takes over the info of a connection request, and its handle out of it: a copy of the info must
/// not carry the handle, which can be used once (rules C1, D5).
///
/// # Safety
///
/// `info` is NULL or a live info that nobody else frees.
unsafe fn arrival(info: *mut ofi_sys::fi_info, data: Vec<u8>) -> Option<Arrival> {
    let entry = NonNull::new(info)?;
    // SAFETY: the caller's promise.
    let (info, handle) = unsafe {
        let handle = std::ptr::replace(&raw mut (*entry.as_ptr()).handle, std::ptr::null_mut());
        (Info::from_raw(entry), handle)
    };
    Some(Arrival { info, handle: Handle(NonNull::new(handle)?), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_join_is_told_by_its_length() {
        let mut reader = Reader::new();
        let length = size_of::<fi_eq_err_entry>();
        assert!(failed_join(&reader, length).is_none());
        // SAFETY: the buffer is longer than the entry, and as aligned.
        unsafe {
            (*reader.buffer.as_mut_ptr().cast::<fi_eq_err_entry>()).err = -ofi_sys::FI_ENODEV
        };
        let error = failed_join(&reader, length).unwrap();
        assert_eq!(error.errno(), Some(Errno::ENODEV));
        // What is behind a shorter event is none of its.
        assert!(failed_join(&reader, size_of::<ofi_sys::fi_eq_entry>()).is_none());
    }
}
