//! What the two `cost` examples, of the reactor and of the HTTP server, have in common: a server in a process of its own, its
//! processor time, a bare loop to compare with, and rounds that take turns.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{SockFlag, accept4, setsockopt, sockopt};

/// How many connections the load has.
pub const CONNECTIONS: usize = 64;

/// Descriptors that are told when there is something to read.
pub struct Readable {
    epoll: Epoll,
    ready: Vec<EpollEvent>,
}

impl Readable {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            ready: vec![EpollEvent::empty(); 512],
        })
    }

    pub fn add(&self, fd: impl AsFd, number: usize) -> anyhow::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        Ok(self.epoll.add(fd, event)?)
    }

    /// The numbers of those that are ready.
    pub fn wait(&mut self) -> anyhow::Result<impl Iterator<Item = usize> + use<'_>> {
        let count = self.epoll.wait(&mut self.ready, EpollTimeout::NONE)?;
        Ok(self.ready[..count]
            .iter()
            .map(|event| event.data() as usize))
    }
}

/// The floor: a loop that waits, and looks after nothing. `serve` reads and writes; when it returns false, the connection
/// is closed.
pub fn floor(mut serve: impl FnMut(i32) -> bool) -> anyhow::Result<()> {
    const LISTENER: usize = usize::MAX;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    // Inherited by the connections, so that it costs nothing there.
    setsockopt(&listener, sockopt::TcpNoDelay, &true)?;
    common::say!("listening on {}", listener.local_addr()?)?;
    let mut readable = Readable::new()?;
    readable.add(&listener, LISTENER)?;
    let mut accepts = false;
    loop {
        for number in readable.wait()? {
            accepts |= number == LISTENER;
            if number != LISTENER && !serve(number as i32) {
                // SAFETY: the number is that of a connection that was forgotten below, and is used no more.
                drop(unsafe { OwnedFd::from_raw_fd(number as i32) });
            }
        }
        while std::mem::take(&mut accepts) {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            match accept4(listener.as_raw_fd(), flags) {
                Ok(raw) => {
                    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
                    let connection = unsafe { OwnedFd::from_raw_fd(raw) };
                    readable.add(&connection, raw as usize)?;
                    // From now on it is known by its number alone.
                    std::mem::forget(connection);
                    accepts = true;
                }
                Err(Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// This program again, as a server.
struct Server {
    process: Child,
    address: String,
    user: f64,
}

/// The processor time of a process so far: nanoseconds, and the timer's ticks that met it in user mode, and at all.
struct Time {
    total: f64,
    user_ticks: f64,
    ticks: f64,
}

impl Server {
    fn start(which: &str) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(which)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().context("an address")?.into();
        let user = 0.0;
        Ok(Self {
            process,
            address,
            user,
        })
    }

    fn time(&self) -> anyhow::Result<Time> {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.process.id());
            std::fs::read_to_string(&path).context(path)
        };
        let (schedstat, stat) = (read("schedstat")?, read("stat")?);
        let number =
            |text: Option<&str>| Ok::<f64, anyhow::Error>(text.context("a number")?.parse()?);
        let total = number(schedstat.split(' ').next())?;
        // The fields behind the name, which may contain anything: proc_pid_stat(5). utime and stime are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(") ").context("a name")?;
        let mut fields = fields.split(' ').skip(11);
        let (user_ticks, system) = (number(fields.next())?, number(fields.next())?);
        let ticks = user_ticks + system;
        Ok(Time {
            total,
            user_ticks,
            ticks,
        })
    }

    /// Nanoseconds of processor time for each of `count` requests, which `load` sends.
    fn cost(&self, load: &[&str], count: usize) -> anyhow::Result<f64> {
        let before = self.time()?.total;
        let status = Command::new(std::env::current_exe()?)
            .args(["load", &self.address])
            .args(load)
            .arg(count.to_string())
            .status()?;
        ensure!(status.success(), "the load failed");
        Ok((self.time()?.total - before) / count as f64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Compares `cost floor` with `cost OURS`, under `cost load ADDRESS LOAD… COUNT`, and prints a line.
pub fn compare(
    name: &str,
    ours: &str,
    load: &[&str],
    count: usize,
    rounds: usize,
) -> anyhow::Result<()> {
    pin()?;
    let mut servers = [Server::start("floor")?, Server::start(ours)?];
    // To warm up.
    for server in &servers {
        server.cost(load, count)?;
    }
    let before = [servers[0].time()?, servers[1].time()?];
    let (mut costs, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..rounds {
        let mut pair = [0.0; 2];
        // Each is first as often as it is second.
        for which in [round % 2, 1 - round % 2] {
            pair[which] = servers[which].cost(load, count)?;
            costs[which].push(pair[which]);
        }
        ratios.push(pair[1] / pair[0]);
    }
    for (server, before) in servers.iter_mut().zip(before) {
        let after = server.time()?;
        server.user =
            (after.user_ticks - before.user_ticks) / (after.ticks - before.ticks).max(1.0);
    }
    let [floor, own] = costs.map(|costs| quartile(costs, 2));
    let user = [floor * servers[0].user, own * servers[1].user];
    let quarter = |which| quartile(ratios.clone(), which);
    println!(
        "{name:<24} floor {floor:>7.0} ns (user {:>4.0}), {ours} {own:>7.0} ns (user {:>4.0}), \
         ratio {:.3}, half of the rounds between {:.3} and {:.3}",
        user[0],
        user[1],
        quarter(2),
        quarter(1),
        quarter(3),
    );
    Ok(())
}

/// The value below which so many quarters of the values are.
fn quartile(mut values: Vec<f64>, quarters: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * quarters / 4]
}

/// This process, and those that it starts, on one core: the first that it may use.
fn pin() -> anyhow::Result<()> {
    // SAFETY: all zeroes is an empty set; the sets live through the calls, and CPU_SETSIZE processors fit.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = std::mem::size_of_val(&set);
        ensure!(libc::sched_getaffinity(0, size, &mut set) == 0);
        let first = (0..libc::CPU_SETSIZE as usize).find(|cpu| libc::CPU_ISSET(*cpu, &set));
        libc::CPU_ZERO(&mut set);
        libc::CPU_SET(first.context("a processor")?, &mut set);
        ensure!(libc::sched_setaffinity(0, size, &set) == 0);
    }
    Ok(())
}
