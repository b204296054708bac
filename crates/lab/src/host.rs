//! A host: a network namespace with programs on it, that can crash and come back.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drive::{Keeper, Program};
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::check::Check;
use crate::error::LabError;
use crate::exercises;
use crate::lab::{Shared, wait_a_little};
use crate::namespace::Namespace;
use crate::net::proc;
use crate::net::route::{self, Route};
use crate::net::sock_diag::{self, Protocol, Socket};
use crate::observe::{Log, Observer, Running, Sample, Tuple};
use crate::packets::{Party, Passed};
use crate::process::{Inner, Process};
use crate::record::TcpState;
use crate::tracer::{self, Calls};
use crate::wire::{Plug, Wire};

/// The port of the course's programs.
pub const PORT: u16 = 43211;

/// A host. Cheap to clone: clones are the same host.
#[derive(Clone)]
pub struct Host {
    inner: Arc<HostInner>,
}

struct HostInner {
    name: Arc<str>,
    shared: Arc<Shared>,
    plugs: Vec<Socketed>,
    forwards: bool,
    running: Running,
    life: Mutex<Option<Life>>,
    /// What was seen before the last crash.
    past: Mutex<Log>,
    settings: Mutex<Vec<(String, String)>>,
    /// What the ladder calls the ends that no program here has.
    hand: Mutex<Option<String>>,
}

struct Life {
    namespace: Namespace,
    observer: Observer,
}

/// A host's place on a wire.
#[derive(Clone)]
pub(crate) struct Socketed {
    pub(crate) wire: Arc<Wire>,
    pub(crate) interface: String,
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
    /// The router, for what is not on this wire.
    pub(crate) gateway: Option<IpAddr>,
    port: Arc<Mutex<Option<usize>>>,
}

impl Socketed {
    pub(crate) fn new(
        wire: &Arc<Wire>,
        interface: &str,
        address: IpAddr,
        prefix: u8,
        gateway: Option<IpAddr>,
    ) -> Self {
        Self {
            wire: Arc::clone(wire),
            interface: interface.into(),
            address,
            prefix,
            gateway,
            port: Arc::default(),
        }
    }
}

