//! Each test has networks of its own, made by a thread that leaves the machine's.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::capture::{Capture, Direction, Frame};
use super::proc::{
    self, blocked_in, owners, set_sysctl, snmp_counter, sysctl, system_call_name, udp_drops,
};
use super::route::{self, Route};
use super::sock_diag::{Protocol, Socket, TcpInfo, Timer, destroy, normal_form, sockets};
use super::{Failed, os_error};
use crate::record::TcpState;

/// Runs a test on a thread with a network of its own, lo up.
fn alone(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {
            route::loopback_up().unwrap();
            test();
        }
        Err(error) => println!(
            "skipped: unshare: {error}; run the tests as root, or in unshare --map-root-user"
        ),
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Two networks joined by the wire a0 - b0; the thread is in the first. Sockets stay where they were made.
struct Wire {
    here: File,
    there: File,
}

impl Wire {
    /// Both ends down. They have one hardware address: what suits interfaces without ARP.
    fn bare() -> Self {
        let here = File::open("/proc/thread-self/ns/net").unwrap();
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let there = File::open("/proc/thread-self/ns/net").unwrap();
        setns(&here, CloneFlags::CLONE_NEWNET).unwrap();
        route::make_veth("a0", "b0", there.as_fd()).unwrap();
        for (namespace, name) in [(&there, "b0"), (&here, "a0")] {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            route::set_hardware_address(name, [2, 0, 0, 0, 0, 7]).unwrap();
            route::set_no_arp(name).unwrap();
            route::set_no_offloads(name).unwrap();
        }
        Self { here, there }
    }

    /// Both ends up, with addresses.
    fn new() -> Self {
        let wire = Self::bare();
        set_end("a0", 1);
        wire.there(|| set_end("b0", 2));
        route::wait_until_running("a0").unwrap();
        wire.there(|| route::wait_until_running("b0").unwrap());
        wire
    }

    fn there<T>(&self, work: impl FnOnce() -> T) -> T {
        setns(&self.there, CloneFlags::CLONE_NEWNET).unwrap();
        let result = work();
        setns(&self.here, CloneFlags::CLONE_NEWNET).unwrap();
        result
    }
}

/// 10.7.0.N and fd00:7::N.
fn set_end(name: &str, host: u8) {
    route::set_up(name).unwrap();
    route::add_address(name, [10, 7, 0, host].into(), 24).unwrap();
    route::add_address(name, ip(&format!("fd00:7::{host}")), 64).unwrap();
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Some(found) => return found,
            None if start.elapsed() > Duration::from_secs(10) => panic!("not seen in 10 s: {what}"),
            None => thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn tcp(state: TcpState, local: SocketAddr) -> Option<Socket> {
    let mut all = sockets(Protocol::Tcp).unwrap().into_iter();
    all.find(|socket| socket.state == state && socket.local == local)
}

fn frames(capture: &mut Capture) -> Vec<Frame> {
    std::iter::from_fn(|| capture.read().unwrap()).collect()
}

#[test]
fn a_connection_over_a_wire_is_seen_in_every_state() {
    for address in ["10.7.0.2:0", "[fd00:7::2]:0"] {
        alone(move || {
            let wire = Wire::new();
            let listener = wire.there(|| TcpListener::bind(address)).unwrap();
            let server = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(server).unwrap();
            let second = TcpStream::connect(server).unwrap();
            let (ours, remote) = (client.local_addr().unwrap(), second.local_addr().unwrap());

            // Both wait for accept, and belong to no file.
            let listening = wire.there(|| {
                wait_for("two connections in the accept queue", || {
                    tcp(TcpState::Listen, server).filter(|socket| socket.receive_queue == 2)
                })
            });
            let info = listening.info.unwrap();
            assert_eq!((info.unacked, info.sacked), (2, listening.send_queue));
            assert_eq!(inode(&listener), listening.inode);
            let waiting = wire.there(|| sockets(Protocol::Tcp).unwrap());
            assert!(
                waiting
                    .iter()
                    .any(|socket| socket.remote == remote && socket.inode == 0)
            );

            let (mut accepted, peer) = listener.accept().unwrap();
            assert_eq!(peer, ours);
            client.write_all(&[7; 1000]).unwrap();
            let server_side = wire.there(|| {
                wait_for("1000 bytes received and not read", || {
                    let mut all = sockets(Protocol::Tcp).unwrap().into_iter();
                    all.find(|socket| socket.remote == ours && socket.receive_queue == 1000)
                })
            });
            assert_eq!(server_side.inode, inode(&accepted));
            assert_eq!(server_side.info.unwrap().bytes_received, 1000);
            assert!(server_side.memory.unwrap().receive_allocated >= 1000);
            let client_side = wait_for("an acknowledgement", || {
                tcp(TcpState::Established, ours).filter(|socket| socket.send_queue == 0)
            });
            let info = client_side.info.unwrap();
            assert_eq!(
                (client_side.remote, client_side.inode),
                (server, inode(&client))
            );
            assert_eq!(
                (client_side.timer, client_side.retransmits),
                (Timer::None, 0)
            );
            // The SYN counts as a byte.
            assert_eq!(
                (info.bytes_acked, info.bytes_sent, info.total_retrans),
                (1001, 1000, 0)
            );
            assert!(
                info.snd_mss > 500 && info.snd_wnd > 0 && info.rcv_wnd > 0 && info.rto >= 200_000
            );
            let algorithm = getsockopt(&client, sockopt::TcpCongestion).unwrap();
            assert_eq!(client_side.congestion.as_deref(), algorithm.to_str());

            // Who closes first has TIME-WAIT; the cookie stays.
            drop(client);
            let half = wait_for("FIN-WAIT-2", || tcp(TcpState::FinWait2, ours));
            assert_eq!(half.cookie, client_side.cookie);
            assert_eq!(
                wire.there(|| tcp(TcpState::CloseWait, server))
                    .unwrap()
                    .cookie,
                server_side.cookie
            );
            accepted.read_exact(&mut [0; 1000]).unwrap();
            assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
            drop(accepted);
            let last = wait_for("TIME-WAIT", || tcp(TcpState::TimeWait, ours));
            assert_eq!((last.inode, last.cookie), (0, client_side.cookie));
            assert!(matches!(last.timer, Timer::TimeWait(left) if left > Duration::from_secs(50)));
            assert!(last.info.is_none() && last.memory.is_none());
        });
    }
}

#[test]
fn a_full_receiver_shows_in_queues_and_timer() {
    alone(|| {
        let wire = Wire::new();
        let listener = wire.there(|| TcpListener::bind("10.7.0.2:0")).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let ours = client.local_addr().unwrap();
        client.set_nonblocking(true).unwrap();
        let probing = wait_for("a zero window probe", || {
            match client.write(&[0; 65536]) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            tcp(TcpState::Established, ours)
                .filter(|socket| matches!(socket.timer, Timer::ZeroWindowProbe(_)))
        });
        let info = probing.info.unwrap();
        assert_eq!(info.notsent_bytes, probing.send_queue);
        assert_eq!(info.snd_wnd, 0);
        drop(accepted);
    });
}

#[test]
fn a_written_syn_makes_a_half_open_connection() {
    alone(|| {
        let wire = Wire::new();
        let listener = wire.there(|| TcpListener::bind("10.7.0.2:0")).unwrap();
        let server = listener.local_addr().unwrap();
        let mut other = wire.there(|| Capture::open(Some("b0"), true)).unwrap();
        let us = Capture::open(Some("a0"), true).unwrap();
        // 10.7.0.9 does not exist: nobody answers the SYN-ACK.
        let hardware = [2, 0, 0, 0, 0, 7];
        let packet = PacketBuilder::ethernet2(hardware, hardware)
            .ipv4([10, 7, 0, 9], [10, 7, 0, 2], 64)
            .tcp(4321, server.port(), 1000, 65535)
            .syn();
        let mut frame = Vec::new();
        packet.write(&mut frame, &[]).unwrap();
        us.send(&frame).unwrap();

        let half = wire.there(|| wait_for("SYN-RECEIVED", || tcp(TcpState::SynReceived, server)));
        assert_eq!(
            (half.remote, half.inode),
            ("10.7.0.9:4321".parse().unwrap(), 0)
        );
        assert!(matches!(half.timer, Timer::Retransmit(_)), "{half:?}");
        let seen = wait_for("the frame", || other.read().unwrap());
        assert_eq!((seen.bytes, seen.direction), (frame, Direction::Incoming));
        assert_eq!(
            os_error(&us.send(&[0; 2000]).unwrap_err()),
            Some(libc::EMSGSIZE)
        );
        route::set_down("a0").unwrap();
        assert_eq!(
            os_error(&us.send(&[0; 60]).unwrap_err()),
            Some(libc::ENETDOWN)
        );
    });
}

#[test]
fn without_offloads_the_wire_has_real_segments() {
    alone(|| {
        let wire = Wire::new();
        route::set_mtu("a0", 600).unwrap();
        wire.there(|| route::set_mtu("b0", 600).unwrap());
        let mut near = Capture::open(Some("a0"), false).unwrap();
        let mut far = wire.there(|| Capture::open(Some("b0"), false)).unwrap();
        let before = SystemTime::now();
        let listener = wire.there(|| TcpListener::bind("10.7.0.2:0")).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        client.write_all(&[42; 5000]).unwrap();
        accepted.read_exact(&mut [0; 5000]).unwrap();

        let (near, far) = (frames(&mut near), frames(&mut far));
        assert!(near.iter().any(|frame| frame.bytes.len() == 600 + 14));
        for frame in near.iter().chain(&far) {
            assert!(frame.bytes.len() <= 600 + 14);
            assert_eq!(frame.bytes.len(), frame.original_length);
            assert!(frame.at >= before && frame.at <= SystemTime::now());
            let packet = SlicedPacket::from_ethernet(&frame.bytes).unwrap();
            let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(segment))) =
                (packet.net, packet.transport)
            else {
                continue;
            };
            let sum = segment.calc_checksum_ipv4(ip.header().source(), ip.header().destination());
            assert_eq!(segment.checksum(), sum.unwrap());
        }
        let sent = near
            .iter()
            .filter(|frame| frame.direction == Direction::Outgoing);
        let arrived: Vec<_> = far
            .iter()
            .filter(|frame| frame.direction == Direction::Incoming)
            .collect();
        // What arrived is what was sent, and later.
        let pairs: Vec<_> = sent.zip(arrived).collect();
        assert!(pairs.len() > 10);
        assert!(
            pairs
                .iter()
                .all(|(sent, arrived)| sent.bytes == arrived.bytes && sent.at <= arrived.at)
        );

        let refused = route::set_no_offloads("lo").unwrap_err();
        assert_eq!(os_error(&refused), Some(libc::EOPNOTSUPP), "{refused}");
    });
}

