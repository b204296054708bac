//! Interfaces, addresses and routes: rtnetlink(7), and the offloads of an interface through netdevice(7).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use libc::c_int;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::attempted;
use super::netlink::{Message, attributes, request};

/// include/uapi/linux/veth.h: the attribute that describes the other end.
const VETH_INFO_PEER: u16 = 1;
/// New, and an error (`EEXIST`) when it is there already.
const CREATE: c_int = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// What a route does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Out of this interface; the destination is a neighbour.
    Device(String),
    /// Out of this interface, and a socket that has not chosen an address gets this one.
    DeviceFrom(String, IpAddr),
    /// To a router that is a neighbour.
    Gateway(IpAddr),
    /// Dropped without a word; a local sender gets `EINVAL`.
    Blackhole,
    /// Answered with ICMP host unreachable; a local sender gets `EHOSTUNREACH`.
    Unreachable,
    /// Answered with ICMP administratively prohibited; a local sender gets `EACCES`.
    Prohibit,
    /// As if this table had no route; a local sender gets `ENETUNREACH`.
    Throw,
}

/// The number of an interface (if_nametoindex(3)).
pub fn interface_index(name: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(name).map_err(attempted(format_args!("find interface {name}")))
}

/// Sets lo up; the kernel gives it 127.0.0.1 and ::1 by itself. A new namespace's lo is down.
pub fn loopback_up() -> io::Result<()> {
    set_up("lo")
}

/// Makes a pair of interfaces joined by a wire (veth(4)): `name` here, `peer_name` in another namespace. Both are down.
pub fn make_veth(name: &str, peer_name: &str, peer_namespace: BorrowedFd) -> io::Result<()> {
    let message = interface_message(libc::RTM_NEWLINK, CREATE, 0, 0, 0)
        .string(libc::IFLA_IFNAME, name)
        .nested(libc::IFLA_LINKINFO, |info| {
            info.string(libc::IFLA_INFO_KIND, "veth")
                .nested(libc::IFLA_INFO_DATA, |data| {
                    data.nested(VETH_INFO_PEER, |peer| {
                        interface_structure(peer, 0, 0, 0)
                            .string(libc::IFLA_IFNAME, peer_name)
                            .number(libc::IFLA_NET_NS_FD, peer_namespace.as_raw_fd() as u32)
                    })
                })
        });
    send(message).map_err(attempted(format_args!(
        "make the pair of interfaces {name} and {peer_name}"
    )))
}

/// Sets an interface up. A wire carries packets when both of its ends are up, see [`wait_until_running`].
pub fn set_up(name: &str) -> io::Result<()> {
    set_flag(name, libc::IFF_UP, true).map_err(attempted(format_args!("set {name} up")))
}

/// Waits until an interface not only is up but sends. Call it for both ends of a wire when both are set up.
///
/// The kernel notices later, in a work queue, that the other end is there (Documentation/networking/operstates.rst).
/// Until then it drops what is sent, and a SYN is lost for a second. `TimedOut` when the other end stays down.
pub fn wait_until_running(name: &str) -> io::Result<()> {
    const UP: u8 = 6;
    let look = || {
        // The reply is made under the lock under which the interface begins to send.
        let message = interface_message(libc::RTM_GETLINK, libc::NLM_F_ACK, index_of(name)?, 0, 0);
        let replies = request(SockProtocol::NetlinkRoute, message)?;
        let mut found = replies
            .iter()
            .flat_map(|reply| attributes(reply.get(16..).unwrap_or_default()));
        Ok(found.any(|(kind, value)| kind == libc::IFLA_OPERSTATE && value == [UP]))
    };
    wait(look).map_err(attempted(format_args!("wait until {name} sends")))
}

/// Sets an interface down. The routes through it are gone, and come not back when it is up again.
pub fn set_down(name: &str) -> io::Result<()> {
    set_flag(name, libc::IFF_UP, false).map_err(attempted(format_args!("set {name} down")))
}

/// No neighbour discovery: every destination on the link is taken to have the interface's own hardware address.
pub fn set_no_arp(name: &str) -> io::Result<()> {
    set_flag(name, libc::IFF_NOARP, true)
        .map_err(attempted(format_args!("set {name} to do without ARP")))
}

/// Whether multicast may be sent and received; a new wire can, lo cannot.
pub fn set_multicast(name: &str, on: bool) -> io::Result<()> {
    set_flag(name, libc::IFF_MULTICAST, on)
        .map_err(attempted(format_args!("set multicast of {name} to {on}")))
}

/// Whether all multicast packets are received, wanted or not.
pub fn set_all_multicast(name: &str, on: bool) -> io::Result<()> {
    set_flag(name, libc::IFF_ALLMULTI, on).map_err(attempted(format_args!(
        "set all-multicast of {name} to {on}"
    )))
}

