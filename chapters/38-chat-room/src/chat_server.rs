//! The server: everybody's words to everybody else.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::address::{Listen, seconds};
use common::io::{Received, receive, set_nonblocking};
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, Shutdown, getsockopt, send, shutdown, sockopt};
use nix::sys::time::TimeSpec;

use crate::room::{Gone, Room, User};

/// Sends each line of a user to all the others
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// How many users may be in the room
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Above so many bytes that somebody has not heard yet, nobody is listened to
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    backlog: u32,
    /// Seconds after which somebody who hears nothing has to go
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    patience: Duration,
    /// Let a new line take the place of one that was not heard yet: wrong on purpose
    #[arg(long)]
    overwrite: bool,
}

/// How long somebody who was sent away may take to read why.
const PARTING: Duration = Duration::from_secs(1);
/// More of those at a time are closed at once.
const PARTING_LIMIT: usize = 16;
/// When there is no descriptor for a new user: accept(2) would fail again at once.
const SHORTAGE: Duration = Duration::from_millis(100);

struct Server<'a> {
    args: &'a Args,
    listener: OwnedFd,
    room: Room,
    users: Vec<User>,
    /// Those who were sent away, and since when.
    parting: Vec<(OwnedFd, Instant)>,
    /// Until when nobody is accepted.
    full_until: Option<Instant>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut server = Server {
        args,
        listener,
        room: Room::new(args.backlog as usize),
        users: Vec::new(),
        parting: Vec::new(),
        full_until: None,
    };
    while server.turn(&stop)? {}
    Ok(())
}

impl Server<'_> {
    /// Waits once, and does all there is to do; false when SIGINT or SIGTERM has come.
    fn turn(&mut self, stop: &StopSignal) -> anyhow::Result<bool> {
        // ANCHOR: interest
        let mut fds = vec![PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        let nobody = PollFlags::empty(); // errors are reported unasked
        let accepts = if self.full_until.is_none() {
            PollFlags::POLLIN
        } else {
            nobody
        };
        fds.push(PollFd::new(self.listener.as_fd(), accepts));
        for user in &self.users {
            let mut interest = nobody;
            // Who is not read from has to wait, and so does the one behind: the room never holds more than its limit.
            interest.set(PollFlags::POLLIN, !user.leaves && self.room.takes_more());
            // Only while there is something to hear; otherwise poll would return at once, for ever.
            interest.set(PollFlags::POLLOUT, user.waits(&self.room));
            fds.push(PollFd::new(user.socket.as_fd(), interest));
        }
        // ANCHOR_END: interest
        for (socket, _) in &self.parting {
            fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        }
        match ppoll(&mut fds, self.timeout().map(TimeSpec::from_duration), None) {
            Err(Errno::EINTR) => return Ok(true),
            ready => ready.call("ppoll")?,
        };
        let ready: Vec<PollFlags> = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(nobody))
            .collect();
        if stop.received()?.is_some() {
            return Ok(false);
        }
        let (of_users, of_parting) = ready[2..].split_at(self.users.len());
        self.serve(of_users)?;
        self.part(of_parting);
        if self.full_until.is_some_and(|until| until <= Instant::now()) {
            self.full_until = None;
        }
        if !ready[1].is_empty() {
            self.accept()?;
        }
        Ok(true)
    }

    /// When something is to be done though nothing happens.
    fn timeout(&self) -> Option<Duration> {
        let deaf = self
            .users
            .iter()
            .filter_map(|user| Some(user.deaf_since? + self.args.patience));
        let parting = self.parting.iter().map(|(_, since)| *since + PARTING);
        let next = deaf.chain(parting).chain(self.full_until).min();
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    // ANCHOR: serve
    /// What the users have said, and then what they are to hear.
    fn serve(&mut self, ready: &[PollFlags]) -> anyhow::Result<()> {
        let mut gone: Vec<(SocketAddr, String)> = Vec::new();
        for (user, ready) in self.users.iter_mut().zip(ready) {
            if ready.contains(PollFlags::POLLERR) {
                // The error waits to be asked for. Left there, it would make poll return at once, for ever.
                let error =
                    getsockopt(&user.socket, sockopt::SocketError).call("getsockopt SO_ERROR")?;
                gone.push((user.address, Errno::from_raw(error).desc().to_string()));
            }
            if ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR)
                && !user.leaves
            {
                match user.speak(&mut self.room) {
                    Ok(Ok(lines)) => {
                        for line in &lines {
                            let text = printable(line.trim_ascii_end());
                            say!(
                                "received {} bytes from {}: {text}",
                                line.len(),
                                user.address
                            )?;
                        }
                    }
                    Ok(Err(Gone::Reset)) => {
                        gone.push((user.address, "Connection reset by peer".into()))
                    }
                    Ok(Err(Gone::TooLong)) => {
                        gone.push((user.address, "a line is too long".into()))
                    }
                    Err(error) => gone.push((user.address, error.to_string())),
                }
            }
        }
        for user in &mut self.users {
            if self.args.overwrite {
                user.leap(&self.room);
            }
            if user.hear(&self.room).is_err() {
                gone.push((user.address, "Connection reset by peer".into()));
            } else if user
                .deaf_since
                .is_some_and(|since| since.elapsed() > self.args.patience)
            {
                gone.push((user.address, "hears nothing".into()));
            }
        }
        // ANCHOR_END: serve
        let (room, before) = (&self.room, self.users.len());
        self.users.retain(|user| {
            let over = user.leaves && !user.waits(room);
            !over && gone.iter().all(|(address, _)| *address != user.address)
        });
        for (address, why) in gone {
            complain!("get an error from {address}: {why}");
        }
        for left in (self.users.len()..before).rev() {
            say!("a client left, now have {left} users online")?;
        }
        self.room.forget(&self.users);
        Ok(())
    }

    // ANCHOR: accept
    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let (socket, address) = match tcp::accept_ready(&self.listener) {
                Ok(Some(client)) => client,
                Ok(None) => return Ok(()),
                Err(error) if error.is_shortage() => {
                    complain!("Error: {:#}", anyhow::Error::new(error));
                    self.full_until = Some(Instant::now() + SHORTAGE);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            set_nonblocking(&socket)?;
            if self.users.len() >= self.args.limit.into() {
                say!("too many users: {address}")?;
                self.send_away(socket)?;
                continue;
            }
            self.users.push(User::new(socket, address, &self.room));
            say!(
                "come a new user {address}, now have {} users",
                self.users.len()
            )?;
        }
    }
    // ANCHOR_END: accept

    /// With a last word, and a moment to read it: a close with something unread would be a reset, chapter 11, and the word
    /// could be lost.
    fn send_away(&mut self, socket: OwnedFd) -> Result<(), CallError> {
        let sent = send(
            socket.as_raw_fd(),
            b"too many users\n",
            MsgFlags::MSG_NOSIGNAL,
        );
        let ended = sent.and_then(|_| shutdown(socket.as_raw_fd(), Shutdown::Write));
        if ended.is_ok() && self.parting.len() < PARTING_LIMIT {
            self.parting.push((socket, Instant::now()));
        }
        Ok(())
    }

    fn part(&mut self, ready: &[PollFlags]) {
        let mut ready = ready.iter();
        self.parting.retain(|(socket, since)| {
            let ready = ready.next().is_some_and(|ready| !ready.is_empty());
            let over = ready && !matches!(receive(socket, &mut [0; 4096]), Ok(Received::Data(_)));
            !over && since.elapsed() < PARTING
        });
    }
}
