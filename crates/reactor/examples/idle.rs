//! What an idle connection costs: `cargo run --release -p reactor --example idle -- [CONNECTIONS] [DISPATCHER]`
//!
//! The clients are a process of their own (this program again): one process may not have twice the descriptors. Each
//! connection sends a message and gets it back before it is idle. Heap memory is counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use reactor::{Handler, Input, Interest, Next, ServerOptions, TcpConnection, TcpServer};

static LIVE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller vouches for the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Echo;

impl Handler for Echo {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        connection.send(input.take());
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [_, count, _, address] = &arguments[..] {
        return clients(address.parse()?, count.parse()?);
    }
    let count = arguments.first().map_or("15000", |count| count);
    let mut options = ServerOptions::default();
    if let Some(dispatcher) = arguments.get(1) {
        options.dispatcher = dispatcher.parse()?;
    }
    options.limits.idle = Some(Duration::from_secs(60));
    let mut server = TcpServer::bind(&"127.0.0.1:0".parse()?, options, |_| Echo)?;
    let address = server.local_address().map(|address| address.to_string());

    let (heap, resident) = (LIVE.load(Ordering::Relaxed), resident()?);
    let mut client = Command::new(std::env::current_exe()?)
        .args(["clients", count, "of", &address.unwrap_or_default()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let told = client.stdout.take().ok_or(anyhow::anyhow!("no pipe"))?;
    let stopper = server.stopper();
    server
        .main_loop()
        .watch(told, Interest::READ, move |event_loop, told, _| {
            let mut word = [0; 100];
            let _ = told.read(&mut word);
            report(event_loop.connections(), heap, resident);
            stopper.stop();
            drop(client.stdin.take());
            Next::Remove
        })?;
    Ok(server.run()?)
}

fn report(connections: usize, heap: isize, before: isize) {
    let number = connections as isize;
    let heap = LIVE.load(Ordering::Relaxed) - heap;
    println!("{number} connections");
    println!("{} bytes of heap for each", heap / number);
    if let Ok(after) = resident() {
        println!(
            "{} bytes of resident memory for each",
            (after - before) / number
        );
    }
}

/// Resident memory in bytes, proc_pid_statm(5).
fn resident() -> anyhow::Result<isize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: isize = statm.split(' ').nth(1).unwrap_or("0").parse()?;
    Ok(pages * 4096)
}

/// Connects, exchanges a message on each connection, says so, and holds them until its input ends.
fn clients(address: SocketAddr, count: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(TcpStream::connect(address)?);
    }
    let connected = begun.elapsed();
    for stream in &mut streams {
        stream.write_all(b"hello")?;
    }
    for stream in &mut streams {
        stream.read_exact(&mut [0; 5])?;
    }
    eprintln!(
        "{count} connected after {connected:.0?}, answered after {:.0?}",
        begun.elapsed()
    );
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
