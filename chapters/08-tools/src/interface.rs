//! Questions about network interfaces: netdevice(7), getifaddrs(3).

use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use common::address::from_kernel;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc;

/// One question about an interface, netdevice(7): the name goes in, the answer comes back in the same structure.
pub fn ask(any: &OwnedFd, name: &str, question: libc::c_ulong) -> Result<libc::ifreq, CallError> {
    // SAFETY: struct ifreq is plain old data; all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero: it ends the name.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the questions asked here read the name and write the union of this struct ifreq, which outlives the call.
    let outcome = unsafe { libc::ioctl(any.as_raw_fd(), question as _, &mut request) };
    Errno::result(outcome).call(format_args!("ioctl {name}"))?;
    Ok(request)
}

/// The addresses of an interface, and of its aliases (eth0:1).
pub fn addresses(name: &str) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for found in getifaddrs().call("getifaddrs")? {
        if found.interface_name.split(':').next() != Some(name) {
            continue;
        }
        let ip = |address: Option<_>| {
            address
                .as_ref()
                .and_then(from_kernel)
                .map(|address| address.ip())
        };
        let mask = ip(found.netmask);
        match ip(found.address) {
            Some(IpAddr::V4(address)) => {
                // The kernel gives a broadcast address or the other end of a point-to-point link in the same place.
                let broadcast = ip(found.broadcast).map(|to| format!("  Bcast:{to}"));
                let mask = mask.map_or(String::new(), |mask| format!("  Mask:{mask}"));
                lines.push(format!(
                    "inet addr:{address}{}{mask}",
                    broadcast.unwrap_or_default()
                ));
            }
            Some(IpAddr::V6(address)) => {
                let prefix = match mask {
                    Some(IpAddr::V6(mask)) => mask.to_bits().leading_ones(),
                    _ => 128,
                };
                let scope = match address {
                    address if address.is_loopback() => "Host",
                    address if address.is_unicast_link_local() => "Link",
                    _ => "Global",
                };
                lines.push(format!("inet6 addr: {address}/{prefix} Scope:{scope}"));
            }
            None => {}
        }
    }
    Ok(lines)
}
