//! Reading a batch, and what it leaves to be done after the locks are gone.

use std::mem::ManuallyDrop;

use super::*;
use crate::{
    op::deferred,
    quirks::{Defect, quirk},
};

/// The formats that a dispatching queue has.
const MESSAGE: u8 = 0;
const DATA: u8 = 1;
const TAGGED: u8 = 2;

impl<T: Threading> CqCore<T> {
    /// Reads one batch and hands every entry to its slot.
    #[inline(always)]
    pub(crate) fn read_batch(&self, reader: &mut Reader<T>, after: &mut Deferred<T>) -> usize {
        if !reader.open {
            return 0;
        }
        // The widest format; narrower entries lie packed at their own size (fault 6).
        let mut entries = [const { MaybeUninit::<ofi_sys::fi_cq_tagged_entry>::uninit() }; BATCH];
        let buffer = entries.as_mut_ptr().cast();
        let sources = &mut reader.sources;
        let status = if self.shape.source {
            // SAFETY: the queue is open (`reader.open`); there is room for BATCH entries of any
            // format, and for as many addresses.
            unsafe {
                ofi_sys::fi_cq_readfrom(
                    self.fid.as_ptr(),
                    buffer,
                    BATCH,
                    sources.as_mut_ptr().cast(),
                )
            }
        } else {
            // SAFETY: as above.
            unsafe { ofi_sys::fi_cq_read(self.fid.as_ptr(), buffer, BATCH) }
        };
        if status <= 0 {
            return self.nothing_read(status, reader, after);
        }
        let count = status as usize;
        // SAFETY: that many entries of the queue's format were just written, and the reader's lock is
        // held.
        unsafe {
            match (self.shape.has_tag, self.shape.has_data) {
                _ if self.sifts() => self.sift(buffer, sources, count, after),
                (true, _) => self.dispatch_all::<TAGGED>(buffer, sources, count, after),
                (false, true) => self.dispatch_all::<DATA>(buffer, sources, count, after),
                (false, false) => self.dispatch_all::<MESSAGE>(buffer, sources, count, after),
            }
        }
        count
    }

    /// Hands over a batch in which entries of others may be (quirks 29 and 53): those that name no slot of this
    /// process are counted, and that is all.
    ///
    /// # Safety
    ///
    /// `count` entries of the queue's format are at `entries`, and the reader's lock is held.
    #[cold]
    unsafe fn sift(
        &self,
        entries: *mut std::ffi::c_void,
        sources: &mut [u64; BATCH],
        count: usize,
        after: &mut Deferred<T>,
    ) {
        let stride = match (self.shape.has_tag, self.shape.has_data) {
            (true, _) => size_of::<ofi_sys::fi_cq_tagged_entry>(),
            (false, true) => size_of::<ofi_sys::fi_cq_data_entry>(),
            (false, false) => size_of::<ofi_sys::fi_cq_msg_entry>(),
        };
        for (i, from) in sources[..count].iter_mut().enumerate() {
            // One at a time, as a batch of its own.
            let mut source = [ofi_sys::FI_ADDR_NOTAVAIL; BATCH];
            source[0] = std::mem::replace(from, ofi_sys::FI_ADDR_NOTAVAIL);
            // SAFETY: the caller's promise; every format begins with its context.
            unsafe {
                let entry = entries.cast::<u8>().add(i * stride).cast::<std::ffi::c_void>();
                if self.is_foreign(*entry.cast()) {
                    continue;
                }
                match (self.shape.has_tag, self.shape.has_data) {
                    (true, _) => self.dispatch_all::<TAGGED>(entry, &mut source, 1, after),
                    (false, true) => self.dispatch_all::<DATA>(entry, &mut source, 1, after),
                    (false, false) => self.dispatch_all::<MESSAGE>(entry, &mut source, 1, after),
                }
            }
        }
    }

    /// Whether an entry is of nobody here, which is counted.
    fn is_foreign(&self, context: *mut std::ffi::c_void) -> bool {
        let foreign = self.sifts() && !context.is_null() && !slots::is_one(context);
        if foreign {
            self.stray.fetch_add(1, Ordering::Relaxed);
        }
        foreign
    }

