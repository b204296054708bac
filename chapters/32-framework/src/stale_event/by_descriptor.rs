//! As the course does it: a table with a place for each descriptor, and an event that carries the descriptor's number.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use common::io::{Received, receive, send_all, set_nonblocking};
use common::signal::StopSignal;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{Wish, wish};

/// A loop with its channels. The place of a channel is the number of its descriptor.
struct Loop {
    epoll: Epoll,
    channels: Vec<Option<OwnedFd>>,
}

pub fn serve(address: &SocketAddr) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let listener = tcp::listen(address)?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    let (epoll, channels) = (epoll, Vec::new());
    let mut event_loop = Loop { epoll, channels };
    event_loop.watch(stop.as_fd())?;
    event_loop.watch(listener.as_fd())?;
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let count = match event_loop.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("epoll_wait")?,
        };
        for event in &events[..count] {
            let number = event.data() as usize;
            if number == stop.as_fd().as_raw_fd() as usize {
                if stop.received()?.is_some() {
                    return Ok(());
                }
            } else if number == listener.as_raw_fd() as usize {
                event_loop.accept(&listener)?;
            } else {
                event_loop.activate(number)?;
            }
        }
    }
}

impl Loop {
    fn watch(&self, fd: BorrowedFd) -> Result<(), CallError> {
        let number = fd.as_raw_fd() as u64;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
        self.epoll.add(fd, event).call("epoll_ctl")
    }

    // ANCHOR: make_space
    /// The course's map_make_space: twice as large until the number fits, and never smaller again.
    fn make_space(&mut self, number: usize) {
        let mut length = self.channels.len().max(32);
        while length <= number {
            length *= 2;
        }
        self.channels.resize_with(length, || None);
    }
    // ANCHOR_END: make_space

    fn accept(&mut self, listener: &OwnedFd) -> anyhow::Result<()> {
        let accepted = tcp::accept_ready(listener);
        let taken = accepted.and_then(|one| one.map(|(one, _)| self.take_in(one)).transpose());
        match taken {
            Ok(Some(number)) => say!("client connected: descriptor {number}")?,
            Ok(None) => {}
            Err(error) => {
                complain!("Error: {:#}", anyhow::Error::new(error));
                sleep(Duration::from_millis(100)); // there is no descriptor: it would fail again at once
            }
        }
        Ok(())
    }

    fn take_in(&mut self, connection: OwnedFd) -> Result<usize, CallError> {
        set_nonblocking(&connection)?;
        self.watch(connection.as_fd())?;
        let number = connection.as_raw_fd() as usize;
        self.make_space(number);
        self.channels[number] = Some(connection);
        Ok(number)
    }

    // ANCHOR: activate
    /// An event for whoever has the number now. That may be another one than the event was meant for.
    fn activate(&mut self, number: usize) -> anyhow::Result<()> {
        let Some(Some(channel)) = self.channels.get(number) else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        match receive(channel, &mut buffer) {
            Ok(Received::Data(count)) => match wish(&buffer[..count])? {
                Wish::Kick => self.close_all_but(number),
                Wish::Answer(answer) if send_all(channel, &answer).is_ok() => Ok(()),
                Wish::Answer(_) => self.close(number),
            },
            // Nothing to read after an event: in the course an end like the others.
            _ => self.close(number),
        }
    }
    // ANCHOR_END: activate

    fn close(&mut self, number: usize) -> anyhow::Result<()> {
        // What is closed is not watched any more either, epoll(7).
        if self.channels[number].take().is_some() {
            say!("client closed: descriptor {number}")?;
        }
        Ok(())
    }

    fn close_all_but(&mut self, kicker: usize) -> anyhow::Result<()> {
        let mut others = (0..self.channels.len()).filter(|&number| number != kicker);
        others.try_for_each(|number| self.close(number))
    }
}
