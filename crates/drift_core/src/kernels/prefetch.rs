//! Prefetch: asks for cache lines before they are needed.
//!
//! Layer 1. A scan is bound by memory latency, not by arithmetic; the next bucket is asked for while this one is read.

/// Cache line size of every x86-64.
const LINE: usize = 64;

/// Asks for up to `lines_max` cache lines from the start of `bytes`. Never faults, never changes anything.
#[inline]
pub fn prefetch(bytes: &[u8], lines_max: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..bytes.len().div_ceil(LINE).min(lines_max) {
        // SAFETY: prefetching is defined for every address; line * LINE < bytes.len() keeps the pointer in bounds.
        unsafe { std::arch::x86_64::_mm_prefetch::<3>(bytes.as_ptr().add(line * LINE).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, lines_max, LINE);
}
