//! The `ofi` command as a user runs it. Every run is a child process with a deadline of its own;
//! what is still running when a test ends is killed.
//!
//! - `OFI_TEST_PROVIDERS=shm,tcp;ofi_rxm`: only cases on these providers.
//! - `OFI_TEST_PINGPONG=/path/to/fi_pingpong`: the C program to play with (default: from `PATH`).
//! - `OFI_TEST_TIMEOUT=N`: multiplies every time limit by N.

mod info;
mod pingpong;
mod selftest;
mod support;