#[test]
fn a_frame_for_another_hardware_address_is_told_apart() {
    alone(|| {
        let wire = Wire::new();
        let mut far = wire.there(|| Capture::open(None, false)).unwrap();
        let near = Capture::open(Some("a0"), false).unwrap();
        let mut frame = vec![0; 60];
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 99]);
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        near.send(&frame).unwrap();
        let seen = wait_for("the frame", || {
            frames(&mut far)
                .into_iter()
                .find(|seen| seen.direction == Direction::OtherHost)
        });
        assert_eq!(seen.bytes, frame);
        assert_eq!(
            seen.interface,
            wire.there(|| route::interface_index("b0")).unwrap()
        );
        let unbound = Capture::open(None, false).unwrap();
        assert_eq!(
            os_error(&unbound.send(&frame).unwrap_err()),
            Some(libc::ENXIO)
        );
    });
}

#[test]
fn loopback_shows_each_packet_twice_unless_told_not_to() {
    alone(|| {
        let mut both = Capture::open(Some("lo"), false).unwrap();
        let mut one = Capture::open(Some("lo"), true).unwrap();
        let mut short = Capture::open(Some("lo"), true).unwrap();
        short.set_snap_length(100);
        assert_eq!(both.read().unwrap(), None);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .send_to(&[5; 60_000], socket.local_addr().unwrap())
            .unwrap();
        let (both, one, short) = (frames(&mut both), frames(&mut one), frames(&mut short));
        let directions: Vec<_> = both.iter().map(|frame| frame.direction).collect();
        assert_eq!(directions, [Direction::Outgoing, Direction::Incoming]);
        assert_eq!((one.len(), one[0].bytes.len()), (1, 14 + 20 + 8 + 60_000));
        assert_eq!(
            (short[0].bytes.len(), short[0].original_length),
            (100, 60_042)
        );
        assert_eq!(short[0].bytes, one[0].bytes[..100]);
    });
}

