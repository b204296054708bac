//! The time before each answer.

use std::mem::MaybeUninit;
use std::ptr;

use common::{Call, CallError};
use nix::errno::Errno;
use nix::libc;

// ANCHOR: stamp
/// What stands before each line of an answer: `[2026-01-02 03:04:05]server reply: `, local time. localtime(3) would return
/// the same memory to all threads; localtime_r fills in our own.
pub fn stamp() -> Result<String, CallError> {
    let mut fields = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: time(2) takes a null pointer, and localtime_r(3) fills in what it is given unless it returns null.
    let fields = unsafe {
        let now = libc::time(ptr::null_mut());
        if libc::localtime_r(&now, fields.as_mut_ptr()).is_null() {
            return Err(Errno::last()).call("localtime_r");
        }
        fields.assume_init()
    };
    let (year, month, day) = (fields.tm_year + 1900, fields.tm_mon + 1, fields.tm_mday);
    let (hour, minute, second) = (fields.tm_hour, fields.tm_min, fields.tm_sec);
    Ok(format!(
        "[{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}]server reply: "
    ))
}
// ANCHOR_END: stamp
