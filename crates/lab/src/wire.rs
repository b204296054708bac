//! The wire between hosts: a relay in a namespace of its own.
//!
//! Each host has one end of a veth pair, the relay has the other ends. Every frame that a host sends goes through the
//! relay, which records it and hands it on, unless it is told otherwise: to cut the wire, to lose, delay, double, swap
//! or alter the n-th packet that fits a description, and only that one. Loss is exact and silent, as on a real wire: no
//! interface goes down and nobody is told.
//!
//! The hosts' interfaces have no ARP and no checksum or segmentation offload, so that what is on the wire is what the
//! TCP of the course's texts sends: segments of at most 1460 bytes, with checksums, and nothing else.

use std::collections::BinaryHeap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::clock::Clock;
use crate::namespace::Namespace;
use crate::net::capture::Capture;
use crate::net::route;
use crate::packet::{Kind, Packet};

/// Chooses packets.
pub type Filter = Box<dyn Fn(&Packet) -> bool + Send>;
/// Changes a frame, from its Ethernet header on.
pub type Change = Box<dyn FnMut(&mut Vec<u8>) + Send>;

/// What the wire does to a packet that it was told to treat.
enum Treatment {
    Lose,
    Double,
    Delay(Duration),
    Alter(Change),
    /// Keeps it until the next packet to the same host has passed.
    Swap,
    /// Keeps it; only [`Wire::inject`] sends it.
    Hold,
    /// Keeps it until [`Wire::release`].
    Keep,
}

struct Rule {
    fits: Filter,
    /// How many fitting packets still pass before the one that is treated.
    pass: usize,
    /// Goes on treating after the first.
    every: bool,
    treatment: Treatment,
}

