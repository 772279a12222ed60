//! libfabric for Rust.
