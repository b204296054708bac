//! What tests do with a socket of their own, and with facts that take a moment to become so.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

/// Waits until something is so: looks again and again, for 20 s at most. For facts of the kernel, which no line of output tells.
///
/// # Panics
/// When the time is up; the message is `what`.
pub fn awaits(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !look() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a question and reads exactly as many bytes as the answer has.
///
/// # Panics
/// When the answer is another one, or the connection ends before.
pub fn asks(stream: &mut (impl Read + Write), question: &[u8], answer: &[u8]) {
    stream.write_all(question).expect("the question is taken");
    let mut found = vec![0; answer.len()];
    stream.read_exact(&mut found).expect("an answer comes");
    if found != answer {
        let shown = |bytes: &[u8]| {
            bytes
                .escape_ascii()
                .take(200)
                .map(char::from)
                .collect::<String>()
        };
        panic!("answered {} and not {}", shown(&found), shown(answer));
    }
}
