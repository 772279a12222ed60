//! Structures that the application allocates and libfabric reads or writes.

use std::mem::MaybeUninit;

/// A zeroed `X` with room behind it.
///
/// Newer libraries copy such structures at *their* size (ABI rule B, rule D12), so an attribute
/// struct of ours must be readable, and zero, beyond the end that we know.
#[repr(C)]
pub(crate) union Roomy<X: Copy> {
    value: X,
    room: [u64; 48],
}

impl<X: Copy> Roomy<X> {
    /// All zero.
    ///
    /// # Safety
    ///
    /// All zero is a value of `X`: it is one of libfabric's C structures.
    pub(crate) unsafe fn zeroed() -> Roomy<X> {
        const { assert!(size_of::<X>() <= 48 * 8) };
        // SAFETY: the caller's promise, and of the room it is true.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }

    pub(crate) fn as_mut(&mut self) -> &mut X {
        // SAFETY: `value` was zeroed, which is valid, and is only changed through this.
        unsafe { &mut self.value }
    }

    pub(crate) fn as_ptr(&mut self) -> *mut X {
        (&raw mut *self).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule: D12
    #[test]
    fn all_of_it_is_zero_and_there_is_room() {
        // SAFETY: a plain C structure.
        let mut roomy = unsafe { Roomy::<ofi_sys::fi_cq_attr>::zeroed() };
        assert!(size_of_val(&roomy) >= 2 * size_of::<ofi_sys::fi_cq_attr>());
        // SAFETY: all of the union was zeroed.
        assert!(unsafe { roomy.room }.iter().all(|word| *word == 0));
        roomy.as_mut().size = 7;
        // SAFETY: as_ptr points at the value.
        assert_eq!(unsafe { (*roomy.as_ptr()).size }, 7);
    }
}
