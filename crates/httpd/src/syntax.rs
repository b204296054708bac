//! Which bytes may stand where. Everything that is not expressly allowed is refused: RFC 9110 section 5.5 and 5.6.2,
//! RFC 3986 section 2 and 3.2.2.

/// A byte of a method or of a field's name, RFC 9110 section 5.6.2.
pub(crate) const TOKEN: u8 = 1;
/// A byte of a host that is not an address in brackets, but for the percent sign: RFC 3986 section 3.2.2.
pub(crate) const HOST: u8 = 2;
/// A byte of a path that needs no percent-encoding wherever it stands, RFC 3986 section 3.3.
pub(crate) const PATH: u8 = 4;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0x21u8;
    while byte < 0x7f {
        let alphanumeric = byte.is_ascii_alphanumeric();
        let unreserved = alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let sub_delimiter = matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        let mut class = 0;
        if unreserved
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|'
            )
        {
            class |= TOKEN;
        }
        if unreserved || sub_delimiter {
            class |= HOST;
        }
        if unreserved {
            class |= PATH;
        }
        classes[byte as usize] = class;
        byte += 1;
    }
    classes
};

#[inline(always)]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// How many bytes from the start on belong to the class.
#[inline(always)]
pub(crate) fn span(bytes: &[u8], class: u8) -> usize {
    let end = bytes.iter().position(|&byte| !is(byte, class));
    end.unwrap_or(bytes.len())
}

/// A byte in all eight places of a word.
const fn all(byte: u8) -> u64 {
    u64::MAX / 255 * byte as u64
}

/// The high bit of each byte that equals `byte`. A byte above one that was found may be marked as well, by the borrow: only
/// the lowest mark counts.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ all(byte);
    zero.wrapping_sub(all(1)) & !zero
}

/// The high bit of each byte that is less than `byte`, which is at most 0x80; with the same restriction.
#[inline(always)]
fn less(word: u64, byte: u8) -> u64 {
    word.wrapping_sub(all(byte)) & !word
}

/// How many bytes from the start on are not marked by `marks`; eight at a time, as that is what most of a request goes by.
#[inline(always)]
fn span_of_words(bytes: &[u8], marks: impl Fn(u64) -> u64) -> usize {
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk() {
        let marks = marks(u64::from_le_bytes(*eight)) & all(0x80);
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let marked = |&byte: &u8| marks(u64::from(byte) | all(b'a') << 8) & 0x80 != 0;
    let end = bytes[at..].iter().position(marked);
    at + end.unwrap_or(bytes.len() - at)
}

/// How many bytes from the start on may stand in a field's value: no control characters but the tab.
#[inline(always)]
pub(crate) fn span_of_value(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += span_of_words(&bytes[at..], |word| less(word, 0x20) | equal(word, 0x7f));
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// How many bytes from the start on may stand in a field's name. Nearly all of them are letters.
#[inline(always)]
pub(crate) fn span_of_token(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += span_of_words(&bytes[at..], |word| {
            let lower = word | all(0x20);
            // Above `z`, the high bit is reached by an addition. Without high bits to begin with there is no carry.
            less(lower, b'a') | lower.wrapping_add(all(0x7f - b'z')) | word
        });
        match bytes.get(at) {
            Some(&byte) if is(byte, TOKEN) => at += 1,
            _ => return at,
        }
    }
}

/// How many bytes from the start on may stand in a path: visible ASCII but `?` and `#`.
#[inline(always)]
pub(crate) fn span_of_path(bytes: &[u8]) -> usize {
    span_of_words(bytes, |word| {
        less(word, 0x21) | equal(word, 0x7f) | equal(word, b'?') | equal(word, b'#') | word
    })
}

/// Takes optional white space off both ends, RFC 9110 section 5.6.3.
#[inline(always)]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a list, RFC 9110 section 5.6.1, empty ones included. For lists whose elements contain no comma.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// A decimal number: digits only, and no overflow.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The value of a hexadecimal digit.
pub(crate) fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Percent-decoding, RFC 3986 section 2.1. `None` if an escape is not one.
#[cold]
pub(crate) fn unescape(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        plain.push(match byte {
            b'%' => hexadecimal(rest.next()?)? << 4 | hexadecimal(rest.next()?)?,
            byte => byte,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_at_each_control_character_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    let control = byte != b'\t' && byte.is_ascii_control();
                    let expected = if control { at } else { length };
                    assert_eq!(
                        span_of_value(&bytes),
                        expected,
                        "{byte} at {at} of {length}"
                    );
                }
            }
        }
        assert_eq!(span_of_value(b"a\tb\x7f\x80\xff"), 3);
        assert_eq!(span_of_value(b"\xff\x80\t\t\t\t\t\t\0"), 8);
    }

    #[test]
    fn a_path_ends_at_everything_that_is_not_visible_or_has_a_meaning() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    let stops = !byte.is_ascii_graphic() || matches!(byte, b'?' | b'#');
                    let expected = if stops { at } else { length };
                    assert_eq!(span_of_path(&bytes), expected, "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_token_ends_at_the_first_byte_that_the_table_does_not_name() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'Z'; length];
                    bytes[at] = byte;
                    assert_eq!(span_of_token(&bytes), span(&bytes, TOKEN), "{byte} at {at}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"18446744073709551616",
            b"+1",
            b"-1",
            b"0x1",
            b"1 ",
        ] {
            assert_eq!(decimal(bad), None);
        }
    }
}
