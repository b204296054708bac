//! Every answer of getaddrinfo(3) for a name and a service.

use std::ffi::{CStr, CString};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr::{null, null_mut};

use anyhow::{Context, bail};
use common::say;
use nix::sys::socket::{SockaddrIn, SockaddrIn6};

/// Prints all addresses of a name, and the port of a service
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name or address of a host
    name: String,
    /// Name of a service (http) or port
    service: Option<String>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub address: SocketAddr,
    pub kind: &'static str,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(service) = &args.service {
        match port_of(service)? {
            Some(port) => say!("service {service}/tcp: port {port}")?,
            None if service.parse::<u16>().is_ok() => {}
            None => say!("service {service}/tcp: not in /etc/services")?,
        }
    }
    for answer in resolve(&args.name, args.service.as_deref())? {
        say!("{} {}", answer.kind, answer.address)?;
    }
    Ok(())
}

// ANCHOR: getaddrinfo
/// All answers, in the order of the library: the order in which a client should try them (RFC 6724).
pub fn resolve(name: &str, service: Option<&str>) -> anyhow::Result<Vec<Answer>> {
    let what = || format!("resolve {name}");
    // glibc takes a number of any size for a port, and keeps its last 16 bits.
    let digits = |service: &&str| service.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(port) = service.filter(digits) {
        port.parse::<u16>()
            .with_context(|| format!("not a port: {port:?}"))?;
    }
    let name = CString::new(name).with_context(what)?;
    let service = service.map(CString::new).transpose().with_context(what)?;
    let service = service.as_ref().map_or(null(), |service| service.as_ptr());
    let mut list: *mut libc::addrinfo = null_mut();
    // SAFETY: two strings that end in NUL (or none), no hints, and a place for the list.
    let outcome = unsafe { libc::getaddrinfo(name.as_ptr(), service, null(), &mut list) };
    if outcome != 0 {
        // SAFETY: the message is a string of the library's that stays.
        let message = unsafe { CStr::from_ptr(libc::gai_strerror(outcome)) };
        bail!("{}: {}", what(), message.to_string_lossy());
    }
    let mut answers = Vec::new();
    let mut next = list;
    // SAFETY: each entry is valid until the list is given back, and the last one's `ai_next` is null.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: the library says how long this address is by its family.
        answers.extend(unsafe { answer(entry) });
        next = entry.ai_next;
    }
    // SAFETY: it is the list that we were given, and nothing of it is kept.
    unsafe { libc::freeaddrinfo(list) };
    Ok(answers)
}
// ANCHOR_END: getaddrinfo

/// # Safety
/// `entry` must be one that getaddrinfo has made.
unsafe fn answer(entry: &libc::addrinfo) -> Option<Answer> {
    let address = match entry.ai_family {
        // SAFETY: by the family this is a sockaddr_in, and the caller says that it is whole.
        libc::AF_INET => SocketAddr::V4(SocketAddrV4::from(SockaddrIn::from(unsafe {
            *entry.ai_addr.cast::<libc::sockaddr_in>()
        }))),
        // SAFETY: the same for sockaddr_in6.
        libc::AF_INET6 => SocketAddr::V6(SocketAddrV6::from(SockaddrIn6::from(unsafe {
            *entry.ai_addr.cast::<libc::sockaddr_in6>()
        }))),
        _ => return None,
    };
    let kind = match entry.ai_socktype {
        libc::SOCK_STREAM => "stream  ",
        libc::SOCK_DGRAM => "datagram",
        _ => "raw     ",
    };
    Some(Answer { address, kind })
}

// ANCHOR: getservbyname
/// The port of a service over TCP, by getservbyname(3): the machine's table of well-known ports, services(5).
fn port_of(service: &str) -> anyhow::Result<Option<u16>> {
    let service = CString::new(service).context("the service")?;
    // SAFETY: two strings that end in NUL. The entry returned is the library's own, and this program has one thread.
    let entry = unsafe { libc::getservbyname(service.as_ptr(), c"tcp".as_ptr()).as_ref() };
    // The field is an int that holds a port in network byte order: only its first two bytes count.
    Ok(entry.map(|entry| u16::from_be(entry.s_port as u16)))
}
// ANCHOR_END: getservbyname
