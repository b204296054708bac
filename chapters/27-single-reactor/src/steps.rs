//! What lies between reading and writing. Nothing here knows of sockets, or of the loop.

use std::sync::{Arc, Mutex, PoisonError};

use midterm::commands::{Answer, Shell};
use midterm::line_reader::{LONGEST, Line, LineReader};
use midterm::reply::frame;

/// A client's place, or all clients' one place. The lock is always free: everything here is one thread.
pub type Place = Arc<Mutex<Shell>>;

// ANCHOR: steps
/// Cuts the next line out of what was read, and says how many bytes that took: all of them where no line ends.
pub fn decode(lines: &mut LineReader, bytes: &[u8]) -> (usize, Option<Line>) {
    for (taken, &byte) in (1..).zip(bytes) {
        if let Some(line) = lines.push(byte) {
            return (taken, Some(line));
        }
    }
    (bytes.len(), None)
}

/// Does what a line asks for.
pub fn compute(place: &anyhow::Result<Place>, line: &Line) -> Answer {
    match (place, line) {
        (Ok(place), Line::Whole(line)) => {
            let mut shell = place.lock().unwrap_or_else(PoisonError::into_inner);
            shell.run(line)
        }
        (Ok(_), Line::TooLong) => {
            Answer::Reply(format!("error: a command has {LONGEST} bytes at most\n").into())
        }
        // There was no descriptor left for its directory.
        (Err(error), _) => Answer::Reply(format!("error: {error:#}\n").into()),
    }
}

/// The bytes of an answer; `None` is a goodbye.
pub fn encode(answer: &Answer) -> Option<Vec<u8>> {
    match answer {
        Answer::Reply(body) => Some(frame(body)),
        Answer::Quit => None,
    }
}
// ANCHOR_END: steps

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps need no server to be tried.
    #[test]
    fn a_line_is_decoded_from_any_pieces() {
        let mut lines = LineReader::default();
        assert_eq!(decode(&mut lines, b"pw"), (2, None));
        let (taken, line) = decode(&mut lines, b"d\r\nls\n");
        assert_eq!((taken, line), (3, Some(Line::Whole(b"pwd".to_vec()))));
    }

    #[test]
    fn an_answer_is_encoded() {
        let no_place = Err(anyhow::anyhow!("no descriptor"));
        let answer = compute(&no_place, &Line::Whole(b"pwd".to_vec()));
        let bytes = encode(&answer).unwrap();
        assert_eq!(bytes, b"21\nerror: no descriptor\n");
        assert_eq!(encode(&Answer::Quit), None);
    }
}
