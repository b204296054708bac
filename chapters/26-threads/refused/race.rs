//! The race in its plainest form. It does not compile, and a test sees to that.

use std::thread;

// ANCHOR: race
pub fn race() -> u64 {
    let mut calculator = 0;
    thread::scope(|scope| {
        scope.spawn(|| calculator += 1);
        scope.spawn(|| calculator += 1);
    });
    calculator
}
// ANCHOR_END: race