/// Removes an interface; its peer goes with it.
pub fn remove(name: &str) -> io::Result<()> {
    change(name, libc::RTM_DELLINK, 0, 0, |message| message)
        .map_err(attempted(format_args!("remove {name}")))
}

/// Sets the hardware address (MAC). The interface may be up.
pub fn set_hardware_address(name: &str, address: [u8; 6]) -> io::Result<()> {
    change(name, libc::RTM_NEWLINK, 0, 0, |message| {
        message.attribute(libc::IFLA_ADDRESS, &address)
    })
    .map_err(attempted(format_args!(
        "set the hardware address of {name}"
    )))
}

/// Sets the largest IP packet that the interface sends, in bytes.
pub fn set_mtu(name: &str, bytes: u32) -> io::Result<()> {
    change(name, libc::RTM_NEWLINK, 0, 0, |message| {
        message.number(libc::IFLA_MTU, bytes)
    })
    .map_err(attempted(format_args!("set the MTU of {name} to {bytes}")))
}

/// Gives an interface an address; the kernel adds the route to its network once the interface is up.
///
/// An IPv6 address is usable on return: there is no duplicate address detection (RFC 4862), and where the kernel puts
/// the rest of the work off, which loses the first packets to the new address, this waits for it.
pub fn add_address(name: &str, address: IpAddr, prefix_len: u8) -> io::Result<()> {
    let add = || {
        let index = index_of(name)?;
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let message = Message::new(libc::RTM_NEWADDR, CREATE)
            .u8(family(address))
            .u8(prefix_len)
            .u8(0)
            .u8(0)
            .u32(index)
            .attribute(libc::IFA_LOCAL, &octets(address));
        send(match address {
            IpAddr::V4(v4) if prefix_len < 31 => {
                let broadcast = v4.to_bits() | u32::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
                message.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes())
            }
            IpAddr::V4(_) => message,
            IpAddr::V6(_) => message.number(libc::IFA_FLAGS, libc::IFA_F_NODAD),
        })?;
        wait_until_ours(address)
    };
    add().map_err(attempted(format_args!(
        "add address {address}/{prefix_len} to {name}"
    )))
}

/// Adds a route to the main table. `destination` is a network and its prefix length: `(0.0.0.0, 0)` is the default.
///
/// A second IPv4 route to the same network is refused (`EEXIST`). For IPv6 an interface's own network has the better
/// metric (256) and wins over an added route of the same length (1024); name single hosts (`/128`) to override it.
pub fn add_route(destination: (IpAddr, u8), route: Route) -> io::Result<()> {
    let what = format!("add route to {}/{} {route:?}", destination.0, destination.1);
    change_route(libc::RTM_NEWROUTE, CREATE, destination, route).map_err(attempted(what))
}

/// Removes a route that [`add_route`] made (`ESRCH` when there is none).
pub fn remove_route(destination: (IpAddr, u8), route: Route) -> io::Result<()> {
    let what = format!(
        "remove route to {}/{} {route:?}",
        destination.0, destination.1
    );
    change_route(libc::RTM_DELROUTE, libc::NLM_F_ACK, destination, route).map_err(attempted(what))
}

/// Packets cross the interface as they would a real wire: checksums computed, segments no larger than the MTU.
///
/// A veth pair otherwise hands over checksums not filled in and segments of up to 64 KiB (ethtool(8), `-K`). What a
/// driver cannot change is left alone; only the transmit checksum has to go (`EOPNOTSUPP` on lo, for example).
pub fn set_no_offloads(name: &str) -> io::Result<()> {
    // include/uapi/linux/ethtool.h. Without the checksum the kernel must not build large segments, so it goes last.
    const SET: [(&str, u32); 5] = [
        ("GRO", 0x2c),
        ("GSO", 0x24),
        ("TSO", 0x1f),
        ("scatter-gather", 0x19),
        ("receive checksum", 0x15),
    ];
    const SET_TX_CHECKSUM: u32 = 0x17;
    const GET_TX_CHECKSUM: u32 = 0x16;

    for (offload, command) in SET {
        match ethtool(name, command, 0) {
            Err(nix::Error::EOPNOTSUPP) => {}
            result => {
                result.map_err(attempted(format_args!("switch {offload} of {name} off")))?;
            }
        }
    }
    let checksum =
        ethtool(name, SET_TX_CHECKSUM, 0).and_then(|_| ethtool(name, GET_TX_CHECKSUM, 0));
    match checksum {
        Ok(0) => Ok(()),
        Ok(_) => Err(nix::Error::EOPNOTSUPP),
        Err(error) => Err(error),
    }
    .map_err(attempted(format_args!(
        "switch the transmit checksum of {name} off"
    )))
}

