//! Which bytes may stand where. Everything that is not expressly allowed is refused: RFC 9110 section 5.5 and 5.6.2,
//! RFC 3986 section 2 and 3.2.2.

/// A byte of a method or of a field's name, RFC 9110 section 5.6.2.
pub(crate) const TOKEN: u8 = 1;
/// A byte of a host that is not an address in brackets, but for the percent sign: RFC 3986 section 3.2.2.
pub(crate) const HOST: u8 = 2;
/// A byte of a path that needs no percent-encoding wherever it stands, RFC 3986 section 3.3.
pub(crate) const PLAIN: u8 = 4;
/// A byte of a request target that does not end its path: visible ASCII but `?` and `#`. Browsers send more than RFC 3986
/// allows.
pub(crate) const PATH: u8 = 8;
/// A byte of a field's value: no control character but the tab, RFC 9110 section 5.5.
pub(crate) const VALUE: u8 = 16;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = classes_of(byte as u8);
        byte += 1;
    }
    classes
};

const fn classes_of(byte: u8) -> u8 {
    let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let token = plain || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'^' | b'`' | b'|');
    let host = plain || matches!(byte, b'!' | b'$' | b'&'..=b',' | b';' | b'=');
    let path = byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    let value = byte == b'\t' || !byte.is_ascii_control();
    token as u8 * TOKEN
        + host as u8 * HOST
        + plain as u8 * PLAIN
        + path as u8 * PATH
        + value as u8 * VALUE
}

/// Does it belong to the class?
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

/// How many bytes from the start on may stand in a field's value. Values are most of what a browser sends: eight bytes are
/// looked at together, without a branch, as long as none of them ends it.
#[inline]
pub(crate) fn span_of_value(bytes: &[u8]) -> usize {
    let ends = |byte: u8| (byte < 0x20) & (byte != b'\t') | (byte == 0x7f);
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk::<8>()
        && !eight.iter().fold(false, |any, &byte| any | ends(byte))
    {
        at += 8;
    }
    at + span(&bytes[at..], VALUE)
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

    /// Word for word: RFC 9110 section 5.5 and 5.6.2, RFC 3986 section 2.2, 2.3 and 3.2.2.
    #[test]
    fn the_classes_are_those_of_the_grammar() {
        for byte in 0..=255u8 {
            let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let value = (0x20..0x7f).contains(&byte) || byte >= 0x80 || byte == b'\t';
            let path = (0x21..0x7f).contains(&byte) && byte != b'?' && byte != b'#';
            assert_eq!(is(byte, PLAIN), unreserved, "{byte}");
            assert_eq!(
                is(byte, HOST),
                unreserved || b"!$&'()*+,;=".contains(&byte),
                "{byte}"
            );
            assert_eq!(is(byte, TOKEN), token, "{byte}");
            assert_eq!(is(byte, VALUE), value, "{byte}");
            assert_eq!(is(byte, PATH), path, "{byte}");
        }
    }

    #[test]
    fn a_value_ends_at_each_control_character_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    assert_eq!(span_of_value(&bytes), span(&bytes, VALUE), "{byte} at {at}");
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
