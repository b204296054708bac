//! A buffer of a fixed size, and what becomes of a byte that is written behind it.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use common::{Call, CallError};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// A whole number of pages on every machine: their size is 4, 16 or 64 KiB.
const PAGES: NonZeroUsize = NonZeroUsize::new(64 * 1024).unwrap();

/// The largest buffer that fits before the guard.
pub const LARGEST: usize = PAGES.get();

/// A write behind the end of the buffer that was caught.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("caught: a write to byte {index} of a buffer of {size} bytes")]
pub struct PastTheEnd {
    pub index: usize,
    pub size: usize,
}

/// The buffer.
#[derive(Debug)]
pub enum Room {
    /// Rust's: each write by index is checked.
    Checked(Vec<u8>),
    /// C's: nothing is checked, but behind the last byte begins a page that nobody may touch.
    Guarded(Guarded),
}

impl Room {
    /// A buffer of `size` bytes, at most [`LARGEST`].
    pub fn new(size: usize, guard: bool) -> Result<Self, CallError> {
        Ok(match guard {
            false => Self::Checked(vec![0; size]),
            true => Self::Guarded(Guarded::new(size)?),
        })
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Checked(bytes) => bytes,
            Self::Guarded(guarded) => guarded.bytes(),
        }
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        match self {
            Self::Checked(bytes) => bytes.len(),
            Self::Guarded(guarded) => guarded.size,
        }
    }

    // ANCHOR: put
    /// `buffer[index] = byte`, which may be one byte too far.
    pub fn put(&mut self, index: usize, byte: u8) -> Result<(), PastTheEnd> {
        match self {
            // With `bytes[index] = byte` Rust would end the program with a panic: better than
            // C, but a stranger must not be able to end a server.
            Self::Checked(bytes) => {
                let size = bytes.len();
                *bytes.get_mut(index).ok_or(PastTheEnd { index, size })? = byte;
            }
            Self::Guarded(guarded) => guarded.put(index, byte),
        }
        Ok(())
    }
    // ANCHOR_END: put
}

/// A buffer whose last byte is the last byte of a page. On the page behind it any access ends the process with SIGSEGV,
/// mprotect(2): what in C is luck becomes certain.
#[derive(Debug)]
pub struct Guarded {
    pages: NonNull<c_void>,
    size: usize,
}

impl Guarded {
    // ANCHOR: guard
    fn new(size: usize) -> Result<Self, CallError> {
        assert!(size <= LARGEST, "the caller allows no more");
        let writable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let both = PAGES.saturating_add(PAGES.get());
        // SAFETY: a new mapping, at an address that the kernel chooses: it overlaps nothing.
        let pages = unsafe { mmap_anonymous(None, both, writable, MapFlags::MAP_PRIVATE) };
        let pages = pages.call("mmap")?;
        let guarded = Self { pages, size }; // from here on it is unmapped when dropped
        // SAFETY: the second half of our own mapping, to which nobody has a reference.
        unsafe {
            mprotect(
                pages.byte_add(PAGES.get()),
                PAGES.get(),
                ProtFlags::PROT_NONE,
            )
        }
        .call("mprotect")?;
        Ok(guarded)
    }

    fn put(&mut self, index: usize, byte: u8) {
        assert!(index < self.size + PAGES.get(), "within the two halves");
        // SAFETY: the address lies in our mapping. In its second half the write never happens:
        // the kernel ends the process. That is what the guard is for.
        unsafe { self.start().add(index).write_volatile(byte) }
    }
    // ANCHOR_END: guard

    fn start(&self) -> NonNull<u8> {
        // SAFETY: `size` is at most the size of the first half.
        unsafe { self.pages.cast::<u8>().add(PAGES.get() - self.size) }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: these bytes are mapped, zero at first, and borrowed from us as long as the slice lives.
        unsafe { NonNull::slice_from_raw_parts(self.start(), self.size).as_mut() }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: our own mapping; what was borrowed from it is gone.
        let outcome = unsafe { munmap(self.pages, 2 * PAGES.get()) };
        debug_assert_eq!(outcome, Ok(()), "the mapping was made whole");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_past_the_end_is_caught() {
        let mut room = Room::new(10, false).unwrap();
        assert_eq!(room.put(9, b'x'), Ok(()));
        let caught = room.put(10, b'x').unwrap_err();
        assert_eq!(
            caught.to_string(),
            "caught: a write to byte 10 of a buffer of 10 bytes"
        );
        assert_eq!(room.bytes(), b"\0\0\0\0\0\0\0\0\0x");
    }

    #[test]
    fn a_guarded_buffer_is_a_buffer() {
        for size in [1, 128, LARGEST] {
            let mut room = Room::new(size, true).unwrap();
            assert_eq!(room.size(), size);
            assert!(room.bytes().iter().all(|&byte| byte == 0));
            room.put(size - 1, b'x').unwrap();
            assert_eq!(room.bytes().last(), Some(&b'x'));
        }
    }
}
