//! Can our client be believed? The same server under it and under others' clients, on separate cores.

use std::process::Command;

use anyhow::{Context, bail};

use super::Bench;
use super::rounds::Entry;
use crate::load::{Shape, Swarm, Until};
use crate::measure::{Server, on_core, run_on};
use crate::results::{ClientCheck, Kind, Workload};

/// With whom it is compared: the floor, where the client is most likely to be what is measured, and our server.
const CHECKED: [&str; 2] = ["floor", "httpd"];

pub(super) fn clients(
    bench: &Bench,
    entries: &[Entry],
    workload: &Workload,
    core: usize,
) -> Vec<ClientCheck> {
    bench.progress.stage("HTTP, wrk and ab beside our client");
    let mut checks = Vec::new();
    for entry in entries {
        let name = entry.contestant.name;
        let Ok(server) = &entry.server else { continue };
        if !CHECKED.contains(&name) || bench.stops() {
            continue;
        }
        let check = |tool: &str, theirs: anyhow::Result<f64>| ClientCheck {
            tool: tool.into(),
            contestant: name.into(),
            workload: workload.id.clone(),
            ours: None,
            missing: theirs.as_ref().err().map(|error| format!("{error:#}")),
            theirs: theirs.ok(),
        };
        let ours = ours(bench, server, workload, core);
        let mut found = vec![check("wrk", wrk(bench, server, workload, core))];
        // ab speaks HTTP/1.0 and waits for a Connection header that the floor does not send.
        if name != "floor" {
            found.push(check("ab", ab(bench, server, workload, core)));
        }
        for check in &mut found {
            match &ours {
                Ok(rate) => check.ours = Some(*rate),
                Err(error) => check.missing = Some(format!("{error:#}")),
            }
        }
        checks.extend(found);
    }
    checks
}

fn ours(bench: &Bench, server: &Server, workload: &Workload, core: usize) -> anyhow::Result<f64> {
    run_on(core)?;
    let mut swarm = Swarm::new(server.address(), &Shape::of(workload, Kind::Http))?;
    swarm.grow(workload.connections)?;
    let tally = swarm.closed(Until::Time(bench.plan.sample * 5));
    run_on(bench.cores.shared)?;
    Ok(tally?.per_second())
}

fn wrk(bench: &Bench, server: &Server, workload: &Workload, core: usize) -> anyhow::Result<f64> {
    let seconds = (bench.plan.sample * 5).as_secs().max(1);
    let mut command = Command::new("wrk");
    command
        .args(["-t1", "-c", &workload.connections.to_string()])
        .args(["-d", &format!("{seconds}s")])
        .arg(format!("http://{}/", server.address()));
    figure(&mut command, core, "Requests/sec:")
}

fn ab(bench: &Bench, server: &Server, workload: &Workload, core: usize) -> anyhow::Result<f64> {
    let seconds = (bench.plan.sample * 5).as_secs().max(1);
    let mut command = Command::new("ab");
    command
        .args(["-q", "-k", "-c", &workload.connections.to_string()])
        .args(["-t", &seconds.to_string(), "-n", "100000000"])
        .arg(format!("http://{}/", server.address()));
    figure(&mut command, core, "Requests per second:")
}

/// The number behind a word in what a program prints.
fn figure(command: &mut Command, core: usize, word: &str) -> anyhow::Result<f64> {
    let output = on_core(command, core)
        .output()
        .context("not installed: apt-get install wrk apache2-utils")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(rest) = text.lines().find_map(|line| line.trim().strip_prefix(word)) else {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("it printed no {word:?}; {}", error.trim());
    };
    let number = rest.split_whitespace().next().unwrap_or_default();
    number.parse().with_context(|| format!("{word} {rest}"))
}
