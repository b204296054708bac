//! The system calls that network programs make: names, arguments, and who wants to see them.

use libc::c_long;

/// How an argument is shown, and how many of the call's arguments it takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A descriptor, `3`.
    Fd,
    /// A number.
    Int,
    /// A number with a word before it, unless it is 0.
    Word(&'static str),
    /// Not shown.
    Skip,
    /// A number of bytes at most.
    UpTo,
    /// Address and length of data that is sent: `9 bytes`.
    Sent,
    /// The same of a buffer to be filled: `up to 512 bytes`.
    Room,
    /// Address and number of buffers with data, readv(2).
    SentVector,
    /// The same of buffers to be filled.
    RoomVector,
    /// A `msghdr` that is sent.
    SentMessage,
    /// A `msghdr` to be filled.
    RoomMessage,
    /// A socket address and its length.
    Address,
    /// The same, filled in by the kernel.
    AddressFilled,
    /// Flags; 0 is not shown.
    Flags(Names),
    /// One of several.
    Choice(Names),
    /// The type of a socket with its flags.
    SocketType,
    /// Two descriptors, filled in.
    Pair,
    /// The descriptors of poll(2) and their number.
    Polls,
    /// The events of epoll_wait(2), filled in, and room for how many.
    Events,
    /// The event of epoll_ctl(2).
    Event,
    /// The number and the three sets of select(2).
    Sets,
    /// A `timespec`.
    Timespec,
    /// A `timeval`.
    Timeval,
    /// Clock, flags and time of clock_nanosleep(2).
    Sleep,
    /// Level, name, value and length of a socket option.
    SocketOption,
    /// The same, filled in.
    SocketOptionFilled,
    /// Command and argument of fcntl(2).
    Control,
    /// A path.
    Path,
    /// A signal.
    Signal,
    /// A `sigaction` that is set.
    Handler,
    /// How a child ended, filled in.
    Status,
    /// The flags of clone(2).
    Clone,
    /// Those of clone3(2), in memory.
    Clone3,
}

/// Values by their name in C.
pub(super) type Names = &'static [(&'static str, u32)];

/// Whether a reader of a ladder wants to see the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Always,
    UnlessFile,
    Never,
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kinds: &'static [Kind],
    pub(super) shown: Shown,
}

macro_rules! names {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name as u32)),*] };
}

pub(super) const MESSAGE: Names = names!(MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR
    MSG_WAITALL MSG_CONFIRM MSG_ERRQUEUE MSG_NOSIGNAL MSG_MORE MSG_ZEROCOPY MSG_FASTOPEN MSG_CMSG_CLOEXEC);
pub(super) const SOCKET_FLAGS: Names = names!(SOCK_NONBLOCK SOCK_CLOEXEC);
pub(super) const SOCKET_TYPE: Names = names!(SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_SEQPACKET);
pub(super) const FAMILY: Names = names!(AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET);
pub(super) const OPEN: Names = names!(O_WRONLY O_RDWR O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_DIRECTORY
    O_NOFOLLOW O_CLOEXEC O_PATH);
/// The events of poll(2); epoll(7) has the same numbers for those that both have.
pub(super) const POLL: Names = names!(POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDHUP);
pub(super) const EPOLL: Names = names!(EPOLLIN EPOLLPRI EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDHUP EPOLLEXCLUSIVE
    EPOLLWAKEUP EPOLLONESHOT EPOLLET);
pub(super) const CONTROL: Names = names!(F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN
    F_GETOWN F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ);
pub(super) const CLOEXEC: Names = names!(FD_CLOEXEC);
pub(super) const ACTION: Names =
    names!(SA_NOCLDSTOP SA_NOCLDWAIT SA_SIGINFO SA_ONSTACK SA_RESTART SA_NODEFER SA_RESETHAND);
/// An internal flag of the C library on x86-64: not the program's choice.
pub(super) const SA_RESTORER: u32 = 0x0400_0000;
const EPOLL_FLAGS: Names = names!(EPOLL_CLOEXEC);
const EPOLL_OPERATION: Names = names!(EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD);
const SHUTDOWN: Names = names!(SHUT_RD SHUT_WR SHUT_RDWR);
const SPLICE: Names = names!(SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE);
const EVENT: Names = names!(EFD_SEMAPHORE EFD_NONBLOCK EFD_CLOEXEC);
const WAIT: Names = names!(WNOHANG WUNTRACED WCONTINUED);
const MASK: Names = names!(SIG_BLOCK SIG_UNBLOCK SIG_SETMASK);
const INPUT_OUTPUT: Names = names!(FIONBIO FIONREAD TIOCOUTQ TCGETS SIOCGIFINDEX SIOCETHTOOL);

macro_rules! options {
    ($($level:ident: $($name:ident)*;)*) => { &[$($((libc::$level, libc::$name, stringify!($name)),)*)*] };
}

