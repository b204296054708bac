//! A server with several loops: who gets the next connection?

use std::io::stdin;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use common::address::{Listen, seconds};
use common::descriptors::raise_limit;
use common::io::{Received, receive};
use common::say;
use common::text::rot13;
use reactor::{
    Handler, Input, Interest, Limits, LoopHandle, Next, Placement, ServerOptions, TcpConnection,
    TcpServer,
};

/// Answers many clients, rot13, from several loops, and shows at each Enter how many connections each of them has
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Loops beside the one that accepts, each in its thread; 0 for one loop that does everything
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(..=256))]
    threads: u16,
    /// Who gets the next connection: round-robin, least-connections, peer-hash, or reuse-port, which leaves it to the kernel
    #[arg(long, value_name = "HOW", default_value_t = Placement::RoundRobin)]
    placement: Placement,
    /// The last loop takes so long to start
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    slow_start: Duration,
    /// Sleep so long in the loop for each message, as a handler does that waits for a disk: wrong on purpose
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    block: Duration,
}

// ANCHOR: run
pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let (slow, slow_start) = (format!("Thread-{}", args.threads), args.slow_start);
    let options = ServerOptions {
        threads: args.threads.into(),
        placement: args.placement,
        limits: Limits {
            linger: Duration::from_secs(1),
            ..Limits::default()
        },
        stop_on_signals: true,
        stop_within: Duration::from_secs(1),
        on_start: Some(Arc::new(move |name| {
            if name == slow {
                sleep(slow_start);
            }
        })),
        ..Default::default()
    };
    let block = args.block;
    let mut server = TcpServer::bind(&args.listen.address(), options, move |_| Rot13 { block })?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    reports_on_enter(&mut server);
    Ok(server.run()?)
}
// ANCHOR_END: run

// ANCHOR: report
/// The terminal is one more source of the main loop.
fn reports_on_enter(server: &mut TcpServer<Rot13>) {
    let loops = server.loops();
    let mut line = [0; 4096];
    let input = server
        .main_loop()
        .watch(stdin(), Interest::READ, move |_, stdin, _| {
            match receive(&*stdin, &mut line) {
                Ok(Received::Data(_)) => match say!("{}", report(&loops)) {
                    Ok(()) => Next::Keep,
                    Err(_) => Next::Remove, // nobody reads it: no fault of the clients
                },
                Ok(Received::WouldBlock) => Next::Keep,
                _ => Next::Remove,
            }
        });
    // A file and /dev/null cannot be watched (EPERM, epoll_ctl(2)): nobody is there to press Enter.
    drop(input);
}

fn report(loops: &[LoopHandle<Rot13>]) -> String {
    let each = loops
        .iter()
        .map(|one| format!("{}: {}", one.name(), one.connections()));
    each.collect::<Vec<_>>().join(", ")
}
// ANCHOR_END: report

struct Rot13 {
    block: Duration,
}

impl Handler for Rot13 {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        if !self.block.is_zero() {
            sleep(self.block);
        }
        let text = input.take();
        let output = connection.out();
        output.reserve(text.len());
        for (place, &byte) in output.room().iter_mut().zip(text) {
            *place = rot13(byte);
        }
        output.filled(text.len());
    }
}
