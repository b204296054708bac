//! Which loop gets the next connection.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::str::FromStr;

use crate::names::{UnknownName, by_name};
use crate::{Handler, LoopHandle};

/// How connections are spread over the loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The loop that has the fewest.
    LeastConnections,
    /// By the peer's address, its port not counted: all connections of a host meet in one loop.
    PeerHash,
    /// Each loop has its own listening socket on the same port, and the kernel chooses, SO_REUSEPORT in socket(7). No
    /// connection changes its thread.
    ReusePort,
}

impl Placement {
    const ALL: [Self; 4] = [
        Self::RoundRobin,
        Self::LeastConnections,
        Self::PeerHash,
        Self::ReusePort,
    ];
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::PeerHash => "peer-hash",
            Self::ReusePort => "reuse-port",
        })
    }
}

impl FromStr for Placement {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        by_name(&Self::ALL, name)
    }
}

/// Picks a loop for each connection.
#[derive(Debug)]
pub(crate) struct Placer<H: Handler> {
    loops: Vec<LoopHandle<H>>,
    placement: Placement,
    next: usize,
}

impl<H: Handler> Placer<H> {
    /// `loops` has one at least.
    pub(crate) fn new(loops: Vec<LoopHandle<H>>, placement: Placement) -> Self {
        debug_assert!(!loops.is_empty());
        Self {
            loops,
            placement,
            next: 0,
        }
    }

    // ANCHOR: pick
    pub(crate) fn pick(&mut self, peer: Option<SocketAddr>) -> &LoopHandle<H> {
        let count = self.loops.len();
        let index = match self.placement {
            Placement::RoundRobin | Placement::ReusePort => {
                let next = (self.next + 1) % count;
                std::mem::replace(&mut self.next, next)
            }
            Placement::LeastConnections => {
                let least = (0..count).min_by_key(|&index| self.loops[index].connections());
                least.unwrap_or_default()
            }
            Placement::PeerHash => {
                let mut hasher = DefaultHasher::new();
                peer.map(|peer| peer.ip()).hash(&mut hasher);
                (hasher.finish() % count as u64) as usize
            }
        };
        &self.loops[index]
    }
    // ANCHOR_END: pick

    /// Connections of all loops together.
    pub(crate) fn connections(&self) -> usize {
        self.loops.iter().map(LoopHandle::connections).sum()
    }
}
