//! The client: two directions in one thread, and text that does not pass through this program.

use std::io::{Stdin, stdin};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::bail;
use common::address::{PORT, Peer};
use common::io::{Received, set_nonblocking};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::{pipe2, read, write};

/// Sends what is typed, and prints what the others say; Ctrl-D ends it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address or name of the server
    #[arg(value_name = "ADDR")]
    host: String,
    /// Port of the server
    #[arg(value_name = "PORT", default_value_t = PORT)]
    port: u16,
    /// Copy what is typed through this program's memory, with read and write
    #[arg(long)]
    copy: bool,
}

/// What a pipe holds at least, pipe(7): 16 pages.
const PIPE: usize = 65_536;

/// What is typed, on its way to the server.
struct Typed {
    keyboard: Stdin,
    /// A place in the kernel where the text lies meanwhile: its two ends.
    pipe: (OwnedFd, OwnedFd),
    /// How much lies there.
    waiting: usize,
    ended: bool,
    copy: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let server = Peer {
        host: args.host.clone(),
        port: args.port,
    };
    let connection = tcp::connect(&server)?;
    say!(
        "connected: {} to {}",
        tcp::local_address(&connection)?,
        tcp::peer_address(&connection)?
    )?;
    set_nonblocking(&connection)?;
    let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mut typed = Typed {
        keyboard: stdin(),
        pipe: pipe2(flags).call("pipe2")?,
        waiting: 0,
        ended: false,
        copy: args.copy,
    };
    let (mut heard, mut said_all) = (LineBuffer::new(), false);
    loop {
        // ANCHOR: wait
        // The keyboard only while nothing waits to be sent, and never again after its end: it would always be ready.
        let listens = typed.waiting == 0 && !typed.ended;
        let mut of_connection = PollFlags::POLLIN;
        of_connection.set(PollFlags::POLLOUT, typed.waiting > 0);
        let mut fds = vec![PollFd::new(connection.as_fd(), of_connection)];
        if listens {
            fds.push(PollFd::new(typed.keyboard.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready.call("poll")?,
        };
        // ANCHOR_END: wait
        let ready = |index: usize| fds.get(index).is_some_and(|fd| fd.any() == Some(true));
        let (spoken_to, typing) = (ready(0), ready(1));
        if spoken_to {
            let received = heard.fill(&connection).call("read")?;
            while let Some(line) = heard.next_line() {
                say!("{}", printable(&line))?;
            }
            match received {
                Received::Data(_) | Received::WouldBlock => {}
                Received::EndOfFile if said_all => return Ok(()),
                Received::EndOfFile => bail!("server closed the connection"),
                Received::Reset => Err(Errno::ECONNRESET).call("read")?,
            }
        }
        if typing {
            typed.take()?;
        }
        typed.send(&connection)?;
        if typed.ended && typed.waiting == 0 && !said_all {
            // We have nothing more to say. The server hears it, tells us what is still on its way, and closes.
            shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
            said_all = true;
        }
    }
}

impl Typed {
    // ANCHOR: splice
    /// From the keyboard into the pipe. The kernel moves references to pages: nothing is copied to us and back.
    fn take(&mut self) -> Result<(), CallError> {
        if self.copy {
            return self.take_by_copying();
        }
        let into = &self.pipe.1;
        match splice(
            &self.keyboard,
            None,
            into,
            None,
            PIPE,
            SpliceFFlags::SPLICE_F_MOVE,
        ) {
            Ok(0) => self.ended = true,
            Ok(count) => self.waiting = count,
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // Not every file can be spliced, splice(2); then it has to be the long way.
            Err(Errno::EINVAL) => self.copy = true,
            Err(error) => Err(error).call("splice from standard input")?,
        }
        Ok(())
    }

    /// From the pipe into the socket, as much as it takes. Not with SPLICE_F_MORE: that means "more will follow soon", and TCP
    /// would wait for it.
    fn send(&mut self, connection: &OwnedFd) -> Result<(), CallError> {
        while self.waiting > 0 {
            let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
            match splice(&self.pipe.0, None, connection, None, self.waiting, flags) {
                Ok(count) => self.waiting -= count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => Err(error).call("splice to the connection")?,
            }
        }
        Ok(())
    }
    // ANCHOR_END: splice

    fn take_by_copying(&mut self) -> Result<(), CallError> {
        let mut text = [0; 4096];
        match read(&self.keyboard, &mut text) {
            Ok(0) => self.ended = true,
            // The pipe is empty and has room for sixteen times as much.
            Ok(count) => {
                self.waiting = write(&self.pipe.1, &text[..count]).call("write to the pipe")?
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => Err(error).call("read standard input")?,
        }
        Ok(())
    }
}
