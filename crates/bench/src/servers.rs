//! Who is compared, and how each of them is built and started.
//!
//! Every server is a process of its own on a port of the loopback address, and has one thread, unless it is a design for
//! more of them. Nobody is held back: each is written as its own documentation advises for speed, is built with the same
//! profile as the course, and sends without delay (TCP_NODELAY).

mod nginx;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::load::CONNECTION_PER_REQUEST;
use crate::results::{Kind, Workload};

/// A server that takes part.
#[derive(Debug)]
pub struct Contestant {
    /// What it is called in the tables and on the command line. Among its kind no other has the name.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Of this course.
    pub ours: bool,
    /// What the others are compared with.
    pub floor: bool,
    /// What it is made of, in a few words.
    pub about: &'static str,
    program: Program,
    arguments: &'static [&'static str],
    leaves_out: fn(&Workload) -> Option<&'static str>,
}

/// Where a server's program comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// This one.
    This,
    /// A package of the course.
    Lesson(&'static str),
    /// A package of the workspace in `peers`.
    Peer(&'static str),
    /// A C file in `peers/libevent`.
    Libevent(&'static str),
    /// The system's.
    Nginx,
}

/// What a server finds when it starts.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Has the file `100k`, which is text.
    pub files: &'a Path,
    /// Empty, and its own.
    pub own: &'a Path,
}

/// How to start a server.
#[derive(Debug)]
pub struct Launch {
    /// The command, without the streams: the first line of its output may have to be read.
    pub command: Command,
    /// How one knows that clients can come.
    pub ready: Ready,
}

/// How a server tells that clients can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Its first line is `listening on ADDRESS`.
    Says,
    /// Not at all: one can connect to this address.
    Connects(SocketAddr),
}

const LIBEVENT: &str = "libevent is not installed: apt-get install libevent-dev pkg-config gcc, or dnf install libevent-devel \
    pkgconf gcc";

/// All of them, in the order of the tables; the floor is the first of its kind.
pub fn all() -> &'static [Contestant] {
    ALL
}

