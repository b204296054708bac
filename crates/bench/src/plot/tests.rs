//! The book's files, made of runs that nobody has measured.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::plot::{book, goals};
use crate::results::{
    Cost, Counts, Kind, Latency, Machine, Memory, Method, Noise, Results, Row, Section, Spread,
    Topic, Workload,
};

fn spread(median: f64) -> Spread {
    Spread {
        median,
        lower: median * 0.99,
        upper: median * 1.01,
    }
}

/// A contestant under a load whose floor takes a microsecond.
fn row(contestant: &str, kind: Kind, load: &str, total_ns: f64) -> Row {
    Row {
        contestant: contestant.into(),
        kind,
        ours: ["httpd", "reactor"].contains(&contestant),
        floor: contestant == "floor",
        about: "made up".into(),
        workload: load.into(),
        missing: None,
        samples: Vec::new(),
        cost: Some(Cost {
            total_ns: spread(total_ns),
            user_ns: spread(total_ns / 10.0),
            system_ns: spread(total_ns * 0.9),
            ratio: Some(spread(total_ns / 1000.0)),
        }),
        per_second: None,
        latency: None,
        memory: None,
        accept_ns: None,
        tasks: None,
        counts: None,
    }
}

fn load(id: &str, connections: usize) -> Workload {
    Workload {
        id: id.into(),
        title: id.into(),
        connections,
        depth: 1,
        size: 1024,
    }
}

fn section(topic: Topic, workloads: Vec<Workload>, rows: Vec<Row>) -> Section {
    Section {
        topic,
        workloads,
        rows,
        absent: Vec::new(),
    }
}

/// A run in which everything was measured.
fn full() -> Results {
    let mut http = vec![
        row("floor", Kind::Http, "keep-alive", 1000.0),
        row("httpd", Kind::Http, "keep-alive", 1030.0),
        row("nginx", Kind::Http, "keep-alive", 1300.0),
    ];
    for row in &mut http {
        row.latency = Some(Latency {
            rate: 1000.0,
            achieved: 1000.0,
            p50_ns: 10_000,
            p99_ns: 100_000,
            p999_ns: 1_000_000,
            max_ns: 2_000_000,
            p99_spread: Some(spread(100_000.0)),
        });
        row.counts = Some(Counts {
            system_calls: Some(2.0),
            instructions: Some(if row.ours { 2000.0 } else { 1000.0 }),
            ..Counts::default()
        });
    }
    let mut idle = Vec::new();
    for load in ["idle-10", "idle-10000"] {
        for (kind, ours) in [(Kind::Http, "httpd"), (Kind::Echo, "reactor")] {
            for name in ["floor", ours] {
                let mut row = row(name, kind, load, 1000.0);
                row.memory = Some(Memory {
                    before: 4096,
                    with: 40_960,
                    per_connection: 235.0,
                });
                row.accept_ns = Some(500_000_000);
                idle.push(row);
            }
        }
    }
    let echo = vec![
        row("floor", Kind::Echo, "echo-1024-1", 1000.0),
        row("reactor", Kind::Echo, "echo-1024-1", 1020.0),
        row("mio", Kind::Echo, "echo-1024-1", 1010.0),
    ];
    let models = vec![
        row("floor", Kind::Model, "models-10", 1000.0),
        row("fork", Kind::Model, "models-10", 2000.0),
    ];
    results(vec![
        section(Topic::Http, vec![load("keep-alive", 64)], http),
        section(Topic::Echo, vec![load("echo-1024-1", 1)], echo),
        section(
            Topic::Idle,
            vec![load("idle-10", 10), load("idle-10000", 10_000)],
            idle,
        ),
        section(Topic::Models, vec![load("models-10", 10)], models),
    ])
}

fn results(sections: Vec<Section>) -> Results {
    Results {
        machine: Machine {
            kernel: "Linux 6.18".into(),
            cpu: "a processor".into(),
            cores: 2,
            memory: 1 << 30,
            governor: None,
            date: "21 Nov 2026".into(),
        },
        noise: Noise {
            steal_percent: 0.0,
            others_percent: 0.0,
            load_before: 0.0,
            load_after: 1.0,
            too_noisy: None,
        },
        quick: false,
        method: Method {
            rounds: 7,
            sample_ns: 400_000_000,
            core: 1,
            other_core: Some(0),
        },
        sections,
        checks: Vec::new(),
    }
}

