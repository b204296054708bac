//! What comes back on a connection: where does an answer end, and is it one?

use std::ops::Range;

use memchr::memmem;

/// The longest head of an answer that is still believed to be one.
const LONGEST_HEAD: usize = 64 * 1024;

/// Recognises answers in bytes that come in any pieces. One for each connection.
pub(super) enum Answers {
    Http(HttpAnswers),
    Echo(EchoAnswers),
}

impl Answers {
    /// Takes what has come; says how many answers that completes, or what is wrong with them.
    pub(super) fn take(&mut self, input: &[u8], expected: &mut Expected) -> Result<usize, String> {
        match (self, expected) {
            (Self::Http(answers), Expected::Http(known)) => answers.take(input, known),
            (Self::Echo(answers), Expected::Echo { same, rot13 }) => {
                answers.take(input, same, rot13)
            }
            _ => Err("answers of the other protocol".into()),
        }
    }

    /// Whether an answer has come in part.
    pub(super) fn unfinished(&self) -> bool {
        match self {
            Self::Http(answers) => !answers.head.is_empty() || answers.body > 0,
            Self::Echo(answers) => answers.come > 0,
        }
    }
}

/// What all connections of a load expect.
pub(super) enum Expected {
    Http(Known),
    /// The message itself, or its rot13: the servers of lessons 25 and 26 turn it.
    Echo {
        same: Vec<u8>,
        rot13: Vec<u8>,
    },
}

/// The last head and the length of its body. Most answers have the same head as the one before: a comparison of a hundred bytes
/// in place of a parser keeps the client lean.
#[derive(Default)]
pub(super) struct Known {
    head: Vec<u8>,
    body: u64,
}

#[derive(Default)]
pub(super) struct HttpAnswers {
    /// What has come of a head whose end has not.
    head: Vec<u8>,
    /// Bytes of the body that are still to come.
    body: u64,
}

impl HttpAnswers {
    fn take(&mut self, mut input: &[u8], known: &mut Known) -> Result<usize, String> {
        let mut complete = 0;
        while !input.is_empty() {
            if self.body > 0 {
                let part = self.body.min(input.len() as u64);
                self.body -= part;
                input = &input[part as usize..];
                complete += usize::from(self.body == 0);
                continue;
            }
            let body =
                if self.head.is_empty() && !known.head.is_empty() && input.starts_with(&known.head)
                {
                    input = &input[known.head.len()..];
                    known.body
                } else {
                    // The empty line may have come in two pieces: its first three bytes are looked at again.
                    let before = self.head.len();
                    self.head.extend_from_slice(input);
                    let seam = before.saturating_sub(3);
                    let Some(end) = memmem::find(&self.head[seam..], b"\r\n\r\n") else {
                        if self.head.len() > LONGEST_HEAD {
                            return Err(format!("a head of more than {LONGEST_HEAD} bytes"));
                        }
                        break;
                    };
                    let end = seam + end + 4;
                    input = &input[end - before..];
                    self.head.truncate(end);
                    known.body = body_length(&self.head)?;
                    std::mem::swap(&mut known.head, &mut self.head);
                    self.head.clear();
                    known.body
                };
            self.body = body;
            complete += usize::from(body == 0);
        }
        Ok(complete)
    }
}

/// The length of the body that follows this head, RFC 9112 section 6. The contestants all say it by Content-Length.
fn body_length(head: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let mut words = status.split(' ');
    if !words
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."))
        || words.next() != Some("200")
    {
        return Err(format!("an answer that begins with {status:?}"));
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().to_owned())
    });
    length
        .as_deref()
        .unwrap_or_default()
        .parse()
        .map_err(|_| format!("an answer with Content-Length {length:?}"))
}

#[derive(Default)]
pub(super) struct EchoAnswers {
    /// Bytes of the message that have come back.
    come: usize,
}

impl EchoAnswers {
    fn take(&mut self, mut input: &[u8], same: &[u8], rot13: &[u8]) -> Result<usize, String> {
        let mut complete = 0;
        while !input.is_empty() {
            let part = input.len().min(same.len() - self.come);
            let range: Range<usize> = self.come..self.come + part;
            let (now, rest) = input.split_at(part);
            if now != &same[range.clone()] && now != &rot13[range.clone()] {
                return Err(format!(
                    "other bytes than the message's at {range:?} of it: {:?}",
                    String::from_utf8_lossy(&now[..part.min(40)])
                ));
            }
            input = rest;
            self.come = range.end;
            if self.come == same.len() {
                self.come = 0;
                complete += 1;
            }
        }
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\
        content-length:0\r\nServer: x\r\n\r\n";

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        for first in 0..TWO.len() {
            for second in first..TWO.len() {
                let mut expected = Expected::Http(Known::default());
                let mut answers = Answers::Http(HttpAnswers::default());
                let mut complete = 0;
                for piece in [&TWO[..first], &TWO[first..second], &TWO[second..]] {
                    complete += answers.take(piece, &mut expected).unwrap();
                }
                assert_eq!(complete, 2, "cut at {first} and {second}");
                assert!(!answers.unfinished());
            }
        }
    }

    #[test]
    fn the_same_head_again_has_a_body_again() {
        let mut expected = Expected::Http(Known::default());
        let mut answers = Answers::Http(HttpAnswers::default());
        let one = &TWO[..TWO.len() / 2];
        let answer = &one[..memmem::find(one, b"hello").unwrap() + 5];
        for _ in 0..3 {
            assert_eq!(answers.take(answer, &mut expected), Ok(1));
        }
        assert_eq!(
            answers.take(&answer[..answer.len() - 1], &mut expected),
            Ok(0)
        );
        assert!(answers.unfinished());
        assert_eq!(answers.take(b"o", &mut expected), Ok(1));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let wrong: [&[u8]; 4] = [
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"hello\r\n\r\n",
        ];
        for wrong in wrong {
            let mut expected = Expected::Http(Known::default());
            let mut answers = Answers::Http(HttpAnswers::default());
            assert!(answers.take(wrong, &mut expected).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_echo_may_be_turned_but_not_changed() {
        let mut expected = Expected::Echo {
            same: b"abc\n".into(),
            rot13: b"nop\n".into(),
        };
        let mut answers = Answers::Echo(EchoAnswers::default());
        assert_eq!(answers.take(b"abc\nno", &mut expected), Ok(1));
        assert!(answers.unfinished());
        assert_eq!(answers.take(b"p\nabc\n", &mut expected), Ok(2));
        assert!(answers.take(b"x", &mut expected).is_err());
    }
}
