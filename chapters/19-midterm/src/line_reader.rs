//! Commands out of a stream, with a limit: a stranger decides how long a line is, not how much memory it takes.

/// The longest command, without the end of its line: a path of PATH_MAX bytes, limits.h(0p), and the word before it.
pub const LONGEST: usize = 4096 + 16;

/// A line that has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The line, without its LF or CR LF.
    Whole(Vec<u8>),
    /// It was longer than [`LONGEST`]. None of it has been kept.
    TooLong,
}

// ANCHOR: line_reader
/// Cuts what comes into lines. A line ends with LF, as our client sends it, or CR LF, as telnet(1) does.
#[derive(Debug, Default)]
pub struct LineReader {
    line: Vec<u8>,
    too_long: bool,
}

impl LineReader {
    /// Takes the next byte, and gives out the line that it ends. A line that is too long is passed over to its end: the
    /// next one is found where it begins.
    pub fn push(&mut self, byte: u8) -> Option<Line> {
        if byte == b'\n' {
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Some(
                match std::mem::take(&mut self.too_long) || line.len() > LONGEST {
                    true => Line::TooLong,
                    false => Line::Whole(line),
                },
            );
        }
        // One byte more than a line may have: it could be the CR.
        self.too_long |= self.line.len() > LONGEST;
        match self.too_long {
            true => self.line.clear(),
            false => self.line.push(byte),
        }
        None
    }

    /// Whether a line has begun that has not ended.
    pub fn in_a_line(&self) -> bool {
        self.too_long || !self.line.is_empty()
    }
}
// ANCHOR_END: line_reader

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(stream: &[u8]) -> Vec<Line> {
        let mut reader = LineReader::default();
        stream
            .iter()
            .filter_map(|&byte| reader.push(byte))
            .collect()
    }

    #[test]
    fn lines_end_with_lf_or_crlf() {
        let whole = |line: &[u8]| Line::Whole(line.to_vec());
        let expected = [whole(b"pwd"), whole(b"ls"), whole(b""), whole(b"a\rb")];
        assert_eq!(lines(b"pwd\nls\r\n\r\na\rb\nunfinished"), expected);
    }

    /// The longest line that fits is whole, with either end; one byte more is too long, and costs only that line.
    #[test]
    fn e3_exactly_full_line() {
        for end in [&b"\n"[..], b"\r\n"] {
            let fits = vec![b'x'; LONGEST];
            let stream = [
                &fits,
                end,
                &fits,
                b"x",
                end,
                &[b'y'; 1 << 20],
                end,
                b"ls",
                end,
            ]
            .concat();
            let expected = [
                Line::Whole(fits),
                Line::TooLong,
                Line::TooLong,
                Line::Whole(b"ls".to_vec()),
            ];
            assert_eq!(lines(&stream), expected);
        }
    }
}