const ALL: &[Contestant] = &[
    Contestant::floor(Kind::Http, &["serve", "floor-http"]),
    Contestant::ours(Kind::Http, "httpd", Program::This, &["serve", "httpd"])
        .about("the server of chapter 34, file by sendfile, kept open"),
    Contestant::peer(Kind::Http, "nginx", Program::Nginx)
        .about("one worker, no log, file by sendfile from its cache of open files"),
    Contestant::peer(Kind::Http, "hyper", Program::Peer("hyper-http"))
        .about("hyper on tokio, one thread, file from memory"),
    Contestant::peer(Kind::Http, "may_minihttp", Program::Peer("may-http"))
        .about("coroutines in one thread, file from memory")
        .without(|workload| {
            let closes = workload.id == CONNECTION_PER_REQUEST;
            closes.then_some("it never closes a connection")
        }),
    Contestant::peer(Kind::Http, "xitca-web", Program::Peer("xitca-http-server"))
        .about("xitca-web on tokio, one worker, file from memory"),
    Contestant::peer(Kind::Http, "evhttp", Program::Libevent("http"))
        .about("the HTTP server of libevent, file by sendfile"),
    Contestant::floor(Kind::Echo, &["serve", "floor-echo"]),
    Contestant::ours(Kind::Echo, "reactor", Program::This, &["serve", "reactor"])
        .about("our reactor, epoll level-triggered"),
    Contestant::ours(
        Kind::Echo,
        "reactor-edge",
        Program::This,
        &["serve", "reactor", "--dispatcher", "epoll-edge"],
    )
    .about("our reactor, epoll edge-triggered"),
    Contestant::ours(
        Kind::Echo,
        "reactor-poll",
        Program::This,
        &["serve", "reactor", "--dispatcher", "poll"],
    )
    .about("our reactor, poll"),
    Contestant::ours(
        Kind::Echo,
        "reactor-select",
        Program::This,
        &["serve", "reactor", "--dispatcher", "select"],
    )
    .about("our reactor, select")
    .without(below_1024),
    Contestant::ours(
        Kind::Echo,
        "uring-echo",
        Program::Lesson("chap-30"),
        &["uring-echo"],
    )
    .about("the proactor of chapter 30, io_uring"),
    Contestant::ours(
        Kind::Echo,
        "epoll-echo",
        Program::Lesson("chap-30"),
        &["epoll-echo"],
    )
    .about("the reactor in one file of chapter 30"),
    Contestant::peer(Kind::Echo, "tokio", Program::Peer("tokio-echo"))
        .about("a task for each connection, one thread, one buffer for all"),
    Contestant::peer(Kind::Echo, "mio", Program::Peer("mio-echo"))
        .about("epoll edge-triggered, read until it would block"),
    Contestant::peer(Kind::Echo, "libevent", Program::Libevent("echo")).about("bufferevents"),
    Contestant::ours(
        Kind::Echo,
        "thread01",
        Program::Lesson("chap-26"),
        &["thread01"],
    )
    .about("a thread for each connection, chapter 26; rot13")
    .without(|workload| {
        let many = workload.connections > 1000;
        many.then_some("a thread for each of them is more than a machine should be asked for")
    }),
    Contestant::ours(
        Kind::Echo,
        "fork01",
        Program::Lesson("chap-25"),
        &["fork01"],
    )
    .about("a process for each connection, chapter 25; rot13")
    .without(|workload| {
        let many = workload.connections > 1000;
        many.then_some("a process for each of them is more than a machine should be asked for")
    }),
    Contestant::floor(Kind::Model, &["serve", "floor-echo"]),
    Contestant::ours(
        Kind::Model,
        "one after the other",
        Program::Lesson("chap-25"),
        &["prefork", "--children", "1"],
    )
    .about("chapter 25, one process"),
    Contestant::ours(Kind::Model, "fork", Program::Lesson("chap-25"), &["fork01"])
        .about("chapter 25, a process for each connection"),
    Contestant::ours(
        Kind::Model,
        "pre-fork × 10",
        Program::Lesson("chap-25"),
        &["prefork", "--children", "10"],
    )
    .about("chapter 25, ten processes"),
    Contestant::ours(
        Kind::Model,
        "thread",
        Program::Lesson("chap-26"),
        &["thread01"],
    )
    .about("chapter 26, a thread for each connection"),
    Contestant::ours(
        Kind::Model,
        "thread pool × 10",
        Program::Lesson("chap-26"),
        &["thread02", "--threads", "10"],
    )
    .about("chapter 26, ten threads"),
    Contestant::ours(
        Kind::Model,
        "select",
        Program::Lesson("chap-20"),
        &["selectserver"],
    )
    .about("chapter 20")
    .without(below_1024),
    Contestant::ours(
        Kind::Model,
        "poll",
        Program::Lesson("chap-21"),
        &["pollserver02"],
    )
    .about("chapter 21"),
    Contestant::ours(
        Kind::Model,
        "epoll level",
        Program::Lesson("chap-23"),
        &["epoll01", "--quiet", "--trigger", "level"],
    )
    .about("chapter 23, level-triggered"),
    Contestant::ours(
        Kind::Model,
        "epoll edge",
        Program::Lesson("chap-23"),
        &["epoll01", "--quiet", "--trigger", "edge"],
    )
    .about("chapter 23, edge-triggered"),
    Contestant::ours(
        Kind::Model,
        "one reactor",
        Program::Lesson("chap-29"),
        &["epoll-server-multithreads", "--threads", "0"],
    )
    .about("chapter 29, one thread"),
    Contestant::ours(
        Kind::Model,
        "main and 2 sub reactors",
        Program::Lesson("chap-29"),
        &["epoll-server-multithreads", "--threads", "2"],
    )
    .about("chapter 29, three threads"),
    Contestant::ours(
        Kind::Model,
        "SO_REUSEPORT × 2",
        Program::Lesson("chap-33"),
        &["placement", "--placement", "reuse-port", "--threads", "2"],
    )
    .about("chapter 33, a listener for each of two loops"),
    Contestant::ours(
        Kind::Model,
        "io_uring",
        Program::Lesson("chap-30"),
        &["uring-echo"],
    )
    .about("chapter 30, one thread"),
];

fn below_1024(workload: &Workload) -> Option<&'static str> {
    let many = workload.connections > 1000;
    many.then_some("select(2) takes descriptors below 1 024 only")
}

