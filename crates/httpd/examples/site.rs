//! Serves a directory, with an access log and a page that shows what the loops do:
//! `cargo run -p httpd --example site -- docs 127.0.0.1:43200 2` (directory, address, threads), then `/status`.

use std::net::SocketAddr;
use std::sync::Arc;

use httpd::{AccessLog, Files, Options, Routes, Server, Statistics};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default| arguments.get(index).map_or(default, String::as_str);
    let address: SocketAddr = argument(1, "127.0.0.1:0").parse()?;
    let statistics = Arc::new(Statistics::default());
    let options = Options {
        threads: argument(2, "2").parse()?,
        stop_on_signals: true,
        log: Some(AccessLog::new(std::io::stdout())),
        statistics: Arc::clone(&statistics),
        ..Default::default()
    };
    let files = Files::new(argument(0, "."))?.precompressed();
    let routes = Routes::new().live("/status", &statistics).files(files);
    let server = Server::bind(&address, options, routes.handler())?;
    if let Some(address) = server.local_address() {
        common::say!("listening on {address}")?;
    }
    Ok(server.run()?)
}
