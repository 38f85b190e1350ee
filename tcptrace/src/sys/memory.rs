//! Memory that is no longer used.

/// Gives back to the kernel what the allocator keeps for later. glibc keeps most of what was in use
/// once: the kernel's types at the start, the symbols of a large program. musl does so by itself.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
