//! What a channel waits for, and what has happened to it.

use crate::Token;

/// What a channel wants to hear about. Errors and hang-ups are reported in any case, as epoll(7) and poll(2) do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// Errors and hang-ups alone.
    pub const NONE: Self = Self(0);
    /// Something to read, or the end of it.
    pub const READ: Self = Self(2);
    /// Room to write.
    pub const WRITE: Self = Self(4);
    /// Both.
    pub const BOTH: Self = Self(6);

    /// The interest that has the parts asked for.
    pub fn of(read: bool, write: bool) -> Self {
        Self(if read { 2 } else { 0 } | if write { 4 } else { 0 })
    }

    /// Wants to read?
    pub fn reads(self) -> bool {
        self.0 & 2 != 0
    }

    /// Wants to write?
    pub fn writes(self) -> bool {
        self.0 & 4 != 0
    }
}

/// What has happened to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Something to read, or the end of it. The bit is the course's EVENT_READ, as its log shows it.
    pub const READABLE: Self = Self(2);
    /// Room to write. The course's EVENT_WRITE.
    pub const WRITABLE: Self = Self(4);
    /// An error waits to be fetched.
    pub const ERROR: Self = Self(8);
    /// Neither direction carries anything any more. There may be unread input.
    pub const HANGUP: Self = Self(16);
    /// The peer has ended its direction. There may be unread input.
    pub const PEER_ENDED: Self = Self(32);

    /// The connection carries nothing to the peer any more.
    pub const BROKEN: Self = Self(8 | 16);
    /// A read will come to an end or to an error.
    pub const ENDED: Self = Self(8 | 16 | 32);

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

    /// The bits, for the log.
    pub fn bits(self) -> u8 {
        self.0
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
