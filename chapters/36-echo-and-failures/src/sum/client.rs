//! The side that asks.

use std::io::stdin;
use std::os::fd::OwnedFd;

use common::io::{Filled, Received, readn, writen};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, complain, say};

use super::{Machine, numbers, to_struct};

/// Sends each line that is typed, and prints the answer.
pub fn ask(connection: &OwnedFd, binary: bool, machine: Machine) -> anyhow::Result<()> {
    let (mut typed, mut answers) = (LineBuffer::new(), LineBuffer::new());
    loop {
        let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            let Some((first, second)) = numbers(&line) else {
                complain!("not two numbers: {}", printable(&line));
                continue;
            };
            if binary {
                writen(connection, &to_struct(first, second, machine)).call("write")?;
                say!("{}", read_sum(connection, machine)?)?;
            } else {
                writen(connection, format!("{first} {second}\n").as_bytes()).call("write")?;
                say!("{}", printable(&read_line(connection, &mut answers)?))?;
            }
        }
        if ended {
            return Ok(());
        }
    }
}

fn read_sum(connection: &OwnedFd, machine: Machine) -> anyhow::Result<i64> {
    let mut sum = [0; 8];
    match readn(connection, &mut sum).call("read")? {
        Filled::Full => {}
        Filled::EndOfFile | Filled::CutOff(_) => anyhow::bail!("server terminated prematurely"),
    }
    if let Machine::OtherOrder = machine {
        sum.reverse();
    }
    Ok(i64::from_ne_bytes(sum))
}

fn read_line(connection: &OwnedFd, answers: &mut LineBuffer) -> anyhow::Result<Vec<u8>> {
    loop {
        if let Some(line) = answers.next_line() {
            return Ok(line);
        }
        match answers.fill(connection).call("read")? {
            Received::Data(_) | Received::WouldBlock => {}
            Received::EndOfFile | Received::Reset => anyhow::bail!("server terminated prematurely"),
        }
    }
}