impl Host {
    pub(crate) fn new(
        name: &str,
        shared: &Arc<Shared>,
        plugs: Vec<Socketed>,
        forwards: bool,
    ) -> Result<Self, LabError> {
        let inner = HostInner {
            name: name.into(),
            shared: Arc::clone(shared),
            plugs,
            forwards,
            running: Running::default(),
            life: Mutex::new(None),
            past: Mutex::default(),
            settings: Mutex::default(),
            hand: Mutex::default(),
        };
        let host = Self {
            inner: Arc::new(inner),
        };
        host.come_up()?;
        Ok(host)
    }

    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        lock(&self.inner.life)
    }

    fn come_up(&self) -> Result<(), LabError> {
        let failed = |source| LabError::Host {
            host: self.inner.name.to_string(),
            source,
        };
        let shared = &self.inner.shared;
        let namespace = if shared.isolated() {
            Namespace::new().map_err(failed)?
        } else {
            Namespace::ours()
        };
        if shared.isolated() {
            // Neighbour discovery and router solicitations are noise on the wire of every lesson but one.
            let quiet = || {
                for interfaces in ["all", "default"] {
                    let _ = proc::set_sysctl(
                        &format!("net.ipv6.conf.{interfaces}.router_solicitations"),
                        "0",
                    );
                    let _ =
                        proc::set_sysctl(&format!("net.ipv6.conf.{interfaces}.accept_dad"), "0");
                }
                let _ = proc::set_sysctl("net.ipv6.conf.default.addr_gen_mode", "1");
                Ok(())
            };
            namespace.enter(quiet).map_err(failed)?;
        }
        let observer = Observer::start(
            &self.inner.name,
            &namespace,
            &self.inner.running,
            shared.clock,
        )
        .map_err(failed)?;
        for plug in &self.inner.plugs {
            let mut port = lock(&plug.port);
            let plugged = Plug {
                host: Arc::clone(&self.inner.name),
                namespace: &namespace,
                interface: &plug.interface,
                addresses: vec![plug.address],
                notify: observer.notify(),
                gateway: self.inner.forwards,
                port: *port,
            };
            *port = Some(plug.wire.plug(plugged).map_err(failed)?);
            namespace
                .enter(|| self.address_interface(plug))
                .map_err(failed)?;
        }
        let settings = lock(&self.inner.settings).clone();
        let apply = || {
            settings
                .iter()
                .try_for_each(|(name, value)| proc::set_sysctl(name, value))
        };
        namespace.enter(apply).map_err(failed)?;
        *self.life() = Some(Life {
            namespace,
            observer,
        });
        Ok(())
    }

    fn address_interface(&self, plug: &Socketed) -> io::Result<()> {
        route::add_address(&plug.interface, plug.address, plug.prefix)?;
        if let Some(gateway) = plug.gateway {
            let everywhere = match gateway {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
            };
            route::add_route((everywhere, 0), Route::Gateway(gateway))?;
        }
        if self.inner.forwards {
            // A router that answers once a second and peer would make the second connect of an experiment time out.
            let settings = match plug.address {
                IpAddr::V4(_) => ["net.ipv4.ip_forward", "net.ipv4.icmp_ratelimit"],
                IpAddr::V6(_) => ["net.ipv6.conf.all.forwarding", "net.ipv6.icmp.ratelimit"],
            };
            for (setting, value) in settings.into_iter().zip(["1", "0"]) {
                proc::set_sysctl(setting, value)?;
            }
        }
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its address on its (first) wire, or the loopback address of a host without one.
    pub fn address(&self) -> IpAddr {
        self.inner
            .plugs
            .first()
            .map_or(Ipv4Addr::LOCALHOST.into(), |plug| plug.address)
    }

    /// Whether an address is one of its own: on a wire, or, as far as this can tell, on its loopback interface.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.inner.plugs.is_empty()
            || address.is_loopback()
            || self.inner.plugs.iter().any(|plug| plug.address == address)
    }

    /// The wire it is on (the first, of a router).
    ///
    /// # Panics
    /// On a host without a wire: a mistake in the experiment.
    pub fn wire(&self) -> &Wire {
        &self.inner.plugs.first().expect("this host has a wire").wire
    }

    /// Starts a program: `chap-11 graceserver --pause 0.2`. The words are separated by blanks.
    pub fn start(&self, command: &str) -> Result<Process, LabError> {
        self.program(command).start()
    }

    /// Starts a program and watches its system calls.
    pub fn traces(&self, command: &str) -> Result<Process, LabError> {
        self.program(command).traced().start()
    }

    /// A program that is to be started with more than words: see [`Launch`].
    pub fn program(&self, command: &str) -> Launch<'_> {
        let words = command.split_whitespace().map(String::from).collect();
        Launch {
            host: self,
            words,
            name: None,
            traced: self.inner.shared.trace_all,
            drawn: None,
            prepare: None,
        }
    }

    /// The program that an exercise is about, with its arguments, to be drawn under this name: the solution, and in the control
    /// what the learner has made of it.
    pub fn exercise(&self, name: &str, arguments: &str) -> Launch<'_> {
        let shared = &self.inner.shared;
        let [unsolved, solution] = exercises::binaries(shared.id);
        let program = if shared.control() { unsolved } else { solution };
        self.program(&format!("{program} {arguments}")).named(name)
    }

    /// Does something in the host's network: what a program of the lesson would not do.
    pub fn enter<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> Result<T, LabError> {
        let namespace = self.life().as_ref().map(|life| life.namespace.clone());
        let failed = |source| LabError::Host {
            host: self.inner.name.to_string(),
            source,
        };
        match namespace {
            Some(namespace) => namespace.enter(work).map_err(failed),
            None => Err(failed(io::Error::other("the host is down"))),
        }
    }

    /// Names, for the ladder, what the experiment does here by its own hand, through [`Host::enter`]: `client`. Otherwise
    /// it is the kernel's or the host's.
    pub fn names_own_hand(&self, name: &str) {
        *lock(&self.inner.hand) = Some(name.into());
    }

    /// The name given by [`Host::names_own_hand`].
    pub(crate) fn own_hand(&self) -> Option<String> {
        lock(&self.inner.hand).clone()
    }

    /// Sets a kernel variable of this host's network: `net.ipv4.tcp_retries2`. It survives a reboot.
    pub fn sets(&self, variable: &str, value: impl ToString) -> Result<(), LabError> {
        let value = value.to_string();
        self.enter(|| proc::set_sysctl(variable, &value))?;
        lock(&self.inner.settings).push((variable.into(), value));
        Ok(())
    }

    /// Reads a kernel variable of this host's network.
    pub fn variable(&self, name: &str) -> Result<String, LabError> {
        self.enter(|| proc::sysctl(name))
    }

    /// A counter of this host's network: `counter("TcpExt", "ListenOverflows")`, as nstat(8) shows them.
    pub fn counter(&self, group: &str, name: &str) -> Result<u64, LabError> {
        self.enter(|| proc::snmp_counter(group, name))
    }

    /// Adds a route: to a gateway, or one that refuses.
    pub fn routes(&self, destination: IpAddr, prefix: u8, route: Route) -> Result<(), LabError> {
        self.enter(|| route::add_route((destination, prefix), route))
    }

    /// Its TCP sockets now.
    pub fn sockets(&self) -> Result<Vec<Socket>, LabError> {
        self.enter(|| sock_diag::sockets(Protocol::Tcp))
    }

    /// Its UDP sockets now.
    pub fn udp_sockets(&self) -> Result<Vec<Socket>, LabError> {
        self.enter(|| sock_diag::sockets(Protocol::Udp))
    }

    /// Whether a TCP socket that fits is in this state now, and what is there.
    pub fn has(&self, state: TcpState, fits: impl Fn(&Socket) -> bool) -> Check {
        match self.sockets() {
            Err(error) => Check::unseen(error),
            Ok(sockets) => {
                let found: Vec<_> = sockets.iter().filter(|socket| fits(socket)).collect();
                let seen: Vec<_> = found
                    .iter()
                    .map(|s| format!("{} to {} {}", s.local, s.remote, s.state))
                    .collect();
                let seen = if seen.is_empty() {
                    "no such socket".into()
                } else {
                    seen.join(", ")
                };
                Check::new(found.iter().any(|socket| socket.state == state), seen)
            }
        }
    }

    /// Cuts the power: the wire is dead for this host first, then every process is killed, then its network is gone.
    /// The others hear nothing: neither FIN nor RST.
    pub fn crashes(&self) -> Result<(), LabError> {
        self.inner.shared.act(format!("{} crashes", self.name()));
        for plug in &self.inner.plugs {
            if let Some(port) = *lock(&plug.port) {
                plug.wire.unplug(port);
            }
        }
        self.look();
        let last = self.inner.shared.clock.now();
        let Some(mut life) = self.life().take() else {
            return Ok(());
        };
        self.kill_everything(&life.namespace)?;
        let mut seen = life.observer.finish();
        // What the kernel does with the sockets of the killed is how we take the power away, and no part of the story.
        seen.states.retain(|(at, ..)| *at <= last);
        lock(&self.inner.past).extend(seen);
        lock(&self.inner.running).clear();
        Ok(())
    }

    /// Comes back with the same addresses and no memory of any connection.
    pub fn boots(&self) -> Result<(), LabError> {
        self.inner.shared.act(format!("{} boots", self.name()));
        self.come_up()
    }

    /// Ends every process of the host with SIGKILL, whoever started it.
    pub(crate) fn kill_everything(&self, namespace: &Namespace) -> Result<(), LabError> {
        let failed = |source| LabError::Host {
            host: self.inner.name.to_string(),
            source,
        };
        if !self.inner.shared.isolated() {
            return Ok(());
        }
        let number = namespace.number().map_err(failed)?;
        for _ in 0..1000 {
            let pids = processes_in(number);
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids {
                // An error means that it has just ended by itself.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            wait_a_little();
        }
        Err(failed(io::Error::other("a process survives SIGKILL")))
    }

    /// Takes note that a process belongs to the program of a column.
    pub(crate) fn knows(&self, pid: Pid, column: usize) {
        lock(&self.inner.running).push((pid.as_raw(), column));
    }

    /// Looks at its sockets now.
    pub(crate) fn look(&self) {
        if let Some(life) = self.life().as_ref() {
            life.observer.look();
        }
    }

    /// What was seen on this host, before and after crashes.
    pub(crate) fn log(&self) -> Log {
        let mut log = lock(&self.inner.past).clone();
        if let Some(life) = self.life().as_ref() {
            log.extend(life.observer.log());
        }
        log
    }

    /// How many packets there were on its loopback interface since it booted.
    pub(crate) fn packet_count(&self) -> usize {
        self.life()
            .as_ref()
            .map_or(0, |life| life.observer.packet_count())
    }

    /// Ends the host for good.
    pub(crate) fn shut(&self) {
        let Some(mut life) = self.life().take() else {
            return;
        };
        // The kernel kills what is left, at the latest when the lab ends.
        let _ = self.kill_everything(&life.namespace);
        let seen = life.observer.finish();
        lock(&self.inner.past).extend(seen);
    }

    /// The samples of each TCP connection or UDP socket that a condition chooses, in order of time.
    pub fn samples(&self, fits: impl Fn(&Tuple) -> bool) -> Vec<Sample> {
        let log = self.log();
        let mut samples: Vec<_> = log
            .samples
            .into_iter()
            .filter(|(tuple, _)| fits(tuple))
            .flat_map(|(_, samples)| samples)
            .collect();
        samples.sort_by_key(|sample| sample.at);
        samples
    }

    /// The states that connections to or from a port went through here, in order of time, as far as they were seen.
    pub fn states(&self, fits: impl Fn(&Tuple) -> bool) -> Vec<TcpState> {
        self.log()
            .states
            .into_iter()
            .filter(|(_, tuple, _)| fits(tuple))
            .map(|(_, _, state)| state)
            .collect()
    }
}

