//! The ICMP message that ping sends and hears, the echo: RFC 792, RFC 4443 section 4, and its checksum.

/// Types of the echo. The same message with other numbers in the two families.
pub const fn echo_types(v6: bool) -> (u8, u8) {
    if v6 { (128, 129) } else { (8, 0) }
}

// ANCHOR: request
/// Type, code, checksum, identifier, sequence number, data.
pub fn echo_request(v6: bool, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    let mut message = vec![echo_types(v6).0, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(data);
    // The kernel computes it for ICMPv6, where the addresses are part of the sum, and for datagram sockets.
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}
// ANCHOR_END: request

// ANCHOR: checksum
/// The Internet checksum, RFC 1071: the ones' complement of the ones' complement sum of all 16-bit words. Over a message
/// whose checksum field is right it is 0.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let sum: u64 = words
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    let mut folded = sum;
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    !(folded as u16)
}
// ANCHOR_END: checksum

/// The sequence number, identifier and data of an echo reply. `None` for any other message.
pub fn echo_reply(v6: bool, message: &[u8]) -> Option<(u16, u16, &[u8])> {
    let &[kind, _, _, _, i, j, s, t, ref data @ ..] = message else {
        return None;
    };
    let numbers = (u16::from_be_bytes([s, t]), u16::from_be_bytes([i, j]));
    (kind == echo_types(v6).1).then_some((numbers.0, numbers.1, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        for data in [&b""[..], b"1", b"12", &[0xff; 1001]] {
            let message = echo_request(false, 1, 2, data);
            assert_eq!(checksum(&message), 0);
            assert_eq!(&message[..2], [8, 0]);
            assert_eq!(echo_reply(false, &message), None);
        }
        // The example of RFC 1071, section 3.
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&example), !0xddf2);
    }

    #[test]
    fn a_short_message_is_no_reply() {
        assert_eq!(echo_reply(false, &[0; 7]), None);
        assert_eq!(
            echo_reply(true, &[129, 0, 0, 0, 0, 1, 0, 2, 9]),
            Some((2, 1, &[9][..]))
        );
    }
}
