//! Chapter 30: asynchronous I/O.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "30/glibc-threads",
        scene: "A program without threads calls aio_write and aio_read on a socket. The answer does not come yet.",
        questions: &[
            Question {
                ask: "How many threads does its process have now?",
                answers: Number(|seen| Some(1 + seen.of("aio02").calls("clone3(thread)"))),
                claim: "while the answer is awaited, the process has two threads",
                why: "POSIX aio is made of threads, in the C library. The kernel knows nothing of it.",
            },
            Question {
                ask: "Where does the second one wait?",
                answers: OneOf(&[
                    ("there is none", |seen| {
                        !seen.holds("the first sleeps in a futex, the second in read")
                    }),
                    ("in an ordinary read", |seen| {
                        seen.holds("the first sleeps in a futex, the second in read")
                    }),
                ]),
                claim: "the first sleeps in a futex, the second in read",
                why: "Somebody has to wait. It is a thread that blocks, only not one of ours.",
            },
        ],
    },
    Quiz {
        experiment: "30/uring-echo",
        scene: "An echo server on io_uring serves a hundred clients, three messages each.",
        questions: &[
            Question {
                ask: "Which of its system calls reads from a socket?",
                answers: OneOf(&[
                    ("none", |seen| seen.holds(NO_CALL)),
                    ("read", |seen| !seen.holds(NO_CALL)),
                ]),
                claim: NO_CALL,
                why: "It writes into a ring what it wants, and finds the bytes there when they have come. The kernel reads.",
            },
            Question {
                ask: "How many calls of accept does it make for the hundred clients?",
                answers: Number(|seen| Some(seen.of("uring-echo").calls("accept4("))),
                claim: "and nothing that accepts",
                why: "Accepting is a wish like any other: one entry in the ring that goes on giving connections.",
            },
        ],
    },
    Quiz {
        experiment: "30/reactor-or-proactor",
        scene: "A hundred messages lie in the sockets of a server, one from each client, before it begins. It is a reactor on \
                epoll, and then a proactor on io_uring.",
        questions: &[
            Question {
                ask: "About how many system calls does the reactor make to answer them?",
                answers: OneOf(&[
                    ("100", |seen| !seen.holds(TWO_HUNDRED)),
                    ("200", |seen| seen.holds(TWO_HUNDRED)),
                ]),
                claim: TWO_HUNDRED,
                why: "One wait tells of many. A read and a send for each remain.",
            },
            Question {
                ask: "And the proactor?",
                answers: OneOf(&[
                    ("fewer than 50", |seen| {
                        seen.holds("the proactor makes fewer than 50")
                    }),
                    ("100", |seen| {
                        !seen.holds("the proactor makes fewer than 50")
                    }),
                ]),
                claim: "the proactor makes fewer than 50",
                why: "Each call takes all that is finished and hands over all that is to be done next.",
            },
        ],
    },
];

const NO_CALL: &str = "the server calls nothing that reads from or writes to a socket";
const TWO_HUNDRED: &str =
    "for a hundred messages that are all there, the reactor makes a little more than 200";
