//! A client that opens connections and ends them as it is told: as the first, as the second, or with SO_LINGER.

use std::io::stdin;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use anyhow::Context;
use common::address::Peer;
use common::io::{Received, receive, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::libc::linger;
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};
use nix::unistd::close;

use crate::server::QUIT;

/// Opens connections, one after the other, and ends each of them as it is told
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// How many connections
    #[arg(long, default_value_t = 1)]
    count: u32,
    #[command(flatten)]
    ending: Ending,
    /// Use this address and port of ours; port 0 for any. Without it the kernel picks both
    #[arg(long, value_name = "ADDR:PORT")]
    from: Option<SocketAddr>,
    /// Send so many bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    bytes: u32,
    /// Then send each line that is typed, without its newline, until Ctrl-D
    #[arg(long)]
    typed: bool,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Ending {
    /// Close, and leave it to the server to follow; this is what happens unless something else is asked for
    #[arg(long)]
    close_first: bool,
    /// Send "quit", wait until the server has closed, then close
    #[arg(long)]
    close_second: bool,
    /// Close with SO_LINGER set to so many seconds; 0 makes close abort the connection
    #[arg(long, value_name = "SECONDS")]
    linger: Option<u16>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut typed = LineBuffer::new();
    for number in 1..=args.count {
        let connection = connect(args)?;
        say!(
            "connection {number} from {}",
            tcp::local_address(&connection)?
        )?;
        if args.bytes > 0 {
            send_all(&connection, &vec![b'a'; args.bytes as usize]).call("send")?;
            say!("send bytes: {}", args.bytes)?;
        }
        if args.typed {
            send_typed(&connection, &mut typed)?;
        }
        end(connection, &args.ending)?;
    }
    Ok(())
}

// ANCHOR: connect
/// Unless the user gives an address, connect(2) picks a port that makes the connection unlike every other: a pair of
/// addresses and ports that is in TIME-WAIT is taken. When it finds none, it fails with EADDRNOTAVAIL.
fn connect(args: &Args) -> anyhow::Result<OwnedFd> {
    let Some(from) = args.from else {
        return Ok(tcp::connect(&args.server)?);
    };
    let addresses = args.server.resolve()?;
    let server = addresses.iter().find(|to| to.is_ipv4() == from.is_ipv4());
    let server = server.with_context(|| {
        format!(
            "{} has no address of the family of --from",
            args.server.host
        )
    })?;
    let connection = tcp::stream_socket(server)?;
    // Without SO_REUSEADDR: a port with a connection in TIME-WAIT is refused here already, chapter 15.
    bind(connection.as_raw_fd(), &SockaddrStorage::from(from)).call(format_args!("bind {from}"))?;
    tcp::connect_socket(&connection, server)?;
    Ok(connection)
}
// ANCHOR_END: connect

/// Sends line by line what is typed, until the input ends.
fn send_typed(connection: &OwnedFd, typed: &mut LineBuffer) -> anyhow::Result<()> {
    let mut ended = false;
    while !ended {
        ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            send_all(connection, &line).call("send")?;
            say!("send bytes: {}", line.len())?;
        }
    }
    Ok(())
}

// ANCHOR: end
fn end(connection: OwnedFd, ending: &Ending) -> anyhow::Result<()> {
    if ending.close_second {
        send_all(&connection, QUIT).call("send")?;
        await_end(&connection)?;
    }
    let Some(seconds) = ending.linger else {
        close(connection).call("close")?; // the kernel does the rest, and close does not wait for it
        return Ok(());
    };
    let option = linger {
        l_onoff: 1,
        l_linger: seconds.into(), // whole seconds; with 0, close sends RST in place of FIN, socket(7)
    };
    setsockopt(&connection, sockopt::Linger, &option).call("setsockopt SO_LINGER")?;
    let began = Instant::now();
    let closed = close(connection);
    let took = began.elapsed().as_secs_f64();
    closed.call(format_args!("close, after {took:.1} s"))?;
    say!("close returned after {took:.1} s")?;
    Ok(())
}
// ANCHOR_END: end

/// Reads until the server has ended.
fn await_end(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut message = [0; 4096];
    loop {
        match receive(connection, &mut message).call("read")? {
            Received::Data(length) => {
                say!("received {length} bytes: {}", printable(&message[..length]))?;
            }
            Received::EndOfFile => return Ok(say!("server terminated")?),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}
