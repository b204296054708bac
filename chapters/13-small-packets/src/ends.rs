//! The two ends that each program of this lesson has: `ADDR` is the client's, `--serve` the server's.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::exit;
use std::thread;

use common::address::{Listen, PORT, Peer};
use common::io::{Received, receive};
use common::output::OutputError;
use common::signal::StopSignal;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    Backlog, Shutdown, SockaddrStorage, bind, getsockopt, listen, setsockopt, shutdown, sockopt,
};

#[derive(Debug, clap::Args)]
pub struct Ends {
    /// Address or name of the server
    #[arg(value_name = "ADDR", conflicts_with = "serve")]
    host: Option<String>,
    /// Be the server
    #[arg(long)]
    serve: bool,
    /// The server's local address; 0.0.0.0 or :: for all of them
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        requires = "serve"
    )]
    bind: IpAddr,
    /// The server's port; with --serve, 0 lets the kernel pick a free one
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// The server's receive buffer, SO_RCVBUF; without it the kernel sizes the buffer as it sees fit
    #[arg(long, value_name = "BYTES", requires = "serve")]
    rcvbuf: Option<u32>,
}

pub enum Role {
    Client(Peer),
    Server { listen: Listen, rcvbuf: Option<u32> },
}

impl Ends {
    /// `None` when neither end was asked for.
    pub fn role(&self) -> Option<Role> {
        let port = self.port;
        if let Some(host) = self.host.clone() {
            return Some(Role::Client(Peer { host, port }));
        }
        let (bind, rcvbuf) = (self.bind, self.rcvbuf);
        self.serve.then_some(Role::Server {
            listen: Listen { bind, port },
            rcvbuf,
        })
    }
}

/// Serves one client after the other, until Ctrl-C or SIGTERM.
pub fn serve(
    listen: &Listen,
    rcvbuf: Option<u32>,
    mut client: impl FnMut(&OwnedFd) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stop = StopSignal::new()?; // before there is a second thread: it blocks the signals for both
    let listener = listener(listen, rcvbuf)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    thread::spawn(move || end(&stop));
    loop {
        let (connection, peer) = tcp::accept(&listener)?;
        match client(&connection) {
            Err(error) if error.is::<OutputError>() => return Err(error),
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {peer}: {error:#}"),
            Ok(()) => {}
        }
    }
}

/// Waits for a signal. A thread of its own, because the other one waits for its client or for the keyboard.
fn end(stop: &StopSignal) {
    let mut signal = [PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
    while poll(&mut signal, PollTimeout::NONE).is_err() {} // EINTR
    exit(0);
}

fn listener(at: &Listen, rcvbuf: Option<u32>) -> anyhow::Result<OwnedFd> {
    let address = at.address();
    let Some(asked) = rcvbuf else {
        return Ok(tcp::listen(&address)?);
    };
    let listener = tcp::stream_socket(&address)?;
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    // Connections inherit it. Before listen: the answer to a SYN fixes the scale of the window, tcp(7).
    setsockopt(&listener, sockopt::RcvBuf, &(asked as usize)).call("setsockopt SO_RCVBUF")?;
    let got = getsockopt(&listener, sockopt::RcvBuf).call("getsockopt SO_RCVBUF")?;
    say!("receive buffer: asked for {asked}, got {got}")?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    listen(&listener, Backlog::MAXCONN).call(format_args!("listen {address}"))?;
    Ok(listener)
}

/// One read. `None` at the end of the stream; a reset is an error.
pub fn read_some(connection: &OwnedFd, data: &mut [u8]) -> Result<Option<usize>, CallError> {
    match receive(connection, data).call("read")? {
        Received::Data(length) => Ok(Some(length)),
        Received::EndOfFile => Ok(None),
        Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
    }
}

/// Ends our direction and waits for the server to end its own. A reset says that it did not take everything.
pub fn finish(connection: &OwnedFd) -> Result<(), CallError> {
    match shutdown(connection.as_raw_fd(), Shutdown::Write) {
        Err(Errno::ENOTCONN) => {} // reset meanwhile: the read tells
        outcome => outcome.call("shutdown")?,
    }
    while read_some(connection, &mut [0; 4096])?.is_some() {}
    Ok(())
}
