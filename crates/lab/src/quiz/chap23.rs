//! Chapter 23: epoll.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "23/edge-once",
        scene: "A server waits with epoll, edge-triggered, and never reads. A client sends one line, and later another one.",
        questions: &[
            Question {
                ask: "How often does epoll tell of the first line?",
                answers: OneOf(&[
                    ("never", |seen| {
                        !seen.holds("epoll tells of the line once")
                            && !seen.of("epoll02").says("EPOLLIN")
                    }),
                    ("once", |seen| seen.holds("epoll tells of the line once")),
                    ("again and again", |seen| {
                        !seen.holds("epoll tells of the line once")
                            && seen.of("epoll02").says("EPOLLIN")
                    }),
                ]),
                claim: "epoll tells of the line once",
                why: "It tells of what happens, and nothing more happens while the line lies there.",
            },
            Question {
                ask: "The other line comes, and nothing has been read. Is there another event?",
                answers: OneOf(&[
                    ("yes", |seen| {
                        seen.holds("when more arrives, it tells once more")
                    }),
                    ("no: the socket has been readable all the time", |seen| {
                        !seen.holds("when more arrives, it tells once more")
                    }),
                ]),
                claim: "when more arrives, it tells once more",
                why: "Each arrival is an edge, whether the socket was readable before or not.",
            },
        ],
    },
    Quiz {
        experiment: "23/edge-partial-read",
        scene: "Edge-triggered, a server is told of ten bytes. It reads four, and waits again.",
        questions: &[
            Question {
                ask: "What does epoll_wait do?",
                answers: OneOf(&[
                    ("it waits", |seen| {
                        seen.holds("after the half read epoll is silent")
                    }),
                    ("it returns at once: six bytes are left", |seen| {
                        !seen.holds("after the half read epoll is silent")
                    }),
                ]),
                claim: "after the half read epoll is silent",
                why: "Nothing new has come. Edge-triggered one reads until EAGAIN.",
            },
            Question {
                ask: "Two more bytes come, and now it reads. How many bytes can it get at once?",
                answers: Number(|seen| {
                    let read = ["read returns 8", "read returns 6", "read returns 2"];
                    let found = read.iter().find(|line| seen.of("epoll02").says(line))?;
                    found.strip_prefix("read returns ")?.parse().ok()
                }),
                claim: "and then all eight can be read",
                why: "The six that were left and the two that are new. Nothing was lost, it was only not told.",
            },
        ],
    },
    Quiz {
        experiment: "23/scaling",
        scene: "One descriptor is ready. First ten are watched in all, then ten thousand.",
        questions: &[
            Question {
                ask: "How much longer does a poll take with ten thousand?",
                answers: OneOf(&[
                    ("hardly longer", |seen| !seen.holds("so does poll")),
                    ("more than 50 times as long", |seen| {
                        seen.holds("so does poll")
                    }),
                ]),
                claim: "so does poll",
                why: "The whole list goes to the kernel each time, and the kernel asks every one of them.",
            },
            Question {
                ask: "And epoll_wait?",
                answers: OneOf(&[
                    ("more than five times as long", |seen| {
                        !seen.holds("epoll takes less than five times as long")
                    }),
                    ("hardly longer: less than five times", |seen| {
                        seen.holds("epoll takes less than five times as long")
                    }),
                ]),
                claim: "epoll takes less than five times as long",
                why: "The kernel keeps a list of those that are ready, and hands out that.",
            },
        ],
    },
    Quiz {
        experiment: "23/rot13",
        scene: "Five clients connect while an edge-triggered server is stopped. Then it goes on.",
        questions: &[
            Question {
                ask: "For all five connections, how often is the server woken?",
                answers: OneOf(&[
                    ("once", |seen| {
                        seen.holds("for the connections the server was woken once")
                    }),
                    ("five times", |seen| {
                        !seen.holds("for the connections the server was woken once")
                    }),
                ]),
                claim: "for the connections the server was woken once",
                why: "One event says that the listener is readable. Who calls accept once for it leaves four clients waiting.",
            },
            Question {
                ask: "How many connections does this server take for it?",
                answers: Number(|seen| Some(seen.of("epoll01").count("accepted"))),
                claim: "the five connections are taken",
                why: "It calls accept until EAGAIN.",
            },
        ],
    },
];
