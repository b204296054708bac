//! System calls in words, with what stands in the caller's memory.

use std::borrow::Cow;
use std::fs;
use std::io::IoSliceMut;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use libc::c_long;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::table::{self, Kind, Names, Row, Shown};

/// The machine's own calls, linux/audit.h. A program for another (i386) numbers them differently.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// How many elements of a list are shown.
const LISTED: usize = 4;

/// A system call's name and how its arguments are shown.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) name: Cow<'static, str>,
    pub(super) shown: Shown,
    kinds: &'static [Kind],
}

impl Shape {
    /// That of the call with this number.
    pub(super) fn of(arch: u32, number: u64) -> Self {
        let row = (arch == ARCH)
            .then(|| table::by_number(number as c_long))
            .flatten();
        match row {
            Some(Row { name, kinds, shown }) => Self {
                name: name.into(),
                shown,
                kinds,
            },
            None => Self {
                name: format!("syscall_{number}").into(),
                shown: Shown::Never,
                kinds: &[],
            },
        }
    }

    /// Whether the kernel has filled in something that is shown, when the call has returned this.
    pub(super) fn is_filled(&self, returned: i64) -> bool {
        self.kinds.iter().any(|kind| kind.is_filled(returned))
    }

    /// What the descriptor stands for, where the first argument is one.
    pub(super) fn descriptor(&self, tid: Pid, arguments: &[u64; 6]) -> Option<String> {
        let Some(Kind::Fd) = self.kinds.first() else {
            return None;
        };
        let target = fs::read_link(format!("/proc/{tid}/fd/{}", arguments[0] as i32)).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    /// The call in words; `returned` is its value once it has one.
    pub(super) fn decode(&self, tid: Pid, arguments: &[u64; 6], returned: Option<i64>) -> String {
        let memory = Memory(tid);
        let mut rest = &arguments[..];
        let mut parts = Vec::new();
        for kind in self.kinds {
            let (taken, left) = rest.split_at(kind.width());
            parts.extend(kind.show(taken, &memory, returned));
            rest = left;
        }
        format!("{}({})", self.name, parts.join(", "))
    }
}

impl Kind {
    /// How many arguments it takes.
    pub(super) fn width(self) -> usize {
        use Kind::*;
        match self {
            Sent | Room | SentVector | RoomVector | Address | AddressFilled | Polls | Events
            | Control => 2,
            Sleep => 3,
            Sets | SocketOption | SocketOptionFilled => 4,
            _ => 1,
        }
    }

    fn is_filled(self, returned: i64) -> bool {
        use Kind::*;
        match self {
            AddressFilled | RoomMessage | Pair | SocketOptionFilled => true,
            // After nothing has come, what was awaited is more to know.
            Polls | Events | Sets | Status => returned > 0,
            _ => false,
        }
    }