/// A frame on its way, ordered by when it arrives (earliest first in the heap).
struct InFlight {
    due: Instant,
    number: usize,
    port: usize,
    frame: Vec<u8>,
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for InFlight {}
impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// Where a host is plugged in.
struct Port {
    host: Arc<str>,
    addresses: Vec<IpAddr>,
    hardware: [u8; 6],
    capture: Capture,
    /// Told after each packet, so that the host's sockets are looked at.
    notify: Arc<EventFd>,
    gateway: bool,
}

#[derive(Default)]
struct State {
    ports: Vec<Option<Port>>,
    /// Who has had which address: a packet to a host that has crashed is still a packet to it.
    homes: Vec<(IpAddr, Arc<str>)>,
    packets: Vec<Packet>,
    rules: Vec<Rule>,
    cut: bool,
    delay: Duration,
    in_flight: BinaryHeap<InFlight>,
    /// Swapped packets: wait for the next one to this port.
    swapped: Vec<(usize, usize, Vec<u8>)>,
    held: Vec<Packet>,
    /// Packets that wait for [`Wire::release`]: their numbers in the record, where they go, and their frames.
    kept: Vec<(usize, usize, Vec<u8>)>,
    /// How many packets came faster than they could be read: neither recorded nor handed on.
    missed: u32,
    /// Counts the changes of `ports`.
    generation: usize,
    closed: bool,
}

/// A wire that hosts are plugged into. Everything on it can be watched and disturbed from outside.
pub struct Wire {
    namespace: Namespace,
    state: Arc<Mutex<State>>,
    wake: Arc<EventFd>,
    clock: Clock,
}

impl Wire {
    /// A wire with nobody on it.
    pub(crate) fn new(clock: Clock) -> io::Result<Self> {
        let wire = Self {
            namespace: Namespace::new()?,
            state: Arc::default(),
            wake: Arc::new(EventFd::from_value_and_flags(
                0,
                EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
            )?),
            clock,
        };
        let (state, wake) = (Arc::clone(&wire.state), Arc::clone(&wire.wake));
        std::thread::Builder::new()
            .name("wire".into())
            .spawn(move || relay(&state, &wake, clock))?;
        Ok(wire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Makes the pair of interfaces for a host and plugs it in. Returns the number of its port.
    pub(crate) fn plug(&self, plug: Plug) -> io::Result<usize> {
        let mut state = self.state();
        let port = plug.port.unwrap_or(state.ports.len());
        let ours = format!("port{port}");
        let hardware = [2, 0, 0, 0, 0, port as u8 + 1];
        let interface = plug.interface.to_string();
        let capture = self.namespace.enter(|| {
            route::make_veth(&ours, &interface, plug.namespace.as_fd())?;
            route::set_no_offloads(&ours)?;
            route::set_no_arp(&ours)?;
            route::set_up(&ours)?;
            Capture::open(Some(&ours), true)
        })?;
        plug.namespace.enter(|| {
            route::set_hardware_address(&interface, hardware)?;
            route::set_no_arp(&interface)?;
            route::set_no_offloads(&interface)?;
            route::set_up(&interface)?;
            route::wait_until_running(&interface)
        })?;
        self.namespace.enter(|| route::wait_until_running(&ours))?;
        let taken = Port {
            host: plug.host,
            addresses: plug.addresses,
            hardware,
            capture,
            notify: plug.notify,
            gateway: plug.gateway,
        };
        let count = state.ports.len().max(port + 1);
        state.ports.resize_with(count, || None);
        state.homes.extend(
            taken
                .addresses
                .iter()
                .map(|address| (*address, Arc::clone(&taken.host))),
        );
        state.ports[port] = Some(taken);
        state.generation += 1;
        drop(state);
        self.kick();
        Ok(port)
    }

    /// Takes a host off the wire. From now on nothing that it sends is on the wire, not even in the record.
    pub(crate) fn unplug(&self, port: usize) {
        let mut state = self.state();
        state.ports[port] = None;
        state.generation += 1;
        drop(state);
        self.kick();
        // Both ends of the pair go. An error means that the host's network was gone already, and its end with it.
        let _ = self
            .namespace
            .enter(|| route::remove(&format!("port{port}")));
    }

    fn kick(&self) {
        let _ = self.wake.write(1);
    }

    /// Cuts the wire: every packet is lost until it is mended, and nobody is told.
    pub fn cut(&self) {
        self.state().cut = true;
    }

    /// Mends the wire.
    pub fn mend(&self) {
        self.state().cut = false;
    }

    /// Every packet takes this long from now on, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    fn rule(
        &self,
        nth: usize,
        every: bool,
        fits: impl Fn(&Packet) -> bool + Send + 'static,
        treatment: Treatment,
    ) {
        let pass = nth.saturating_sub(1);
        self.state().rules.push(Rule {
            fits: Box::new(fits),
            pass,
            every,
            treatment,
        });
    }

    /// Loses the `nth` packet (from 1) that fits, counted from now.
    pub fn lose(&self, nth: usize, fits: impl Fn(&Packet) -> bool + Send + 'static) {
        self.rule(nth, false, fits, Treatment::Lose);
    }

    /// Loses every packet that fits, from now on.
    pub fn lose_all(&self, fits: impl Fn(&Packet) -> bool + Send + 'static) {
        self.rule(1, true, fits, Treatment::Lose);
    }

    /// Delivers the `nth` fitting packet twice.
    pub fn double(&self, nth: usize, fits: impl Fn(&Packet) -> bool + Send + 'static) {
        self.rule(nth, false, fits, Treatment::Double);
    }

    /// Delivers the `nth` fitting packet later than the others, by so much.
    pub fn hold_up(
        &self,
        nth: usize,
        by: Duration,
        fits: impl Fn(&Packet) -> bool + Send + 'static,
    ) {
        self.rule(nth, false, fits, Treatment::Delay(by));
    }

    /// Delivers the `nth` fitting packet after the next one that goes to the same host.
    pub fn swap(&self, nth: usize, fits: impl Fn(&Packet) -> bool + Send + 'static) {
        self.rule(nth, false, fits, Treatment::Swap);
    }

    /// Changes the `nth` fitting packet. Checksums are the caller's business.
    pub fn alter(
        &self,
        nth: usize,
        fits: impl Fn(&Packet) -> bool + Send + 'static,
        change: impl FnMut(&mut Vec<u8>) + Send + 'static,
    ) {
        self.rule(nth, false, fits, Treatment::Alter(Box::new(change)));
    }

    /// Takes the `nth` fitting packet off the wire and keeps it for [`Wire::held`].
    pub fn hold(&self, nth: usize, fits: impl Fn(&Packet) -> bool + Send + 'static) {
        self.rule(nth, false, fits, Treatment::Hold);
    }

    /// Keeps every fitting packet until [`Wire::release`].
    pub fn hold_all(&self, fits: impl Fn(&Packet) -> bool + Send + 'static) {
        self.rule(1, true, fits, Treatment::Keep);
    }

    /// Delivers what [`Wire::hold_all`] has kept, and keeps nothing from now on.
    pub fn release(&self) {
        self.state()
            .rules
            .retain(|rule| !matches!(rule.treatment, Treatment::Keep));
        self.deliver_kept();
    }

    /// Delivers what [`Wire::hold_all`] has kept so far, and goes on keeping.
    pub fn deliver_kept(&self) {
        let mut state = self.state();
        let due = Instant::now();
        for (number, port, frame) in std::mem::take(&mut state.kept) {
            state.in_flight.push(InFlight {
                due,
                number,
                port,
                frame,
            });
        }
        drop(state);
        self.kick();
    }

    /// How many packets [`Wire::hold_all`] keeps now.
    pub fn kept(&self) -> usize {
        self.state().kept.len()
    }

    /// The packets that [`Wire::hold`] has kept so far.
    pub fn held(&self) -> Vec<Packet> {
        self.state().held.clone()
    }

    /// Puts a packet on the wire, towards its destination: one that was held, or seen before, or altered.
    pub fn inject(&self, packet: &Packet) {
        let mut state = self.state();
        let frame = packet.frame.to_vec();
        let again = Packet::decode(&frame, self.clock.now(), &packet.hosts.0);
        state.send_on(again, frame, Instant::now());
        drop(state);
        self.kick();
    }

    pub(crate) fn packet_count(&self) -> usize {
        self.state().packets.len()
    }

    /// How many packets were too many for the relay, which is then no wire that one can rely on.
    pub(crate) fn missed(&self) -> u32 {
        self.state().missed
    }

    /// Every packet so far, in the order in which they were sent.
    pub(crate) fn packets(&self) -> Vec<Packet> {
        let mut state = self.state();
        // What is in the relay's sockets has been sent already.
        state.take_in(&self.clock);
        let packets = state.packets.clone();
        drop(state);
        // What was taken in here is not delivered yet, and the relay may be asleep.
        self.kick();
        packets
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state().closed = true;
        self.kick();
    }
}

/// What [`Wire::plug`] needs to know of a host.
pub(crate) struct Plug<'a> {
    pub(crate) host: Arc<str>,
    pub(crate) namespace: &'a Namespace,
    pub(crate) interface: &'a str,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) notify: Arc<EventFd>,
    /// Packets to addresses that nobody here has go to this host.
    pub(crate) gateway: bool,
    /// The port that it had before it crashed.
    pub(crate) port: Option<usize>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Reads every port until there is nothing more.
    fn take_in(&mut self, clock: &Clock) {
        for number in 0..self.ports.len() {
            // An interface that is gone (its host has crashed) reads as an error; the port is about to be removed.
            while let Some(port) = &mut self.ports[number]
                && let Ok(Some(frame)) = port.capture.read()
            {
                let sent = clock.since_start(frame.at);
                let packet = Packet::decode(&frame.bytes, sent, &port.host);
                let _ = port.notify.write(1);
                self.treat(packet, frame.bytes);
            }
            if let Some(port) = &mut self.ports[number] {
                self.missed += port.capture.newly_dropped();
            }
        }
    }

