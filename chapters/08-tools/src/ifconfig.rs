//! The network interfaces of this host: netdevice(7), getifaddrs(3), /proc/net/dev.

use std::fs;
use std::os::fd::OwnedFd;

use anyhow::bail;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType};

use crate::interface::{addresses, ask};

/// include/uapi/linux/if.h, in the order in which they are shown.
const FLAGS: [(i32, &str); 8] = [
    (libc::IFF_UP, "UP"),
    (libc::IFF_BROADCAST, "BROADCAST"),
    (libc::IFF_LOOPBACK, "LOOPBACK"),
    (libc::IFF_POINTOPOINT, "POINTOPOINT"),
    (libc::IFF_RUNNING, "RUNNING"),
    (libc::IFF_NOARP, "NOARP"),
    (libc::IFF_PROMISC, "PROMISC"),
    (libc::IFF_MULTICAST, "MULTICAST"),
];

/// Shows the interfaces that are up: addresses, hardware address, MTU, state and counters
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this interface, up or not
    #[arg(value_name = "INTERFACE")]
    interface: Option<String>,
    /// Those that are down too
    #[arg(short, long)]
    all: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let kind = SockType::Datagram;
    let any =
        socket::socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None).call("socket")?;
    let table = fs::read_to_string("/proc/net/dev").call("read /proc/net/dev")?;
    let mut found = false;
    // Two lines of headings; then "name: counter counter …".
    for (name, counters) in table
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
    {
        let name = name.trim();
        if args
            .interface
            .as_deref()
            .is_some_and(|wanted| wanted != name)
        {
            continue;
        }
        let flags = match ask(&any, name, libc::SIOCGIFFLAGS) {
            // It went away between the two questions.
            Err(error) if error.errno() == Some(Errno::ENODEV) => continue,
            // SAFETY: SIOCGIFFLAGS has filled in this member of the union.
            answer => i32::from(unsafe { answer?.ifr_ifru.ifru_flags }),
        };
        if args.interface.is_some() || args.all || flags & libc::IFF_UP != 0 {
            show(&any, name, flags, counters)?;
        }
        found = true;
    }
    match &args.interface {
        Some(wanted) if !found => bail!("there is no interface {wanted}"),
        _ => Ok(()),
    }
}

fn show(any: &OwnedFd, name: &str, flags: i32, counters: &str) -> anyhow::Result<()> {
    let number = |question| {
        // SAFETY: these questions are answered with an int, which is what ifru_metric is.
        Ok::<_, CallError>(unsafe { ask(any, name, question)?.ifr_ifru.ifru_metric })
    };
    // SAFETY: SIOCGIFHWADDR has filled in this member of the union.
    let hardware = unsafe {
        ask(any, name, libc::SIOCGIFHWADDR as _)?
            .ifr_ifru
            .ifru_hwaddr
    };
    let link = match hardware.sa_family {
        libc::ARPHRD_ETHER => {
            let bytes = hardware.sa_data[..6]
                .iter()
                .map(|byte| format!("{:02x}", *byte as u8));
            format!("Ethernet  HWaddr {}", bytes.collect::<Vec<_>>().join(":"))
        }
        libc::ARPHRD_LOOPBACK => "Local Loopback".into(),
        other => format!("type {other}"),
    };
    say!("{name:<9} Link encap:{link}")?;
    for address in addresses(name)? {
        say!("          {address}")?;
    }
    let set: Vec<_> = FLAGS
        .into_iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, word)| word)
        .collect();
    // The kernel answers 0 to every question about the metric: it is a route that has one. 1 is what ifconfig shows.
    let metric = number(libc::SIOCGIFMETRIC as _)?.max(1);
    say!(
        "          {}  MTU:{}  Metric:{metric}",
        set.join(" "),
        number(libc::SIOCGIFMTU as _)?
    )?;

    let counters: Vec<u64> = counters
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[
        rx,
        packets,
        errors,
        dropped,
        fifo,
        frame,
        _,
        _,
        tx,
        sent,
        tx_errors,
        tx_dropped,
        tx_fifo,
        collisions,
        carrier,
        ..,
    ] = counters.as_slice()
    else {
        bail!("/proc/net/dev has other columns than are known here");
    };
    say!(
        "          RX packets:{packets} errors:{errors} dropped:{dropped} overruns:{fifo} frame:{frame}"
    )?;
    say!(
        "          TX packets:{sent} errors:{tx_errors} dropped:{tx_dropped} overruns:{tx_fifo} carrier:{carrier}"
    )?;
    say!(
        "          collisions:{collisions} txqueuelen:{}",
        number(libc::SIOCGIFTXQLEN as _)?
    )?;
    say!(
        "          RX bytes:{rx} ({})  TX bytes:{tx} ({})",
        rounded(rx),
        rounded(tx)
    )?;
    Ok(())
}

/// 5081047 as 5.0 MB: powers of 1000, as ifconfig counts.
fn rounded(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit < 4 {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", ["B", "KB", "MB", "GB", "TB"][unit])
}
