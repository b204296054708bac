//! The machine, and what else it was doing.

use std::fs;
use std::time::SystemTime;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::utsname::uname;

use crate::results::{Machine, Noise, Section};

/// More of the processors' time than this for the hypervisor's other guests, and figures jump.
const STEAL: f64 = 2.0;
/// The same for other processes of this machine.
const OTHERS: f64 = 10.0;
/// The median distance of the quartiles that is still quiet, as a share of the median.
const SPREAD: f64 = 0.1;

impl Machine {
    /// This one.
    pub fn here(cores: usize) -> Self {
        let name = uname();
        let kernel = name.as_ref().map_or("unknown".into(), |name| {
            let (system, release) = (name.sysname(), name.release());
            format!("{} {}", system.to_string_lossy(), release.to_string_lossy())
        });
        let kilobytes: u64 = field("/proc/meminfo", "MemTotal:")
            .and_then(|value| value.trim_end_matches("kB").trim().parse().ok())
            .unwrap_or_default();
        let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
        // `Sat, 21 Nov 2026 09:10:00 GMT`, RFC 9110 section 5.6.7.
        let now = httpdate::fmt_http_date(SystemTime::now());
        Self {
            kernel,
            cpu: field("/proc/cpuinfo", "model name").map_or("unknown".into(), |name| {
                name.trim_start_matches([':', ' ']).into()
            }),
            cores,
            memory: kilobytes * 1024,
            governor: fs::read_to_string(governor)
                .ok()
                .map(|governor| governor.trim().into()),
            date: now[5..16].into(),
        }
    }
}

/// What follows a word at the beginning of a line of this file.
fn field(file: &str, word: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let found = text.lines().find_map(|line| line.strip_prefix(word))?;
    Some(found.trim().into())
}

/// The processors' clocks when a run began.
pub struct Before {
    clocks: Clocks,
    load: f64,
}

#[derive(Clone, Copy, Default)]
struct Clocks {
    /// Ticks, the sum of all processors, proc_stat(5).
    all: f64,
    busy: f64,
    steal: f64,
    /// Ticks of ours and of the children that have ended, getrusage(2).
    ours: f64,
}

impl Before {
    /// Now, before the first server starts.
    pub fn now() -> Self {
        Self {
            clocks: Clocks::now(),
            load: load(),
        }
    }

    /// What disturbed the run since then. All that it started has ended.
    pub fn until_now(&self, sections: &[Section]) -> Noise {
        let (before, after) = (self.clocks, Clocks::now());
        let all = (after.all - before.all).max(1.0);
        let steal_percent = 100.0 * (after.steal - before.steal) / all;
        let busy = after.busy - before.busy;
        let others_percent = (100.0 * (busy - (after.ours - before.ours)) / all).max(0.0);
        let mut spreads: Vec<f64> = sections
            .iter()
            .flat_map(|section| &section.rows)
            .filter_map(|row| row.cost.map(|cost| cost.total_ns.relative()))
            .collect();
        spreads.sort_by(f64::total_cmp);
        let spread = spreads.get(spreads.len() / 2).copied().unwrap_or_default();
        let too_noisy = if steal_percent > STEAL {
            Some(format!(
                "the hypervisor gave {steal_percent:.1} % of the processors' time to other guests"
            ))
        } else if others_percent > OTHERS {
            Some(format!(
                "other processes used {others_percent:.0} % of the processors' time"
            ))
        } else if spread > SPREAD {
            Some(format!(
                "in half of the rows the quartiles lie {:.0} % of the median apart, or more",
                spread * 100.0
            ))
        } else {
            None
        };
        Noise {
            steal_percent,
            others_percent,
            load_before: self.load,
            load_after: load(),
            too_noisy,
        }
    }
}

impl Clocks {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = first
            .split_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .collect();
        let tick = |index: usize| ticks.get(index).copied().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; a guest's time is in user as well.
        let idle = tick(3) + tick(4);
        let all: f64 = ticks.iter().take(8).sum();
        let ours = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| {
            getrusage(who).map_or(0.0, |usage| {
                let (user, system) = (usage.user_time(), usage.system_time());
                let seconds = user.tv_sec() + system.tv_sec();
                let micros = user.tv_usec() + system.tv_usec();
                100.0 * (seconds as f64 + micros as f64 / 1e6)
            })
        });
        Self {
            all,
            busy: all - idle - tick(7),
            steal: tick(7),
            ours: ours.iter().sum(),
        }
    }
}

/// The load average of a minute, proc_loadavg(5).
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first
        .and_then(|first| first.parse().ok())
        .unwrap_or_default()
}
