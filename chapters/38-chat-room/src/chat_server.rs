//! The server: everybody's words to everybody else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use common::address::{Listen, seconds};
use common::io::set_nonblocking;
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::time::TimeSpec;

use crate::parting::Parting;
use crate::room::{Room, User};

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

/// Longer lines are counted and not shown.
const SHOWN: usize = 64;
/// When there is no descriptor for a new user: accept(2) would fail again at once.
const SHORTAGE: Duration = Duration::from_millis(100);

struct Server<'a> {
    args: &'a Args,
    listener: OwnedFd,
    room: Room,
    users: Vec<User>,
    parting: Parting,
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
        parting: Parting::default(),
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
            // A user who is not read from has to wait with the next line: the room never holds more than its limit.
            interest.set(PollFlags::POLLIN, !user.leaves && self.room.takes_more());
            // Only while there is something to hear; otherwise poll would return at once, for ever.
            interest.set(PollFlags::POLLOUT, user.waits(&self.room));
            fds.push(PollFd::new(user.socket.as_fd(), interest));
        }
        // ANCHOR_END: interest
        let parting = self.parting.sockets();
        fds.extend(parting.map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
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
        self.parting.read(of_parting);
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
        let next = deaf
            .chain(self.parting.next_end())
            .chain(self.full_until)
            .min();
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    // ANCHOR: serve
    /// What the users have said, and then what they are to hear.
    fn serve(&mut self, ready: &[PollFlags]) -> anyhow::Result<()> {
        let mut gone: BTreeMap<SocketAddr, String> = BTreeMap::new();
        let mut goes = |user: &User, why: String| {
            gone.entry(user.address).or_insert(why);
        };
        for (user, ready) in self.users.iter_mut().zip(ready) {
            if ready.contains(PollFlags::POLLERR) {
                // The error waits to be asked for. Left there, it would make poll return at once, for ever.
                let error =
                    getsockopt(&user.socket, sockopt::SocketError).call("getsockopt SO_ERROR")?;
                goes(user, Errno::from_raw(error).desc().to_string());
            }
            if (*ready - PollFlags::POLLOUT).is_empty() || user.leaves {
                continue;
            }
            match user.speak(&mut self.room) {
                Ok(lines) => {
                    for line in lines {
                        let (count, text) = (line.len(), line.trim_ascii_end());
                        match count <= SHOWN {
                            true => {
                                let text = printable(text);
                                say!("received {count} bytes from {}: {text}", user.address)?;
                            }
                            false => say!("received {count} bytes from {}", user.address)?,
                        }
                    }
                }
                Err(why) => goes(user, why.to_string()),
            }
        }
        for (user, ready) in self.users.iter_mut().zip(ready) {
            if self.args.overwrite {
                user.leap(&self.room);
            }
            // Where the kernel took nothing any more, poll says when it does again.
            if (user.deaf_since.is_none() || !ready.is_empty())
                && let Err(why) = user.hear(&self.room)
            {
                goes(user, why.to_string());
            }
            let patience = self.args.patience;
            if user
                .deaf_since
                .is_some_and(|since| since.elapsed() > patience)
            {
                goes(user, "hears nothing".into());
            }
        }
        // ANCHOR_END: serve
        let (room, before) = (&self.room, self.users.len());
        self.users.retain(|user| {
            let over = user.leaves && !user.waits(room);
            !over && !gone.contains_key(&user.address)
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
                self.parting.send_away(socket);
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
}
