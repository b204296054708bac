//! Prints the formats of socket addresses, and the bytes of those that are given.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, ensure};
use common::say;
use common::text::printable;
use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr};

use crate::kernel;
use crate::layout::{self, Field, Layout, Reading};

/// Prints the layout of each address format, or the bytes of the addresses given
#[derive(Debug, clap::Args)]
pub struct Args {
    /// 127.0.0.1:43211, [::1]:43211, or a path such as /tmp/a-socket
    #[arg(value_name = "ADDR", value_parser = parse)]
    addresses: Vec<Address>,
    /// Leave the port in the order of this machine's processor, as if htons were forgotten
    #[arg(long)]
    host_order: bool,
    /// Bind a socket to each address, with its full length and with one byte less, and say what the kernel answers
    #[arg(long)]
    ask_kernel: bool,
}

/// An address in memory, as a system call takes it.
#[derive(Debug, Clone)]
pub struct Address {
    pub text: String,
    pub layout: Layout,
    pub bytes: Vec<u8>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.addresses.is_empty() {
        for layout in layout::ALL {
            say!("{}: {} bytes", layout.name, layout.size)?;
            for field in layout.fields {
                say!(
                    "  {:<13} offset {:>2}, {:>3} bytes",
                    field.name,
                    field.offset,
                    field.width
                )?;
            }
        }
    }
    for address in &args.addresses {
        let mut address = address.clone();
        if args.host_order {
            forget_htons(&mut address);
        }
        say!(
            "{}: {} bytes of {}",
            address.text,
            address.bytes.len(),
            address.layout.name
        )?;
        for field in address.layout.fields {
            print_field(&address.bytes, field)?;
        }
        if args.ask_kernel {
            kernel::ask(&address)?;
        }
    }
    Ok(())
}

// ANCHOR: bytes
/// The address as bytes in memory: exactly what connect(2) or bind(2) gets, pointer and length.
fn bytes_of(address: &impl SockaddrLike) -> Vec<u8> {
    // SAFETY: the pointer is to an address of this length, which outlives the slice.
    unsafe { std::slice::from_raw_parts(address.as_ptr().cast(), address.len() as usize) }.to_vec()
}

/// A path with the zero byte that ends it, unix(7): the kernel does without, other programs may not.
fn local_address(path: &Path) -> nix::Result<Vec<u8>> {
    let mut bytes = bytes_of(&UnixAddr::new(path)?);
    bytes.push(0);
    Ok(bytes)
}
// ANCHOR_END: bytes

fn parse(text: &str) -> anyhow::Result<Address> {
    let (layout, bytes) = if let Ok(address) = text.parse::<SocketAddr>() {
        // Not SockaddrStorage: it has room for every family, and its length is that room.
        match address {
            SocketAddr::V4(v4) => (layout::SOCKADDR_IN, bytes_of(&SockaddrIn::from(v4))),
            SocketAddr::V6(v6) => (layout::SOCKADDR_IN6, bytes_of(&SockaddrIn6::from(v6))),
        }
    } else {
        ensure!(
            text.contains('/'),
            "neither ADDRESS:PORT, [ADDRESS]:PORT nor a path with a slash"
        );
        let path = Path::new(text);
        let most = layout::SOCKADDR_UN.fields[1].width - 1; // one byte for the NUL that ends it, unix(7)
        let length = path.as_os_str().as_bytes().len();
        ensure!(
            length <= most,
            "a path of {length} bytes; at most {most} fit into sun_path"
        );
        (
            layout::SOCKADDR_UN,
            local_address(path).context("a local address")?,
        )
    };
    Ok(Address {
        text: text.into(),
        layout,
        bytes,
    })
}

/// Turns the port round, which is what a little-endian machine does that stores it without htons(3).
fn forget_htons(address: &mut Address) {
    let port = address
        .layout
        .fields
        .iter()
        .find(|field| field.name.ends_with("_port"));
    if let Some(port) = port {
        address.bytes[port.offset..port.offset + port.width].reverse();
    }
}

// ANCHOR: field
fn print_field(bytes: &[u8], field: &Field) -> anyhow::Result<()> {
    // A local address is only as long as its path: the rest of the field is not handed over.
    let end = bytes.len().min(field.offset + field.width);
    let bytes = &bytes[field.offset.min(end)..end];
    let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let meaning = match (field.reading, bytes) {
        (Reading::Host, [a, b]) => {
            format!("{}, in this machine's order", u16::from_ne_bytes([*a, *b]))
        }
        (Reading::Host, [a, b, c, d]) => format!(
            "{}, in this machine's order",
            u32::from_ne_bytes([*a, *b, *c, *d])
        ),
        (Reading::Network, [a, b]) => format!(
            "{}, most significant byte first",
            u16::from_be_bytes([*a, *b])
        ),
        (Reading::Network, _) => "most significant byte first".into(),
        (_, bytes) if bytes.iter().all(|byte| *byte == 0) => "unused".into(),
        (_, bytes) => printable(bytes).to_string(),
    };
    say!("  {:<13} {}  ({meaning})", field.name, hex.join(" "))?;
    Ok(())
}
// ANCHOR_END: field
