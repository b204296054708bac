//! One server under each dispatcher, side by side: nothing in the application tells them apart.

use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use common::address::Listen;
use common::descriptors::raise_limit;
use common::signal::StopSignal;
use common::text::rot13;
use common::{Call, say};
use reactor::{
    DispatcherKind, Handler, Input, Limits, ServerError, ServerOptions, Stopper, TcpConnection,
    TcpServer,
};

/// Answers rot13 on three ports in a row, waiting with select on the first, with poll on the second, and with epoll on the third
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// What the servers wait with, one server for each: select, poll, epoll, epoll-edge
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "select,poll,epoll"
    )]
    dispatchers: Vec<DispatcherKind>,
    /// Show the loops' events
    #[arg(short, long)]
    verbose: bool,
}

/// How long clients have to take their last answers when the servers stop.
const GRACE: Duration = Duration::from_secs(1);

/// What a server's thread tells the main one.
enum News {
    Listens(SocketAddr, Stopper<Rot13>),
    Ended(Result<(), ServerError>),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let stop = StopSignal::new()?;
    eventlog::show(args.verbose);
    let (tell, news) = channel();
    let mut stoppers = Vec::new();
    for (&kind, number) in args.dispatchers.iter().zip(0..) {
        let mut address = args.listen.address();
        if address.port() != 0 {
            match address.port().checked_add(number) {
                Some(port) => address.set_port(port),
                None => bail!("there are not that many ports after {}", address.port()),
            }
        }
        let tell = tell.clone();
        let thread = thread::Builder::new().name(kind.to_string());
        let serves = move || serve(address, kind, &tell);
        thread.spawn(serves).call(format_args!("start {kind}"))?;
        match news.recv()? {
            News::Listens(address, stopper) => {
                say!("{kind}: listening on {address}")?;
                stoppers.push(stopper);
            }
            News::Ended(outcome) => outcome?,
        }
    }
    let waits = move || {
        while !matches!(stop.comes_while(None, None), Ok(true) | Err(_)) {}
        stoppers.iter().for_each(Stopper::stop);
    };
    thread::Builder::new().spawn(waits).call("start a thread")?;
    for _ in &args.dispatchers {
        // If one fails, the program ends, and the others with it.
        if let News::Ended(outcome) = news.recv()? {
            outcome?;
        }
    }
    Ok(())
}

// ANCHOR: serve
/// A server with one loop. `kind` is all that differs.
fn serve(address: SocketAddr, kind: DispatcherKind, tell: &Sender<News>) {
    let options = ServerOptions {
        dispatcher: kind,
        limits: Limits {
            linger: GRACE,
            ..Limits::default()
        },
        stop_within: GRACE,
        ..Default::default()
    };
    let server = TcpServer::bind(&address, options, |_| Rot13);
    let outcome = server.and_then(|server| {
        let address = server.local_address().unwrap_or(address);
        let _ = tell.send(News::Listens(address, server.stopper()));
        server.run()
    });
    let _ = tell.send(News::Ended(outcome));
}

struct Rot13;

impl Handler for Rot13 {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        let answer: Vec<u8> = input.take().iter().map(|&byte| rot13(byte)).collect();
        connection.send(&answer);
    }
}
// ANCHOR_END: serve
