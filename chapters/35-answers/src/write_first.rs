//! Two ways for an answer to leave: straight away, or by way of a buffer and an event.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use common::address::Listen;
use common::io::{Received, receive, set_nonblocking};
use common::signal::StopSignal;
use common::text::rot13;
use common::{CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use reactor::{DispatcherKind, EventLoop, Interest, Limits, Next};

/// Answers what each client sends, rot13, and writes the answer at once
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Copy each answer into a buffer, and wait until the loop says that there is room to write
    #[arg(long)]
    through_buffer: bool,
}

/// The channels of this program are its own; the framework's connections always write first.
type Loop = EventLoop<Infallible>;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut event_loop = Loop::new(
        "main thread",
        DispatcherKind::default().open()?,
        Limits::default(),
    )?;
    event_loop.watch(stop, Interest::READ, |event_loop, stop, _| {
        if let Ok(Some(_)) = stop.received() {
            event_loop.stop(Duration::ZERO);
        }
        Next::Keep
    })?;
    let through_buffer = args.through_buffer;
    event_loop.watch(listener, Interest::READ, move |event_loop, listener, _| {
        match tcp::accept_ready(&*listener) {
            Ok(None) => {}
            Ok(Some((connection, client))) => {
                if let Err(error) = serve(event_loop, connection, client, through_buffer) {
                    complain!("Error: {:#}", anyhow::Error::new(error));
                }
            }
            Err(error) => {
                complain!("Error: {:#}", anyhow::Error::new(error));
                sleep(Duration::from_millis(100)); // there is no descriptor: it would fail again at once
            }
        }
        Next::Keep
    })?;
    Ok(event_loop.run()?)
}

fn serve(
    event_loop: &mut Loop,
    connection: OwnedFd,
    client: SocketAddr,
    through_buffer: bool,
) -> Result<(), CallError> {
    set_nonblocking(&connection)?;
    let channel = Channel {
        connection,
        client,
        through_buffer,
        waiting: Vec::new(),
        copied: 0,
        ended: false,
        watched: Interest::READ,
    };
    event_loop.watch(channel, Interest::READ, |_, channel, _| channel.ready())?;
    Ok(())
}

struct Channel {
    connection: OwnedFd,
    client: SocketAddr,
    through_buffer: bool,
    /// Answers that have not gone out.
    waiting: Vec<u8>,
    /// Bytes that were put there, to go out later.
    copied: usize,
    /// The client has said all it had to say.
    ended: bool,
    /// What the loop waits for.
    watched: Interest,
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl Channel {
    /// Something has happened: there is something to read, or, while an answer waits, there is room for it. An error shows
    /// in whatever is done then.
    fn ready(&mut self) -> Next {
        let outcome = match self.waiting.is_empty() {
            true => self.readable(),
            false => self.writable(),
        };
        match outcome {
            Ok(()) if self.ended && self.waiting.is_empty() => {
                // That nobody reads it is no fault of the clients.
                let _ = say!(
                    "client {} closed, copied {} bytes",
                    self.client,
                    self.copied
                );
                Next::Remove
            }
            Ok(()) => self.wait(),
            Err(error) => {
                complain!("client {}: {}", self.client, error.desc());
                Next::Remove
            }
        }
    }

    // ANCHOR: wait
    /// For one of the two: nothing is read while an answer waits, so no more than one waits. Each change of mind is an epoll_ctl.
    fn wait(&mut self) -> Next {
        let wanted = match self.waiting.is_empty() {
            true => Interest::READ,
            false => Interest::WRITE,
        };
        if wanted == self.watched {
            return Next::Keep;
        }
        self.watched = wanted;
        Next::Watch(wanted)
    }
    // ANCHOR_END: wait

    fn readable(&mut self) -> Result<(), Errno> {
        let mut message = [0; 4096];
        let length = match receive(&self.connection, &mut message) {
            Ok(Received::Data(length)) => length,
            Ok(Received::EndOfFile) => {
                self.ended = true;
                return Ok(());
            }
            Ok(Received::WouldBlock) => return Ok(()),
            Ok(Received::Reset) => return Err(Errno::ECONNRESET),
            Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or_default())),
        };
        for byte in &mut message[..length] {
            *byte = rot13(*byte);
        }
        self.answer(&message[..length])
    }

    // ANCHOR: answer
    /// Straight to the kernel, from where the answer was made. Only what the kernel does not take has to be kept.
    fn answer(&mut self, answer: &[u8]) -> Result<(), Errno> {
        let taken = match self.through_buffer {
            true => 0,
            false => write(&self.connection, answer)?,
        };
        self.waiting.extend_from_slice(&answer[taken..]);
        self.copied += answer.len() - taken;
        Ok(())
    }

    /// There is room: from the buffer, as much as the kernel takes.
    fn writable(&mut self) -> Result<(), Errno> {
        let taken = write(&self.connection, &self.waiting)?;
        self.waiting.drain(..taken);
        Ok(())
    }
    // ANCHOR_END: answer
}

/// How much the kernel takes now.
fn write(connection: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(connection.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
        taken => taken,
    }
}
