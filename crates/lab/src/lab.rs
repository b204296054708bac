//! What an experiment has in its hands: hosts and wires to make, claims to state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollTimeout, poll};

use crate::check::{Answer, Check};
use crate::clock::Clock;
use crate::error::LabError;
use crate::experiment::Outcome;
use crate::host::{Host, Socketed};
use crate::observe::Sample;
use crate::packet::Packet;
use crate::packets::Packets;
use crate::process::Process;
use crate::programs::Programs;
use crate::record::{Claim, Column, Event, Gauge, Table, Verdict, What};
use crate::version::Version;
use crate::wire::Wire;

/// How long to wait for the kernel to come to do something. It is there to end a wait for what never comes.
const DEADLINE: Duration = Duration::from_secs(20);
/// The same in a control, where a central claim is *expected* not to come true.
const CONTROL_DEADLINE: Duration = Duration::from_secs(3);

/// One run of one experiment.
pub struct Lab {
    pub(crate) shared: Arc<Shared>,
}

/// What hosts and programs need of the lab.
pub(crate) struct Shared {
    /// The id of the experiment or exercise.
    pub(crate) id: &'static str,
    pub(crate) clock: Clock,
    pub(crate) programs: Programs,
    /// The run's own empty directory, in which the programs start.
    pub(crate) directory: PathBuf,
    /// Every program is to be traced.
    pub(crate) trace_all: bool,
    pub(crate) kernel: Version,
    isolated: bool,
    control: bool,
    book: Mutex<Book>,
}

/// What is written down in the course of a run.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) columns: Vec<Column>,
    pub(crate) processes: Vec<Process>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) wires: Vec<Arc<Wire>>,
    pub(crate) events: Vec<Event>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) gauges: Vec<Gauge>,
    pub(crate) figures: Vec<(String, String)>,
    pub(crate) tables: Vec<Table>,
    /// Ports whose connections are not drawn.
    pub(crate) crowds: Vec<RangeInclusive<u16>>,
    /// Where the ladder ends, if before the experiment does.
    pub(crate) told_until: Option<Duration>,
    /// Packets that are not drawn.
    pub(crate) asides: Vec<fn(&Packet) -> bool>,
    /// Packets were asked for that cannot be seen on this machine: why.
    pub(crate) blind: Option<String>,
}

impl Shared {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are namespaces of our own.
    pub(crate) fn isolated(&self) -> bool {
        self.isolated
    }

    /// Whether this is the control, or a learner's attempt at an exercise.
    pub(crate) fn control(&self) -> bool {
        self.control
    }

    pub(crate) fn happened(&self, at: Duration, what: What) {
        self.book().events.push(Event { at, what });
    }

    pub(crate) fn act(&self, what: String) {
        self.happened(self.clock.now(), What::Act(what));
    }

    /// A new column for a program of this name.
    pub(crate) fn column(&self, name: &str, host: &Host) -> usize {
        let mut book = self.book();
        let several = book.hosts.len() > 1;
        let earlier = book
            .columns
            .iter()
            .filter(|column| column.name.split(' ').next() == Some(name))
            .count();
        let name = if earlier == 0 {
            name.to_string()
        } else {
            format!("{name} {}", earlier + 1)
        };
        book.columns.push(Column {
            name,
            host: several.then(|| host.name().to_string()),
            address: None,
        });
        book.columns.len() - 1
    }

    pub(crate) fn started(&self, process: &Process) {
        self.book().processes.push(process.clone());
    }
}

