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

/// Microseconds of processor time that the process has taken, or the calling thread alone: in the
/// kernel, and in user space. See getrusage(2).
pub fn processor_us(thread: bool) -> [u64; 2] {
    let who = if thread { libc::RUSAGE_THREAD } else { libc::RUSAGE_SELF };
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to room for an rusage, for which zeros are a valid value.
    let usage = unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    };
    [usage.ru_stime, usage.ru_utime]
        .map(|time| u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0))
}

/// Has the calling thread's heap give pages without blocks back to the kernel. What other threads
/// freed of it stays taken until then: <https://microsoft.github.io/mimalloc/group__extended.html>.
/// Some 0.1 ms.
pub fn collect_memory() {
    // SAFETY: it may be called at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
