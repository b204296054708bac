//! Watches a host: the packets on its loopback interface, and the states and queues of its sockets.
//!
//! The kernel does not tell anybody when a socket changes its state, so it is asked: after each packet, which is when
//! a state changes, and now and then without one. A state that lasts shorter than the way from the kernel to here can
//! be missed; what is recorded was there.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::clock::Clock;
use crate::namespace::Namespace;
use crate::net::capture::{Capture, Direction};
use crate::net::proc;
use crate::net::sock_diag::{Protocol, Socket, sockets};
use crate::packet::Packet;
use crate::record::TcpState;

/// How often sockets are looked at when nothing passes.
const IDLE: Duration = Duration::from_millis(20);
/// The least time between two looks: what is a burst of packets to the wire is one event to the reader.
const PACE: Duration = Duration::from_millis(1);
/// With more sockets than this a look costs too much to be taken after each packet.
const MANY: usize = 200;

/// The two ends of a connection as one host sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// This host's end.
    pub local: SocketAddr,
    /// The other end; port 0 for a listener.
    pub remote: SocketAddr,
}

/// A socket at a moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When.
    pub at: Duration,
    /// What the kernel said of it.
    pub socket: Socket,
}

/// What was seen on a host.
#[derive(Debug, Default, Clone)]
pub(crate) struct Log {
    pub(crate) packets: Vec<Packet>,
    /// Each socket whenever something about it had changed.
    pub(crate) samples: HashMap<Tuple, Vec<Sample>>,
    /// States in the order in which they were seen. A socket that is no longer there is Closed.
    pub(crate) states: Vec<(Duration, Tuple, TcpState)>,
    /// The last of those states, of the sockets that are still there.
    current: HashMap<Tuple, TcpState>,
    /// Which programs had such a socket, by their columns: one after the other, or several that share it.
    pub(crate) owners: HashMap<Tuple, Vec<usize>>,
    /// The sockets whose programs are known.
    known: HashSet<u32>,
    /// Why packets cannot be seen on this machine.
    pub(crate) capture_refused: Option<String>,
}

/// The programs that were started on a host: process id and column.
pub(crate) type Running = Arc<Mutex<Vec<(i32, usize)>>>;

/// Watches one host from its boot to its end.
pub(crate) struct Observer {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

struct Watch {
    clock: Clock,
    host: Arc<str>,
    capture: Mutex<Option<Capture>>,
    log: Mutex<Log>,
    running: Running,
    /// Told when something passed that concerns this host.
    notify: Arc<EventFd>,
    stop: EventFd,
    /// How many looks were asked for, and how many of those are done.
    asked: Mutex<(u64, u64)>,
    answered: Condvar,
}

impl Observer {
    pub(crate) fn start(
        host: &Arc<str>,
        namespace: &Namespace,
        running: &Running,
        clock: Clock,
    ) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let mut log = Log::default();
        let capture = match namespace.enter(|| Capture::open(Some("lo"), true)) {
            Ok(capture) => Some(capture),
            Err(error) => {
                log.capture_refused = Some(format!("packets cannot be captured here: {error}"));
                None
            }
        };
        let watch = Arc::new(Watch {
            clock,
            host: Arc::clone(host),
            capture: Mutex::new(capture),
            log: Mutex::new(log),
            running: Arc::clone(running),
            notify: Arc::new(EventFd::from_value_and_flags(0, flags)?),
            stop: EventFd::from_value_and_flags(0, flags)?,
            asked: Mutex::default(),
            answered: Condvar::new(),
        });
        let (watching, namespace) = (Arc::clone(&watch), namespace.clone());
        let thread = std::thread::Builder::new()
            .name(format!("observer of {host}"))
            .spawn(move || {
                if namespace.join().is_ok() {
                    // The namespace must end when the host does: only the thread itself holds it from here on.
                    drop(namespace);
                    watching.run();
                }
            })?;
        Ok(Self {
            watch,
            thread: Some(thread),
        })
    }

    pub(crate) fn notify(&self) -> Arc<EventFd> {
        Arc::clone(&self.watch.notify)
    }

    /// Looks at the sockets now, and returns when that is done: before something changes them for good.
    pub(crate) fn look(&self) {
        let mut asked = locked(&self.watch.asked);
        asked.0 += 1;
        let number = asked.0;
        let _ = self.watch.notify.write(1);
        // The deadline only guards against an observer that could not start.
        let done = |asked: &mut (u64, u64)| asked.1 < number;
        drop(
            self.watch
                .answered
                .wait_timeout_while(asked, Duration::from_secs(1), done),
        );
    }

    /// Every packet on the loopback interface up to now.
    pub(crate) fn log(&self) -> Log {
        self.watch.take_packets();
        self.watch.log().clone()
    }

    pub(crate) fn packet_count(&self) -> usize {
        self.watch.log().packets.len()
    }