/// One ethtool command that sets, or gets, one number (struct ethtool_value).
fn ethtool(name: &str, command: u32, value: u32) -> nix::Result<u32> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut argument = [command, value];
    // SAFETY: struct ifreq is plain old data; all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(nix::Error::ENODEV);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = argument.as_mut_ptr().cast();
    // SAFETY: `request` is a struct ifreq with a NUL-terminated name and its data points to two u32, a struct
    // ethtool_value; both outlive the call.
    nix::errno::Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &mut request)
    })?;
    Ok(argument[1])
}

/// Looks until it is so; `TimedOut` after 5 seconds. The kernel has no message for the end of these changes.
fn wait(mut look: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !look()? {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn set_flag(name: &str, flag: c_int, on: bool) -> io::Result<()> {
    let flag = flag as u32;
    change(
        name,
        libc::RTM_NEWLINK,
        if on { flag } else { 0 },
        flag,
        |message| message,
    )
}

/// Sends a message about one interface: the flags in `mask` become those in `flags`, and what `attributes` adds.
fn change(
    name: &str,
    kind: u16,
    flags: u32,
    mask: u32,
    attributes: impl FnOnce(Message) -> Message,
) -> io::Result<()> {
    let index = index_of(name)?;
    send(attributes(interface_message(
        kind,
        libc::NLM_F_ACK,
        index,
        flags,
        mask,
    )))
}

fn change_route(
    kind: u16,
    flags: c_int,
    (network, prefix_len): (IpAddr, u8),
    route: Route,
) -> io::Result<()> {
    let (route_kind, scope) = match route {
        Route::Device(_) | Route::DeviceFrom(..) => (libc::RTN_UNICAST, libc::RT_SCOPE_LINK),
        Route::Gateway(_) => (libc::RTN_UNICAST, libc::RT_SCOPE_UNIVERSE),
        Route::Blackhole => (libc::RTN_BLACKHOLE, libc::RT_SCOPE_UNIVERSE),
        Route::Unreachable => (libc::RTN_UNREACHABLE, libc::RT_SCOPE_UNIVERSE),
        Route::Prohibit => (libc::RTN_PROHIBIT, libc::RT_SCOPE_UNIVERSE),
        Route::Throw => (libc::RTN_THROW, libc::RT_SCOPE_UNIVERSE),
    };
    // struct rtmsg: family, destination length, source length, TOS, table, protocol, scope, type, flags.
    let message = Message::new(kind, flags)
        .raw(&[family(network), prefix_len, 0, 0])
        .raw(&[libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, scope, route_kind])
        .u32(0)
        .attribute(libc::RTA_DST, &octets(network));
    send(match route {
        Route::Device(name) => message.number(libc::RTA_OIF, index_of(&name)?),
        Route::DeviceFrom(name, source) => message
            .number(libc::RTA_OIF, index_of(&name)?)
            .attribute(libc::RTA_PREFSRC, &octets(source)),
        Route::Gateway(router) => message.attribute(libc::RTA_GATEWAY, &octets(router)),
        _ => message,
    })
}

/// Waits until packets for an address of this host are taken in: an IPv6 address is added in a work queue.
fn wait_until_ours(address: IpAddr) -> io::Result<()> {
    let prefix_len = octets(address).len() as u8 * 8;
    wait(|| {
        // struct rtmsg again; the reply's type is at offset 7.
        let message = Message::new(libc::RTM_GETROUTE, libc::NLM_F_ACK)
            .raw(&[family(address), prefix_len, 0, 0])
            .raw(&[0, 0, 0, 0])
            .u32(0)
            .attribute(libc::RTA_DST, &octets(address));
        match request(SockProtocol::NetlinkRoute, message) {
            Ok(replies) => Ok(replies
                .iter()
                .any(|reply| reply.get(7) == Some(&libc::RTN_LOCAL))),
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => Ok(false),
            Err(error) => Err(error),
        }
    })
}

fn interface_message(
    kind: u16,
    message_flags: c_int,
    index: u32,
    flags: u32,
    mask: u32,
) -> Message {
    interface_structure(Message::new(kind, message_flags), index, flags, mask)
}

/// struct ifinfomsg: family, padding, device type, index, flags, which of the flags to change.
fn interface_structure(message: Message, index: u32, flags: u32, mask: u32) -> Message {
    message.u8(0).u8(0).u16(0).u32(index).u32(flags).u32(mask)
}

fn index_of(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

fn send(message: Message) -> io::Result<()> {
    request(SockProtocol::NetlinkRoute, message).map(drop)
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
