//! Counts what a thread does: system calls by name, allocations, and the memory that it holds. Included with `#[path]` by the
//! tests of cost, here and in `httpd`, and by no others: it takes the place of the C library and of the allocator.
//!
//! The counting of system calls needs no tracer: the test program defines the C library's `recv`, `send` and so on itself,
//! and the linker prefers ours. Each counts, for its thread, and makes the system call.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;

use nix::libc;

/// How often each system call was made; those that were not made are left out.
pub type Calls = BTreeMap<&'static str, u64>;

/// A C function that counts and passes its arguments on to the system call, with more arguments behind them where the
/// function has fewer.
macro_rules! counted {
    ($($name:ident = $number:ident ($($argument:ident: $type:ty),* $(; $more:expr)*) -> $result:ty;)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(
            // SAFETY: the signature is that of the C library's function, and so is what it does.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $type),*) -> $result {
                count(stringify!($name));
                // SAFETY: the caller vouches for the arguments. libc::syscall sets errno as the function would.
                unsafe { libc::syscall(libc::$number, $($argument,)* $($more),*) as $result }
            }
        )*
    };
}

/// recv(2) is recvfrom(2), and send(2) sendto(2), without an address.
const NOBODY: *const c_void = ptr::null();

counted! {
    read = SYS_read(fd: i32, data: *mut c_void, length: usize) -> isize;
    write = SYS_write(fd: i32, data: *const c_void, length: usize) -> isize;
    recv = SYS_recvfrom(fd: i32, data: *mut c_void, length: usize, flags: i32; NOBODY; NOBODY) -> isize;
    send = SYS_sendto(fd: i32, data: *const c_void, length: usize, flags: i32; NOBODY; 0) -> isize;
    sendmsg = SYS_sendmsg(fd: i32, message: *const libc::msghdr, flags: i32) -> isize;
    sendfile = SYS_sendfile(to: i32, from: i32, offset: *mut libc::off_t, length: usize) -> isize;
    epoll_wait = SYS_epoll_wait(fd: i32, events: *mut libc::epoll_event, most: i32, timeout: i32) -> i32;
    epoll_ctl = SYS_epoll_ctl(fd: i32, what: i32, which: i32, event: *mut libc::epoll_event) -> i32;
    poll = SYS_poll(entries: *mut libc::pollfd, most: libc::nfds_t, timeout: i32) -> i32;
    select = SYS_select(end: i32, read: *mut libc::fd_set, write: *mut libc::fd_set,
        except: *mut libc::fd_set, time: *mut libc::timeval) -> i32;
    accept4 = SYS_accept4(fd: i32, address: *mut libc::sockaddr, length: *mut libc::socklen_t, flags: i32) -> i32;
    shutdown = SYS_shutdown(fd: i32, how: i32) -> i32;
    close = SYS_close(fd: i32) -> i32;
    fstat = SYS_fstat(fd: i32, about: *mut libc::stat) -> i32;
}

thread_local! {
    static CALLS: [Cell<u64>; NAMES.len()] = const { [const { Cell::new(0) }; NAMES.len()] };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

fn count(name: &str) {
    let index = NAMES.iter().position(|known| *known == name);
    CALLS.with(|calls| {
        let calls = &calls[index.expect("a name of the list")];
        calls.set(calls.get() + 1);
    });
}

/// What the system calls and allocations of this thread come to.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    calls: [u64; NAMES.len()],
    allocations: u64,
}

impl Costs {
    /// So far.
    pub fn now() -> Self {
        Self {
            calls: CALLS.with(|calls| std::array::from_fn(|index| calls[index].get())),
            allocations: ALLOCATIONS.get(),
        }
    }

    /// System calls and allocations since then.
    pub fn since(self) -> (Calls, u64) {
        let now = Self::now();
        let calls = NAMES.iter().zip(now.calls).zip(self.calls);
        let calls = calls.map(|((name, now), before)| (*name, now - before));
        let calls = calls.filter(|(_, count)| *count > 0).collect();
        (calls, now.allocations - self.allocations)
    }
}

/// The system calls and allocations of what `work` does in this thread.
pub fn costs(work: impl FnOnce()) -> (Calls, u64) {
    let before = Costs::now();
    work();
    before.since()
}

/// Bytes that this thread has allocated and not freed.
pub fn live() -> i64 {
    LIVE.get()
}

struct Counting;

impl Counting {
    /// Counts nothing any more when the thread ends and its counters are gone.
    fn note(allocations: u64, bytes: i64) {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
        let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
    }
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(1, layout.size() as i64);
        // SAFETY: the caller vouches for the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::note(0, -(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note(1, size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
