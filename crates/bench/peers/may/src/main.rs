//! An HTTP server on may_minihttp: a coroutine for each connection, and one thread that runs them.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use arguments::{Arguments, FILE, TEXT, listening};
use may_minihttp::{HttpServer, HttpService, Request, Response};

/// The large answer.
#[derive(Clone)]
struct Answers(&'static str);

impl HttpService for Answers {
    fn call(&mut self, request: Request, response: &mut Response) -> Result<()> {
        match request.path() {
            "/" => response.header("Content-Type: text/plain").body(TEXT),
            FILE => response.header("Content-Type: text/plain").body(self.0),
            _ => {
                response.status_code(404, "Not Found");
            }
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // It takes text that lives as long as the program.
    let file = String::from_utf8(arguments.file()?);
    let file = file.map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
    // Where the thread runs is for whoever measures to say.
    may::config().set_workers(1).set_worker_pin(false);
    // It does not tell which port it got, so it is told which one to take.
    let address = match arguments.port {
        0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?,
        port => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    };
    let server = HttpServer(Answers(file.leak())).start(address)?;
    listening(address);
    server
        .join()
        .map_err(|_| Error::other("the server has panicked"))
}
