//! Sends back what it gets: `cargo run -p reactor --example echo -- [ADDRESS] [THREADS] [DISPATCHER]`

use reactor::{Handler, Input, ServerOptions, TcpConnection, TcpServer};

/// A connection has no state of its own.
struct Echo;

impl Handler for Echo {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        connection.send(input.take());
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or(default.into());
    let address = argument("127.0.0.1:43211").parse()?;
    let options = ServerOptions {
        threads: argument("0").parse()?,
        dispatcher: argument("epoll").parse()?,
        stop_on_signals: true,
        ..Default::default()
    };

    let server = TcpServer::bind(&address, options, |_peer| Echo)?;
    if let Some(address) = server.local_address() {
        common::say!("listening on {address}")?;
    }
    Ok(server.run()?)
}
