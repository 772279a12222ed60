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
//! What is missing answers `-FI_ENOSYS`. Not every table can be sized: `fi_ops_av_set` in the
//! collective providers and `fi_ops_tagged` in `hook_debug` have a `size` of 0.
//!
//! # Safety
//! Who calls one of the functions built on this states that
//! - the object is live, was made by libfabric (or has a table of functions of its own), and is of
//!   the class named, so that the fields up to the table exist;
//! - the arguments are what the function's man page asks for, and memory that an operation uses
//!   stays valid until its completion;
//! - threads meet only as the domain's threading mode allows.

/// Calls an entry that every provider fills.
macro_rules! call {
    ($obj:ident->$($table:ident).+->$entry:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: the caller's live object; providers fill this entry (see `ops`).
        unsafe { (*(*$obj).$($table).+).$entry.unwrap_unchecked()($($arg),*) }
    };
}

/// Calls an entry of a table that is NULL where the endpoint was opened without the capability.
macro_rules! offered {
    ($obj:ident->$table:ident->$entry:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: the caller's live object; a table that is there has this entry (see `ops`).
        unsafe {
            let table = (*$obj).$table;
            if table.is_null() {
                -crate::FI_ENOSYS as _
            } else {
                (*table).$entry.unwrap_unchecked()($($arg),*)
            }
        }
    };
}

/// Calls an entry that may be NULL, of a table that may be.
macro_rules! checked {
    ($obj:ident->$($table:ident).+->$entry:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: the caller's live object; the table is as old as the entry (see `ops`).
        unsafe {
            let table = (*$obj).$($table).+;
            let entry = if table.is_null() { None } else { (*table).$entry };
            match entry {
                Some(entry) => entry($($arg),*),
                None => -crate::FI_ENOSYS as _,
            }
        }
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
        unsafe {
            let table: *const $ops = (*$obj).$($table).+;
            let end = if table.is_null() { 0 } else { (*table).size };
            let entry =
                if end > core::mem::offset_of!($ops, $entry) { (*table).$entry } else { None };
            match entry {
                Some(entry) => entry($($arg),*),
                None => $none,
            }
        }
    };
}

pub(crate) use {call, checked, offered, sized};
