//! `cargo xtask tidy`.
pub fn run() -> Result<(), String> {
    Err("not yet".into())
}
