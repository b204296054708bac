//! Chapter 28: main and sub reactors.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "28/round-robin",
        scene: "A server has a main thread and four loops. Five clients connect, one after the other, and ask.",
        questions: &[
            Question {
                ask: "Which loop serves the fifth?",
                answers: OneOf(&[
                    ("the first", |seen| seen.holds(TURNS)),
                    ("the main thread's own", |seen| {
                        !seen.holds(TURNS) && !seen.holds("it reads nothing and sends nothing")
                    }),
                    ("none: it waits until a loop is free", |seen| {
                        !seen.holds(TURNS) && seen.holds("it reads nothing and sends nothing")
                    }),
                ]),
                claim: TURNS,
                why: "They take turns, and a loop is never taken: it serves as many as come.",
            },
            Question {
                ask: "What does the main thread do for a client?",
                answers: OneOf(&[
                    ("it accepts, and reads the first line", |seen| {
                        !seen.holds("it reads nothing and sends nothing")
                    }),
                    ("it accepts, and nothing else", |seen| {
                        seen.holds("it reads nothing and sends nothing")
                            && seen.holds("the main thread accepts all five")
                    }),
                    ("nothing: each loop accepts its own", |seen| {
                        seen.holds("it reads nothing and sends nothing")
                            && !seen.holds("the main thread accepts all five")
                    }),
                ]),
                claim: "it reads nothing and sends nothing",
                why: "Whatever the loops are doing, somebody is there who accepts.",
            },
        ],
    },
    Quiz {
        experiment: "28/slow-compute",
        scene: "One loop, two clients, and two workers that compute. The slow client asks something that takes 1.5 seconds, and \
                then something short. Then the quick client asks something short.",
        questions: &[
            Question {
                ask: "When is the quick client answered?",
                answers: OneOf(&[
                    ("before the slow one's first answer", |seen| {
                        seen.holds(QUICK)
                    }),
                    ("after both answers of the slow one", |seen| {
                        !seen.holds(QUICK)
                    }),
                ]),
                claim: QUICK,
                why: "The loop hands the question to a worker and goes on. Without workers it would compute itself, and everybody \
                      would wait.",
            },
            Question {
                ask: "Which of the slow client's two questions is computed first?",
                answers: OneOf(&[
                    ("the first", |seen| {
                        !seen
                            .holds("the slow client's second question is computed before its first")
                    }),
                    ("the second", |seen| {
                        seen.holds("the slow client's second question is computed before its first")
                    }),
                ]),
                claim: "the slow client's second question is computed before its first",
                why: "Two workers, and the second has the shorter work.",
            },
            Question {
                ask: "Which of its two answers comes first?",
                answers: OneOf(&[
                    ("the one that is ready first", |seen| {
                        !seen.holds("and its two answers come in the order of its questions")
                    }),
                    ("that to the first question", |seen| {
                        seen.holds("and its two answers come in the order of its questions")
                    }),
                ]),
                claim: "and its two answers come in the order of its questions",
                why: "A client of a stream knows answers by their order and by nothing else. So the second waits for the first.",
            },
        ],
    },
    Quiz {
        experiment: "28/waker",
        scene: "A loop sleeps in poll. The main thread has accepted a connection, and adds it to that loop's list.",
        questions: &[Question {
            ask: "How does the loop come to know?",
            answers: OneOf(&[
                ("poll sees that the list has changed", |seen| {
                    !seen.holds(WRITES) && seen.holds("Thread-1 reads them")
                }),
                ("at its next event, whenever that is", |seen| {
                    !seen.holds(WRITES) && !seen.holds("Thread-1 reads them")
                }),
                (
                    "the main thread writes to a descriptor that the loop watches",
                    |seen| seen.holds(WRITES),
                ),
            ]),
            claim: WRITES,
            why: "A thread in poll can be woken by a descriptor only. So each loop has one for nothing else.",
        }],
    },
];

const TURNS: &str =
    "the connections are read by Thread-1, Thread-2, Thread-3, Thread-4, and Thread-1 again";
const QUICK: &str = "the quick client, on the same loop, is answered before the slow one";
const WRITES: &str = "the main thread, which has accepted, writes 8 bytes to an eventfd";
