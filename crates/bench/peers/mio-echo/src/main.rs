//! An echo server on mio. Its events come once, so a connection is read until it would block, as mio's documentation asks.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;

use arguments::Arguments;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// What the kernel has not taken. As long as there is some, nothing is read.
    unsent: Vec<u8>,
}

fn main() -> io::Result<()> {
    let mut listener = TcpListener::from_std(Arguments::parse().listen()?);
    let mut poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections = Slab::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Some(mut stream) = accept(&listener)? {
                    let entry = connections.vacant_entry();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    registry.register(&mut stream, Token(entry.key()), both)?;
                    entry.insert(Connection {
                        stream,
                        unsent: Vec::new(),
                    });
                }
                continue;
            }
            let key = event.token().0;
            let Some(connection) = connections.get_mut(key) else {
                continue;
            };
            match connection.serve(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => drop(connections.remove(key)),
            }
        }
    }
}

/// The next client, if one waits.
fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(None),
                // A client that has gone while it waited, accept(2).
                ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}

impl Connection {
    /// Sends back what comes, until nothing more can be done: that is the error `WouldBlock`. Without an error the client
    /// has ended.
    fn serve(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let unsent = mem::take(&mut self.unsent);
        self.send(&unsent)?;
        loop {
            let count = match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count?,
            };
            if count == 0 {
                return Ok(());
            }
            self.send(&buffer[..count])?;
        }
    }

    /// Keeps what the kernel does not take.
    fn send(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.stream.write(data) {
                Ok(count) => data = &data[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.unsent = data.to_vec();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}