    fn port_of(&self, address: IpAddr) -> Option<usize> {
        let at = |found: fn(&Port, IpAddr) -> bool| {
            self.ports
                .iter()
                .position(|port| port.as_ref().is_some_and(|port| found(port, address)))
        };
        // The address of a host that is down is on this wire, and nobody has it: nothing for the router.
        let down = self.homes.iter().any(|(home, _)| *home == address);
        at(|port, address| port.addresses.contains(&address))
            .or_else(|| at(|port, _| port.gateway).filter(|_| !down))
    }

    fn treat(&mut self, packet: Packet, mut frame: Vec<u8>) {
        let now = Instant::now();
        if self.cut {
            self.record(packet, None);
            return;
        }
        let mut due = now + self.delay;
        // The first that treats it does; the others count it all the same.
        let mut position = None;
        for (number, rule) in self.rules.iter_mut().enumerate() {
            if !(rule.fits)(&packet) {
                continue;
            }
            if rule.pass == 0 {
                position = position.or(Some(number));
            }
            rule.pass = rule.pass.saturating_sub(1);
        }
        if let Some(position) = position {
            let treatment = &mut self.rules[position].treatment;
            let mut kept = false;
            match treatment {
                Treatment::Lose => kept = true,
                Treatment::Hold => {
                    self.held.push(packet.clone());
                    kept = true;
                }
                Treatment::Double => {}
                Treatment::Delay(by) => due += *by,
                Treatment::Alter(change) => change(&mut frame),
                Treatment::Swap | Treatment::Keep => {}
            }
            let (double, swap) = (
                matches!(treatment, Treatment::Double),
                matches!(treatment, Treatment::Swap),
            );
            let keep = matches!(treatment, Treatment::Keep);
            if !self.rules[position].every {
                self.rules.remove(position);
            }
            if keep && let Some(port) = self.port_of(packet.destination.ip()) {
                let number = self.record(packet, Some(port));
                self.kept.push((number, port, frame));
                return;
            }
            if kept {
                self.record(packet, None);
                return;
            }
            if double {
                let again = packet.clone();
                self.send_on(again, frame.clone(), due);
            }
            if swap && let Some(port) = self.port_of(packet.destination.ip()) {
                let number = self.record(packet, Some(port));
                self.swapped.push((port, number, frame));
                return;
            }
        }
        self.send_on(packet, frame, due);
    }