    fn show(self, arguments: &[u64], memory: &Memory, returned: Option<i64>) -> Option<String> {
        let first = arguments[0];
        let second = arguments.get(1).copied().unwrap_or_default();
        let done = returned.is_some();
        match self {
            Kind::Fd if first as i32 == libc::AT_FDCWD => None,
            Kind::Fd | Kind::Int => Some((first as i32).to_string()),
            Kind::Word(word) => (first as u32 != 0).then(|| format!("{word} {}", first as u32)),
            Kind::Skip => None,
            Kind::UpTo => Some(up_to(first)),
            Kind::Sent => Some(bytes(second)),
            Kind::Room => Some(up_to(second)),
            Kind::SentVector => Some(bytes(memory.vector(first, second)?)),
            Kind::RoomVector => Some(up_to(memory.vector(first, second)?)),
            Kind::SentMessage => memory.message(first, bytes, true),
            Kind::RoomMessage => memory.message(first, up_to, done),
            Kind::Address => memory.address(first, second as u32),
            Kind::AddressFilled => done
                .then(|| memory.address(first, memory.number(second)?))
                .flatten(),
            Kind::Flags(names) => flags(first as u32, names),
            Kind::Choice(names) => Some(choice(first as u32, names)),
            Kind::SocketType => {
                let flags = flags(first as u32 & !0xf, table::SOCKET_FLAGS);
                let name = choice(first as u32 & 0xf, table::SOCKET_TYPE);
                Some(flags.map_or(name.clone(), |flags| format!("{name}|{flags}")))
            }
            Kind::Pair => {
                let pair = done.then(|| memory.numbers(first, 2)).flatten()?;
                Some(format!("[{}, {}]", pair[0], pair[1]))
            }
            Kind::Polls => Some(memory.polls(first, second, done)),
            Kind::Events => Some(memory.events(first, returned?)),
            Kind::Event => Some(flags(memory.number(first)?, table::EPOLL).unwrap_or("0".into())),
            Kind::Sets => memory.sets(arguments),
            Kind::Timespec => memory.span(first, 1e9),
            Kind::Timeval => memory.span(first, 1e6),
            Kind::Sleep if second as i32 & libc::TIMER_ABSTIME != 0 => {
                Some("until a set time".into())
            }
            Kind::Sleep => memory.span(arguments[2], 1e9),
            Kind::SocketOption => Some(memory.option(arguments, Some(arguments[3] as u32))),
            Kind::SocketOptionFilled => {
                let length = if done {
                    memory.number(arguments[3])
                } else {
                    None
                };
                Some(memory.option(arguments, length))
            }
            Kind::Control => Some(control(first as i32, second)),
            Kind::Path => Some(format!("\"{}\"", memory.text(first)?.escape_debug())),
            Kind::Signal => Some(signal(first as i32)),
            Kind::Handler => memory.handler(first),
            Kind::Status => ending(memory.number(first).filter(|_| returned.is_some())? as i32),
            Kind::Clone => Some(child(first)),
            Kind::Clone3 => Some(child(memory.long(first)?)),
        }
    }
}

fn bytes(count: u64) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}

fn up_to(count: u64) -> String {
    format!("up to {}", bytes(count))
}

/// `MSG_PEEK|MSG_NOSIGNAL`; what has no name as a number; nothing for 0.
fn flags(value: u32, names: Names) -> Option<String> {
    let set = names.iter().filter(|(_, flag)| value & flag == *flag);
    let mut parts: Vec<_> = set.clone().map(|(name, _)| name.to_string()).collect();
    let unknown = set.fold(value, |value, (_, flag)| value & !flag);
    if unknown != 0 {
        parts.push(format!("{unknown:#x}"));
    }
    (!parts.is_empty()).then(|| parts.join("|"))
}

fn choice(value: u32, names: Names) -> String {
    let name = names.iter().find(|(_, number)| *number == value);
    name.map_or_else(|| value.to_string(), |(name, _)| name.to_string())
}

fn signal(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.to_string())
}

fn control(command: i32, argument: u64) -> String {
    let name = choice(command as u32, table::CONTROL);
    let argument = match command {
        libc::F_SETFL => flags(argument as u32, table::OPEN).unwrap_or("0".into()),
        libc::F_SETFD => flags(argument as u32, table::CLOEXEC).unwrap_or("0".into()),
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC | libc::F_SETOWN => (argument as i32).to_string(),
        _ => return name,
    };
    format!("{name}, {argument}")
}

fn child(flags: u64) -> String {
    let thread = flags & libc::CLONE_THREAD as u64 != 0;
    if thread {
        "thread".into()
    } else {
        "process".into()
    }
}

/// A status as of wait(2).
fn ending(status: i32) -> Option<String> {
    if libc::WIFEXITED(status) {
        return Some(format!("exited with {}", libc::WEXITSTATUS(status)));
    }
    libc::WIFSIGNALED(status).then(|| format!("killed by {}", signal(libc::WTERMSIG(status))))
}

/// The memory of a stopped thread. What cannot be read is not shown.
struct Memory(Pid);