/// Level, number and name of socket options: socket(7), tcp(7), ip(7), ipv6(7), udp(7).
pub(super) const OPTIONS: &[(i32, i32, &str)] = options! {
    SOL_SOCKET: SO_REUSEADDR SO_REUSEPORT SO_ERROR SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_LINGER SO_RCVLOWAT
        SO_RCVTIMEO SO_SNDTIMEO SO_TYPE SO_ACCEPTCONN SO_PROTOCOL SO_DOMAIN SO_BUSY_POLL SO_BINDTODEVICE SO_PEERCRED
        SO_OOBINLINE SO_TIMESTAMP SO_INCOMING_CPU SO_ATTACH_FILTER SO_ZEROCOPY;
    IPPROTO_TCP: TCP_NODELAY TCP_MAXSEG TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_SYNCNT TCP_LINGER2
        TCP_DEFER_ACCEPT TCP_INFO TCP_QUICKACK TCP_CONGESTION TCP_USER_TIMEOUT TCP_FASTOPEN TCP_FASTOPEN_CONNECT
        TCP_NOTSENT_LOWAT;
    IPPROTO_IP: IP_TOS IP_TTL IP_HDRINCL IP_RECVERR IP_RECVTTL IP_PKTINFO IP_MTU_DISCOVER IP_MTU IP_MULTICAST_IF
        IP_MULTICAST_TTL IP_MULTICAST_LOOP IP_MULTICAST_ALL IP_ADD_MEMBERSHIP IP_DROP_MEMBERSHIP IP_FREEBIND;
    IPPROTO_IPV6: IPV6_V6ONLY IPV6_UNICAST_HOPS IPV6_RECVERR IPV6_RECVPKTINFO IPV6_MULTICAST_IF IPV6_MULTICAST_HOPS
        IPV6_MULTICAST_LOOP IPV6_ADD_MEMBERSHIP IPV6_DROP_MEMBERSHIP;
    SOL_UDP: UDP_SEGMENT UDP_GRO;
};

