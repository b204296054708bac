//! What client and server say to each other.

use std::fmt;

// ANCHOR: wire
/// The size of every message: the type, four bytes in network order, then 1024 bytes, which are zero where they are not
/// used. A PING begins 00 00 00 01.
pub const LENGTH: usize = 4 + 1024;

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ping = 1,
    Pong = 2,
    Type1 = 11,
    Type2 = 21,
}
// ANCHOR_END: wire

/// A type that is none of those.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown message type ({0})")]
pub struct UnknownType(pub u32);

/// A message of this type, its 1024 bytes not used.
pub fn message(kind: Kind) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    message[..4].copy_from_slice(&(kind as u32).to_be_bytes());
    message
}

impl Kind {
    /// The type of a message that has arrived whole.
    pub fn of(message: &[u8; LENGTH]) -> Result<Self, UnknownType> {
        let [a, b, c, d, ..] = *message;
        match u32::from_be_bytes([a, b, c, d]) {
            1 => Ok(Kind::Ping),
            2 => Ok(Kind::Pong),
            11 => Ok(Kind::Type1),
            21 => Ok(Kind::Type2),
            unknown => Err(UnknownType(unknown)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Kind::Ping => "MSG_PING",
            Kind::Pong => "MSG_PONG",
            Kind::Type1 => "MSG_TYPE1",
            Kind::Type2 => "MSG_TYPE2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e3_network_order_and_no_leftovers() {
        for (kind, first) in [
            (Kind::Ping, 1),
            (Kind::Pong, 2),
            (Kind::Type1, 11),
            (Kind::Type2, 21),
        ] {
            let message = message(kind);
            assert_eq!(message[..4], [0, 0, 0, first]);
            assert_eq!(message[4..], [0; 1024]);
            assert_eq!(Kind::of(&message), Ok(kind));
        }
        let mut host_order = [0; LENGTH];
        host_order[0] = 2;
        assert_eq!(Kind::of(&host_order), Err(UnknownType(0x0200_0000)));
    }
}
