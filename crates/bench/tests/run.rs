//! The program, as its users start it: small runs, with the contestants that are always there.

use std::fs;
use std::process::{Command, Output};

use bench::results::{Kind, Results, Topic};
use drive::{Ending, Program, Signal};

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments).output().unwrap()
}

/// A run of a second or two, and what it has kept.
fn run(arguments: &[&str]) -> (Results, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("results.json");
    let short = [
        "run", "--quick", "--rounds", "2", "--turn", "0.02", "--json",
    ];
    let mut all = short.to_vec();
    all.push(file.to_str().unwrap());
    all.extend(arguments);
    let output = bench(&all);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{complaint}");
    let results = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    (results, String::from_utf8(output.stdout).unwrap())
}

#[test]
fn http_is_measured_and_shown() {
    let (results, shown) = run(&["--only", "http", "--contestants", "floor,httpd"]);
    assert!(results.quick);
    assert_eq!(
        (results.method.rounds, results.method.sample_ns),
        (2, 20_000_000)
    );
    let [section] = &results.sections[..] else {
        panic!("{:?}", results.sections);
    };
    assert_eq!(section.topic, Topic::Http);
    assert_eq!((section.workloads.len(), section.rows.len()), (4, 8));
    assert_eq!(section.absent, []);
    let names = section.rows.iter().map(|row| &row.contestant[..]);
    assert!(names.eq(["floor", "httpd"].into_iter().flat_map(|name| [name; 4])));
    for row in &section.rows {
        assert_eq!(
            row.missing, None,
            "{} under {}",
            row.contestant, row.workload
        );
        assert_eq!(
            (row.kind, row.floor),
            (Kind::Http, row.contestant == "floor")
        );
        let rounds: Vec<usize> = row.samples.iter().map(|sample| sample.round).collect();
        assert_eq!(rounds, [0, 1]);
        for sample in &row.samples {
            // The connections are 64, and each has asked at least once.
            assert!(sample.requests >= 64 && sample.elapsed_ns >= 20_000_000);
            assert!(sample.total_ns > 0 && sample.total_ns <= sample.elapsed_ns);
        }
        let ratio = row.cost.unwrap().ratio.unwrap();
        assert!(ratio.median > 0.0 && (!row.floor || ratio.median == 1.0));
        let rate = row.per_second.map(|rate| rate.median);
        assert_eq!(rate.is_some(), results.method.other_core.is_some());
        let keep_alive = row.workload == "keep-alive";
        assert_eq!(row.latency.is_some(), keep_alive);
    }
    for expected in ["HTTP, pipelined 16", "to floor", "  httpd *"] {
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn an_echo_and_idle_connections_are_measured() {
    let (results, shown) = run(&[
        "--only",
        "echo,idle",
        "--contestants",
        "floor,reactor,reactor-select",
    ]);
    let topics: Vec<Topic> = results
        .sections
        .iter()
        .map(|section| section.topic)
        .collect();
    assert_eq!(topics, [Topic::Echo, Topic::Idle]);
    let echo = results.sections[0]
        .row(Kind::Echo, "reactor", "echo-1024-100")
        .unwrap();
    assert!(echo.cost.is_some() && echo.missing.is_none());

    let idle = &results.sections[1];
    let row = idle.row(Kind::Echo, "reactor", "idle-1000").unwrap();
    assert!(row.missing.is_none() && row.cost.is_some());
    let each = row.memory.unwrap().per_connection;
    assert!((0.0..1000.0).contains(&each), "{each}");
    assert!(
        idle.row(Kind::Echo, "reactor-select", "idle-1000")
            .unwrap()
            .cost
            .is_some()
    );
    // Who cannot take a workload says why, and has no figures.
    let left_out = idle
        .row(Kind::Echo, "reactor-select", "idle-10000")
        .unwrap();
    let why = left_out.missing.as_deref().unwrap();
    assert!(
        why.contains("select(2)") && left_out.samples.is_empty(),
        "{why}"
    );
    assert!(shown.contains(why), "{shown}");
}

#[test]
fn a_wrong_name_is_told_with_the_right_ones() {
    let output = bench(&["run", "--contestants", "httpd,apache"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint.starts_with("Error: nobody is called \"apache\"; there are: floor, httpd"),
        "{complaint}"
    );
}

#[test]
fn the_client_alone_says_what_came_of_it() {
    let program = env!("CARGO_BIN_EXE_bench");
    let server = Program::start("httpd", Command::new(program).args(["serve", "httpd"])).unwrap();
    let address = server.listens().unwrap().to_string();
    for (arguments, expected) in [
        (
            &["--requests", "1000", "--depth", "7"][..],
            "1000 requests in ",
        ),
        (&["--requests", "100", "--close"], "100 requests in "),
        (&["--rate", "500", "--seconds", "0.2"], "99.9 % within "),
    ] {
        let output = bench(&[&["load", &address][..], arguments].concat());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains(expected), "{said}");
    }
    let output = bench(&["load", &address, "--path", "/nowhere"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint.contains("404"), "{complaint}");
}

#[test]
fn ctrl_c_leaves_no_server_and_no_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command
        .args([
            "run",
            "--only",
            "http",
            "--contestants",
            "floor,httpd",
            "--rounds",
            "1000",
        ])
        .env("TMPDIR", directory.path());
    let program = Program::start("bench", &mut command).unwrap();
    program.complains("HTTP, round 1 of 1000").unwrap();
    let pid = program.pid();
    let servers = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        let path = format!("/proc/{pid}/exe");
        lines
            .filter(|line| line.starts_with(path.as_bytes()))
            .count()
    };
    assert_eq!(servers(), 2);
    program.signal(Signal::SIGINT);
    program
        .complains("Error: stopped before everything was measured")
        .unwrap();
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(servers(), 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