impl Lab {
    pub(crate) fn new(
        id: &'static str,
        programs: Programs,
        directory: PathBuf,
        isolated: bool,
        control: bool,
        trace_all: bool,
    ) -> Self {
        let shared = Shared {
            id,
            clock: Clock::start(),
            programs,
            directory,
            trace_all,
            kernel: Version::running(),
            isolated,
            control,
            book: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A host by itself, with a loopback interface.
    pub fn host(&self) -> Result<Host, LabError> {
        self.add_host("host", Vec::new(), false)
    }

    /// Hosts on one wire: 10.0.0.1, 10.0.0.2 and so on.
    pub fn hosts<const N: usize>(&self, names: [&str; N]) -> Result<[Host; N], LabError> {
        let wire = self.add_wire()?;
        let mut hosts = Vec::with_capacity(N);
        for (name, number) in names.into_iter().zip(1..) {
            let address = Ipv4Addr::new(10, 0, 0, number).into();
            hosts.push(self.add_host(
                name,
                vec![Socketed::new(&wire, "wire0", address, 24, None)],
                false,
            )?);
        }
        // As many as there are names.
        hosts
            .try_into()
            .map_err(|_| LabError::Impossible("hosts were lost".into()))
    }

    /// Hosts on one wire with IPv6 addresses: fd00::1, fd00::2 and so on.
    pub fn hosts_v6<const N: usize>(&self, names: [&str; N]) -> Result<[Host; N], LabError> {
        let wire = self.add_wire()?;
        let mut hosts = Vec::with_capacity(N);
        for (name, number) in names.into_iter().zip(1..) {
            let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into();
            hosts.push(self.add_host(
                name,
                vec![Socketed::new(&wire, "wire0", address, 64, None)],
                false,
            )?);
        }
        hosts
            .try_into()
            .map_err(|_| LabError::Impossible("hosts were lost".into()))
    }

    /// Two hosts and a router between them: 10.0.1.2, the router 10.0.1.1 and 10.0.2.1, and 10.0.2.2.
    pub fn routed(&self, names: [&str; 3]) -> Result<[Host; 3], LabError> {
        self.routed_at(names, 24, |net, host| {
            Ipv4Addr::new(10, 0, net, host).into()
        })
    }

    /// The same with IPv6 addresses: fd00:1::2, the router fd00:1::1 and fd00:2::1, and fd00:2::2.
    pub fn routed_v6(&self, names: [&str; 3]) -> Result<[Host; 3], LabError> {
        let at = |net: u8, host: u8| {
            Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, host.into()).into()
        };
        self.routed_at(names, 64, at)
    }

    fn routed_at(
        &self,
        names: [&str; 3],
        prefix: u8,
        at: fn(u8, u8) -> IpAddr,
    ) -> Result<[Host; 3], LabError> {
        let [left, right] = [self.add_wire()?, self.add_wire()?];
        let sides = vec![
            Socketed::new(&left, "wire0", at(1, 1), prefix, None),
            Socketed::new(&right, "wire1", at(2, 1), prefix, None),
        ];
        let router = self.add_host(names[1], sides, true)?;
        let near = Socketed::new(&left, "wire0", at(1, 2), prefix, Some(at(1, 1)));
        let far = Socketed::new(&right, "wire0", at(2, 2), prefix, Some(at(2, 1)));
        Ok([
            self.add_host(names[0], vec![near], false)?,
            router,
            self.add_host(names[2], vec![far], false)?,
        ])
    }

    fn add_wire(&self) -> Result<Arc<Wire>, LabError> {
        if !self.shared.isolated {
            return Err(LabError::Impossible(
                "a wire between hosts needs network namespaces".into(),
            ));
        }
        let wire = Arc::new(Wire::new(self.shared.clock)?);
        self.shared.book().wires.push(Arc::clone(&wire));
        Ok(wire)
    }

    fn add_host(&self, name: &str, plugs: Vec<Socketed>, forwards: bool) -> Result<Host, LabError> {
        let host = Host::new(name, &self.shared, plugs, forwards)?;
        self.shared.book().hosts.push(host.clone());
        Ok(host)
    }

    /// Whether this is the control.
    pub fn is_control(&self) -> bool {
        self.shared.control
    }

    /// The one thing that the control does in another way: the first in the experiment, the second in its control.
    pub fn vary<T>(&self, experiment: T, control: T) -> T {
        if self.shared.control {
            control
        } else {
            experiment
        }
    }

    /// The kernel's version.
    pub fn kernel(&self) -> Version {
        self.shared.kernel
    }

    /// The time since the start of the experiment.
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// A sentence about the world, and whether it is so.
    pub fn claim(&self, sentence: &str, check: Check) {
        self.state(sentence, check, false);
    }

    /// The claim that the experiment is about. In the control it must not hold.
    pub fn central(&self, sentence: &str, check: Check) {
        self.state(sentence, check, true);
    }

    /// A claim that differs between kernels: the one for the running kernel is stated. Where it does not hold this is a
    /// discovery, not a failure.
    pub fn claim_by_kernel(
        &self,
        variants: impl IntoIterator<Item = (Kernel, &'static str, Check)>,
    ) {
        let fitting = variants
            .into_iter()
            .find(|(kernel, ..)| kernel.fits(self.shared.kernel));
        let Some((_, sentence, check)) = fitting else {
            let kernel = self.shared.kernel;
            return self.write(
                "this kernel is one that the experiment knows",
                format!("Linux {kernel}"),
                false,
                Verdict::Discovery,
            );
        };
        let verdict = match check.answer {
            Answer::Yes => Verdict::Holds,
            Answer::No => Verdict::Discovery,
            Answer::Unseen => Verdict::Unseen,
        };
        self.write(sentence, check.seen, false, verdict);
    }

    /// A claim about something that takes a moment to become so: it is looked at until it holds or the time is up.
    pub fn eventually(&self, sentence: &str, look: impl FnMut() -> Check) {
        let check = look_for(self.patience(), look);
        self.state(sentence, check, false);
    }

    /// The claim that the experiment is about, where it takes a moment to become so.
    pub fn central_eventually(&self, sentence: &str, look: impl FnMut() -> Check) {
        let check = look_for(self.patience(), look);
        self.state(sentence, check, true);
    }

    /// Waits until something is so, to go on with the story. To be used for what the kernel does; for what a program
    /// says there is [`Process::says`](drive::Program::says).
    pub fn until(&self, awaited: &str, look: impl FnMut() -> Check) -> Result<(), LabError> {
        let check = look_for(DEADLINE, look);
        match check.answer {
            Answer::Yes => Ok(()),
            Answer::Unseen => Err(LabError::Impossible(check.seen)),
            Answer::No => Err(LabError::Waited {
                awaited: awaited.into(),
                seen: check.seen,
            }),
        }
    }

    /// How long a claim may take to come true.
    fn patience(&self) -> Duration {
        if self.shared.control {
            CONTROL_DEADLINE
        } else {
            DEADLINE
        }
    }

    /// Lets time pass in order to see that something does *not* happen in it. Never to wait for what does.
    pub fn watches_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            wait_a_little();
        }
    }