#[test]
fn frames_that_find_the_queue_full_are_counted() {
    alone(|| {
        let mut capture = Capture::open(Some("lo"), true).unwrap();
        assert_eq!(capture.dropped().unwrap(), 0);
        setsockopt(&capture, sockopt::RcvBuf, &4096).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            socket
                .send_to(&[0; 1000], socket.local_addr().unwrap())
                .unwrap();
        }
        let read = frames(&mut capture).len() as u32;
        assert_eq!(capture.dropped().unwrap(), 100 - read);
        assert_eq!(capture.dropped().unwrap(), 100 - read);
        assert!(read < 100);
    });
}

#[test]
fn a_capture_outlives_its_interface_going_down() {
    alone(|| {
        let wire = Wire::new();
        let mut capture = Capture::open(Some("a0"), false).unwrap();
        route::set_down("a0").unwrap();
        frames(&mut capture);
        route::set_up("a0").unwrap();
        let socket = UdpSocket::bind("10.7.0.1:0").unwrap();
        route::wait_until_running("a0").unwrap();
        socket.send_to(b"hello", "10.7.0.2:9").unwrap();
        wait_for("a frame", || {
            frames(&mut capture)
                .into_iter()
                .find(|frame| frame.bytes.ends_with(b"hello"))
        });
        drop(wire);
    });
}

