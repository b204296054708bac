//! What `lsof -i` chooses: `:8080`, `tcp:8080`, `6udp:53`, `4tcp`.

use crate::tables::Internet;

/// What -i chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    v6: Option<bool>,
    tcp: Option<bool>,
    port: Option<u16>,
}

impl Wanted {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut kind, port) = match text.split_once(':') {
            Some((kind, port)) => (
                kind,
                Some(port.parse().map_err(|_| format!("not a port: {port}"))?),
            ),
            None => (text, None),
        };
        let mut v6 = None;
        for (digit, six) in [("4", false), ("6", true)] {
            if let Some(rest) = kind.strip_prefix(digit) {
                (kind, v6) = (rest, Some(six));
            }
        }
        let tcp = match kind.to_ascii_lowercase().as_str() {
            "tcp" => Some(true),
            "udp" => Some(false),
            "" if v6.is_some() || port.is_some() => None,
            _ => return Err("write :PORT, tcp:PORT, udp:PORT, 4tcp or 6udp:PORT".into()),
        };
        Ok(Self { v6, tcp, port })
    }

    /// Whether either end of a socket has the port.
    pub fn fits(&self, socket: &Internet) -> bool {
        let (tcp, v6) = (
            socket.protocol.starts_with("tcp"),
            socket.protocol.ends_with('6'),
        );
        let ports = [socket.local.port(), socket.remote.port()];
        self.v6.is_none_or(|wanted| wanted == v6)
            && self.tcp.is_none_or(|wanted| wanted == tcp)
            && self.port.is_none_or(|wanted| ports.contains(&wanted))
    }
}
