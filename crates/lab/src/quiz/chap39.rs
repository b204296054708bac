//! Chapter 39: an accept thread and worker threads.

use super::prelude::*;

const SILENT: &str = "from a worker's read to its next word to epoll, epoll says nothing of the connection, though a line has arrived";

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "39/seven-steps",
        scene: "The main thread waits in epoll, workers read and send. A worker has read a line. Before it says anything to epoll \
                again, the next line of the same client arrives.",
        questions: &[
            Question {
                ask: "What does epoll tell the main thread then?",
                answers: OneOf(&[
                    ("nothing", |seen| seen.holds(SILENT)),
                    ("that the connection is readable", |seen| {
                        !seen.holds(SILENT)
                    }),
                ]),
                claim: SILENT,
                why: "EPOLLONESHOT: one event, and then silence until EPOLL_CTL_MOD. Else two workers could have the same client.",
            },
            Question {
                ask: "Is the second line answered?",
                answers: OneOf(&[
                    ("yes, after the first", |seen| {
                        seen.holds("both lines are answered, in order")
                    }),
                    ("no: its event was lost", |seen| {
                        !seen.holds("both lines are answered, in order")
                    }),
                ]),
                claim: "both lines are answered, in order",
                why: "EPOLL_CTL_MOD looks whether something is there already. It was not told, and it was not lost.",
            },
        ],
    },
    Quiz {
        experiment: "39/close-after-send",
        scene: "A server sends an answer of 41 bytes and closes at once. The wire loses the segment with the answer.",
        questions: &[
            Question {
                ask: "What has send returned?",
                answers: Number(|seen| seen.of("reactor-server").number_after("send bytes: ")),
                claim: "send returns the length of the whole answer",
                why: "41 bytes are in the kernel's send buffer. That is all it says.",
            },
            Question {
                ask: "No process has the connection any more. Does the client get the answer?",
                answers: OneOf(&[
                    ("no: it is lost with its socket", |seen| {
                        !seen.of("tcpcli-select").says("server reply: hello")
                    }),
                    ("yes: the kernel sends it again", |seen| {
                        seen.of("tcpcli-select").says("server reply: hello")
                    }),
                ]),
                claim: "the kernel has sent it again, and the client hears it whole",
                why: "A closed connection lives on in the kernel until everything is delivered.",
            },
        ],
    },
    Quiz {
        experiment: "39/no-lost-wakeup",
        scene: "A thread is about to wait. Another one wakes it, three times, before it does: through a pipe, an eventfd, or a \
                pair of sockets that it is going to wait for.",
        questions: &[
            Question {
                ask: "What does its wait do then?",
                answers: OneOf(&[
                    ("it returns at once", |seen| {
                        seen.of("wake").says("it returns at once")
                    }),
                    ("it sleeps: it was not asleep when it was woken", |seen| {
                        !seen.of("wake").says("it returns at once")
                    }),
                ]),
                claim: "what wakes a thread before it sleeps is not lost: with a pipe, an eventfd and a socket pair",
                why: "Something lies there to be read. A condition variable has nothing of the kind: with one, the state has to \
                      be looked at under the lock.",
            },
            Question {
                ask: "Ten thousand clients ask a server whose threads wake each other so. How many go without an answer?",
                answers: OneOf(&[
                    ("none", |seen| {
                        seen.holds("ten thousand clients are answered")
                    }),
                    ("a few", |seen| {
                        !seen.holds("ten thousand clients are answered")
                    }),
                ]),
                claim: "ten thousand clients are answered",
                why: "One lost wake-up in ten thousand would be one client that waits for ever.",
            },
        ],
    },
    Quiz {
        experiment: "39/graceful",
        scene: "A worker is at an answer that takes a while. The server gets SIGTERM. A moment later another client connects.",
        questions: &[
            Question {
                ask: "Does the first client get its answer?",
                answers: OneOf(&[
                    ("yes", |seen| {
                        seen.holds("the answer that a worker was at arrives")
                    }),
                    ("no", |seen| {
                        !seen.holds("the answer that a worker was at arrives")
                    }),
                ]),
                claim: "the answer that a worker was at arrives",
                why: "Told to stop, this server finishes what it has begun.",
            },
            Question {
                ask: "And the other client?",
                answers: OneOf(&[
                    ("it is refused", |seen| {
                        seen.of("tcpcli-select 2").complains("refused")
                    }),
                    ("it is served, too", |seen| {
                        !seen.of("tcpcli-select 2").complains("refused")
                    }),
                ]),
                claim: "another client is refused as soon as the signal has come",
                why: "Closing the listener is the first thing that it does.",
            },
        ],
    },
];
