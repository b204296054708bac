//! Lines that end with CR, LF or CR LF.

// ANCHOR: lines
/// Cuts a stream into lines, byte by byte. A line ends with CR, with LF, or with CR LF.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    /// The last byte was a CR. It has ended its line; an LF right after it belongs to that end.
    after_cr: bool,
}

impl Lines {
    /// Takes the next byte, and gives out the line that it ends. After a CR nobody knows yet
    /// whether an LF follows, and it may never come: so the line is given out at once, and the
    /// LF is dropped when it does come.
    pub fn push(&mut self, byte: u8) -> Option<Vec<u8>> {
        let second_half = self.after_cr && byte == b'\n';
        self.after_cr = byte == b'\r';
        match byte {
            b'\n' if second_half => None,
            b'\r' | b'\n' => Some(std::mem::take(&mut self.line)),
            _ => {
                self.line.push(byte);
                None
            }
        }
    }

    /// Forgets what the last byte was: an LF now ends a line of its own.
    pub fn forget(&mut self) {
        self.after_cr = false;
    }

    /// How much of a line has come that no byte has ended yet.
    pub fn unfinished(&self) -> usize {
        self.line.len()
    }
}
// ANCHOR_END: lines

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(stream: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let mut lines = Lines::default();
        let cut = stream.iter().filter_map(|&byte| lines.push(byte)).collect();
        (cut, lines.unfinished())
    }

    #[test]
    fn each_ending_ends_one_line() {
        let lines = |stream: &[u8]| cut(stream).0;
        assert_eq!(lines(b"a\rb\nc\r\nd\r\n"), [b"a", b"b", b"c", b"d"]);
        assert_eq!(lines(b"\r\n\r\n"), [b"", b""]);
        assert_eq!(lines(b"\r\r"), [b"", b""]);
        assert_eq!(lines(b"\n\r"), [b"", b""]);
        assert_eq!(lines(b"\n\n"), [b"", b""]);
        assert_eq!(cut(b"a\r\nbc"), (vec![b"a".to_vec()], 2));
    }

    #[test]
    fn a_line_is_given_out_with_its_cr() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b'a'), None);
        assert_eq!(lines.push(b'\r'), Some(b"a".to_vec()));
        assert_eq!(lines.push(b'\n'), None);
        assert_eq!(lines.push(b'\n'), Some(Vec::new()));
    }
}
