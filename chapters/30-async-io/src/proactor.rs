//! The two queues of a ring as a proactor sees them: requests go in, completions come out, and one system call a turn does both.

use std::os::fd::RawFd;

use common::{Call, CallError};
use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode};
use nix::errno::Errno;

/// What a request is for. With the place of its connection it comes back with the completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A connection on the listening socket.
    Accept,
    /// Data from a connection.
    Receive,
    /// Data to a connection, which says so when it is gone.
    Send,
    /// The same, which says something only if not all of it could be sent at once.
    SendNow,
    /// A wait before the next accept.
    Pause,
    /// A signal to end.
    Stop,
    /// Another request called off.
    Cancel,
}

const KINDS: [Kind; 7] = [
    Kind::Accept,
    Kind::Receive,
    Kind::Send,
    Kind::SendNow,
    Kind::Pause,
    Kind::Stop,
    Kind::Cancel,
];

/// Where a connection is in the server's list.
pub type Place = usize;

fn name(kind: Kind, place: Place) -> u64 {
    (place as u64) << 8 | kind as u64
}

/// A request that has been worked on.
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    pub kind: Kind,
    pub place: Place,
    pub result: Result<usize, Errno>,
    /// The buffer that the kernel has picked.
    pub buffer: Option<u16>,
    /// More completions of this request will come.
    pub more: bool,
}

/// The ring's queues.
pub struct Proactor<'ring> {
    submitter: Submitter<'ring>,
    requests: SubmissionQueue<'ring>,
    completions: CompletionQueue<'ring>,
    /// Requests whose last completion is still to come: what they point to is the kernel's until then.
    in_flight: usize,
}

impl<'ring> Proactor<'ring> {
    pub fn new(ring: &'ring mut IoUring) -> Self {
        let (submitter, requests, completions) = ring.split();
        Self {
            submitter,
            requests,
            completions,
            in_flight: 0,
        }
    }

    pub fn submitter(&self) -> &Submitter<'ring> {
        &self.submitter
    }

    /// Whether the kernel has something of ours.
    pub fn has_requests(&self) -> bool {
        self.in_flight > 0
    }

    /// Puts a request into the queue. The next turn hands it over.
    ///
    /// # Safety
    /// What it points to must stay as it is until its last completion; of a SendNow, until [`Proactor::turn`] returns true.
    pub unsafe fn request(
        &mut self,
        kind: Kind,
        place: Place,
        entry: Entry,
    ) -> Result<(), CallError> {
        let mut entry = entry.user_data(name(kind, place));
        match kind {
            Kind::SendNow => entry = entry.flags(Flags::SKIP_SUCCESS),
            _ => self.in_flight += 1,
        }
        loop {
            // SAFETY: what the caller has promised.
            if unsafe { self.requests.push(&entry) }.is_ok() {
                return Ok(());
            }
            self.enter(0)?; // there is no room: what is there goes first
        }
    }

    /// Calls a request off. It still completes, in some way.
    pub fn cancel(&mut self, kind: Kind, place: Place) -> Result<(), CallError> {
        let entry = opcode::AsyncCancel::new(name(kind, place)).build();
        // SAFETY: it points to nothing.
        unsafe { self.request(Kind::Cancel, place, entry) }
    }

    /// Asks to be told when a descriptor can be read.
    pub fn watch(&mut self, kind: Kind, fd: RawFd) -> Result<(), CallError> {
        let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build();
        // SAFETY: it points to nothing.
        unsafe { self.request(kind, 0, entry) }
    }

    // ANCHOR: turn
    /// Hands over all requests and, unless `wait` is false, sleeps until something is complete: one system call. Fills
    /// `complete`. True if the kernel has taken every request: then what it could do at once has been done.
    pub fn turn(&mut self, wait: bool, complete: &mut Vec<Completion>) -> Result<bool, CallError> {
        self.enter(usize::from(wait))?;
        self.completions.sync();
        complete.clear();
        for entry in &mut self.completions {
            let more = cqueue::more(entry.flags());
            let kind = KINDS[(entry.user_data() & 0xff) as usize];
            if !more && kind != Kind::SendNow {
                self.in_flight -= 1;
            }
            complete.push(Completion {
                kind,
                place: (entry.user_data() >> 8) as usize,
                result: usize::try_from(entry.result())
                    .map_err(|_| Errno::from_raw(-entry.result())),
                buffer: cqueue::buffer_select(entry.flags()),
                more,
            });
        }
        self.completions.sync(); // the places are free
        Ok(self.requests.is_empty())
    }
    // ANCHOR_END: turn

    /// io_uring_enter(2). A signal, or too many completions waiting, may end it before all is handed over.
    fn enter(&mut self, want: usize) -> Result<(), CallError> {
        self.requests.sync();
        let entered = self.submitter.submit_and_wait(want);
        self.requests.sync();
        match entered
            .as_ref()
            .err()
            .and_then(std::io::Error::raw_os_error)
        {
            Some(libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => entered.map(drop).call("io_uring_enter"),
        }
    }
}
