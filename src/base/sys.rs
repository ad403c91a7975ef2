//! The one module with `unsafe`: calls of the system and of the allocator that no crate at hand
//! offers.

#![allow(unsafe_code)]

use std::io;

/// Lets the calling thread run only when nothing else wants the processor (SCHED_IDLE, see
/// sched(7)): it is pre-empted at once.
pub fn yield_to_all() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a valid sched_param for the time of the call; 0 is this thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &param) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the calling thread's heap give pages without blocks back to the kernel. What other threads
/// freed of it stays taken until then: <https://microsoft.github.io/mimalloc/group__extended.html>.
/// Some 0.1 ms.
pub fn collect_memory() {
    // SAFETY: it may be called at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
