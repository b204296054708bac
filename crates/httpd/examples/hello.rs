//! A small server: `cargo run -p httpd --example hello -- 127.0.0.1:43200 2` (address, threads).

use std::net::SocketAddr;

use httpd::{Options, Routes, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments
        .next()
        .as_deref()
        .unwrap_or("127.0.0.1:0")
        .parse()?;
    let options = Options {
        threads: arguments.next().as_deref().unwrap_or("0").parse()?,
        stop_on_signals: true,
        ..Default::default()
    };
    let routes = Routes::new()
        .get("/", |_, response| {
            response.html("<h1>Hello, network programming</h1>");
        })
        .get("/network", |_, response| {
            response.text("hello, network programming");
        });
    let server = Server::bind(&address, options, routes.handler())?;
    if let Some(address) = server.local_address() {
        common::say!("listening on {address}")?;
    }
    Ok(server.run()?)
}
