//! What a channel waits for, and what has happened to it: in the bits of poll(2), which are those of epoll_ctl(2) as well, so
//! that nothing has to be translated on the way in or out.

use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP};

use crate::Token;

/// What a channel wants to hear about. Errors and hang-ups are reported in any case, as epoll(7) and poll(2) do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(i16);

impl Interest {
    /// Errors and hang-ups alone.
    pub const NONE: Self = Self(0);
    /// Something to read, or the end of it.
    pub const READ: Self = Self(POLLIN | POLLRDHUP);
    /// Room to write.
    pub const WRITE: Self = Self(POLLOUT);
    /// Both.
    pub const BOTH: Self = Self(Self::READ.0 | Self::WRITE.0);

    /// The interest that has the parts asked for.
    pub fn of(read: bool, write: bool) -> Self {
        match (read, write) {
            (false, false) => Self::NONE,
            (true, false) => Self::READ,
            (false, true) => Self::WRITE,
            (true, true) => Self::BOTH,
        }
    }

    /// Wants to read?
    pub fn reads(self) -> bool {
        self.0 & POLLIN != 0
    }

    /// Wants to write?
    pub fn writes(self) -> bool {
        self.0 & POLLOUT != 0
    }

    /// The kernel's bits.
    pub(crate) fn bits(self) -> i16 {
        self.0
    }
}

/// What has happened to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(i16);

impl Readiness {
    /// Something to read, or the end of it.
    pub const READABLE: Self = Self(POLLIN);
    /// Room to write.
    pub const WRITABLE: Self = Self(POLLOUT);
    /// An error waits to be fetched.
    pub const ERROR: Self = Self(POLLERR | POLLNVAL);
    /// Neither direction carries anything any more. There may be unread input.
    pub const HANGUP: Self = Self(POLLHUP);
    /// The peer has ended its direction. There may be unread input.
    pub const PEER_ENDED: Self = Self(POLLRDHUP);

    /// The connection carries nothing to the peer any more.
    pub const BROKEN: Self = Self(Self::ERROR.0 | Self::HANGUP.0);
    /// A read will come to an end or to an error.
    pub const ENDED: Self = Self(Self::BROKEN.0 | Self::PEER_ENDED.0);

    /// What the kernel has returned.
    pub(crate) fn from_bits(bits: i16) -> Self {
        Self(bits)
    }

    /// True if one of `bits` is in it.
    pub fn any(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }

    /// With `bits` added if `condition` holds.
    pub fn with(self, bits: Self, condition: bool) -> Self {
        match condition {
            true => Self(self.0 | bits.0),
            false => self,
        }
    }

    /// Worth a read: input, its end, or an error that the read will tell.
    pub fn reads(self) -> bool {
        self.any(Self(Self::READABLE.0 | Self::ENDED.0))
    }

    /// As the course's log shows it: its EVENT_READ is 2, its EVENT_WRITE 4, and what it does not know comes above.
    pub(crate) fn in_the_log(self) -> u8 {
        let course = [
            (Self::READABLE, 2),
            (Self::WRITABLE, 4),
            (Self::ERROR, 8),
            (Self::HANGUP, 16),
            (Self::PEER_ENDED, 32),
        ];
        let known = course.into_iter().filter(|(bits, _)| self.any(*bits));
        known.map(|(_, bit)| bit).sum()
    }
}

/// Something has happened to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// To which.
    pub token: Token,
    /// What.
    pub readiness: Readiness,
}