impl Memory {
    /// As much as can be read of this.
    fn read(&self, address: u64, length: usize) -> Vec<u8> {
        let mut buffer = vec![0; length];
        let from = RemoteIoVec {
            base: address as usize,
            len: length,
        };
        let read = process_vm_readv(self.0, &mut [IoSliceMut::new(&mut buffer)], &[from]);
        buffer.truncate(read.unwrap_or_default());
        buffer
    }

    fn long(&self, address: u64) -> Option<u64> {
        Some(u64::from_ne_bytes(self.read(address, 8).try_into().ok()?))
    }

    fn number(&self, address: u64) -> Option<u32> {
        Some(self.numbers(address, 1)?[0] as u32)
    }

    fn numbers(&self, address: u64, count: usize) -> Option<Vec<i32>> {
        let buffer = self.read(address, 4 * count);
        let numbers: Vec<_> = buffer
            .chunks_exact(4)
            .map(|number| four(number) as i32)
            .collect();
        (numbers.len() == count).then_some(numbers)
    }

    /// A text that ends with a zero byte, the beginning of a long one.
    fn text(&self, address: u64) -> Option<String> {
        let buffer = self.read(address, 256);
        let text = buffer
            .split(|byte| *byte == 0)
            .next()
            .filter(|_| !buffer.is_empty())?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// The sum of the lengths in an array of iovec, readv(2).
    fn vector(&self, address: u64, count: u64) -> Option<u64> {
        let count = count.min(libc::UIO_MAXIOV as u64) as usize;
        let buffer = self.read(address, 16 * count);
        let lengths = buffer.chunks_exact(16).map(|vector| eight(&vector[8..]));
        (buffer.len() == 16 * count).then(|| lengths.sum())
    }

    /// A msghdr, recv(2): how many bytes, and with `filled` the address and whether something comes with the data.
    fn message(&self, address: u64, bytes: fn(u64) -> String, filled: bool) -> Option<String> {
        let header = self.read(address, size_of::<libc::msghdr>());
        let field = |at: usize| header.get(at..at + 8).map(eight);
        let mut parts = vec![bytes(self.vector(field(16)?, field(24)?)?)];
        if filled {
            parts.extend(self.address(field(0)?, field(8)? as u32));
            parts.extend((field(40)? != 0).then(|| "control data".to_string()));
        }
        Some(parts.join(", "))
    }

    /// A socket address.
    fn address(&self, address: u64, length: u32) -> Option<String> {
        let length = (length as usize).min(size_of::<libc::sockaddr_storage>());
        let buffer = if address == 0 {
            Vec::new()
        } else {
            self.read(address, length)
        };
        socket_address(&buffer)
    }

    /// `[3: POLLIN, 4: POLLIN]`: what is awaited, or what has come.
    fn polls(&self, address: u64, count: u64, done: bool) -> String {
        let buffer = self.read(address, 8 * count.min(1024) as usize);
        let polled = buffer.chunks_exact(8).filter_map(|poll| {
            let (events, came) = (two(&poll[4..]), two(&poll[6..]));
            let events = if done { came } else { events };
            let shown = !done || came != 0;
            shown.then(|| {
                format!(
                    "{}: {}",
                    four(poll) as i32,
                    flags(events, table::POLL).unwrap_or("0".into())
                )
            })
        });
        list(polled)
    }

    /// `[7: EPOLLIN]`: the data that the program gave with a descriptor, often its number, and what has come.
    fn events(&self, address: u64, count: i64) -> String {
        let size = size_of::<libc::epoll_event>();
        let count = usize::try_from(count).unwrap_or_default();
        // There may be thousands, and the program stands still meanwhile.
        let buffer = self.read(address, size * count.min(LISTED));
        let events = buffer.chunks_exact(size).map(|event| {
            let data = eight(&event[size - 8..]);
            format!(
                "{data}: {}",
                flags(four(event), table::EPOLL).unwrap_or("0".into())
            )
        });
        let mut events: Vec<_> = events.collect();
        if count > LISTED && events.len() == LISTED {
            events.push(format!("{} more", count - LISTED));
        }
        format!("[{}]", events.join(", "))
    }

    /// The sets of select(2): `read [3, 4], write [5]`.
    fn sets(&self, arguments: &[u64]) -> Option<String> {
        let count = (arguments[0] as usize).min(libc::FD_SETSIZE);
        let named = ["read", "write", "except"].into_iter().zip(&arguments[1..]);
        let sets = named.filter_map(|(name, address)| {
            let buffer = self.read(*address, count.div_ceil(64) * 8);
            let is_in = |fd: &usize| {
                buffer
                    .get(fd / 8)
                    .is_some_and(|byte| byte & (1 << (fd % 8)) != 0)
            };
            let mut fds = (0..count).filter(is_in).map(|fd| fd.to_string()).peekable();
            fds.peek()?;
            Some(format!("{name} {}", list(fds)))
        });
        let sets: Vec<_> = sets.collect();
        (!sets.is_empty()).then(|| sets.join(", "))
    }

    /// What a signal does: the kernel's sigaction begins with the handler and the flags.
    fn handler(&self, address: u64) -> Option<String> {
        let (handler, set) = (self.long(address)?, self.long(address + 8)?);
        let handler = match handler as usize {
            libc::SIG_DFL => "SIG_DFL",
            libc::SIG_IGN => "SIG_IGN",
            _ => "a handler",
        };
        let set = flags(set as u32 & !table::SA_RESTORER, table::ACTION)
            .filter(|_| handler == "a handler");
        Some(set.map_or(handler.into(), |set| format!("{handler}, {set}")))
    }

    /// Seconds and a fraction.
    fn span(&self, address: u64, unit: f64) -> Option<String> {
        let (seconds, fraction) = (self.long(address)?, self.long(address + 8)?);
        Some(format!("{} s", seconds as f64 + fraction as f64 / unit))
    }

    /// A socket option and, when its length is known, its value.
    fn option(&self, arguments: &[u64], length: Option<u32>) -> String {
        let (level, number) = (arguments[0] as i32, arguments[1] as i32);
        let known = table::OPTIONS
            .iter()
            .find(|option| (option.0, option.1) == (level, number));
        let name = known.map_or_else(
            || format!("{level}, {number}"),
            |option| option.2.to_string(),
        );
        let value = match length {
            None => return name,
            Some(_) if name == "SO_RCVTIMEO" || name == "SO_SNDTIMEO" => {
                let time = self.span(arguments[2], 1e6).unwrap_or_default();
                return format!("{name}, {time}");
            }
            Some(length @ (4 | 8)) => self.numbers(arguments[2], length as usize / 4),
            Some(_) => None,
        };
        match value.as_deref() {
            Some([error]) if name == "SO_ERROR" && *error != 0 => {
                format!("{name}, {:?}", Errno::from_raw(*error))
            }
            Some([value]) => format!("{name}, {value}"),
            Some([on, seconds]) => format!("{name}, {on} {seconds}"),
            _ => format!("{name}, {}", bytes(length.unwrap_or_default().into())),
        }
    }
}

/// `[a, b]`, cut when it is long.
fn list(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<_> = parts.collect();
    if parts.len() > LISTED {
        let more = parts.len() - LISTED;
        parts.truncate(LISTED);
        parts.push(format!("{more} more"));
    }
    format!("[{}]", parts.join(", "))
}

/// A sockaddr: `127.0.0.1:43211`, a path, `@name` of the abstract namespace, unix(7).
fn socket_address(buffer: &[u8]) -> Option<String> {
    let port = || Some(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?));
    let family = buffer.get(..2).map(two)? as i32;
    let address = match family {
        libc::AF_INET => {
            let ip: [u8; 4] = buffer.get(4..8)?.try_into().ok()?;
            SocketAddr::from((ip, port()?)).to_string()
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = buffer.get(8..24)?.try_into().ok()?;
            let scope = buffer.get(24..28).map_or(0, four);
            SocketAddrV6::new(Ipv6Addr::from(ip), port()?, 0, scope).to_string()
        }
        libc::AF_UNIX => match buffer.get(2..)? {
            [] => "unnamed".into(),
            [0, name @ ..] => format!("@{}", String::from_utf8_lossy(name).escape_debug()),
            path => {
                let path = path.split(|byte| *byte == 0).next()?;
                String::from_utf8_lossy(path).escape_debug().to_string()
            }
        },
        _ => choice(family as u32, table::FAMILY),
    };
    Some(address)
}

