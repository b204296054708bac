//! Bytes of text: binary data made printable, and rot13.

use std::fmt;

/// Shows bytes as text: what is printable UTF-8 as it is, everything else escaped (`\0`, `\n`, `\xff`, `\u{85}`). Nothing is
/// cut.
pub fn printable(bytes: &[u8]) -> Printable<'_> {
    Printable(bytes)
}

/// The result of [`printable`].
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(&'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\0' => f.write_str("\\0")?,
                    '\n' | '\r' | '\t' => write!(f, "{}", character.escape_default())?,
                    character if character.is_ascii_control() => {
                        write!(f, "\\x{:02x}", character as u32)?
                    }
                    // Two bytes of UTF-8: not \x85, which is one byte.
                    character if character.is_control() => {
                        write!(f, "{}", character.escape_unicode())?
                    }
                    character => write!(f, "{character}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// What the course's servers of part 3 answer: each Latin letter moved by 13 places, all other bytes as they are. Done
/// twice, it gives the text back. The answer is as long as the request.
pub fn rot13(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        other => other,
    }
}

/// A line without its end, be it LF or CR LF: where it is shown, the output has an end of its own.
pub fn without_end(line: &[u8]) -> &[u8] {
    let end = [&b"\r\n"[..], b"\n"];
    let rest = end.iter().find_map(|end| line.strip_suffix(*end));
    rest.unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rot13_twice_is_nothing() {
        let rotated: Vec<u8> = b"Hello, World 13\xff".iter().copied().map(rot13).collect();
        assert_eq!(rotated, b"Uryyb, Jbeyq 13\xff");
        assert!((0..=255).all(|byte| rot13(rot13(byte)) == byte));
    }

    #[test]
    fn nothing_is_lost() {
        assert_eq!(printable("data1 数据".as_bytes()).to_string(), "data1 数据");
        assert_eq!(printable(b"\xc2\x85\x85").to_string(), r"\u{85}\x85");
        assert_eq!(
            printable(b"a\0b\r\n\x1b[0m\xff").to_string(),
            r"a\0b\r\n\x1b[0m\xff"
        );
    }

    #[test]
    fn one_end_is_taken_off_a_line() {
        for (line, rest) in [
            ("a\r\n", "a"),
            ("a\n", "a"),
            ("a\n\n", "a\n"),
            ("a\r", "a\r"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(without_end(line.as_bytes()), rest.as_bytes());
        }
    }
}
