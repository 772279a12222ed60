//! How an inline function of the headers finds its entry in an object's table of functions.
//!
//! `call!(ep->msg->send(..))` is C's `ep->msg->send(..)`. The four differ in what may be missing:
//!
//! | | may be missing | costs |
//! |---|---|---|
//! | `call!` | nothing: every provider fills the entry since 1.0 | nothing |
//! | `offered!` | the table: the endpoint was not opened for it | one predicted branch |
//! | `checked!` | table or entry: providers are known that leave it NULL | two |
//! | `sized!` | either, or the table is an older one and ends before the entry | three |
//!
//! What is missing answers `-FI_ENOSYS`. Which entries may be is read off the tables of all
//! providers in 1.17 and 2.6: passive endpoints of tcp, sockets and verbs have no `cancel`, fabrics
//! of psm2 and psm3 no `bind` and `control`, verbs datagrams no `cntr_open`, and so on. Not every table can be sized: `fi_ops_av_set` in the
//! collective providers and `fi_ops_tagged` in `hook_debug` have a `size` of 0.
//!
//! All of them, and the functions that call others instead, are `counted!`: with the feature
//! `count-calls`, see `calls`; without it that is nothing.
//!
//! # Safety
//! What a caller states is in the crate's documentation.

/// A call of the function around it, counted by what it answers.
#[cfg(feature = "count-calls")]
macro_rules! counted {
    ($call:expr) => {{
        fn here() {}
        static PLACE: crate::calls::Place =
            crate::calls::Place::new(|| crate::calls::path_of(&here));
        let answer = $call;
        PLACE.count(crate::calls::Answer::is_good(&answer));
        answer
    }};
}

/// Nothing is counted in this build.
#[cfg(not(feature = "count-calls"))]
macro_rules! counted {
    ($call:expr) => {
        $call
    };
}

/// Calls an entry that every provider fills.
macro_rules! call {
    ($obj:ident->$($table:ident).+->$entry:ident($($arg:expr),* $(,)?)) => {
        crate::ops::counted!(
            // SAFETY: the caller's live object; providers fill this entry (see `ops`).
            unsafe { (*(*$obj).$($table).+).$entry.unwrap_unchecked()($($arg),*) }
        )
    };
}

/// Calls an entry of a table that is NULL where the endpoint was opened without the capability.
macro_rules! offered {
    ($obj:ident->$table:ident->$entry:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: the caller's live object; a table that is there has this entry (see `ops`).
        crate::ops::counted!(unsafe {
            let table = (*$obj).$table;
            if table.is_null() {
                -crate::FI_ENOSYS as _
            } else {
                (*table).$entry.unwrap_unchecked()($($arg),*)
            }
        })
    };
}

/// Calls an entry that may be NULL, of a table that may be.
macro_rules! checked {
    ($obj:ident->$($table:ident).+->$entry:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: the caller's live object; the table is as old as the entry (see `ops`).
        crate::ops::counted!(unsafe {
            let table = (*$obj).$($table).+;
            let entry = if table.is_null() { None } else { (*table).$entry };
            match entry {
                Some(entry) => entry($($arg),*),
                None => -crate::FI_ENOSYS as _,
            }
        })
    };
}

/// Calls an entry that may be NULL or beyond the end of the provider's table (`FI_CHECK_OP`).
macro_rules! sized {
    ($ops:ty, $obj:ident->$($table:ident).+->$entry:ident($($arg:expr),* $(,)?)) => {
        crate::ops::sized!(
            $ops, $obj->$($table).+->$entry($($arg),*), else -crate::FI_ENOSYS as _
        )
    };
    ($ops:ty, $obj:ident->$($table:ident).+->$entry:ident($($arg:expr),* $(,)?), else $none:expr) => {
        // SAFETY: the caller's live object; `size` says where the provider's table ends.
        crate::ops::counted!(unsafe {
            let table: *const $ops = (*$obj).$($table).+;
            let end = if table.is_null() { 0 } else { (*table).size };
            let entry =
                if end > core::mem::offset_of!($ops, $entry) { (*table).$entry } else { None };
            match entry {
                Some(entry) => entry($($arg),*),
                None => $none,
            }
        })
    };
}

pub(crate) use {call, checked, counted, offered, sized};
