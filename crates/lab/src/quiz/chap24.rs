//! Chapter 24: ten thousand connections.

use super::prelude::*;

const FORK: &str = "with fork there are eleven processes for ten clients";
const THREADS: &str = "with a thread for each client, eleven threads";
const BLOCKING: &str = "a thread that blocks makes two calls for a question: read and send";
const REACTOR: &str = "a reactor makes three: wait, read and send";
const URING: &str = "io_uring makes one";

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "24/models",
        scene: "Ten clients connect to a server and ask questions, the same to each server design of the course: processes, \
                threads, a loop, io_uring.",
        questions: &[
            Question {
                ask: "The server that forks: how many processes for ten clients?",
                answers: OneOf(&[
                    ("ten", |seen| !seen.holds(FORK)),
                    ("eleven", |seen| seen.holds(FORK)),
                ]),
                claim: FORK,
                why: "One for each client, and the parent, which accepts.",
            },
            Question {
                ask: "Which design needs the fewest system calls for a question and its answer?",
                answers: OneOf(&[
                    ("a thread for each client, which blocks", |seen| {
                        seen.holds(BLOCKING) && !seen.holds(URING)
                    }),
                    ("a loop with epoll", |seen| {
                        !seen.holds(REACTOR) && !seen.holds(BLOCKING) && !seen.holds(URING)
                    }),
                    ("io_uring", |seen| seen.holds(URING)),
                ]),
                claim: URING,
                why: "One call hands over what is to be done and takes what is finished.",
            },
            Question {
                ask: "Which needs fewer: a thread that blocks, or a reactor?",
                answers: OneOf(&[
                    ("the thread", |seen| {
                        seen.holds(BLOCKING) && seen.holds(REACTOR)
                    }),
                    ("the reactor", |seen| {
                        !seen.holds(BLOCKING) && seen.holds(REACTOR)
                    }),
                    ("both need as many", |seen| !seen.holds(REACTOR)),
                ]),
                claim: BLOCKING,
                why: "read and send. The reactor waits first. What it saves is threads, not calls.",
            },
            Question {
                ask: "The server with a thread for each client: how many threads?",
                answers: OneOf(&[
                    ("ten", |seen| !seen.holds(THREADS)),
                    ("eleven", |seen| seen.holds(THREADS)),
                ]),
                claim: THREADS,
                why: "One for each client, and the one that accepts.",
            },
        ],
    },
    Quiz {
        experiment: "24/emfile",
        scene: "A server may have fewer descriptors than there are clients. A hundred connect; it runs out.",
        questions: &[
            Question {
                ask: "A client for whom there is no descriptor: what does it see?",
                answers: OneOf(&[
                    ("it is connected, and nothing answers", |seen| {
                        seen.holds("one that it has not is not, though it is connected")
                    }),
                    ("its connect is refused", |seen| {
                        !seen.holds("one that it has not is not, though it is connected")
                    }),
                ]),
                claim: "one that it has not is not, though it is connected",
                why: "Its kernel and the server's have made the connection. It waits in the queue, for an accept that fails \
                      with EMFILE.",
            },
            Question {
                ask: "The listener stays readable, level-triggered. How much of a processor does this server use meanwhile?",
                answers: OneOf(&[
                    (
                        "all of it: epoll_wait returns at once, again and again",
                        |seen| !seen.holds("it uses less than 5 % of a processor while it waits"),
                    ),
                    ("next to nothing", |seen| {
                        seen.holds("it uses less than 5 % of a processor while it waits")
                    }),
                ]),
                claim: "it uses less than 5 % of a processor while it waits",
                why: "It does not listen to its listener until there is a descriptor again. Many servers spin here.",
            },
        ],
    },
];