    /// Ends the watch and returns what was seen.
    pub(crate) fn finish(&mut self) -> Log {
        let _ = self.watch.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.watch.take_packets();
        std::mem::take(&mut *self.watch.log())
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    fn log(&self) -> MutexGuard<'_, Log> {
        locked(&self.log)
    }

    /// Takes what the capture has. True if there was anything.
    fn take_packets(&self) -> bool {
        let mut capture = locked(&self.capture);
        let mut any = false;
        while let Some(Ok(Some(frame))) = capture.as_mut().map(Capture::read) {
            if frame.direction == Direction::Outgoing {
                continue;
            }
            let at = self.clock.since_start(frame.at);
            let mut packet = Packet::decode(&frame.bytes, at, &self.host);
            packet.length += frame.original_length.saturating_sub(frame.bytes.len());
            packet.arrived = Some(at);
            packet.hosts.1 = Some(Arc::clone(&self.host));
            self.log().packets.push(packet);
            any = true;
        }
        let dropped = capture.as_mut().map_or(0, Capture::newly_dropped);
        if dropped > 0 {
            let why =
                "more packets passed than could be recorded here, and some are not in the record";
            self.log().capture_refused = Some(why.into());
        }
        any
    }

    fn run(&self) {
        let capture = locked(&self.capture)
            .as_ref()
            .and_then(|capture| capture.as_fd().try_clone_to_owned().ok());
        let mut last = Duration::ZERO;
        loop {
            let stop = PollFd::new(self.stop.as_fd(), PollFlags::POLLIN);
            let mut fds = vec![stop, PollFd::new(self.notify.as_fd(), PollFlags::POLLIN)];
            fds.extend(
                capture
                    .iter()
                    .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)),
            );
            wait(&mut fds, IDLE);
            let since = self.clock.now().saturating_sub(last);
            if since < PACE {
                // What comes meanwhile is seen in the same look.
                wait(&mut fds[..1], PACE - since);
            }
            let _ = self.notify.read();
            let (asked, answered) = *locked(&self.asked);
            self.take_packets();
            let stopping = self.stop.read().is_ok();
            if stopping || asked > answered || since >= IDLE * 10 || self.log().current.len() < MANY
            {
                self.look();
                last = self.clock.now();
                locked(&self.asked).1 = asked;
                self.answered.notify_all();
            }
            if stopping {
                return;
            }
        }
    }

    /// Looks at every socket of the namespace.
    fn look(&self) {
        let at = self.clock.now();
        let Ok(mut seen) = sockets(Protocol::Tcp) else {
            return;
        };
        seen.extend(sockets(Protocol::Udp).unwrap_or_default());
        let mut log = self.log();
        if seen
            .iter()
            .any(|socket| socket.inode != 0 && !log.known.contains(&socket.inode))
        {
            for &(pid, column) in locked(&self.running).iter() {
                let inodes = proc::owners(&[pid]);
                for socket in seen
                    .iter()
                    .filter(|socket| inodes.contains_key(&socket.inode))
                {
                    log.known.insert(socket.inode);
                    let tuple = Tuple {
                        local: socket.local,
                        remote: socket.remote,
                    };
                    let columns = log.owners.entry(tuple).or_default();
                    if !columns.contains(&column) {
                        columns.push(column);
                    }
                }
            }
        }
        let mut gone: HashMap<Tuple, TcpState> = log.current.clone();
        for socket in seen {
            let tuple = Tuple {
                local: socket.local,
                remote: socket.remote,
            };
            gone.remove(&tuple);
            if socket.protocol == Protocol::Tcp
                && log.current.insert(tuple, socket.state) != Some(socket.state)
            {
                log.states.push((at, tuple, socket.state));
            }
            let samples = log.samples.entry(tuple).or_default();
            if samples.last().is_none_or(|last| last.socket != socket) {
                samples.push(Sample { at, socket });
            }
        }
        for tuple in gone.into_keys() {
            log.current.remove(&tuple);
            log.states.push((at, tuple, TcpState::Closed));
        }
    }
}

/// Waits until one of the descriptors is readable, or the time is up. To the millisecond, rounded up.
fn wait(fds: &mut [PollFd], time: Duration) {
    // An interruption is as good as a time-out here: the caller looks at everything anyway.
    let _ = poll(fds, time.as_micros().div_ceil(1000) as u16);
}

impl Log {
    /// Adds what was seen in the host's next life.
    pub(crate) fn extend(&mut self, next: Log) {
        self.packets.extend(next.packets);
        self.states.extend(next.states);
        for (tuple, columns) in next.owners {
            self.owners.entry(tuple).or_default().extend(columns);
        }
        for (tuple, samples) in next.samples {
            self.samples.entry(tuple).or_default().extend(samples);
        }
        self.capture_refused = self.capture_refused.take().or(next.capture_refused);
    }
}
