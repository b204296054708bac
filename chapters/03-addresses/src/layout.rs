//! The five address formats as the C headers declare them: sizes, fields, offsets.

use std::mem::{offset_of, size_of};

/// How a field's bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A number in the order of this machine's processor.
    Host,
    /// A number with its most significant byte first: network byte order.
    Network,
    /// Bytes without an order.
    Bytes,
}

/// One field of a structure.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub offset: usize,
    pub width: usize,
    pub reading: Reading,
}

/// A structure of `<sys/socket.h>`, `<netinet/in.h>` or `<sys/un.h>`.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub name: &'static str,
    pub size: usize,
    pub fields: &'static [Field],
}

// ANCHOR: layout
/// The width of a field, found without a value of its structure.
const fn width_of<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layout {
    ($name:ident { $($field:ident: $reading:ident),* }) => {
        Layout {
            name: stringify!($name),
            size: size_of::<libc::$name>(),
            fields: &[$(Field {
                name: stringify!($field),
                offset: offset_of!(libc::$name, $field),
                width: width_of::<libc::$name, _>(|address| &address.$field),
                reading: Reading::$reading,
            }),*],
        }
    };
}

pub const SOCKADDR: Layout = layout!(sockaddr {
    sa_family: Host,
    sa_data: Bytes
});
pub const SOCKADDR_IN: Layout = layout!(sockaddr_in {
    sin_family: Host,
    sin_port: Network,
    sin_addr: Network,
    sin_zero: Bytes
});
pub const SOCKADDR_IN6: Layout = layout!(sockaddr_in6 {
    sin6_family: Host,
    sin6_port: Network,
    sin6_flowinfo: Network,
    sin6_addr: Network,
    sin6_scope_id: Host
});
pub const SOCKADDR_UN: Layout = layout!(sockaddr_un {
    sun_family: Host,
    sun_path: Bytes
});
pub const SOCKADDR_STORAGE: Layout = layout!(sockaddr_storage { ss_family: Host });
// ANCHOR_END: layout

/// All of them, the generic one first.
pub const ALL: [Layout; 5] = [
    SOCKADDR,
    SOCKADDR_IN,
    SOCKADDR_IN6,
    SOCKADDR_UN,
    SOCKADDR_STORAGE,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the C headers on Linux, for every architecture: they are part of the kernel's interface.
    #[test]
    fn sizes_and_offsets_are_those_of_the_headers() {
        assert_eq!(ALL.map(|layout| layout.size), [16, 16, 28, 110, 128]);
        let offsets = |layout: Layout| {
            layout
                .fields
                .iter()
                .map(|f| (f.offset, f.width))
                .collect::<Vec<_>>()
        };
        assert_eq!(offsets(SOCKADDR), [(0, 2), (2, 14)]);
        assert_eq!(offsets(SOCKADDR_IN), [(0, 2), (2, 2), (4, 4), (8, 8)]);
        assert_eq!(
            offsets(SOCKADDR_IN6),
            [(0, 2), (2, 2), (4, 4), (8, 16), (24, 4)]
        );
        assert_eq!(offsets(SOCKADDR_UN), [(0, 2), (2, 108)]);
    }
}
