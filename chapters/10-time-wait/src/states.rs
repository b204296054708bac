//! A live table of the states of the connections on a port.

use std::io::{IsTerminal, stdout};
use std::thread::sleep;
use std::time::Duration;

use common::address::{PORT, seconds};
use common::say;

use crate::table::{self, Socket};

/// More are counted and not shown.
const ROWS: usize = 15;
/// Back to the first line, and clear from there: console_codes(4).
const CLEAR: &str = "\x1b[H\x1b[J";

/// Shows the ends of all connections on a port, their states, and how long TIME-WAIT still lasts
///
/// On a terminal the table is drawn again and again. Elsewhere it is printed once for each change of a state.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port, of the one end or the other
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Seconds between one look and the next: states that are shorter are not seen
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds)]
    interval: Duration,
    /// Show the table once, as it is now
    #[arg(long)]
    once: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let live = stdout().is_terminal() && !args.once;
    let mut shown: Option<Vec<Socket>> = None;
    loop {
        let sockets = table::on_port(args.port)?;
        if live {
            say!("{CLEAR}{}", text(args.port, &sockets))?;
        } else if shown.as_ref().is_none_or(|shown| changed(shown, &sockets)) {
            say!("{}", text(args.port, &sockets))?;
            shown = Some(sockets);
        }
        if args.once {
            return Ok(());
        }
        sleep(args.interval);
    }
}

/// Whether anything but the time that is left has changed.
fn changed(before: &[Socket], now: &[Socket]) -> bool {
    let what = |socket: &Socket| (socket.local, socket.remote, socket.state);
    before.len() != now.len() || before.iter().map(what).ne(now.iter().map(what))
}

// ANCHOR: text
fn text(port: u16, sockets: &[Socket]) -> String {
    let mut lines = vec![format!(
        "{:<26}{:<26}{:<14}left",
        "local", "remote", "state"
    )];
    for socket in sockets.iter().take(ROWS) {
        let left = socket
            .left
            .map(|left| format!("{:.1} s", left.as_secs_f64()));
        let remote = match socket.remote.port() {
            0 => "-".to_string(),
            _ => socket.remote.to_string(),
        };
        let line = format!(
            "{:<26}{remote:<26}{:<14}{}",
            socket.local,
            socket.state,
            left.unwrap_or_default()
        );
        lines.push(line.trim_end().to_string());
    }
    if sockets.len() > ROWS {
        lines.push(format!("and {} more", sockets.len() - ROWS));
    }
    let waiting = sockets
        .iter()
        .filter(|socket| socket.state == "TIME-WAIT")
        .count();
    lines.push(format!(
        "port {port}: {} sockets, {waiting} of them in TIME-WAIT",
        sockets.len()
    ));
    lines.join("\n")
}
// ANCHOR_END: text