    /// Hands over a batch of entries of `FORMAT`.
    ///
    /// # Safety
    ///
    /// `count` entries of that format are at `entries`, and the reader's lock is held.
    #[inline(always)]
    unsafe fn dispatch_all<const FORMAT: u8>(
        &self,
        entries: *const std::ffi::c_void,
        sources: &mut [u64; BATCH],
        count: usize,
        after: &mut Deferred<T>,
    ) {
        let stride = match FORMAT {
            TAGGED => size_of::<ofi_sys::fi_cq_tagged_entry>(),
            DATA => size_of::<ofi_sys::fi_cq_data_entry>(),
            _ => size_of::<ofi_sys::fi_cq_msg_entry>(),
        };
        for (i, source) in sources[..count].iter_mut().enumerate() {
            // SAFETY: every format begins with the fields of the narrower ones (fi_cq.3), and entries
            // lie packed at their own size (fault 6).
            let entry = unsafe {
                entries.cast::<u8>().add(i * stride).cast::<ofi_sys::fi_cq_tagged_entry>()
            };
            // Not every provider that grants FI_SOURCE writes the sources.
            let source = std::mem::replace(source, ofi_sys::FI_ADDR_NOTAVAIL);
            // SAFETY: the queue wrote the entry; its context is null or a slot that is not home yet
            // (see the module); the reader's lock makes us the only completer.
            unsafe {
                let context = (*entry).op_context;
                let usual = !context.is_null()
                    && Slot::<T>::from_context(context)
                        .succeed(|| Outcome::of_entry::<FORMAT>(entry, source));
                if !usual {
                    self.dispatch_entry::<FORMAT>(entry, source, after);
                }
            }
        }
    }

    /// Hands over an entry that is not the usual one.
    ///
    /// # Safety
    ///
    /// The queue wrote the entry, of `FORMAT`; the reader's lock is held.
    #[inline(never)]
    unsafe fn dispatch_entry<const FORMAT: u8>(
        &self,
        entry: *const ofi_sys::fi_cq_tagged_entry,
        source: u64,
        after: &mut Deferred<T>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let outcome = Outcome::of_entry::<FORMAT>(entry, source);
            let place = match FORMAT {
                MESSAGE => std::ptr::null_mut(),
                _ => (*entry).buf,
            };
            self.dispatch((*entry).op_context, place, outcome, None, after);
        }
    }

    /// # Safety
    ///
    /// `context` came from this queue, whose reader lock is held.
    unsafe fn dispatch(
        &self,
        context: *mut std::ffi::c_void,
        place: *const std::ffi::c_void,
        outcome: Outcome,
        mut error: Option<Error>,
        after: &mut Deferred<T>,
    ) {
        if context.is_null() {
            // Nothing in it says which operation, or which endpoint (rules B5, B12).
            return self.keep_unsolicited(outcome, error);
        }
        // SAFETY: contexts of a dispatching queue are slots that are not home yet (see the
        // module); the reader lock makes us the only completer.
        unsafe {
            let slot = Slot::<T>::from_context(context);
            if slot.has_many() {
                error = match slot.take_in(&outcome, place, error) {
                    Taken::GoesOn => {
                        slot.lane.as_ref().cancel_again(slot);
                        return slot.wake(after);
                    }
                    Taken::Ended(error) => error,
                };
            }
            // Once it is complete the slot, and with it the lane, may be somebody else's; but for one
            // of a batch, which stays until its failure was counted.
            let lane = slot.lane;
            let batched = error.is_some() && lane.as_ref().habits.batched;
            let done = slot.complete(outcome, error, false);
            let stray = matches!(done, After::Stray);
            if stray {
                self.stray.fetch_add(1, Ordering::Relaxed);
            }
            after.push(slot, done);
            if batched && !stray {
                lane.as_ref().failed.fetch_add(1);
            }
        }
    }

    #[cold]
    fn nothing_read(
        &self,
        status: isize,
        reader: &mut Reader<T>,
        after: &mut Deferred<T>,
    ) -> usize {
        const EAGAIN: isize = -(ofi_sys::FI_EAGAIN as isize);
        const EAVAIL: isize = -(ofi_sys::FI_EAVAIL as isize);
        match status {
            0 | EAGAIN => {
                // Seen empty, with every earlier batch dispatched: limbo ends (after the locks).
                after.end_limbo(&mut reader.limbo);
                0
            }
            EAVAIL => self.read_error(reader, after),
            _ => {
                let error = check(status as i64, "fi_cq_read").err();
                reader.fatal = reader.fatal.take().or(error);
                0
            }
        }
    }

    /// Fetches the one error entry that `-FI_EAVAIL` announced (rules B17, B18).
    fn read_error(&self, reader: &mut Reader<T>, after: &mut Deferred<T>) -> usize {
        // SAFETY: a plain C structure; all zero is what fi_cq.3 asks for.
        let mut roomy = unsafe { Roomy::<fi_cq_err_entry>::zeroed() };
        let entry = roomy.as_mut();
        entry.err_data = reader.error_data.as_mut_ptr().cast();
        entry.err_data_size = reader.error_data.len();
        // SAFETY: the queue is open; the entry is the newest layout with room behind it, and its
        // data buffer is ours and as long as it says.
        let status = unsafe { ofi_sys::fi_cq_readerr(self.fid.as_ptr(), entry, 0) };
        if status != 1 {
            if status != -(ofi_sys::FI_EAGAIN as isize) {
                let error = check(status as i64, "fi_cq_readerr").err();
                reader.fatal = reader.fatal.take().or(error);
            }
            return 0;
        }
        if self.is_foreign(entry.op_context) {
            // Another's, or of an endpoint that has closed.
            if self.shape.foreign || Errno::from_raw(entry.err) == Errno::ECANCELED {
                return 1;
            }
            // A part of a collective failed, which will never end: all that is known of it (quirk 53).
            entry.op_context = std::ptr::null_mut();
            entry.flags = ofi_sys::FI_COLLECTIVE;
        }
        // SAFETY: the context came from this queue, and we are its reader.
        let Some(context) = (unsafe { deferred::unwrap::<T>(entry.op_context) }) else {
            self.stray.fetch_add(1, Ordering::Relaxed);
            return 1;
        };
        // Some providers leave it negative (rule B19); `from_raw` takes either sign.
        let errno = Errno::from_raw(entry.err);
        let has_data = !entry.err_data.is_null() && entry.err_data_size > 0;
        let data = if has_data { entry.err_data } else { std::ptr::null_mut() };
        // An endpoint leaves the list before it closes, for which it needs the reader's lock.
        let alone = self.lanes.lock().is_empty();
        let text = self.fid.error_text(self.fabric.provider(), alone, entry.prov_errno, data);
        let mut error = Error::from_errno(errno, self.attempted(context))
            .provider(entry.prov_errno, text)
            .posted();
        if entry.olen > 0 {
            error = error.detail(format!("{} bytes did not fit", entry.olen));
        }
        let outcome = Outcome {
            flags: entry.flags,
            len: entry.len,
            data: entry.data,
            tag: entry.tag,
            source: ofi_sys::FI_ADDR_NOTAVAIL,
        };
        // SAFETY: the context came from this queue, and we are its reader.
        unsafe { self.dispatch(context, entry.buf, outcome, Some(error), after) };
        1
    }

    /// The C call of the operation that an error entry names.
    fn attempted(&self, context: *mut std::ffi::c_void) -> &'static str {
        if context.is_null() {
            return "operation";
        }
        // SAFETY: contexts of a dispatching queue are slots that are not home yet; their table was
        // written before the post.
        unsafe { Slot::<T>::from_context(context).table().name }
    }

    #[cold]
    fn keep_unsolicited(&self, outcome: Outcome, error: Option<Error>) {
        /// A consumer that lags this far loses the oldest, counted.
        const KEPT: usize = 4096;
        if outcome.flags & (ofi_sys::FI_RECV | ofi_sys::FI_RMA) == ofi_sys::FI_RECV {
            // Receives of ours have a context, but for those of a closing endpoint.
            self.swallowed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut kept = lock(&self.unsolicited);
        if kept.len() == KEPT {
            kept.pop_front();
            self.unsolicited_lost.fetch_add(1, Ordering::Relaxed);
        }
        kept.push_back(Unsolicited::new(outcome, error));
    }
}

