//! Chapter 33: the framework's threads.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "33/wakers",
        scene: "A thread is woken a thousand times before it looks, in three ways: a byte into a pipe each time, a byte into a \
                pair of local sockets, and a number into an eventfd.",
        questions: &[
            Question {
                ask: "How many reads of one byte does it take to empty the pipe?",
                answers: Number(|seen| {
                    seen.of("wakers")
                        .number_after("pipe: reads that took them: ")
                }),
                claim: "a thousand wake-ups in a pipe are a thousand bytes, and as many reads of one byte",
                why: "A pipe counts bytes.",
            },
            Question {
                ask: "Does the pair of sockets have room for a thousand?",
                answers: OneOf(&[
                    ("yes", |seen| {
                        let taken = seen
                            .of("wakers")
                            .number_after("socketpair: woken another 1000 times: ");
                        taken == Some(1000)
                    }),
                    ("no", |seen| {
                        let taken = seen
                            .of("wakers")
                            .number_after("socketpair: woken another 1000 times: ");
                        taken.is_some_and(|taken| taken < 1000)
                    }),
                ]),
                claim: "a pair of sockets is full before that: some wake-ups are refused",
                why: "Each byte is a buffer of its own there, with all that belongs to one.",
            },
            Question {
                ask: "How many reads does the eventfd take?",
                answers: Number(|seen| {
                    seen.of("wakers")
                        .number_after("eventfd: reads that took them: ")
                }),
                claim: "an eventfd has added all of them up, and one read takes the sum",
                why: "It is one number of 64 bits. Writing adds, and reading takes it all.",
            },
        ],
    },
    Quiz {
        experiment: "33/start-handshake",
        scene: "A server has four loops, and the last of them takes 1.5 seconds to start. A client connects meanwhile.",
        questions: &[
            Question {
                ask: "What happens to it?",
                answers: OneOf(&[
                    ("it is refused", |seen| seen.holds("the client is refused")),
                    ("it is connected, and waits for the loop", |seen| {
                        !seen.holds("the client is refused")
                    }),
                ]),
                claim: "the client is refused",
                why: "This server listens when all of its loops run. Who comes before is told at once, and not left waiting.",
            },
            Question {
                ask: "How many loops does the process have in the end?",
                answers: Number(|seen| Some(seen.of("placement").calls("epoll_create1("))),
                claim: "there are five loops, the main thread's and four others",
                why: "The main thread accepts in a loop of its own.",
            },
        ],
    },
    Quiz {
        experiment: "33/placement",
        scene: "Forty clients come to a server with four loops. Every fourth one stays, the others leave at once. It is done three \
                times: by turns, by the number of connections, and by the client's address.",
        questions: &[
            Question {
                ask: "By turns: how many of the ten that stay does the first loop have?",
                answers: Number(|seen| seen.of("round-robin").number_after("Thread-1: ")),
                claim: "taking turns, one loop has all ten that stay, and three have none",
                why: "Every fourth client, every fourth turn.",
            },
            Question {
                ask: "And the second loop?",
                answers: Number(|seen| seen.of("round-robin").number_after("Thread-2: ")),
                claim: "taking turns, one loop has all ten that stay, and three have none",
                why: "Its clients were all of those that leave. Who takes turns does not look at what became of them.",
            },
            Question {
                ask: "By the number of connections: what is the most that a loop has?",
                answers: OneOf(&[
                    ("3: ten over four loops, as even as it can be", |seen| {
                        seen.holds("by counting, no loop has two more than another")
                    }),
                    ("10, too", |seen| {
                        !seen.holds("by counting, no loop has two more than another")
                    }),
                ]),
                claim: "by counting, no loop has two more than another",
                why: "Who counts sees who has gone.",
            },
        ],
    },
    Quiz {
        experiment: "33/wake",
        scene: "A loop in another thread is busy with one task. Meanwhile a thousand more are queued for it.",
        questions: &[Question {
            ask: "How many times is its eventfd written to, for the one task and the thousand together?",
            answers: Number(|seen| Some(seen.of("tasks").calls("write(4, 8 bytes) = 8"))),
            claim: "while the loop is busy, a thousand tasks are one write to its eventfd, and one for the task before them",
            why: "Who queues the first of a burst wakes the loop. The others see that it is woken already.",
        }],
    },
];
