//! A server in a process of its own, for what is a process's: descriptors, limits, signals, processor time.
//!
//! The process is this test program again, running the one test `child_server`.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use drive::Program;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use reactor::{ServerOptions, TcpServer};

use super::Echo;

pub struct Child {
    pub program: Program,
    pub address: SocketAddr,
}

impl Child {
    /// Starts it with these variables: `DISPATCHER`, `THREADS`, `NOFILE`, `SIGPIPE`.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["child_server", "--exact", "--ignored", "--nocapture"]);
        command
            .env("REACTOR_CHILD", "1")
            .envs(variables.iter().copied());
        // The server blocks the signals that it reads in its own thread and its children; the test harness has more.
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        // SAFETY: between fork and exec it makes one system call and allocates nothing.
        unsafe { command.pre_exec(move || Ok(signals.thread_block()?)) };
        let program = Program::start("child", &mut command).unwrap();
        let address = program.listens().unwrap();
        Self { program, address }
    }

    /// What /proc/PID/fd links to.
    pub fn descriptors(&self) -> Vec<(String, String)> {
        let folder = format!("/proc/{}/fd", self.program.pid());
        let entries = fs::read_dir(folder).unwrap().flatten();
        let links = entries.filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            let number = entry.file_name().into_string().unwrap();
            Some((number, link.to_string_lossy().into_owned()))
        });
        links.collect()
    }

    pub fn sockets(&self) -> usize {
        let all = self.descriptors();
        all.iter()
            .filter(|(_, link)| link.starts_with("socket:"))
            .count()
    }

    /// Processor time so far, of all its threads, proc_pid_stat(5).
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.program.pid())).unwrap();
        let fields: Vec<_> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// SIGTERM, and an orderly end.
    pub fn stop(&self) {
        self.program.signal(drive::Signal::SIGTERM);
        let end = self.program.ends().unwrap();
        assert!(end.success(), "{end:?}");
    }
}

/// The process's side.
pub fn serve() {
    if env::var_os("REACTOR_CHILD").is_none() {
        return;
    }
    let text = |name: &str, default: &str| env::var(name).unwrap_or(default.into());
    if let Ok(limit) = env::var("NOFILE") {
        let limit = limit.parse().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, limit, limit).unwrap();
    }
    if text("SIGPIPE", "") == "default" {
        common::signal::default_sigpipe().unwrap();
    }
    let options = ServerOptions {
        dispatcher: text("DISPATCHER", "epoll").parse().unwrap(),
        threads: text("THREADS", "0").parse().unwrap(),
        stop_on_signals: true,
        stop_within: Duration::from_millis(500),
        ..Default::default()
    };
    let address = "127.0.0.1:0".parse().unwrap();
    let server = TcpServer::bind(&address, options, |_| Echo).unwrap();
    common::say!("\nlistening on {}", server.local_address().unwrap()).unwrap();
    server.run().unwrap();
}