impl Party for Host {
    fn sent(&self, packet: &Passed) -> bool {
        *packet.hosts.0 == *self.inner.name
    }

    fn was_sent(&self, packet: &Passed) -> bool {
        packet.hosts.1.as_deref() == Some(&self.inner.name)
    }
}

/// A program about to be started.
pub struct Launch<'a> {
    host: &'a Host,
    words: Vec<String>,
    name: Option<String>,
    traced: bool,
    drawn: Option<&'static [&'static str]>,
    prepare: Option<Prepare>,
}

type Prepare = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

impl Launch<'_> {
    /// One more argument, which may have blanks in it.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.words.push(argument.into());
        self
    }

    /// The name of its column, where two programs would have the same: `keepalive client`.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Its system calls are watched.
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// Its system calls are watched, and of those only the ones with these names are drawn in the ladder.
    pub fn traced_drawing(mut self, names: &'static [&'static str]) -> Self {
        self.drawn = Some(names);
        self.traced()
    }

    /// Something that the new process does before it becomes the program: giving up a right, setting a limit. It runs
    /// between fork and exec, where little is allowed, signal-safety(7).
    pub fn prepared(
        mut self,
        prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.prepare = Some(Box::new(prepare));
        self
    }

    /// Starts it.
    pub fn start(self) -> Result<Process, LabError> {
        let shared = &self.host.inner.shared;
        let refused = |why: &str| LabError::Start {
            command: self.words.join(" "),
            why: why.into(),
        };
        let (program, arguments) = self
            .words
            .split_first()
            .ok_or_else(|| refused("no program"))?;
        let mut command = Command::new(shared.programs.path(program).map_err(|why| refused(&why))?);
        command.args(arguments).current_dir(&shared.directory);
        let namespace = self.host.life().as_ref().map(|life| life.namespace.clone());
        let namespace = namespace.ok_or_else(|| refused("the host is down"))?;
        let mut prepare = self.prepare;
        let enter = move || {
            namespace.join()?;
            // The process goes when its keeper goes, whatever happens to us.
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            keeps_only_the_standard_descriptors();
            prepare.as_mut().map_or(Ok(()), |prepare| prepare())
        };
        // SAFETY: between fork and exec only system calls are made, nothing is allocated and no lock is taken.
        unsafe { command.pre_exec(enter) };

        let plain = if program.starts_with("chap-") || program == "midterm" {
            arguments.first()
        } else if exercises::is_binary(program) {
            self.name.as_ref()
        } else {
            None
        };
        let name = plain
            .unwrap_or(program)
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_string();
        let column = shared.column(self.name.as_deref().unwrap_or(&name), self.host);
        let calls = self.traced.then(|| Arc::new(Calls::default()));
        let keeper: Option<Keeper> = calls
            .as_ref()
            .map(|calls| tracer::keeper(Arc::clone(calls)));
        let program = match keeper {
            Some(keeper) => Program::start_kept(&name, command, keeper)?,
            None => Program::start(&name, &mut command)?,
        };
        lock(&self.host.inner.running).push((program.pid().as_raw(), column));
        let host = self.host.clone();
        // Who asks to see the system calls of every program asks to see all of them.
        let drawn = self.drawn.filter(|_| !shared.trace_all);
        let process = Process {
            inner: Arc::new(Inner {
                program,
                host,
                column,
                calls,
                drawn,
                drawn_until: Mutex::default(),
                shared: Arc::clone(shared),
            }),
        };
        shared.started(&process);
        Ok(process)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The processes whose network is the namespace with this number.
fn processes_in(namespace: u64) -> Vec<i32> {
    use std::os::unix::fs::MetadataExt;
    let ours = std::process::id() as i32;
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let inside = |pid: &i32| {
        fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|file| file.ino() == namespace)
    };
    pids.filter(|pid| *pid != ours).filter(inside).collect()
}

/// What a shell left open would take a number from the program, and a place under its limit: close_range(2). A kernel before
/// 5.11 does not know it, and then they stay.
fn keeps_only_the_standard_descriptors() {
    // SAFETY: it marks descriptors, and reads and writes no memory.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}
