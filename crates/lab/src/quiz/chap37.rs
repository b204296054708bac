//! Chapter 37: a process per connection, and a chat.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "37/reuseaddr",
        scene: "A server with a process for each client has one client. The parent is killed with kill -9. At once the server is \
                started again. It sets SO_REUSEADDR.",
        questions: &[
            Question {
                ask: "What becomes of the client of the old server?",
                answers: OneOf(&[
                    ("its connection is reset", |seen| {
                        seen.of("echo-client").gets(RST)
                    }),
                    ("it is served as before", |seen| {
                        seen.of("echo-client").prints("data2") && !seen.of("echo-client").gets(RST)
                    }),
                    ("it is connected, and nobody answers", |seen| {
                        !seen.of("echo-client").prints("data2") && !seen.of("echo-client").gets(RST)
                    }),
                ]),
                claim: "and the old child still serves it",
                why: "The child is a process of its own, and the connection is its own.",
            },
            Question {
                ask: "Can the new server listen?",
                answers: OneOf(&[
                    ("yes", |seen| seen.of("echo-server 2").says("listening on")),
                    ("no: EADDRINUSE", |seen| {
                        seen.of("echo-server 2").complains("Address already in use")
                    }),
                ]),
                claim: "the new server listens at once",
                why: "With the option a connection that is still there does not forbid it. Without, it does.",
            },
        ],
    },
    Quiz {
        experiment: "37/one-side-leaves",
        scene: "Two people chat. On each side are two processes, one for the keyboard and one for the connection. One of the two \
                leaves.",
        questions: &[
            Question {
                ask: "How many of the four processes are left a moment later?",
                answers: OneOf(&[
                    ("none", |seen| {
                        seen.holds("the other side ends too")
                            && seen.holds("no process is left at either keyboard")
                    }),
                    (
                        "one: the other side's keyboard waits for its user",
                        |seen| {
                            seen.holds("the other side ends too")
                                && !seen.holds("no process is left at either keyboard")
                        },
                    ),
                    ("two: the other side's", |seen| {
                        !seen.holds("the other side ends too")
                    }),
                ]),
                claim: "no process is left at either keyboard",
                why: "Who reads the end of file tells its partner by a signal: that one sleeps in read and would not notice.",
            },
            Question {
                ask: "How many FINs pass?",
                answers: Number(|seen| Some(seen.packets().with(FIN).count())),
                claim: "both directions are ended by FIN",
                why: "Both ends close in good order.",
            },
        ],
    },
    Quiz {
        experiment: "37/listen-queue",
        scene: "A server has called listen, and is stopped before it calls accept. A client connects.",
        questions: &[Question {
            ask: "What does connect do?",
            answers: OneOf(&[
                ("it returns", |seen| {
                    seen.of("p2p-client").says("connected to")
                }),
                ("it waits for accept", |seen| {
                    !seen.of("p2p-client").says("connected to")
                        && !seen.of("p2p-client").complains("refused")
                }),
                ("it fails with ECONNREFUSED", |seen| {
                    seen.of("p2p-client").complains("refused")
                }),
            ]),
            claim: "the client's end is ESTABLISHED",
            why: "The kernel makes connections. accept takes them out of the queue.",
        }],
    },
];