/// A run of which every server was missing.
fn empty() -> Results {
    let topics = [Topic::Http, Topic::Echo, Topic::Idle, Topic::Models];
    results(
        topics
            .map(|topic| section(topic, Vec::new(), Vec::new()))
            .into(),
    )
}

fn written(results: &Results) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    book(results, directory.path()).unwrap();
    directory
}

#[test]
fn the_page_finds_all_that_it_includes_whatever_a_run_has_measured() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/speed.md");
    let page = fs::read_to_string(page).unwrap();
    let includes: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("{{#include bench/")?.strip_suffix("}}"))
        .collect();
    assert!(includes.len() > 20, "{includes:?}");
    for results in [full(), empty()] {
        let directory = written(&results);
        for include in &includes {
            let (file, anchor) = include.split_once(':').unwrap_or((include, ""));
            let text = fs::read_to_string(directory.path().join(file)).unwrap();
            if anchor.is_empty() {
                continue;
            }
            let (_, after) = text
                .split_once(&format!("<!-- ANCHOR: {anchor} -->\n"))
                .unwrap_or_else(|| panic!("{file} has no {anchor}"));
            let end = format!("<!-- ANCHOR_END: {anchor} -->");
            let (piece, _) = after.split_once(&end).unwrap();
            assert!(!piece.trim().is_empty(), "{include}");
        }
    }
}

#[test]
fn every_picture_is_xml_with_a_title_and_words_for_those_who_do_not_see_it() {
    for results in [full(), empty()] {
        let directory = written(&results);
        for entry in fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "svg") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let picture = roxmltree::Document::parse(&text).unwrap();
            let has = |name| {
                let mut nodes = picture.descendants();
                nodes.any(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
            };
            assert!(has("title") && has("desc"), "{}", path.display());
            // A blank line would end the page's block of HTML.
            assert!(!text.contains("\n\n"), "{}", path.display());
        }
    }
}

#[test]
fn a_kept_run_gives_the_same_files_again() {
    let first = written(&full());
    let kept = fs::read_to_string(first.path().join("results.json")).unwrap();
    let second = written(&serde_json::from_str(&kept).unwrap());
    for entry in fs::read_dir(first.path()).unwrap() {
        let name = entry.unwrap().file_name();
        let of = |directory: &TempDir| fs::read(directory.path().join(&name)).unwrap();
        assert!(of(&first) == of(&second), "{}", name.display());
    }
}

#[test]
fn a_run_with_a_section_less_is_refused() {
    let mut results = full();
    results
        .sections
        .retain(|section| section.topic != Topic::Idle);
    let directory = tempfile::tempdir().unwrap();
    let error = book(&results, directory.path()).unwrap_err().to_string();
    assert!(error.contains("no idle"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn where_a_peer_is_ahead_is_told_and_nothing_else() {
    let behind = goals::behind(&full());
    let rows: Vec<&str> = behind.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "| keep-alive | instructions in user space | httpd 2 000 | nginx 1 000 | 2.00 |",
            "| echo-1024-1 | processor time | reactor 1.02 µs | mio 1.01 µs | 1.01, within the spread |",
        ]
    );
    assert!(goals::behind(&empty()).contains("no peer was ahead"));
}

#[test]
fn an_aim_is_reached_or_not_or_not_measured() {
    let mut results = full();
    let reached = goals::reached(&results);
    let line = |words: &str, table: &str| {
        let found = table.lines().find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("{table}")).to_owned()
    };
    assert!(line("keep-alive, as a multiple of the floor", &reached).ends_with("| 1.03 | ✓ |"));
    assert!(line("16 pipelined", &reached).ends_with("| – |  |"));
    results.sections[0].rows[1].cost = row("httpd", Kind::Http, "keep-alive", 1050.0).cost;
    let reached = goals::reached(&results);
    assert!(line("keep-alive, as a multiple of the floor", &reached).ends_with("| 1.05 | ✗ |"));
}