    /// The hosts that a datagram to a group or to everybody comes by: all but its sender. None for any other packet.
    fn ports_of_many(&self, packet: &Packet) -> Vec<usize> {
        let many = match packet.destination.ip() {
            // The networks of all wires have 24 bits, Lab::hosts.
            IpAddr::V4(to) => to.is_multicast() || to.octets()[3] == 255,
            IpAddr::V6(to) => to.is_multicast(),
        };
        if !many || packet.kind != Kind::Udp {
            return Vec::new();
        }
        let ports = self.ports.iter().enumerate();
        let others = ports.filter_map(|(number, port)| Some((number, port.as_ref()?)));
        others
            .filter(|(_, port)| port.host != packet.hosts.0)
            .map(|(number, _)| number)
            .collect()
    }

    /// Puts a packet into the record and on its way; one for many, once for each host.
    fn send_on(&mut self, packet: Packet, frame: Vec<u8>, due: Instant) {
        let many = self.ports_of_many(&packet);
        if !many.is_empty() {
            for port in many {
                let number = self.record(packet.clone(), Some(port));
                let frame = frame.clone();
                self.in_flight.push(InFlight {
                    due,
                    number,
                    port,
                    frame,
                });
            }
            return;
        }
        let Some(port) = self.port_of(packet.destination.ip()) else {
            self.record(packet, None);
            return;
        };
        let number = self.record(packet, Some(port));
        self.in_flight.push(InFlight {
            due,
            number,
            port,
            frame,
        });
        while let Some(position) = self
            .swapped
            .iter()
            .position(|(waiting, _, _)| *waiting == port)
        {
            let (port, number, frame) = self.swapped.remove(position);
            // The later one arrives first: it was pushed first, with an earlier or equal time.
            self.in_flight.push(InFlight {
                due: due + Duration::from_micros(1),
                number,
                port,
                frame,
            });
        }
    }

    fn record(&mut self, mut packet: Packet, port: Option<usize>) -> usize {
        let receiver = port.or_else(|| self.port_of(packet.destination.ip()));
        let there = receiver
            .and_then(|port| self.ports[port].as_ref())
            .map(|port| Arc::clone(&port.host));
        let home = self
            .homes
            .iter()
            .find(|(address, _)| *address == packet.destination.ip());
        packet.hosts.1 = there.or_else(|| home.map(|(_, host)| Arc::clone(host)));
        self.packets.push(packet);
        self.packets.len() - 1
    }

    /// Delivers what has been under way long enough. How long until the next one.
    fn deliver(&mut self, clock: &Clock) -> Option<Duration> {
        while let Some(next) = self.in_flight.peek() {
            let now = Instant::now();
            if next.due > now {
                return Some(next.due - now);
            }
            let Some(InFlight {
                number,
                port,
                mut frame,
                ..
            }) = self.in_flight.pop()
            else {
                break;
            };
            let Some(Some(port)) = self.ports.get_mut(port) else {
                continue;
            };
            if self.cut {
                continue;
            }
            // Without ARP a host does not know anybody's hardware address and sends to its own. A group has one by itself.
            if frame.len() >= 12 && frame[0] & 1 == 0 {
                frame[..6].copy_from_slice(&port.hardware);
            }
            self.packets[number].arrived.get_or_insert(clock.now());
            if port.capture.send(&frame).is_err() {
                self.packets[number].arrived = None;
            }
            let _ = port.notify.write(1);
        }
        None
    }
}

/// The relay's thread, from the first host to the end of the experiment.
fn relay(state: &Mutex<State>, wake: &EventFd, clock: Clock) {
    let mut generation = 0;
    let mut captures: Vec<OwnedFd> = Vec::new();
    loop {
        let mut locked = lock(state);
        if locked.closed {
            return;
        }
        locked.take_in(&clock);
        let next = locked.deliver(&clock);
        if generation != locked.generation {
            generation = locked.generation;
            let sockets = locked
                .ports
                .iter()
                .flatten()
                .map(|port| port.capture.as_fd().try_clone_to_owned());
            captures = sockets.filter_map(Result::ok).collect();
        }
        drop(locked);
        let mut fds = vec![PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            captures
                .iter()
                .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)),
        );
        let timeout = next.map_or(PollTimeout::NONE, |next| {
            // Rounded up: a millisecond late is a wire, a busy loop is a nuisance.
            PollTimeout::try_from(next + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
        });
        let _ = poll(&mut fds, timeout);
        let _ = wake.read();
    }
}
