//! Code for the processor's wide vectors, where it has them.

/// Whether [`with_avx2`] does anything.
pub fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether the processor computes SHA-256 itself, faster than any vectors.
pub fn has_sha() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Something to compute. `run` must be `#[inline(always)]`, with all that it calls: only what is
/// inlined is compiled for the wide vectors.
pub trait Work {
    /// Does it.
    fn run(self);
}

/// Runs `work`, compiled for AVX2 if the processor has it.
pub fn with_avx2(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the processor has just said that it knows these instructions.
        return unsafe { avx2(work) };
    }
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(work: impl Work) {
    work.run();
}