    fn state(&self, sentence: &str, check: Check, central: bool) {
        let verdict = match check.answer {
            Answer::Yes => Verdict::Holds,
            Answer::No => Verdict::Fails,
            Answer::Unseen => Verdict::Unseen,
        };
        self.write(sentence, check.seen, central, verdict);
    }

    fn write(&self, sentence: &str, seen: String, central: bool, verdict: Verdict) {
        let claim = Claim {
            sentence: sentence.into(),
            seen,
            central,
            verdict,
        };
        self.shared.book().claims.push(claim);
    }

    /// Writes down what the experiment does by its own hand: a line across the ladder.
    pub fn notes(&self, what: &str) {
        self.shared.act(what.into());
    }

    /// Leaves the connections from or to these ports out of the ladder: a crowd, of which the figures tell more than a
    /// hundred arrows. What is claimed of them is asked for as always.
    pub fn leaves_out(&self, ports: RangeInclusive<u16>) {
        self.shared.book().crowds.push(ports);
    }

    /// Leaves packets that fit out of the ladder: what kernels send of their own accord and at a time of their own, such
    /// as the reports of multicast groups. What is claimed of them is asked for as always.
    pub fn leaves_out_packets(&self, fits: fn(&Packet) -> bool) {
        self.shared.book().asides.push(fits);
    }