#[test]
fn routes_that_reject_have_their_own_errors() {
    alone(|| {
        let _wire = Wire::new();
        let kinds = [
            (Route::Blackhole, Errno::EINVAL),
            (Route::Unreachable, Errno::EHOSTUNREACH),
            (Route::Prohibit, Errno::EACCES),
            (Route::Throw, Errno::ENETUNREACH),
        ];
        for destination in ["10.7.0.2", "fd00:7::2"].map(ip) {
            let prefix_len = if destination.is_ipv4() { 32 } else { 128 };
            for (route, errno) in kinds.clone() {
                route::add_route((destination, prefix_len), route.clone()).unwrap();
                let connect = TcpStream::connect((destination, 9));
                assert_eq!(
                    connect.unwrap_err().raw_os_error(),
                    Some(errno as i32),
                    "{destination} {route:?}"
                );
                let again = route::add_route((destination, prefix_len), route.clone()).unwrap_err();
                assert_eq!(os_error(&again), Some(libc::EEXIST));
                route::remove_route((destination, prefix_len), route.clone()).unwrap();
                let gone = route::remove_route((destination, prefix_len), route).unwrap_err();
                assert_eq!(os_error(&gone), Some(libc::ESRCH), "{gone}");
            }
            let connect = TcpStream::connect((destination, 9));
            assert_eq!(connect.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
    });
}

#[test]
fn packets_go_by_way_of_routers_and_chosen_sources() {
    alone(|| {
        let wire = Wire::new();
        wire.there(|| {
            for address in ["10.9.0.1", "fd00:9::1"] {
                route::add_address(
                    "lo",
                    ip(address),
                    if address.contains(':') { 128 } else { 32 },
                )
                .unwrap();
            }
        });
        let nets = [
            ("0.0.0.0", "10.7.0.2", "10.9.0.1"),
            ("::", "fd00:7::2", "fd00:9::1"),
        ];
        for (any, router, target) in
            nets.map(|(any, router, target)| (ip(any), ip(router), ip(target)))
        {
            assert_eq!(connect_error(target), Some(libc::ENETUNREACH));
            route::add_route((any, 0), Route::Gateway(router)).unwrap();
            assert_eq!(connect_error(target), Some(libc::ECONNREFUSED));
            route::remove_route((any, 0), Route::Gateway(router)).unwrap();

            let source = if target.is_ipv4() {
                ip("10.7.0.77")
            } else {
                ip("fd00:7::77")
            };
            let prefix_len = if target.is_ipv4() { 32 } else { 128 };
            route::add_address("a0", source, prefix_len).unwrap();
            let device = Route::DeviceFrom("a0".into(), source);
            route::add_route((target, prefix_len), device.clone()).unwrap();
            let socket = UdpSocket::bind((any, 0)).unwrap();
            socket.connect((target, 9)).unwrap();
            assert_eq!(socket.local_addr().unwrap().ip(), source);
            route::remove_route((target, prefix_len), device).unwrap();
            route::add_route((target, prefix_len), Route::Device("a0".into())).unwrap();
            assert_eq!(connect_error(target), Some(libc::ECONNREFUSED));
        }
    });
}

fn connect_error(target: IpAddr) -> Option<i32> {
    TcpStream::connect((target, 9)).unwrap_err().raw_os_error()
}

#[test]
fn errors_say_what_was_attempted() {
    alone(|| {
        let wire = Wire::new();
        let again = route::add_address("a0", ip("10.7.0.1"), 24).unwrap_err();
        assert_eq!(
            again.to_string(),
            "add address 10.7.0.1/24 to a0: File exists (os error 17)"
        );
        assert_eq!(
            (os_error(&again), again.kind()),
            (Some(libc::EEXIST), ErrorKind::AlreadyExists)
        );
        assert!(again.get_ref().unwrap().is::<Failed>());
        for error in [
            route::set_up("no").unwrap_err(),
            route::set_no_offloads("a-name-longer-than-an-interface-has").unwrap_err(),
            Capture::open(Some("no"), false).unwrap_err(),
        ] {
            assert_eq!(os_error(&error), Some(libc::ENODEV), "{error}");
        }
        assert!(route::make_veth("a0", "other", wire.there.as_fd()).is_err());
        assert!(route::make_veth(&"x".repeat(40), "other", wire.there.as_fd()).is_err());
        assert!(route::add_address("a0", ip("10.8.0.1"), 99).is_err());
        route::set_multicast("a0", false).unwrap();
        route::set_all_multicast("a0", true).unwrap();
        route::remove("a0").unwrap();
        assert!(route::interface_index("a0").is_err());
        assert!(wire.there(|| route::interface_index("b0")).is_err());
    });
}

#[test]
fn settings_belong_to_the_namespace() {
    alone(|| {
        let name = "net.ipv4.tcp_retries2";
        let wire = Wire::new();
        set_sysctl(name, "4").unwrap();
        assert_eq!(sysctl(name).unwrap(), "4");
        assert_eq!(wire.there(|| sysctl(name)).unwrap(), "15");
        set_sysctl("net.ipv4.tcp_rmem", "4096 8192 16384").unwrap();
        assert_eq!(sysctl("net.ipv4.tcp_rmem").unwrap(), "4096\t8192\t16384");
        let unknown = sysctl("net.ipv4.nothing").unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "read net.ipv4.nothing: No such file or directory (os error 2)"
        );
        assert!(set_sysctl(name, "many").is_err());
        for bad in [
            "kernel.hostname",
            "net/../kernel/hostname",
            "net...kernel.hostname",
        ] {
            assert!(sysctl(bad).is_err(), "{bad}");
        }
    });
}

#[test]
fn datagrams_dropped_at_a_socket_are_counted() {
    alone(|| {
        for (address, group) in [("127.0.0.1:0", "Udp"), ("[::1]:0", "Udp6")] {
            let receiver = UdpSocket::bind(address).unwrap();
            let to = receiver.local_addr().unwrap();
            assert_eq!(udp_drops(to.port()).unwrap(), Some(0));
            setsockopt(&receiver, sockopt::RcvBuf, &2048).unwrap();
            let sender = UdpSocket::bind(address).unwrap();
            sender.connect(to).unwrap();
            for _ in 0..50 {
                sender.send(&[0; 500]).unwrap();
            }
            let all = sockets(Protocol::Udp).unwrap();
            let seen = all.iter().find(|socket| socket.local == to).unwrap();
            let memory = seen.memory.unwrap();
            assert_eq!(
                (seen.state, seen.inode),
                (TcpState::Closed, inode(&receiver))
            );
            assert!(memory.drops > 0 && memory.drops < 50);
            assert!(seen.receive_queue > 0 && seen.info.is_none());
            assert_eq!(udp_drops(to.port()).unwrap(), Some(memory.drops.into()));
            assert_eq!(
                snmp_counter(group, "RcvbufErrors").unwrap(),
                u64::from(memory.drops)
            );
            let connected = all.iter().find(|socket| socket.remote == to).unwrap();
            assert_eq!(connected.state, TcpState::Established);
        }
        assert_eq!(udp_drops(1).unwrap(), None);
        assert_eq!(snmp_counter("TcpExt", "PAWSEstab").unwrap(), 0);
        assert!(snmp_counter("IpExt", "InOctets").unwrap() > 0);
        let unknown = snmp_counter("TcpExt", "Nothing").unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_destroyed_connection_is_reset() {
    alone(|| {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            let found = tcp(TcpState::Established, client.local_addr().unwrap()).unwrap();
            match destroy(&found) {
                Err(error) if os_error(&error) == Some(libc::EOPNOTSUPP) => {
                    return println!("skipped: {error}");
                }
                result => result.unwrap(),
            }
            let error = client.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
            assert_eq!(
                accepted.read(&mut [0]).unwrap_err().kind(),
                ErrorKind::ConnectionReset
            );
            assert_eq!(os_error(&destroy(&found).unwrap_err()), Some(libc::ENOENT));
        }
    });
}

#[test]
fn mapped_addresses_keep_their_form_and_have_a_normal_one() {
    alone(|| {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        let found = tcp(TcpState::Established, accepted.local_addr().unwrap()).unwrap();
        assert_eq!((found.remote, found.local.is_ipv6()), (peer, true));
        assert_eq!(normal_form(found.remote), client.local_addr().unwrap());
        let scoped: SocketAddr = "[fe80::1%3]:9".parse().unwrap();
        assert_eq!(normal_form(scoped), scoped);
    });
}

#[test]
fn a_blocked_call_has_a_name_and_arguments() {
    alone(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (descriptor, to) = (socket.as_raw_fd(), socket.local_addr().unwrap());
        let (tell, told) = std::sync::mpsc::channel();
        let sleeper = thread::spawn(move || {
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            socket.recv(&mut [0; 10]).unwrap();
        });
        let id = told.recv().unwrap();
        let (number, arguments) = wait_for("recvfrom", || {
            blocked_in(id).filter(|(number, _)| system_call_name(*number) == Some("recvfrom"))
        });
        assert_eq!(number, libc::SYS_recvfrom);
        assert_eq!((arguments[0], arguments[2]), (descriptor as u64, 10));
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .send_to(b"x", to)
            .unwrap();
        sleeper.join().unwrap();
        assert_eq!(blocked_in(id), None);
        assert_eq!(system_call_name(-1), None);
    });
}

#[test]
fn a_socket_is_found_at_the_child_that_holds_it() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let inodes = (inode(&ours), inode(&theirs));
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(
            theirs,
        )))
        .spawn()
        .unwrap();
    let us = std::process::id() as i32;
    let found = owners(&[us]);
    assert_eq!(found.get(&inodes.0), Some(&us));
    // Other tests may fork at this moment; only theirs cannot be ours.
    assert_eq!(found.get(&inodes.1), Some(&(child.id() as i32)));
    assert_eq!(proc::owners(&[child.id() as i32]).get(&inodes.0), None);
    assert_eq!(owners(&[i32::MAX]).len(), 0);
    drop(ours);
    child.wait().unwrap();
}