fn two(bytes: &[u8]) -> u32 {
    u16::from_ne_bytes([bytes[0], bytes[1]]).into()
}

fn four(bytes: &[u8]) -> u32 {
    u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn eight(bytes: &[u8]) -> u64 {
    u64::from(four(bytes)) | u64::from(four(&bytes[4..])) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The call in words if this process, whose memory we may read, made it.
    fn words(number: c_long, arguments: &[u64], returned: Option<i64>) -> String {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Shape::of(ARCH, number as u64).decode(Pid::this(), &all, returned)
    }

    fn at<T: ?Sized>(value: &T) -> u64 {
        (&raw const *value).cast::<()>() as u64
    }

    #[test]
    fn rows_take_no_more_than_six_arguments() {
        let rows: Vec<_> = (0..1000).filter_map(table::by_number).collect();
        assert!(rows.len() > 100);
        for row in rows {
            assert!(
                row.kinds.iter().map(|kind| kind.width()).sum::<usize>() <= 6,
                "{row:?}"
            );
        }
    }

    #[test]
    fn unknown_calls_have_a_number() {
        assert_eq!(words(9999, &[], None), "syscall_9999()");
        assert_eq!(
            Shape::of(0x4000_0003, libc::SYS_read as u64).name,
            format!("syscall_{}", libc::SYS_read)
        );
    }

    #[test]
    fn addresses_are_read() {
        let connect = |address: &[u8]| {
            words(
                libc::SYS_connect,
                &[3, at(address), address.len() as u64],
                None,
            )
        };
        assert_eq!(
            connect(&[2, 0, 0xa8, 0xcb, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            "connect(3, 127.0.0.1:43211)"
        );
        let mut v6 = [0; 28];
        (v6[0], v6[3], v6[23]) = (10, 80, 1);
        assert_eq!(connect(&v6), "connect(3, [::1]:80)");
        assert_eq!(connect(b"\x01\0/tmp/a\nb\0\0"), "connect(3, /tmp/a\\nb)");
        assert_eq!(connect(b"\x01\0\0name"), "connect(3, @name)");
        assert_eq!(connect(&[0; 16]), "connect(3, AF_UNSPEC)");
        // What is too short or cannot be read is left out.
        assert_eq!(connect(&[2, 0, 0]), "connect(3)");
        assert_eq!(words(libc::SYS_connect, &[3, 8, 16], None), "connect(3)");
    }

    #[test]
    fn waiting_shows_what_is_awaited_and_what_came() {
        let polls = [(3_i32, 1_i16, 0_i16), (4, 5, 4)];
        let arguments = [at(&polls), 2, 0];
        assert_eq!(
            words(libc::SYS_ppoll, &arguments, None),
            "ppoll([3: POLLIN, 4: POLLIN|POLLOUT])"
        );
        assert_eq!(
            words(libc::SYS_ppoll, &arguments, Some(1)),
            "ppoll([4: POLLOUT])"
        );
        let events = [libc::epoll_event { events: 1, u64: 9 }; 6];
        let arguments = [5, at(&events), 6, -1_i32 as u64];
        assert_eq!(
            words(libc::SYS_epoll_pwait, &arguments, None),
            "epoll_pwait(5, -1)"
        );
        assert_eq!(
            words(libc::SYS_epoll_pwait, &arguments, Some(1)),
            "epoll_pwait(5, [9: EPOLLIN], -1)"
        );
        assert!(
            words(libc::SYS_epoll_pwait, &arguments, Some(6)).contains("9: EPOLLIN, 2 more], -1)")
        );
        let edge = libc::epoll_event {
            events: libc::EPOLLIN as u32 | libc::EPOLLET as u32,
            u64: 9,
        };
        let arguments = [5, libc::EPOLL_CTL_ADD as u64, 9, at(&edge)];
        assert_eq!(
            words(libc::SYS_epoll_ctl, &arguments, None),
            "epoll_ctl(5, EPOLL_CTL_ADD, 9, EPOLLIN|EPOLLET)"
        );
        let (set, half) = ([0b1_1000_u64], [0_i64, 500_000_000]);
        let arguments = [5, at(&set), 0, 0, at(&half)];
        assert_eq!(
            words(libc::SYS_pselect6, &arguments, None),
            "pselect6(read [3, 4], 0.5 s)"
        );
    }

    #[test]
    fn data_is_counted() {
        assert_eq!(
            words(libc::SYS_sendto, &[4, 0, 9, 0x4000], None),
            "sendto(4, 9 bytes, MSG_NOSIGNAL)"
        );
        assert_eq!(
            words(libc::SYS_read, &[0, 0, 1], None),
            "read(0, up to 1 byte)"
        );
        let vector = [8_u64, 2, 8, 3];
        assert_eq!(
            words(libc::SYS_writev, &[1, at(&vector), 2], None),
            "writev(1, 5 bytes)"
        );
        let header = [0_u64, 0, at(&vector), 2, 1, 16, 0];
        assert_eq!(
            words(libc::SYS_sendmsg, &[4, at(&header), 0], None),
            "sendmsg(4, 5 bytes, control data)"
        );
        assert_eq!(
            words(libc::SYS_recvmsg, &[4, at(&header), 0], None),
            "recvmsg(4, up to 5 bytes)"
        );
    }

    #[test]
    fn options_flags_and_handlers_have_names() {
        let refused = libc::ECONNREFUSED;
        let length = 4_u32;
        let arguments = [
            3,
            libc::SOL_SOCKET as u64,
            libc::SO_ERROR as u64,
            at(&refused),
            at(&length),
        ];
        assert_eq!(
            words(libc::SYS_getsockopt, &arguments, None),
            "getsockopt(3, SO_ERROR)"
        );
        assert_eq!(
            words(libc::SYS_getsockopt, &arguments, Some(0)),
            "getsockopt(3, SO_ERROR, ECONNREFUSED)"
        );
        let arguments = [3, libc::IPPROTO_TCP as u64, 999, at(&refused), 4];
        assert_eq!(
            words(libc::SYS_setsockopt, &arguments, None),
            "setsockopt(3, 6, 999, 111)"
        );
        let (time, option) = ([1_i64, 500_000], libc::SO_RCVTIMEO as u64);
        let arguments = [3, libc::SOL_SOCKET as u64, option, at(&time), 16];
        assert_eq!(
            words(libc::SYS_setsockopt, &arguments, None),
            "setsockopt(3, SO_RCVTIMEO, 1.5 s)"
        );
        let nonblocking = [
            3,
            libc::F_SETFL as u64,
            (libc::O_RDWR | libc::O_NONBLOCK) as u64,
        ];
        assert_eq!(
            words(libc::SYS_fcntl, &nonblocking, None),
            "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK)"
        );
        let action = [
            4096_u64,
            (libc::SA_RESTART as u64) | u64::from(table::SA_RESTORER),
        ];
        let arguments = [libc::SIGINT as u64, at(&action)];
        assert_eq!(
            words(libc::SYS_rt_sigaction, &arguments, None),
            "rt_sigaction(SIGINT, a handler, SA_RESTART)"
        );
        assert_eq!(
            words(libc::SYS_shutdown, &[4, 1], None),
            "shutdown(4, SHUT_WR)"
        );
        assert_eq!(
            words(libc::SYS_wait4, &[u64::MAX, at(&9_i32)], Some(12)),
            "wait4(-1, killed by SIGKILL)"
        );
    }
}
