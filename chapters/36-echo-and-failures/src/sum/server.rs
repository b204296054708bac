//! The side that adds.

use std::os::fd::OwnedFd;

use common::address::Listen;
use common::io::{Filled, Received, readn, writen};
use common::lines::LineBuffer;
use common::output::OutputError;
use common::text::printable;
use common::{Call, complain, say, tcp};

use super::{SIZE, numbers, sum_of_struct};

pub fn serve(listen: &Listen, binary: bool) -> anyhow::Result<()> {
    let listener = tcp::listen(&listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, _) = tcp::accept(&listener)?;
        let served = if binary {
            add_structs(&connection)
        } else {
            add_lines(&connection)
        };
        match served {
            Err(error) if error.is::<OutputError>() => return Err(error),
            Err(error) => complain!("{error:#}"), // this client's trouble
            Ok(()) => {}
        }
    }
}

// ANCHOR: binary
fn add_structs(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut memory = [0; SIZE];
    loop {
        match readn(connection, &mut memory).call("read")? {
            Filled::Full => {}
            Filled::EndOfFile => return Ok(()),
            Filled::CutOff(count) => anyhow::bail!("a struct of {count} bytes in place of {SIZE}"),
        }
        let sum = sum_of_struct(&memory);
        say!("{} is {sum}", hexadecimal(&memory))?;
        writen(connection, &sum.to_ne_bytes()).call("write")?;
    }
}
// ANCHOR_END: binary

fn hexadecimal(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

// ANCHOR: text
fn add_lines(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut lines = LineBuffer::new();
    loop {
        let ended = matches!(
            lines.fill(connection).call("read")?,
            Received::EndOfFile | Received::Reset
        );
        while let Some(line) = lines.next_line() {
            let sum = numbers(&line).and_then(|(first, second)| second.checked_add(first.into()));
            let answer = sum.map_or("input error".into(), |sum| sum.to_string());
            say!("{} is {answer}", printable(&line))?;
            writen(connection, format!("{answer}\n").as_bytes()).call("write")?;
        }
        if ended {
            return Ok(());
        }
    }
}
// ANCHOR_END: text