#[test]
#[cfg(target_env = "gnu")]
fn tcp_info_has_the_layout_of_the_kernel() {
    use std::mem::offset_of;
    let bytes: Vec<u8> = (1..=248).collect();
    let info = TcpInfo::from_kernel(&bytes);
    let four = |offset: usize| u32::from_ne_bytes(bytes[offset..offset + 4].try_into().unwrap());
    let eight = |offset: usize| u64::from_ne_bytes(bytes[offset..offset + 8].try_into().unwrap());
    assert_eq!(
        info.backoff,
        bytes[offset_of!(libc::tcp_info, tcpi_backoff)]
    );
    assert_eq!(
        info.options,
        bytes[offset_of!(libc::tcp_info, tcpi_options)]
    );
    macro_rules! same {
        ($read:ident: $($mine:ident $kernels:ident),*) => {
            $(assert_eq!(info.$mine, $read(offset_of!(libc::tcp_info, $kernels)), stringify!($mine));)*
        };
    }
    same!(four: rto tcpi_rto, ato tcpi_ato, snd_mss tcpi_snd_mss, rcv_mss tcpi_rcv_mss, unacked tcpi_unacked,
        sacked tcpi_sacked, lost tcpi_lost, retrans tcpi_retrans, last_data_sent tcpi_last_data_sent,
        last_data_recv tcpi_last_data_recv, last_ack_recv tcpi_last_ack_recv, pmtu tcpi_pmtu,
        rcv_ssthresh tcpi_rcv_ssthresh, rtt tcpi_rtt, rttvar tcpi_rttvar, snd_ssthresh tcpi_snd_ssthresh,
        snd_cwnd tcpi_snd_cwnd, advmss tcpi_advmss, rcv_space tcpi_rcv_space, total_retrans tcpi_total_retrans,
        segs_out tcpi_segs_out, segs_in tcpi_segs_in, notsent_bytes tcpi_notsent_bytes, min_rtt tcpi_min_rtt,
        data_segs_in tcpi_data_segs_in, data_segs_out tcpi_data_segs_out, delivered tcpi_delivered,
        snd_wnd tcpi_snd_wnd, rcv_wnd tcpi_rcv_wnd);
    same!(eight: bytes_acked tcpi_bytes_acked, bytes_received tcpi_bytes_received, bytes_sent tcpi_bytes_sent,
        bytes_retrans tcpi_bytes_retrans);

    // An old kernel's structure ends early.
    let old = TcpInfo::from_kernel(&bytes[..104]);
    assert_eq!(
        (old.total_retrans, old.bytes_acked, old.rcv_wnd),
        (info.total_retrans, 0, 0)
    );
}

