//! Binary data made printable.

use std::fmt;

/// Shows bytes as text: what is printable UTF-8 as it is, everything else escaped (`\0`, `\n`, `\xff`). Nothing is cut.
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
                    character if character.is_control() => {
                        write!(f, "\\x{:02x}", character as u32)?
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        assert_eq!(printable("data1 数据".as_bytes()).to_string(), "data1 数据");
        assert_eq!(
            printable(b"a\0b\r\n\x1b[0m\xff").to_string(),
            r"a\0b\r\n\x1b[0m\xff"
        );
    }
}
