//! The one module with `unsafe`: system calls that no crate at hand offers.

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
