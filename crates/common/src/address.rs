//! Addresses on the command line, and names turned into addresses: getaddrinfo(3).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::time::Duration;

use nix::sys::socket::SockaddrStorage;

use crate::call::{Call, CallError};

/// The port of the course's programs.
pub const PORT: u16 = 43211;

/// In seconds.
const CENTURY: u64 = 100 * 365 * 24 * 60 * 60;

/// Where a server listens: `--bind ADDRESS --port PORT`. The default is the loopback address, so that nothing outside
/// this machine reaches a program that is there to be broken.
#[derive(Debug, Clone, clap::Args)]
pub struct Listen {
    /// Local address to listen on; 0.0.0.0 or :: for all of them
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Port to listen on; 0 lets the kernel pick a free one
    #[arg(long, default_value_t = PORT)]
    pub port: u16,
}

impl Listen {
    /// The socket address to bind.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }
}

/// Whom a client talks to: `ADDR --port PORT`.
#[derive(Debug, Clone, clap::Args)]
pub struct Peer {
    /// Address or name of the server
    #[arg(value_name = "ADDR")]
    pub host: String,
    /// Port of the server
    #[arg(long, default_value_t = PORT)]
    pub port: u16,
}

impl Peer {
    /// Every address of the name, in the order of getaddrinfo(3): the order in which a client tries them. Never empty.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, CallError> {
        // [::1] is how a URL writes an IPv6 address; people paste it.
        let host = self
            .host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let addresses: Vec<_> = (host.unwrap_or(&self.host), self.port)
            .to_socket_addrs()
            .call(format_args!("resolve {}", self.host))?
            .collect();
        if addresses.is_empty() {
            let nothing = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(nothing).call(format_args!("resolve {}", self.host));
        }
        Ok(addresses)
    }

    /// The first address of the name, for a datagram client: there is no connection attempt that could tell whether
    /// another one is better.
    ///
    /// The unspecified address, which a server may have printed, means this host to connect(2) and sendto(2). The answers
    /// come from the loopback address: by any other name their sender would be a stranger.
    pub fn first(&self) -> Result<SocketAddr, CallError> {
        let mut address = self.resolve()?[0];
        match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Ok(address)
    }
}

/// The address that the kernel gave, in the standard library's type. `None` for other families (a local socket).
pub fn from_kernel(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
    })
}

/// Parses `--pause 0.2` and its like: seconds, not negative, fractions allowed. For clap's `value_parser`. The limit, a
/// century, leaves room to add them to a point in time.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_string())?;
    let seconds = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    match seconds.as_secs() > CENTURY {
        true => Err("more than a century".to_string()),
        false => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(host: &str) -> Peer {
        Peer {
            host: host.into(),
            port: 1,
        }
    }

    #[test]
    fn addresses_and_brackets_resolve() {
        assert_eq!(
            peer("127.0.0.1").first().unwrap(),
            "127.0.0.1:1".parse().unwrap()
        );
        assert_eq!(peer("::1").first().unwrap(), "[::1]:1".parse().unwrap());
        assert_eq!(peer("[::1]").first().unwrap(), "[::1]:1".parse().unwrap());
    }

    /// An unparsable name must not become localhost.
    #[test]
    fn e1_30_unknown_host_is_an_error() {
        let error = peer("no such host").resolve().unwrap_err();
        assert_eq!(error.to_string(), "resolve no such host");
    }

    #[test]
    fn seconds_are_not_negative() {
        assert_eq!(seconds("0.2"), Ok(Duration::from_millis(200)));
        assert!(seconds("-1").is_err() && seconds("soon").is_err() && seconds("1e300").is_err());
        assert!(seconds("1e15").is_err());
    }
}
