//! The kernel's table of TCP sockets as text: /proc/net/tcp and /proc/net/tcp6, proc(5).

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use common::{Call, CallError};

/// The kernel's numbers, include/net/tcp_states.h, from 1. The names are those of RFC 9293.
const STATES: [&str; 12] = [
    "ESTABLISHED",
    "SYN-SENT",
    "SYN-RECEIVED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "CLOSED",
    "CLOSE-WAIT",
    "LAST-ACK",
    "LISTEN",
    "CLOSING",
    "SYN-RECEIVED",
];
/// The kernel's number for the timer that ends TIME-WAIT.
const TIMER_TIME_WAIT: u8 = 3;
/// Times in /proc are in hundredths of a second: USER_HZ, the same on every machine that Rust knows but Alpha.
const TICK: Duration = Duration::from_millis(10);

/// One end of a connection, or a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    pub local: SocketAddr,
    /// Port 0 for a listener.
    pub remote: SocketAddr,
    pub state: &'static str,
    /// How long TIME-WAIT still lasts.
    pub left: Option<Duration>,
    /// The socket's own number; 0 where no process has it any more.
    inode: u64,
}

/// The sockets with this port, at whichever end, in the order of their addresses.
pub fn on_port(port: u16) -> Result<Vec<Socket>, CallError> {
    let mut sockets = Vec::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue, // a kernel without IPv6
            text => text.call(format_args!("read {path}"))?,
        };
        sockets.extend(text.lines().skip(1).filter_map(parse));
    }
    sockets.retain(|socket| socket.local.port() == port || socket.remote.port() == port);
    // The end with the port first: it is the server's.
    sockets.sort_by_key(|socket| {
        (
            socket.local.port() != port,
            socket.local,
            socket.remote,
            socket.state,
            socket.inode,
        )
    });
    // The kernel lists them piece by piece. What changes meanwhile may be listed twice, or not at all.
    sockets.dedup_by_key(|socket| (socket.local, socket.remote, socket.state, socket.inode));
    Ok(sockets)
}

// ANCHOR: parse
/// `0: 0100007F:A8CB 00000000:0000 0A 00000000:00000000 00:00000000 …`: number, local and remote address, state, queues,
/// which timer runs and how long still, retransmissions, owner, probes, inode.
fn parse(line: &str) -> Option<Socket> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = usize::from_str_radix(fields.next()?, 16).ok()?;
    let (timer, left) = fields.nth(1)?.split_once(':')?;
    let left = u32::from_str_radix(left, 16).ok()?;
    let inode = fields.nth(3)?.parse().ok()?;
    let waits = u8::from_str_radix(timer, 16).ok()? == TIMER_TIME_WAIT;
    Some(Socket {
        local,
        remote,
        state: STATES.get(state.checked_sub(1)?)?,
        left: waits.then_some(TICK * left),
        inode,
    })
}

/// The address stands there as the processor reads its bytes in groups of four: on most machines the last byte first.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let group = |start: usize| {
        let group = u32::from_str_radix(ip.get(start..start + 8)?, 16).ok()?;
        Some(group.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(group(0)?).into(),
        _ => {
            let groups = [group(0)?, group(8)?, group(16)?, group(24)?];
            let bytes: [u8; 16] = groups.concat().try_into().ok()?;
            Ipv6Addr::from(bytes).to_canonical()
        }
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}
// ANCHOR_END: parse

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel_are_read() {
        let listener = "   0: 0100007F:A8CB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        let listener = parse(listener).unwrap();
        assert_eq!(
            (listener.local.to_string(), listener.remote.port()),
            ("127.0.0.1:43211".into(), 0)
        );
        assert_eq!(
            (listener.state, listener.left, listener.inode),
            ("LISTEN", None, 4711)
        );

        let waiting = "   1: 00000000000000000000000001000000:9C40 00000000000000000000000001000000:A8CB 06 \
                       00000000:00000000 03:00001770 00000000     0        0 0 3 0";
        let waiting = parse(waiting).unwrap();
        assert_eq!(
            (waiting.local.to_string(), waiting.remote.to_string()),
            ("[::1]:40000".into(), "[::1]:43211".into())
        );
        assert_eq!(
            (waiting.state, waiting.left),
            ("TIME-WAIT", Some(Duration::from_secs(60)))
        );
    }

    #[test]
    fn garbage_is_no_line() {
        for line in [
            "",
            "0: x",
            "0: 0100007F:A8CB 00000000:0000 00 0:0 00:0",
            "0: 0100007F 0 0",
            "0: \u{7f}é:1 é:1 1 1 1:1",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
