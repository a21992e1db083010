//! Atomic: what CPUs do to one word of a map's value at the same time. In assembly: LLVM 22 has no such
//! operations for BPF in Rust's terms; the machine has them since its version 3 (5.12).

/// Atomic addition; what was there before.
///
/// # Safety
/// `word` must point into a map's value.
#[inline(always)]
pub unsafe fn fetch_add(word: *mut u32, mut value: u32) -> u32 {
    // SAFETY: the caller's
    unsafe {
        core::arch::asm!(
            "{value} = atomic_fetch_add((u32 *)({word} + 0), {value})",
            word = in(reg) word,
            value = inout(wreg) value,
        );
    }
    value
}

/// Sets bits; what was there before.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub unsafe fn fetch_or(word: *mut u64, mut bits: u64) -> u64 {
    // SAFETY: the caller's
    unsafe {
        core::arch::asm!(
            "{bits} = atomic_fetch_or((u64 *)({word} + 0), {bits})",
            word = in(reg) word,
            bits = inout(reg) bits,
        );
    }
    bits
}

/// Atomic addition.
///
/// # Safety
/// As for [`fetch_add`], and the word must be aligned.
#[inline(always)]
pub unsafe fn add(word: *mut u64, value: u64) {
    // SAFETY: the caller's
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({word} + 0) += {value}",
            word = in(reg) word,
            value = in(reg) value,
        );
    }
}

/// Replaces a word that is still what it was; whether it was.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub unsafe fn replace(word: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: the caller's
    unsafe { exchange(word, old, new) == old }
}

/// Replaces a word that is still what it was; what was there before.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub unsafe fn exchange(word: *mut u64, old: u64, new: u64) -> u64 {
    let found: u64;
    // SAFETY: the caller's
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inout("r0") old => found,
        );
    }
    found
}

/// Keeps the compiler from moving reads and writes of memory across this place. x86 CPUs keep the order of reads and
/// that of writes by themselves.
#[inline(always)]
pub fn barrier() {
    // SAFETY: no instruction
    unsafe { core::arch::asm!("", options(nostack, preserves_flags)) };
}