impl Outcome {
    /// What an entry says.
    ///
    /// # Safety
    ///
    /// The queue wrote the entry, in `FORMAT`: fields that it lacks are not read.
    #[inline(always)]
    unsafe fn of_entry<const FORMAT: u8>(
        entry: *const ofi_sys::fi_cq_tagged_entry,
        source: u64,
    ) -> Outcome {
        // SAFETY: the caller's promise. Word by word: the provider has just written them so, and
        // reading two at once would have to wait until they have left the store buffer.
        unsafe {
            Outcome {
                flags: (&raw const (*entry).flags).read_volatile(),
                len: (&raw const (*entry).len).read_volatile(),
                data: match FORMAT {
                    MESSAGE => 0,
                    _ => (&raw const (*entry).data).read_volatile(),
                },
                tag: match FORMAT {
                    TAGGED => (&raw const (*entry).tag).read_volatile(),
                    _ => 0,
                },
                source,
            }
        }
    }
}

/// What a batch leaves to be done once no lock is held: all of it is, or runs, user code.
pub(crate) struct Deferred<T: Threading> {
    wakers: [MaybeUninit<Waker>; BATCH],
    count: usize,
    /// Orphans, linked through their `next`; the low bit says that the slot stays in limbo.
    orphans: u64,
    /// What there seldom is; taken out by `run_all`, so that nobody has to look when it is dropped.
    rare: ManuallyDrop<Option<Box<Rare<T>>>>,
    /// Whether there is anything.
    pending: bool,
}