    /// Ends the ladder here: what follows belongs to the claims, and its order is nobody's.
    pub fn ends_the_ladder(&self) {
        let now = self.now();
        self.shared.book().told_until = Some(now);
    }

    /// Figures to be compared: a row for each thing, its name first. The numbers of one column are drawn as bars as well.
    pub fn table(&self, head: &[&str], rows: Vec<Vec<String>>, bars: usize) {
        let head = head.iter().map(|&column| column.into()).collect();
        self.shared.book().tables.push(Table { head, rows, bars });
    }

    /// Something worth showing that is not claimed, because noise could change it.
    pub fn figure(&self, name: &str, value: impl ToString) {
        self.shared
            .book()
            .figures
            .push((name.into(), value.to_string()));
    }

    /// A quantity of a socket over time, drawn under the ladder.
    pub fn gauge(
        &self,
        name: &str,
        unit: &'static str,
        samples: &[Sample],
        value: impl Fn(&Sample) -> f64,
    ) {
        self.gauge_of(
            name,
            unit,
            samples.iter().map(|sample| (sample.at, value(sample))),
        );
    }

    /// The same of any quantity, from its values over time: what packets say, for example.
    pub fn gauge_of(
        &self,
        name: &str,
        unit: &'static str,
        points: impl IntoIterator<Item = (Duration, f64)>,
    ) {
        let mut points: Vec<_> = points.into_iter().collect();
        points.dedup_by(|later, earlier| later.1 == earlier.1);
        self.shared.book().gauges.push(Gauge {
            name: name.into(),
            unit,
            points,
        });
    }

    /// Every packet up to now, on every wire and every loopback interface.
    pub fn packets(&self) -> Packets {
        let packets = crate::assemble::packets(&self.shared);
        if packets.refused.is_some() {
            self.shared.book().blind.clone_from(&packets.refused);
        }
        packets
    }

    /// Waits until nothing has happened for a moment: last lines and last packets belong to the story.
    pub(crate) fn settles(&self) {
        const QUIET: Duration = Duration::from_millis(30);
        const AT_MOST: Duration = Duration::from_millis(300);
        let start = Instant::now();
        let mut last = (self.activity(), start);
        while last.1.elapsed() < QUIET && start.elapsed() < AT_MOST {
            wait_a_little();
            let activity = self.activity();
            if activity != last.0 {
                last = (activity, Instant::now());
            }
        }
    }

    /// How many lines, ends and packets there have been.
    fn activity(&self) -> usize {
        let (hosts, wires, processes) = {
            let book = self.shared.book();
            (
                book.hosts.clone(),
                book.wires.clone(),
                book.processes.clone(),
            )
        };
        let of_process = |process: &Process| {
            process.out().len() + process.err().len() + usize::from(process.ended().is_some())
        };
        processes.iter().map(of_process).sum::<usize>()
            + hosts.iter().map(Host::packet_count).sum::<usize>()
            + wires.iter().map(|wire| wire.packet_count()).sum::<usize>()
    }

    /// The end of the story.
    pub fn done(&self) -> Outcome {
        Ok(())
    }
}

/// Which kernels a variant of a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// This version and later ones.
    Since(u32, u32),
    /// Every version before this one.
    Before(u32, u32),
}

impl Kernel {
    fn fits(self, running: Version) -> bool {
        match self {
            Kernel::Since(major, minor) => running.at_least(major, minor),
            Kernel::Before(major, minor) => !running.at_least(major, minor),
        }
    }
}

/// A short pause between two looks at something that cannot be waited for in any other way.
pub(crate) fn wait_a_little() {
    let _ = poll(&mut [], PollTimeout::from(2u8));
}

fn look_for(time: Duration, mut look: impl FnMut() -> Check) -> Check {
    let deadline = Instant::now() + time;
    loop {
        let check = look();
        if check.answer != Answer::No || Instant::now() >= deadline {
            return check;
        }
        wait_a_little();
    }
}