/// A socket's inode, fstat(2).
fn inode(socket: &impl AsFd) -> u32 {
    let file = File::from(socket.as_fd().try_clone_to_owned().unwrap());
    file.metadata().unwrap().ino() as u32
}

#[test]
fn an_address_is_ours_at_once_whatever_the_state_of_the_link() {
    alone(|| {
        let wire = Wire::bare();
        wire.there(|| set_end("b0", 9));
        // Down; up for a moment; up and running.
        for host in 1..=3 {
            for network in ["10.7.0.", "fd00:7::"] {
                let address = ip(&format!("{network}{host}"));
                route::add_address("a0", address, if address.is_ipv4() { 24 } else { 64 }).unwrap();
            }
            match host {
                1 => route::set_up("a0").unwrap(),
                _ => route::wait_until_running("a0").unwrap(),
            }
        }
        wire.there(|| {
            route::wait_until_running("b0").unwrap();
            for address in [
                "10.7.0.1",
                "10.7.0.2",
                "10.7.0.3",
                "fd00:7::1",
                "fd00:7::2",
                "fd00:7::3",
            ] {
                let start = Instant::now();
                assert_eq!(connect_error(ip(address)), Some(libc::ECONNREFUSED));
                assert!(
                    start.elapsed() < Duration::from_millis(900),
                    "the first SYN to {address} was lost"
                );
            }
        });
        wire.there(|| route::set_down("b0").unwrap());
        let waited = route::wait_until_running("a0").unwrap_err();
        assert_eq!(waited.kind(), ErrorKind::TimedOut, "{waited}");
    });
}
