//! The server of lesson 27 with a loop that accepts, loops that read and write, and, if asked for, threads that compute.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use common::address::{Listen, seconds};
use common::descriptors::raise_limit;
use common::signal::StopSignal;
use common::text::{printable, rot13, without_end};
use common::{Call, say};
use reactor::{
    DispatcherKind, End, Handler, Input, ServerOptions, TcpConnection, TcpServer, Workers,
};

/// Answers many clients, rot13, from several loops, and shows their events on standard error
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Loops beside the one that accepts, each in its thread; 0 for one loop that does everything
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(..=1000))]
    threads: u16,
    /// Threads that compute the answers; 0 to have them computed in the loops
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1000))]
    workers: u16,
    /// Seconds that each byte of a message takes to compute
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    compute: Duration,
    /// Print nothing but the first line, and errors
    #[arg(long)]
    quiet: bool,
}

// ANCHOR: run
pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    eventlog::show(!args.quiet);
    // Threads inherit what is blocked, signal(7): a worker that Ctrl-C may be given to would end the whole process by it.
    drop(StopSignal::new()?);
    let workers = match args.workers {
        0 => None,
        count => Some(Workers::new(count.into()).call("start workers")?),
    };
    let workers = workers.map(Arc::new);
    let (each_byte, quiet) = (args.compute, args.quiet);
    let options = ServerOptions {
        threads: args.threads.into(),
        dispatcher: DispatcherKind::Poll,
        stop_on_signals: true,
        ..Default::default()
    };
    let make = move |_| Rot13 {
        workers: workers.clone(),
        each_byte,
        quiet,
    };
    let server = TcpServer::bind(&args.listen.address(), options, make)?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}
// ANCHOR_END: run

struct Rot13 {
    /// `None`: the loop computes.
    workers: Option<Arc<Workers>>,
    each_byte: Duration,
    quiet: bool,
}

// ANCHOR: compute
/// Decode, compute and encode: bytes in, bytes out, and no connection in sight. So it can be done by any thread.
fn answer(mut text: Vec<u8>, each_byte: Duration) -> Vec<u8> {
    sleep(each_byte * text.len() as u32); // stands for work: whoever does it does nothing else meanwhile
    for byte in &mut text {
        *byte = rot13(*byte);
    }
    text
}
// ANCHOR_END: compute

impl Handler for Rot13 {
    fn connected(&mut self, _: &mut TcpConnection<Self>) {
        self.report("connection completed");
    }

    // ANCHOR: message
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        let text = input.take().to_vec();
        let number = connection.as_fd().as_raw_fd();
        // Both lines in one: another loop may report at the same time.
        let line = printable(without_end(&text));
        self.report(&format!(
            "get message from tcp connection connection-{number}\n{line}"
        ));
        let each_byte = self.each_byte;
        match &self.workers {
            None => connection.send(&answer(text, each_byte)),
            Some(workers) => {
                let job = move || answer(text, each_byte);
                connection.compute(workers, job, |_, connection, answer| {
                    connection.send(&answer); // in the connection's own loop again
                });
            }
        }
    }
    // ANCHOR_END: message

    fn write_complete(&mut self, _: &mut TcpConnection<Self>) {
        self.report("write completed");
    }

    fn closed(&mut self, _: &mut TcpConnection<Self>, _: End) {
        self.report("connection closed");
    }
}

impl Rot13 {
    fn report(&self, line: &str) {
        if !self.quiet {
            let _ = say!("{line}"); // that nobody reads it is no fault of the clients
        }
    }
}
