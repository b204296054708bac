//! Buffers for the kernel to pick from: a ring of their addresses, io_uring_register_buf_ring(3).

use std::io;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use common::{Call, CallError};
use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use nix::errno::Errno;

/// The group that receive requests name.
pub const GROUP: u16 = 0;

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
    /// Where the next one that is given back is written in the ring.
    tail: u16,
    /// How many are the kernel's.
    free: u16,
}

impl Pool {
    /// Makes the buffers and gives all of them to the kernel. `count` is a power of two.
    pub fn new(submitter: &Submitter, count: u16, size: usize) -> Result<Self, CallError> {
        let mut pool = Self {
            ring: Pages::new(usize::from(count) * size_of::<BufRingEntry>())?,
            memory: Pages::new(usize::from(count) * size)?,
            count,
            size,
            tail: 0,
            free: 0,
        };
        let address = pool.ring.start as u64;
        // SAFETY: the memory is as large as `count` entries, and lives as long as the pool, which its owner keeps longer
        // than the ring.
        unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0) }
            .call("io_uring_register IORING_REGISTER_PBUF_RING")?;
        for id in 0..count {
            pool.give(id);
        }
        Ok(pool)
    }

    // ANCHOR: give
    /// Gives a buffer to the kernel. That is a write to memory that both see, and no system call.
    pub fn give(&mut self, id: u16) {
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
        Ok(())
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
