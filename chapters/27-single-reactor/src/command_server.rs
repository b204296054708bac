//! The midterm's server on the reactor: what was a loop for one client is a callback for all of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::address::{Listen, seconds};
use common::descriptors::raise_limit;
use common::text::printable;
use common::{complain, say};
use midterm::commands::{Shell, working_directory};
use midterm::line_reader::{Line, LineReader};
use midterm::reply::LONGEST;
use reactor::{End, Handler, Input, Limits, ServerOptions, TcpConnection, TcpServer, Timeout};

use crate::steps::{Place, compute, decode, encode};

/// Carries out the midterm's pwd, cd, ls and quit for many clients at once, each in a directory of its own
///
/// Each client begins in the directory that the server was started in. There is no password: whoever can connect can see
/// the names of the files that the server may see. The client is the midterm's: telnet-client.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Seconds without a word from a client, or without its taking a reply, after which it has to go; 0 for no limit
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    idle: Duration,
    /// One directory for all clients, as with chdir(2): wrong on purpose
    #[arg(long)]
    one_directory: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let start = working_directory()?;
    let new_place = move || anyhow::Ok(Arc::new(Mutex::new(Shell::new(&start, false)?)));
    let (everybodys, one_directory) = (new_place()?, args.one_directory);
    let limits = Limits {
        idle: Some(args.idle).filter(|idle| !idle.is_zero()),
        output: LONGEST + (1 << 20), // a reply of that length has to fit
        ..Limits::default()
    };
    let options = ServerOptions {
        limits,
        stop_on_signals: true,
        ..Default::default()
    };
    let make = move |peer| Client {
        peer,
        lines: LineReader::default(),
        place: match one_directory {
            true => Ok(Arc::clone(&everybodys)),
            false => new_place(),
        },
        ending: "closed",
    };
    let server = TcpServer::bind(&args.listen.address(), options, make)?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}

// ANCHOR: client
/// What the server keeps of a client between two events. In the midterm these were local variables: the stack
/// remembered how far the client had got.
struct Client {
    peer: Option<SocketAddr>,
    lines: LineReader,
    place: anyhow::Result<Place>,
    ending: &'static str,
}
// ANCHOR_END: client

impl Handler for Client {
    fn connected(&mut self, _: &mut TcpConnection<Self>) {
        self.report("connected");
    }

    // ANCHOR: message
    /// One line for each call: a client that sends a thousand commands at once has its turn, and then others have theirs.
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        let (taken, line) = decode(&mut self.lines, input);
        input.consume(taken);
        let Some(line) = line else {
            return; // the rest of it will come
        };
        report_line(&line);
        match encode(&compute(&self.place, &line)) {
            Some(bytes) => connection.send(&bytes),
            None => {
                self.ending = "quit";
                connection.shutdown();
            }
        }
        if !input.is_empty() {
            connection.again();
        }
    }
    // ANCHOR_END: message

    fn input_ended(&mut self, connection: &mut TcpConnection<Self>, _: &mut Input) {
        if self.lines.in_a_line() {
            self.complain("cut off in the middle of a command");
        }
        connection.shutdown();
    }

    fn timeout(&mut self, connection: &mut TcpConnection<Self>, _: Timeout) {
        self.complain("silent for too long");
        connection.close();
    }

    fn closed(&mut self, _: &mut TcpConnection<Self>, end: End) {
        match end {
            End::Finished | End::Closed | End::Stopped | End::TimedOut => self.report(self.ending),
            End::Reset | End::InputOverflow | End::OutputOverflow | End::Failed(_) => {
                self.complain(&end.to_string());
            }
        }
    }
}

fn report_line(line: &Line) {
    let _ = match line {
        Line::Whole(line) => say!("received {} bytes: {}", line.len(), printable(line)),
        Line::TooLong => say!("received a line that is too long"),
    }; // that nobody reads it is no fault of the clients
}

impl Client {
    fn report(&self, what: &str) {
        let _ = say!("client {what} {}", self.name());
    }

    fn complain(&self, what: &str) {
        complain!("client {}: {what}", self.name());
    }

    fn name(&self) -> String {
        self.peer.map_or("?".into(), |peer| peer.to_string())
    }
}
