//! What tests do with a socket of their own, and with facts that take a moment to become so.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
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

/// Connects. Neither a read nor a write takes longer than 20 s, and what is written is sent at once.
///
/// # Panics
/// When nobody listens there.
pub fn connect(address: impl ToSocketAddrs) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a server listens");
    let patience = Some(Duration::from_secs(20));
    let set = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(patience))
        .and_then(|()| stream.set_write_timeout(patience));
    set.expect("the options are known");
    stream
}

/// Sends to a server that answers as many bytes as it gets, and reads nothing until the server takes no more; calls
/// `meanwhile` each time, which is to ask as another client. Then reads: every byte has its answer.
///
/// # Panics
/// When the server takes everything and keeps it, or loses some of it.
pub fn greedy(mut stream: TcpStream, mut meanwhile: impl FnMut()) {
    const ENOUGH: usize = 1 << 26;
    stream.set_nonblocking(true).expect("fcntl");
    let (mut sent, mut refused) = (0, 0);
    while refused < 20 {
        match stream.write(&[b'x'; 65536]) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => refused += 1,
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
        meanwhile();
        assert!(sent < ENOUGH, "the server takes everything and keeps it");
    }
    stream.set_nonblocking(false).expect("fcntl");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    let mut back = Vec::new();
    stream.read_to_end(&mut back).expect("the answers come");
    assert_eq!(back.len(), sent);
}