impl Contestant {
    const fn new(kind: Kind, name: &'static str, program: Program) -> Self {
        Self {
            name,
            kind,
            ours: false,
            floor: false,
            about: "",
            program,
            arguments: &[],
            leaves_out: |_| None,
        }
    }

    const fn floor(kind: Kind, arguments: &'static [&'static str]) -> Self {
        Self {
            floor: true,
            arguments,
            about: "the system calls and nothing else",
            ..Self::new(kind, "floor", Program::This)
        }
    }

    const fn ours(
        kind: Kind,
        name: &'static str,
        program: Program,
        arguments: &'static [&'static str],
    ) -> Self {
        Self {
            ours: true,
            arguments,
            ..Self::new(kind, name, program)
        }
    }

    const fn peer(kind: Kind, name: &'static str, program: Program) -> Self {
        Self::new(kind, name, program)
    }

    const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    const fn without(self, leaves_out: fn(&Workload) -> Option<&'static str>) -> Self {
        Self { leaves_out, ..self }
    }

    /// Why it does not take a workload; `None` if it does.
    pub fn leaves_out(&self, workload: &Workload) -> Option<&'static str> {
        (self.leaves_out)(workload)
    }

    /// Whether what it needs is installed.
    ///
    /// # Errors
    /// What is not, and how to get it.
    pub fn available(&self) -> Result<(), String> {
        match self.program {
            Program::This | Program::Lesson(_) | Program::Peer(_) => Ok(()),
            Program::Libevent(_) => libevent().map(drop),
            Program::Nginx => nginx::program().map(drop),
        }
    }

    /// Whether it is one of the lessons' programs, which are written to be read.
    pub fn is_a_lesson(&self) -> bool {
        matches!(self.program, Program::Lesson(_))
    }

    /// Whether valgrind(1) can run it: it knows nothing of io_uring.
    pub fn is_for_valgrind(&self) -> bool {
        !self.arguments.contains(&"uring-echo")
    }

    /// The command that starts it, on a port that is free. It has been built.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn launch(&self, place: &Place) -> Result<Launch, String> {
        if self.program == Program::Nginx {
            return nginx::launch(place);
        }
        let mut command = Command::new(self.path()?);
        command.args(self.arguments).args(["--port", "0"]);
        if self.kind == Kind::Http {
            command.arg("--files").arg(place.files);
        }
        Ok(Launch {
            command,
            ready: Ready::Says,
        })
    }

    fn path(&self) -> Result<PathBuf, String> {
        let path = match self.program {
            // The very program that runs, even if the file has been replaced by a newer one since it was started.
            Program::This => format!("/proc/{}/exe", std::process::id()).into(),
            Program::Lesson(package) => target().join("release").join(package),
            Program::Peer(package) => peers_target().join("release").join(package),
            Program::Libevent(name) => peers_target().join(format!("libevent-{name}")),
            Program::Nginx => nginx::program()?,
        };
        match path.is_file() {
            true => Ok(path),
            false => Err(format!("{} has not been built", path.display())),
        }
    }
}

/// The root of the workspace, as it was when this was built.
pub(crate) fn workspace() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).unwrap_or(Path::new("."))
}

fn peers() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))
}

/// Where cargo builds: <https://doc.rust-lang.org/cargo/reference/environment-variables.html>.
fn target() -> PathBuf {
    // A relative one is relative to where cargo is started, and that is the root of the workspace.
    let own = env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    workspace().join(own)
}

fn peers_target() -> PathBuf {
    target().join("bench-peers")
}

/// Builds what these need, and calls `says` before each step. Returns for each that could not be built the reason.
pub fn build(wanted: &[&Contestant], says: &dyn Fn(&str)) -> BTreeMap<&'static str, String> {
    let mut failed = BTreeMap::new();
    let mut fails = |of: &dyn Fn(Program) -> bool, outcome: Result<(), String>| {
        if let Err(reason) = outcome {
            let those = wanted.iter().filter(|one| of(one.program));
            failed.extend(those.map(|one| (one.name, reason.clone())));
        }
    };
    let is_lesson = |program| matches!(program, Program::Lesson(_));
    let mut programs: Vec<_> = wanted.iter().map(|one| one.program).collect();
    programs.sort_by_key(|program| format!("{program:?}"));
    programs.dedup();
    let lessons = programs.iter().filter_map(|program| match program {
        Program::Lesson(package) => Some(*package),
        _ => None,
    });
    let lessons: Vec<_> = lessons.collect();
    if !lessons.is_empty() {
        says("building the lessons' programs");
        fails(
            &is_lesson,
            cargo(&workspace().join("Cargo.toml"), &target(), &lessons),
        );
    }
    for program in programs {
        let outcome = match program {
            Program::Peer(package) => {
                says(&format!("building {package}"));
                let outcome = cargo(&peers().join("Cargo.toml"), &peers_target(), &[package]);
                outcome.map_err(|error| {
                    format!("{error} (its crates come from the network the first time)")
                })
            }
            Program::Libevent(name) => {
                says(&format!("building libevent's {name}"));
                cc(name)
            }
            _ => Ok(()),
        };
        fails(&|other| other == program, outcome);
    }
    failed
}

