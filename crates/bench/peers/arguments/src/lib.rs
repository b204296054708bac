//! What the peers have in common: their command line, their listening socket, and their first line.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::exit;
use std::{env, fs, io};

use socket2::{Domain, Socket, Type};

/// What an HTTP server answers to `GET /`.
pub const TEXT: &str = "hello, network programming";

/// The path, and the name below `--files`, of the large answer.
pub const FILE: &str = "/100k";

/// Connections that may wait to be accepted: as many as the kernel allows by itself (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// `--port PORT`, and for an HTTP server `--files DIRECTORY`.
pub struct Arguments {
    /// 0 for any free one.
    pub port: u16,
    files: Option<PathBuf>,
}

impl Arguments {
    /// From the command line. What cannot be understood ends the program.
    pub fn parse() -> Self {
        Self::of(env::args().skip(1)).unwrap_or_else(|message| {
            eprintln!("Error: {message}\nUsage: --port PORT [--files DIRECTORY]");
            exit(2)
        })
    }

    fn of(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            port: 0,
            files: None,
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            match word.as_str() {
                "--port" => {
                    let port = value.parse();
                    arguments.port = port.map_err(|_| format!("{value:?} is not a port"))?;
                }
                "--files" => arguments.files = Some(value.into()),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(arguments)
    }

    /// The large answer, whole.
    pub fn file(&self) -> io::Result<Vec<u8>> {
        match &self.files {
            Some(files) => fs::read(files.join(FILE.trim_start_matches('/'))),
            None => Ok(Vec::new()),
        }
    }

    /// A socket that listens, and says so. Connections inherit from it that they do not wait for more to send, tcp(7).
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        listening(listener.local_addr()?);
        Ok(listener)
    }
}

/// The first line, by which the benchmark knows that clients can come.
pub fn listening(address: SocketAddr) {
    println!("listening on {address}");
}
