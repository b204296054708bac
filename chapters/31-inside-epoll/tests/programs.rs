//! The observations, each with what the kernel says and with what it says when one thing is changed.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-31"));
    command.arg("probe").args(arguments);
    command
}

fn probe(arguments: &[&str]) -> Program {
    Program::start(arguments[0], &mut command(arguments)).unwrap()
}

fn ran(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What an observation says when nothing goes wrong.
fn says(arguments: &str) -> String {
    let arguments: Vec<_> = arguments.split(' ').collect();
    let output = ran(&arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stderr, b"", "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something is so. It is there to end a wait for what never comes.
fn until(awaited: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < end, "{awaited}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The state letter of each thread and how often it has gone to sleep, proc_pid_status(5).
fn threads(program: &Program) -> Vec<(char, u64)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    let read = |status: String| {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_string()
        };
        let state = field("State:").chars().next().unwrap();
        (state, field("voluntary_ctxt_switches:").parse().unwrap())
    };
    tasks.flatten().filter_map(status).map(read).collect()
}

fn sleep(program: &Program, count: usize) {
    let sleepers = || {
        threads(program)
            .iter()
            .filter(|(state, _)| *state == 'S')
            .count()
    };
    until("they sleep", || sleepers() == count);
}

#[test]
fn the_list_has_every_observation_and_each_has_help() {
    let list = says("--list");
    let names: Vec<_> = list
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(names.len(), 16);
    for name in names {
        assert!(says(&format!("{name} --help")).contains("Usage: chap-31 probe"));
    }
}

#[test]
fn an_entry_is_there_once() {
    let twice = "4 is added for EPOLLIN: done\n4 is added for EPOLLOUT: EEXIST\n\
                 in its tree: 4\nnow it tells of nothing\n";
    assert_eq!(says("add-twice"), twice);
    assert!(
        says("add-twice --remove")
            .ends_with("EPOLLOUT: done\nin its tree: 4\nnow it tells of 4 EPOLLOUT\n")
    );
    let unknown =
        "4 is changed: ENOENT\nnow it tells of nothing\n4 is removed: ENOENT\nits tree is empty\n";
    assert_eq!(says("mod-unknown"), unknown);
    let known = "4 is added: done\n4 is changed: done\nnow it tells of 4 EPOLLOUT\n\
                 4 is removed: done\nits tree is empty\n";
    assert_eq!(says("mod-unknown --add"), known);
}

#[test]
fn the_key_is_file_and_number() {
    let two = says("one-file-two-descriptors");
    assert!(
        two.contains("in its tree: 4 and 5\nafter one write it tells of "),
        "{two}"
    );
    assert!(
        two.contains("4 EPOLLIN") && two.contains("5 EPOLLIN"),
        "{two}"
    );
    assert!(
        two.ends_with("4 is removed: done\nnow it tells of 5 EPOLLIN\n"),
        "{two}"
    );
    let same = says("one-file-two-descriptors --same");
    assert!(
        same.contains(
            "4 is added: EEXIST\nin its tree: 4\nafter one write it tells of 4 EPOLLIN\n"
        )
    );

    let closed = "4 is added: done\n4 is closed, 5 is the same file\nin its tree: 4\n\
                  after a write it tells of 4 EPOLLIN\n4 is removed: EBADF\n5 is removed: ENOENT\n\
                  another file, 4, is added: done\nin its tree: 4 and 4\n\
                  though it was not written to, it tells of 4 EPOLLIN\n\
                  5 is closed, too\nin its tree: 4\nnow it tells of nothing\n";
    assert_eq!(says("closed-but-duplicated"), closed);
    let removed = says("closed-but-duplicated --remove");
    assert!(
        removed.contains("its tree is empty\nafter a write it tells of nothing\n"),
        "{removed}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in says("regular-file").lines() {
        assert!(
            line.ends_with(": poll says ready, epoll_ctl: EPERM"),
            "{line}"
        );
    }
    let not = "5 is added to 4, an eventfd: EINVAL\n4 is waited for: EINVAL\n\
               3, the instance, is added to itself: EINVAL\n6, which is closed, is added: EBADF\n";
    assert_eq!(says("not-an-epoll"), not);
    assert!(
        says("not-an-epoll --instance")
            .starts_with("5 is added to 3, an instance: done\n3 is waited for: done\n")
    );
    let bad = says("bad-arguments");
    assert_eq!(bad.matches(": EINVAL\n").count(), 4, "{bad}");
    assert!(
        bad.contains("EPOLLIN and 0x4000000: done\nnow it tells of 4 EPOLLIN\n"),
        "{bad}"
    );
    assert_eq!(says("bad-arguments --good").matches(": done\n").count(), 4);
}

#[test]
fn errors_and_hang_ups_come_unasked() {
    let unasked = says("err-hup-unasked");
    let told: Vec<_> = unasked
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(told, ["EPOLLHUP", "EPOLLERR", "EPOLLERR|EPOLLHUP"]);
    let open = says("err-hup-unasked --open");
    assert_eq!(open.matches(": nothing\n").count(), 3, "{open}");
}

#[test]
fn the_ready_list() {
    assert!(says("revalidated").ends_with("then it tells of 6 EPOLLIN\n"));
    assert!(says("revalidated --leave").ends_with("it tells of 4 EPOLLIN, 5 EPOLLIN, 6 EPOLLIN\n"));
    let both = "first it tells of 4 EPOLLIN, 5 EPOLLIN\n";
    let after = "5 is changed to what it was: done\n";
    let level = format!(
        "{both}then it tells of 4 EPOLLIN\nand then it tells of 4 EPOLLIN\n\
         {after}now it tells of 4 EPOLLIN, 5 EPOLLIN\nwhen both are read, it tells of nothing\n"
    );
    assert_eq!(says("level-requeues"), level);
    let edge = format!(
        "{both}then it tells of nothing\nand then it tells of nothing\n\
         {after}now it tells of 5 EPOLLIN\nwhen both are read, it tells of nothing\n"
    );
    assert_eq!(says("level-requeues --edge"), edge);
    let order = "written to: 6, 4, 7, 5\nfirst it tells of 6 EPOLLIN, 4 EPOLLIN, 7 EPOLLIN, 5 EPOLLIN\n\
                 one at a time: 6, 4, 7, 5, 6, 4, 7, 5\n";
    assert_eq!(says("ready-list-order"), order);
    assert!(says("ready-list-order --before").ends_with("one at a time: 4, 5, 6, 7, 4, 5, 6, 7\n"));
}

#[test]
fn no_event_is_lost_while_others_are_handed_out() {
    let said = says("overflow-list --rings 20");
    let told = said
        .strip_prefix("it rings 20 times, and that is told\n")
        .unwrap();
    let words = told.split(' ').filter_map(|word| word.parse().ok());
    let percent: Vec<f64> = words.collect();
    assert!(
        percent[0] + percent[1] == 100.0 && percent[2] == 0.0,
        "{said}"
    );
    let between = says("overflow-list --rings 20 --between");
    assert!(
        between.ends_with("first 0.0 %, last 100.0 %, elsewhere 0.0 %\n"),
        "{between}"
    );
}

#[test]
fn an_instance_in_an_instance() {
    let nested = "while nothing is ready, it tells of nothing\n5 is ready: it tells of 4 EPOLLIN\n\
                  5 is read: it tells of nothing\n\
                  3, the outer one, is added to the inner one: ELOOP\n";
    assert_eq!(says("nested"), nested);
    assert!(says("nested --apart").ends_with("added to the inner one: done\n"));
    assert_eq!(
        says("nested --deep"),
        "the 5th instance around another: ELOOP\n"
    );
}

#[test]
fn who_waits_for_data_is_not_woken_by_room() {
    let filter = probe(&["event-filter"]);
    filter.says("a thread waits").unwrap();
    sleep(&filter, 2);
    let waiter = || threads(&filter)[1].1;
    let before = waiter();
    filter.types("read").unwrap();
    filter.says("has read everything").unwrap();
    sleep(&filter, 2);
    assert_eq!(waiter(), before);
    filter.types("write").unwrap();
    filter.says("it is told of 3 EPOLLIN").unwrap();
    assert!(filter.ends().unwrap().success());

    let both = probe(&["event-filter", "--both"]);
    both.types("read").unwrap();
    both.says("it is told of 3 EPOLLOUT").unwrap();
    both.closes_input();
    assert!(both.ends().unwrap().success());
}

#[test]
fn three_things_end_a_wait() {
    let waits = probe(&["wake-reasons", "--timeout", "0.01"]);
    waits.says("the time is up").unwrap();
    sleep(&waits, 1);
    let before = threads(&waits)[0].1;
    waits.signal(Signal::SIGURG); // ignored
    waits.signal(Signal::SIGUSR2); // blocked
    waits.signal(Signal::SIGUSR1);
    waits.says("a signal: EINTR").unwrap();
    sleep(&waits, 1);
    assert_eq!(threads(&waits)[0].1, before + 1);
    let mut line = vec![b'x'; 4095];
    line.extend([0, 0xff, b'\n']);
    waits.types_bytes(&line).unwrap();
    waits.says("an event: 0 EPOLLIN").unwrap();
    waits.says("an event: 0 EPOLLIN").unwrap(); // a read takes 4096 bytes
    waits.closes_input();
    waits.says("an event: 0 EPOLLHUP").unwrap();
    assert!(waits.ends().unwrap().success());

    let blocked = probe(&["wake-reasons", "--timeout", "0", "--blocked"]);
    blocked.says("the time is up").unwrap();
    blocked.signal(Signal::SIGUSR1);
    blocked.types("line").unwrap();
    blocked.says("an event").unwrap();
    assert_eq!(blocked.out().text().matches("EINTR").count(), 0);
    blocked.signal(Signal::SIGTERM);
    assert_eq!(
        blocked.ends().unwrap().ending,
        Ending::Killed(Signal::SIGTERM)
    );
}

#[test]
fn an_edge_wakes_one_of_many() {
    for (arguments, woken) in [(&["one-of-many"][..], 1), (&["one-of-many", "--level"], 4)] {
        let program = probe(arguments);
        program.says("four threads wait").unwrap();
        sleep(&program, 5);
        program.types("write").unwrap();
        for _ in 0..woken {
            program.says(" is told of 4 EPOLLIN").unwrap();
        }
        sleep(&program, 5 - woken); // those that were told have ended
        program.closes_input();
        assert!(program.ends().unwrap().success());
        assert_eq!(program.out().text().matches("is told of").count(), woken);
    }
}

#[test]
fn bad_arguments_are_errors() {
    let missing = ran(&["regular-file", "/nonexistent"]);
    assert_eq!(missing.status.code(), Some(1));
    let error = b"Error: open /nonexistent: No such file or directory (os error 2)\n";
    assert_eq!(missing.stderr, error);
    // Standard input is /dev/null here, which epoll refuses.
    let refused = ran(&["wake-reasons"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = b"Error: epoll_ctl EPOLL_CTL_ADD: Operation not permitted (os error 1)\n";
    assert_eq!(refused.stderr, error);
    for arguments in [
        &["none"][..],
        &[],
        &["wake-reasons", "--timeout", "-1"],
        &["overflow-list", "--rings", "0"],
    ] {
        assert_eq!(ran(arguments).status.code(), Some(2), "{arguments:?}");
    }
    // The numbers of descriptors end before the others are made.
    let limited = "ulimit -n 100 && exec \"$0\" probe overflow-list";
    let arguments = ["-c", limited, env!("CARGO_BIN_EXE_chap-31")];
    let few = Command::new("sh").args(arguments).output().unwrap();
    assert_eq!(few.status.code(), Some(1));
    let error = b"Error: eventfd: Too many open files (os error 24)\n";
    assert_eq!(few.stderr, error);
}
