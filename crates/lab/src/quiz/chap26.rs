//! Chapter 26: threads.

use super::prelude::*;

const LOST: &str = "of two times a million steps, each a read and then a write, some are lost";

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "26/lost-updates",
        scene: "Two threads add 1 to the same number, a million times each, on two processors. Each step reads the number and \
                writes it back. There is no lock.",
        questions: &[
            Question {
                ask: "What is the sum?",
                answers: OneOf(&[
                    ("2000000", |seen| !seen.holds(LOST)),
                    ("less", |seen| seen.holds(LOST)),
                ]),
                claim: LOST,
                why: "Both read the same number, and both write the one after it. Two steps, and the number has grown by one.",
            },
            Question {
                ask: "And with an atomic addition in place of the two?",
                answers: OneOf(&[
                    ("2000000", |seen| seen.holds("nor with an atomic addition")),
                    ("still less", |seen| {
                        !seen.holds("nor with an atomic addition")
                    }),
                ]),
                claim: "nor with an atomic addition",
                why: "Nobody can come between reading and writing.",
            },
        ],
    },
    Quiz {
        experiment: "26/pool-busy",
        scene: "A server has two threads, and each has a client that says nothing at the moment. A third client connects and \
                sends a line.",
        questions: &[
            Question {
                ask: "Is the third client connected?",
                answers: OneOf(&[
                    ("yes", |seen| seen.of("tcpcli-select 3").says("connected:")),
                    ("no: its connect waits", |seen| {
                        !seen.of("tcpcli-select 3").says("connected:")
                            && !seen.of("tcpcli-select 3").complains("refused")
                    }),
                    ("no: it is refused", |seen| {
                        seen.of("tcpcli-select 3").complains("refused")
                    }),
                ]),
                claim: "the third client is connected and accepted",
                why: "The main thread accepts it and puts it into the queue.",
            },
            Question {
                ask: "Where is its line?",
                answers: OneOf(&[
                    ("read, and in a buffer of the server", |seen| {
                        !seen.holds("its four bytes lie unread in the kernel")
                    }),
                    ("unread, in the server's kernel", |seen| {
                        seen.holds("its four bytes lie unread in the kernel")
                    }),
                ]),
                claim: "its four bytes lie unread in the kernel",
                why: "Who has no thread has nobody who reads. The other two do nothing, and cannot be asked.",
            },
        ],
    },
    Quiz {
        experiment: "26/queue-full",
        scene: "A server has one thread for clients, and a queue with one place between it and the thread that accepts. Five \
                clients connect and send a line each.",
        questions: &[
            Question {
                ask: "How many of them has the server accepted, while the first keeps its thread?",
                answers: Number(|seen| Some(seen.of("thread02").count("accepted"))),
                claim: "three are accepted: one has the thread, one the place, one waits for the place",
                why: "One has the thread, one the place in the queue, and one is in the hands of the accepting thread, which \
                      waits for a place.",
            },
            Question {
                ask: "Where are the others?",
                answers: OneOf(&[
                    ("refused", |seen| {
                        !seen.holds("the last two wait in the kernel's queue")
                    }),
                    ("in the kernel's queue", |seen| {
                        seen.holds("the last two wait in the kernel's queue")
                    }),
                ]),
                claim: "the last two wait in the kernel's queue",
                why: "Waiting is the right thing to do: then the kernel's queue fills, too, and the clients notice.",
            },
        ],
    },
];
