//! Chapter 25: a process per connection.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "25/leaked-fd",
        scene: "A server forks for each client, and the parent forgets to close its own descriptor of the connection. The client \
                ends its direction; the child reads the end of file and exits.",
        questions: &[
            Question {
                ask: "What does the client see?",
                answers: OneOf(&[
                    ("the end of file", |seen| seen.of("fork01").sends(FIN)),
                    ("a reset", |seen| {
                        seen.of("fork01").sends(RST) && !seen.of("fork01").sends(FIN)
                    }),
                    ("nothing: it waits", |seen| {
                        !seen.of("fork01").sends(RST) && !seen.of("fork01").sends(FIN)
                    }),
                ]),
                claim: "the client still waits",
                why: "Only the last close of a socket sends the FIN, and the parent still has it open.",
            },
            Question {
                ask: "In which state is the server's end?",
                answers: OneOf(&[
                    ("LAST-ACK", |seen| {
                        !seen.holds("its end is in CLOSE-WAIT") && seen.of("fork01").sends(FIN)
                    }),
                    ("CLOSE-WAIT", |seen| seen.holds("its end is in CLOSE-WAIT")),
                    ("ESTABLISHED", |seen| {
                        !seen.holds("its end is in CLOSE-WAIT") && !seen.of("fork01").sends(FIN)
                    }),
                ]),
                claim: "its end is in CLOSE-WAIT",
                why: "The client's FIN has come, and the server's has not been sent. Many of these in netstat mean that a \
                      program forgets to close.",
            },
        ],
    },
    Quiz {
        experiment: "25/one-wait-is-not-enough",
        scene: "Five children end at the same moment. The parent's handler for SIGCHLD waits for one child each time it runs.",
        questions: &[
            Question {
                ask: "What is left?",
                answers: OneOf(&[
                    ("four zombies", |seen| {
                        seen.holds("one is waited for and four are zombies")
                    }),
                    ("nothing: five signals, five waits", |seen| {
                        !seen.holds("one is waited for and four are zombies")
                    }),
                ]),
                claim: "one is waited for and four are zombies",
                why: "Signals of one kind do not queue. Five are told as one.",
            },
            Question {
                ask: "Do the zombies keep their clients' connections?",
                answers: OneOf(&[
                    ("yes, until somebody waits for them", |seen| {
                        !seen.holds("the zombies have no connection any more")
                    }),
                    ("no", |seen| {
                        seen.holds("the zombies have no connection any more")
                    }),
                ]),
                claim: "the zombies have no connection any more",
                why: "A process that has ended has no descriptors. What is left of it is its exit code.",
            },
        ],
    },
    Quiz {
        experiment: "25/fork-fails",
        scene: "The server's user may have no more processes. A client connects, and fork fails.",
        questions: &[
            Question {
                ask: "With which errno?",
                answers: OneOf(&[
                    ("ENOMEM", |seen| {
                        seen.of("fork01").complains("Cannot allocate memory")
                    }),
                    ("EAGAIN", |seen| {
                        seen.of("fork01")
                            .complains("Resource temporarily unavailable")
                    }),
                    ("EPERM", |seen| {
                        seen.of("fork01").complains("Operation not permitted")
                    }),
                    ("it does not fail", |seen| {
                        !seen.of("fork01").complains("fork for")
                    }),
                ]),
                claim: "fork fails with EAGAIN",
                why: "There may be room again later. fork returns -1, which a server that only asks “is it 0?” takes for a \
                      child's number.",
            },
            Question {
                ask: "What becomes of this server?",
                answers: OneOf(&[
                    ("it ends", |seen| seen.of("fork01").ended("exited")),
                    (
                        "it tells the client, and serves the next one when it can",
                        |seen| {
                            !seen.of("fork01").ended("exited")
                                && seen.holds("the client is told so, and then sees an end of file")
                        },
                    ),
                    ("it lives, and the client waits for ever", |seen| {
                        !seen.of("fork01").ended("exited")
                            && !seen.holds("the client is told so, and then sees an end of file")
                    }),
                ]),
                claim: "the client is told so, and then sees an end of file",
                why: "It is one connection's error.",
            },
        ],
    },
];
