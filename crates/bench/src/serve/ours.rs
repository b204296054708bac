//! The thinnest programs on the course's libraries.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use httpd::{Files, Routes};
use reactor::{DispatcherKind, Handler, Input, ServerOptions, TcpConnection, TcpServer};

use super::{TEXT, listening};

/// Some connections are to be idle for longer than a public server would have it.
const IDLE: Duration = Duration::from_secs(3600);

/// As long as nginx does by default where it has a cache of open files.
const KEPT_OPEN: Duration = Duration::from_secs(60);

/// The HTTP server: a route, and a directory of files.
pub fn http(port: u16, files: Option<&Path>) -> anyhow::Result<()> {
    let options = httpd::Options {
        limits: httpd::Limits {
            idle: IDLE,
            connections: 100_000,
            ..Default::default()
        },
        stop_on_signals: true,
        stop_within: Duration::ZERO,
        ..Default::default()
    };
    let mut routes = Routes::new().get("/", |_, response| {
        response.text(TEXT);
    });
    if let Some(files) = files {
        let opened = Files::new(files).with_context(|| format!("open {}", files.display()))?;
        routes = routes.files(opened.kept_open(KEPT_OPEN));
    }
    let server = httpd::Server::bind(&address(port), options, routes.handler())?;
    listening(server.local_address().context("no address")?)?;
    Ok(server.run()?)
}

struct Echo;

impl Handler for Echo {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        connection.send(input.take());
    }
}

/// Sends back what comes.
pub fn echo(port: u16, dispatcher: DispatcherKind) -> anyhow::Result<()> {
    let options = ServerOptions {
        dispatcher,
        stop_on_signals: true,
        stop_within: Duration::ZERO,
        ..Default::default()
    };
    let server = TcpServer::bind(&address(port), options, |_| Echo)?;
    listening(server.local_address().context("no address")?)?;
    Ok(server.run()?)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
