//! What the types forbid does not compile: each file of `tests/ui`, with the compiler's words.
//!
//! Needs cargo, and no libfabric: it is not among the tests that run in the chroot.

#[test]
fn what_the_types_forbid_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