struct Rare<T: Threading> {
    /// More than a batch: failed posts of the backlog.
    wakers: Vec<Waker>,
    limbo: Vec<Arc<LimboClaim<T>>>,
}

impl<T: Threading> Deferred<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Deferred {
            wakers: [const { MaybeUninit::uninit() }; BATCH],
            count: 0,
            orphans: 0,
            rare: ManuallyDrop::new(None),
            pending: false,
        }
    }

    /// Notes what [`Slot::complete`] said.
    #[inline]
    pub(crate) fn push(&mut self, slot: &Slot<T>, after: After) {
        match after {
            After::Stray | After::Done(None) => {}
            After::Done(Some(waker)) => self.push_waker(waker),
            After::Orphan(waker) => self.push_orphan(slot, 0, waker),
            After::OrphanInLimbo(waker) => self.push_orphan(slot, 1, waker),
        }
    }

    pub(crate) fn push_waker(&mut self, waker: Waker) {
        self.pending = true;
        match self.wakers.get_mut(self.count) {
            Some(place) => {
                place.write(waker);
                self.count += 1;
            }
            None => self.rare().wakers.push(waker),
        }
    }

    #[cold]
    fn push_orphan(&mut self, slot: &Slot<T>, limbo: u64, waker: Option<Waker>) {
        waker.into_iter().for_each(|waker| self.push_waker(waker));
        self.pending = true;
        slot.next.store(self.orphans);
        self.orphans = slot.context() as usize as u64 | limbo;
    }

    fn end_limbo(&mut self, claims: &mut Vec<Arc<LimboClaim<T>>>) {
        if !claims.is_empty() {
            self.rare().limbo.append(claims);
        }
    }

    fn rare(&mut self) -> &mut Rare<T> {
        self.pending = true;
        self.rare.get_or_insert_with(|| Box::new(Rare { wakers: Vec::new(), limbo: Vec::new() }))
    }

    /// Calls the wakers, sees to the orphans. A panic in one of them loses none of the others: it
    /// goes on when all are done.
    #[inline]
    pub(crate) fn run(&mut self) {
        if self.pending {
            self.run_all();
        }
    }

    #[inline(never)]
    fn run_all(&mut self) {
        let mut panic = None;
        let mut guarded = |f: &mut dyn FnMut()| {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
                panic.get_or_insert(payload);
            }
        };
        for place in &mut self.wakers[..std::mem::take(&mut self.count)] {
            // SAFETY: `push_waker` wrote every place below `count`; each is read once.
            let mut waker = Some(unsafe { place.assume_init_read() });
            guarded(&mut || waker.take().into_iter().for_each(Waker::wake));
        }
        while self.orphans != 0 {
            let limbo = self.orphans & 1 != 0;
            let context = (self.orphans & !1) as usize as *mut std::ffi::c_void;
            // SAFETY: `push_orphan` took it from a slot that only this list owns.
            let slot = unsafe { Slot::<T>::from_context(context) };
            self.orphans = slot.next.load();
            // SAFETY: `complete` called it an orphan.
            let keeps = unsafe { slot.keeps_message() };
            // SAFETY: as above; it is disposed of once, here.
            guarded(&mut || unsafe { slot.dispose() });
            if !limbo {
                // SAFETY: nobody else owns it, and its body is empty.
                unsafe { peek::home_orphan(slot, keeps) };
            }
            // In limbo its entry may still come: `end_limbo` brings it home. The claim that calls
            // that is made after this, see `endpoint::close`.
        }
        if let Some(rare) = self.rare.take() {
            let Rare { wakers, limbo } = *rare;
            wakers.iter().for_each(|waker| guarded(&mut || waker.wake_by_ref()));
            drop(limbo);
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

impl<T> Owned<fid_cq, T> {
    /// The provider's own words for an error entry of this queue, which is open; `alone` if it may
    /// have no endpoint.
    pub(crate) fn error_text(
        &self,
        provider: &str,
        alone: bool,
        provider_errno: i32,
        data: *const std::ffi::c_void,
    ) -> Option<String> {
        if alone && quirk(provider, Defect::ErrorTextCrashes).is_some() {
            return None;
        }
        let mut text = [0_u8; 256];
        // SAFETY: the caller's queue is open; the text buffer is as long as stated; `data` is what the error
        // entry had, or NULL.
        let words = unsafe {
            ofi_sys::fi_cq_strerror(
                self.as_ptr(),
                provider_errno,
                data,
                text.as_mut_ptr().cast(),
                text.len(),
            )
        };
        if words.is_null() {
            return None;
        }
        // SAFETY: not NULL; a C string, in our buffer or static.
        let words = unsafe { std::ffi::CStr::from_ptr(words) };
        Some(words.to_string_lossy().into_owned())
    }
}