macro_rules! table {
    ($($shown:ident { $($(#[$only:meta])? $call:ident $([$($kind:expr),*])?)* })*) => {
        /// The line about the call with this number.
        pub(super) fn by_number(number: c_long) -> Option<Row> {
            match number {
                $($($(#[$only])? libc::$call => Some(Row {
                    // Without SYS_.
                    name: &stringify!($call)[4..],
                    kinds: &[$($($kind),*)?],
                    shown: Shown::$shown,
                }),)*)*
                _ => None,
            }
        }
    };
}

use Kind::*;

table! {
    Always {
        SYS_socket [Choice(FAMILY), SocketType, Word("protocol")]
        SYS_socketpair [Choice(FAMILY), SocketType, Word("protocol"), Pair]
        SYS_bind [Fd, Address]
        SYS_listen [Fd, Int]
        SYS_accept [Fd, AddressFilled]
        SYS_accept4 [Fd, AddressFilled, Flags(SOCKET_FLAGS)]
        SYS_connect [Fd, Address]
        SYS_getsockname [Fd, AddressFilled]
        SYS_getpeername [Fd, AddressFilled]
        SYS_setsockopt [Fd, SocketOption]
        SYS_getsockopt [Fd, SocketOptionFilled]
        SYS_shutdown [Fd, Choice(SHUTDOWN)]
        SYS_sendto [Fd, Sent, Flags(MESSAGE), Address]
        SYS_recvfrom [Fd, Room, Flags(MESSAGE), AddressFilled]
        SYS_sendmsg [Fd, SentMessage, Flags(MESSAGE)]
        SYS_recvmsg [Fd, RoomMessage, Flags(MESSAGE)]
        SYS_sendmmsg [Fd, Skip, Word("messages"), Flags(MESSAGE)]
        SYS_recvmmsg [Fd, Skip, Word("messages"), Flags(MESSAGE), Timespec]
        SYS_sendfile [Fd, Fd, Skip, UpTo]
        SYS_splice [Fd, Skip, Fd, Skip, UpTo, Flags(SPLICE)]
        SYS_tee [Fd, Fd, UpTo, Flags(SPLICE)]
        SYS_vmsplice [Fd, SentVector, Flags(SPLICE)]
        #[cfg(target_arch = "x86_64")] SYS_poll [Polls, Int]
        SYS_ppoll [Polls, Timespec]
        #[cfg(target_arch = "x86_64")] SYS_select [Sets, Timeval]
        SYS_pselect6 [Sets, Timespec]
        #[cfg(target_arch = "x86_64")] SYS_epoll_create []
        SYS_epoll_create1 [Flags(EPOLL_FLAGS)]
        SYS_epoll_ctl [Fd, Choice(EPOLL_OPERATION), Fd, Event]
        #[cfg(target_arch = "x86_64")] SYS_epoll_wait [Fd, Events, Int]
        SYS_epoll_pwait [Fd, Events, Int]
        SYS_epoll_pwait2 [Fd, Events, Timespec]
        SYS_io_uring_setup [Word("entries")]
        SYS_io_uring_enter [Fd, Word("submit"), Word("await")]
        SYS_io_uring_register [Fd, Word("operation")]
        #[cfg(target_arch = "x86_64")] SYS_pipe [Pair]
        SYS_pipe2 [Pair, Flags(OPEN)]
        #[cfg(target_arch = "x86_64")] SYS_eventfd [Int]
        SYS_eventfd2 [Int, Flags(EVENT)]
        #[cfg(target_arch = "x86_64")] SYS_signalfd []
        SYS_signalfd4 [Fd]
        SYS_timerfd_create []
        SYS_timerfd_settime [Fd]
        #[cfg(target_arch = "x86_64")] SYS_fork
        #[cfg(target_arch = "x86_64")] SYS_vfork
        SYS_clone [Clone]
        SYS_clone3 [Clone3]
        SYS_execve [Path]
        SYS_execveat [Fd, Path]
        SYS_exit [Int]
        SYS_exit_group [Int]
        SYS_wait4 [Int, Status, Flags(WAIT)]
        SYS_waitid []
        SYS_kill [Int, Signal]
        SYS_tgkill [Int, Skip, Signal]
        SYS_pidfd_open [Int]
        SYS_pidfd_send_signal [Fd, Signal]
        #[cfg(target_arch = "x86_64")] SYS_alarm [Int]
        #[cfg(target_arch = "x86_64")] SYS_pause
        SYS_rt_sigaction [Signal, Handler]
        SYS_rt_sigsuspend []
        SYS_rt_sigtimedwait []
        SYS_rt_sigreturn
        SYS_nanosleep [Timespec]
        SYS_clock_nanosleep [Sleep]
    }
    UnlessFile {
        SYS_read [Fd, Room]
        SYS_readv [Fd, RoomVector]
        SYS_write [Fd, Sent]
        SYS_writev [Fd, SentVector]
        SYS_close [Fd]
        SYS_dup [Fd]
        #[cfg(target_arch = "x86_64")] SYS_dup2 [Fd, Fd]
        SYS_dup3 [Fd, Fd, Flags(OPEN)]
        SYS_fcntl [Fd, Control]
        SYS_ioctl [Fd, Choice(INPUT_OUTPUT)]
    }
    Never {
        SYS_pread64 [Fd, Room, Int] SYS_pwrite64 [Fd, Sent, Int] SYS_lseek [Fd, Int]
        SYS_ftruncate [Fd, Int] SYS_fsync [Fd] SYS_fstat [Fd] SYS_newfstatat [Fd, Path]
        SYS_statx [Fd, Path] SYS_getdents64 [Fd] SYS_close_range [Fd, Int]
        SYS_copy_file_range [Fd, Skip, Fd, Skip, UpTo] SYS_openat [Fd, Path, Flags(OPEN)]
        SYS_openat2 [Fd, Path] SYS_readlinkat [Fd, Path] SYS_unlinkat [Fd, Path]
        SYS_mkdirat [Fd, Path] SYS_faccessat [Fd, Path] SYS_faccessat2 [Fd, Path] SYS_chdir [Path]
        #[cfg(target_arch = "x86_64")] SYS_open [Path, Flags(OPEN)]
        #[cfg(target_arch = "x86_64")] SYS_stat [Path]
        #[cfg(target_arch = "x86_64")] SYS_lstat [Path]
        #[cfg(target_arch = "x86_64")] SYS_access [Path]
        #[cfg(target_arch = "x86_64")] SYS_unlink [Path]
        #[cfg(target_arch = "x86_64")] SYS_readlink [Path]
        #[cfg(target_arch = "x86_64")] SYS_arch_prctl SYS_getcwd SYS_mmap [Skip, UpTo]
        SYS_munmap [Skip, UpTo] SYS_mprotect [Skip, UpTo] SYS_madvise [Skip, UpTo] SYS_mremap
        SYS_brk SYS_futex SYS_set_robust_list SYS_set_tid_address SYS_rseq
        SYS_rt_sigprocmask [Choice(MASK)] SYS_sigaltstack SYS_sched_yield SYS_sched_getaffinity
        SYS_sched_setaffinity SYS_getpid SYS_getppid SYS_gettid SYS_getuid SYS_geteuid SYS_getgid
        SYS_getegid SYS_getpgid SYS_setpgid SYS_setsid SYS_setuid SYS_setgid SYS_uname SYS_sysinfo
        SYS_prctl SYS_prlimit64 SYS_getrusage SYS_getrandom SYS_gettimeofday SYS_clock_gettime
        SYS_clock_getres SYS_setitimer SYS_restart_syscall SYS_umask SYS_memfd_create [Path]
        SYS_setns [Fd] SYS_unshare
    }
}
