//! The commands: functions of this program. Nothing that a client sends is ever given to a shell.

use std::env::var_os;
use std::ffi::OsStr;
use std::mem::replace;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, bail, ensure};
use common::text::printable;
use common::{Call, CallError};
use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{fchdir, getcwd};

// ANCHOR: shell
/// A client's place in the tree of directories. The kernel keeps one working directory for a whole process, chdir(2); a
/// descriptor of a directory can be had for each client, and means that directory even when somebody renames it.
#[derive(Debug)]
pub struct Shell {
    here: OwnedFd,
    /// Where `cd -` leads.
    previous: Option<OwnedFd>,
    /// Compare no more of a command than has come: wrong on purpose.
    prefix: bool,
}
// ANCHOR_END: shell

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Bytes to send back.
    Reply(Vec<u8>),
    /// The end of this connection.
    Quit,
}

impl Shell {
    /// A shell in this directory.
    pub fn new(start: &OwnedFd, prefix: bool) -> Result<Self, CallError> {
        Ok(Self {
            here: start.try_clone().call("fcntl F_DUPFD_CLOEXEC")?,
            previous: None,
            prefix,
        })
    }

    // ANCHOR: run
    /// Carries out a line. Whatever is wrong with it is an answer, too.
    pub fn run(&mut self, line: &[u8]) -> Answer {
        let line = line.trim_ascii_start();
        let blank = line.iter().position(|&byte| byte == b' ');
        let (word, argument) = line.split_at(blank.unwrap_or(line.len()));
        let argument = argument.trim_ascii_start();
        if word == b"quit" && argument.is_empty() {
            return Answer::Quit;
        }
        let reply = self.reply(word, argument);
        Answer::Reply(reply.unwrap_or_else(|error| format!("error: {error:#}\n").into()))
    }

    fn reply(&mut self, word: &[u8], argument: &[u8]) -> anyhow::Result<Vec<u8>> {
        let command = match word {
            b"cd" if argument.is_empty() => bail!("cd needs a directory"),
            b"cd" => return self.cd(argument),
            word if self.is(word, b"ls") => Self::ls,
            word if self.is(word, b"pwd") => Self::pwd,
            b"quit" => bail!("quit takes no argument"),
            b"" => bail!("an empty line is no command"),
            word => bail!("unknown command: {}", printable(word)),
        };
        ensure!(argument.is_empty(), "{} takes no argument", printable(word));
        command(self)
    }
    // ANCHOR_END: run

    fn is(&self, word: &[u8], name: &[u8]) -> bool {
        word == name || (self.prefix && name.starts_with(word))
    }

    // ANCHOR: commands
    /// getcwd(2) knows the working directory of the process alone; so it becomes this client's first.
    fn pwd(&self) -> anyhow::Result<Vec<u8>> {
        fchdir(&self.here).call("pwd")?;
        let path = getcwd().call("pwd")?;
        Ok([path.as_os_str().as_bytes(), b"\n"].concat())
    }

    fn cd(&mut self, to: &[u8]) -> anyhow::Result<Vec<u8>> {
        let what = format!("cd {}", printable(to));
        let home = || var_os("HOME").context("HOME is not set");
        let target = match to {
            b"-" => {
                let previous = self.previous.as_ref();
                let previous = previous.context("cd -: there is no previous directory")?;
                previous.try_clone().call(&what)?
            }
            b"~" => open(&self.here, &home().context(what.clone())?).call(&what)?,
            path => open(&self.here, OsStr::from_bytes(path)).call(&what)?,
        };
        // To open a directory like this needs no right on it; to be in it needs the right to search it.
        fchdir(&target).call(&what)?;
        self.previous = Some(replace(&mut self.here, target));
        Ok(Vec::new())
    }

    /// The names in the order of their bytes. Hidden ones are left out, as by ls(1).
    fn ls(&self) -> anyhow::Result<Vec<u8>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = Dir::openat(&self.here, ".", flags, Mode::empty()).call("ls")?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry.call("ls")?;
            let name = entry.file_name().to_bytes();
            if !name.starts_with(b".") {
                names.push([name, b"\n"].concat());
            }
        }
        names.sort_unstable();
        Ok(names.concat())
    }
    // ANCHOR_END: commands
}

/// The working directory of this process.
pub fn working_directory() -> Result<OwnedFd, CallError> {
    open(AT_FDCWD, OsStr::new(".")).call("open .")
}

/// A descriptor that only stands for a directory: O_PATH, open(2).
fn open(from: impl AsFd, path: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(from, path, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(prefix: bool) -> (tempfile::TempDir, Shell) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sub")).unwrap();
        let start = open(AT_FDCWD, directory.path().as_os_str()).unwrap();
        let shell = Shell::new(&start, prefix).unwrap();
        (directory, shell)
    }

    fn reply(shell: &mut Shell, line: &str) -> String {
        match shell.run(line.as_bytes()) {
            Answer::Reply(reply) => String::from_utf8(reply).unwrap(),
            Answer::Quit => "quit".into(),
        }
    }

    /// The original compares as many bytes as have come: "l" runs ls, and an empty line too.
    #[test]
    fn e3_a_prefix_is_no_command() {
        let (_directory, mut shell) = shell(false);
        for (line, expected) in [
            ("ls", "sub\n"),
            ("  ls  ", "sub\n"),
            ("l", "error: unknown command: l\n"),
            ("p", "error: unknown command: p\n"),
            ("", "error: an empty line is no command\n"),
            ("   ", "error: an empty line is no command\n"),
            ("lsx", "error: unknown command: lsx\n"),
            ("cd", "error: cd needs a directory\n"),
            ("ls /", "error: ls takes no argument\n"),
            ("quit now", "error: quit takes no argument\n"),
            ("quit", "quit"),
        ] {
            assert_eq!(reply(&mut shell, line), expected, "{line}");
        }
        let (_directory, mut wrong) = self::shell(true);
        assert_eq!(reply(&mut wrong, "l"), "sub\n");
        assert_eq!(reply(&mut wrong, "x"), "error: unknown command: x\n");
    }
}
