//! `cargo xtask rules`.
pub fn run(_list: bool) -> Result<(), String> {
    Err("not yet".into())
}
