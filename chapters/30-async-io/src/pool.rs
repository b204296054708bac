//! Buffers for the kernel to pick from: a ring of their addresses, io_uring_register_buf_ring(3).

use std::io;
use std::mem;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use common::{Call, CallError};
use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use nix::errno::Errno;

/// The group that receive requests name.
pub const GROUP: u16 = 0;

/// Bytes that are in use by turns: so much stays in a processor's cache.
const WARM: usize = 512 * 1024;
/// The kernel gets so many buffers in any case, if there are so many.
const LEAST: usize = 8;

/// Memory by pages, mmap(2): the kernel wants the ring to begin where a page begins.
struct Pages {
    start: *mut u8,
    length: usize,
}

impl Pages {
    fn new(length: usize) -> Result<Self, CallError> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: new memory, at a place that the kernel picks.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last()).call("mmap");
        }
        let start = start.cast();
        Ok(Self { start, length })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

/// Buffers of one size, each either the kernel's or ours.
pub struct Pool {
    ring: Pages,
    memory: Pages,
    count: u16,
    size: usize,
    /// Where the next one that the kernel gets is written in the ring.
    tail: u16,
    /// How many are the kernel's.
    free: u16,
    /// Those that nobody uses.
    idle: Vec<u16>,
    /// How many the kernel is to have.
    wanted: usize,
    /// How many it has filled in this turn, and with how many bytes.
    filled: u16,
    bytes: usize,
}

impl Pool {
    /// Makes the buffers, and tells the kernel where it will find some. `count` is a power of two.
    pub fn new(submitter: &Submitter, count: u16, size: usize) -> Result<Self, CallError> {
        let mut pool = Self {
            ring: Pages::new(usize::from(count) * size_of::<BufRingEntry>())?,
            memory: Pages::new(usize::from(count) * size)?,
            count,
            size,
            tail: 0,
            free: 0,
            idle: (0..count).rev().collect(),
            wanted: usize::from(count),
            filled: 0,
            bytes: 0,
        };
        let address = pool.ring.start as u64;
        // SAFETY: the memory is as large as `count` entries, and lives as long as the pool, which its owner keeps longer
        // than the ring.
        unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0) }
            .call("io_uring_register IORING_REGISTER_PBUF_RING")?;
        pool.stock();
        Ok(pool)
    }

    // ANCHOR: stock
    /// At the end of a turn, gives the kernel the buffers that it is to have: as many as messages like these fit into the cache.
    /// It fills them by turns, and if it had all, each message would go through memory that is cold. False if it has fewer
    /// than it has just filled.
    pub fn stock(&mut self) -> bool {
        let filled = mem::take(&mut self.filled);
        if let Some(length) = mem::take(&mut self.bytes).checked_div(usize::from(filled)) {
            self.wanted = (WARM / length.max(1)).max(LEAST);
        }
        while usize::from(self.free) < self.wanted
            && let Some(id) = self.idle.pop()
        {
            self.give(id);
        }
        self.free >= filled
    }
    // ANCHOR_END: stock

    // ANCHOR: give
    /// Gives a buffer to the kernel. That is a write to memory that both see, and no system call.
    fn give(&mut self, id: u16) {
        let ring: *mut BufRingEntry = self.ring.start.cast();
        let place = usize::from(self.tail & (self.count - 1));
        // SAFETY: a place inside the ring. The kernel reads it only after the tail says so.
        unsafe {
            let entry = &mut *ring.add(place);
            entry.set_addr(self.memory.start.add(usize::from(id) * self.size) as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        self.free += 1;
        // SAFETY: the tail lies inside the first entry, aligned, and is written by this thread alone. Release: what was
        // written to the entry is seen before it.
        unsafe {
            AtomicU16::from_ptr(BufRingEntry::tail(ring).cast_mut())
                .store(self.tail, Ordering::Release)
        };
    }
    // ANCHOR_END: give

    /// Takes note that the kernel has put `length` bytes into a buffer, which is ours now.
    pub fn take(&mut self, id: u16, length: usize) -> io::Result<()> {
        // A kernel that says otherwise would have us read what is not ours.
        if id >= self.count || length > self.size || self.free == 0 {
            return Err(io::Error::other(
                "the kernel names a buffer that it was not given",
            ));
        }
        self.free -= 1;
        self.filled += 1;
        self.bytes += length;
        Ok(())
    }

    /// Takes back a buffer that is not needed any more. It is the next that the kernel gets.
    pub fn back(&mut self, id: u16) {
        self.idle.push(id);
    }

    /// The first bytes of a buffer that is ours.
    pub fn data(&self, id: u16, length: usize) -> &[u8] {
        assert!(id < self.count && length <= self.size);
        // SAFETY: inside the memory, and the kernel does not write to it before it is given back.
        unsafe { slice::from_raw_parts(self.memory.start.add(usize::from(id) * self.size), length) }
    }

    /// How many buffers the kernel has.
    pub fn free(&self) -> u16 {
        self.free
    }
}