/// Builds packages in release mode, with what Cargo.lock says.
fn cargo(manifest: &Path, target: &Path, packages: &[&str]) -> Result<(), String> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["build", "--release", "--locked", "--manifest-path"]);
    command.arg(manifest).arg("--target-dir").arg(target);
    // So that a relative directory means the same to cargo as to us.
    command.current_dir(workspace());
    for package in packages {
        command.args(["--package", package]);
    }
    succeeds(command).map(drop)
}

fn cc(name: &str) -> Result<(), String> {
    let flags = libevent()?;
    let directory = peers_target();
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut command = Command::new("cc");
    command.args([
        "-std=c11",
        "-D_GNU_SOURCE",
        "-O2",
        "-g1",
        "-Wall",
        "-Wextra",
        "-o",
    ]);
    command.arg(directory.join(format!("libevent-{name}")));
    command.arg(peers().join(format!("libevent/{name}.c")));
    succeeds(command.args(flags.split_whitespace())).map(drop)
}

/// What the compiler is to be told, if the library is installed.
fn libevent() -> Result<String, String> {
    let mut command = Command::new("pkg-config");
    let command = command.args(["--cflags", "--libs", "libevent"]);
    succeeds(command).map_err(|_| LIBEVENT.into())
}

/// Runs a command and returns its output; if it fails, its first line that tells of an error.
fn succeeds(mut command: impl std::borrow::BorrowMut<Command>) -> Result<String, String> {
    let command = command.borrow_mut().stdin(Stdio::null());
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("start {name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let mut lines = complaint.lines().filter(|line| !line.trim().is_empty());
    let line = lines.clone().find(|line| line.contains("error"));
    let line = line
        .or_else(|| lines.next())
        .unwrap_or("it does not say why");
    Err(format!("{name}: {}", line.trim()))
}

/// The file of a program of this name, where the system looks for programs and where it has those for administrators.
pub(crate) fn find(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut files = env::split_paths(&path)
        .chain(more)
        .map(|directory| directory.join(name.as_ref()));
    files.find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_floors_come_first() {
        for kind in [Kind::Http, Kind::Echo, Kind::Model] {
            let mut names: Vec<_> = all().iter().filter(|one| one.kind == kind).collect();
            assert!(names[0].floor && names[1..].iter().all(|one| !one.floor));
            let count = names.len();
            names.sort_by_key(|one| one.name);
            names.dedup_by_key(|one| one.name);
            assert_eq!(names.len(), count);
        }
        assert!(all().iter().all(|one| !one.about.is_empty()));
    }

    /// Ours and theirs are built alike, and peers without further thought: the section ends at the next one.
    #[test]
    fn peers_have_the_profile_of_the_course() {
        let profile = |file: PathBuf| {
            let text = fs::read_to_string(file).unwrap();
            let (_, rest) = text.split_once("\n[profile.release]\n").unwrap();
            let section = rest.split("\n[").next().unwrap();
            let lines = section
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let ours = profile(workspace().join("Cargo.toml"));
        assert!(!ours.is_empty());
        assert_eq!(profile(peers().join("Cargo.toml")), ours);
    }

    #[test]
    fn what_is_not_installed_says_how_to_get_it() {
        assert_eq!(find("no such program"), None);
        assert!(find("sh").is_some());
        let error = succeeds(Command::new("no such program")).unwrap_err();
        assert!(
            error.starts_with("start no such program: No such file"),
            "{error}"
        );
    }
}
