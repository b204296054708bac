//! Chapter 32: the framework's design.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "32/stale-event",
        scene: "Three events come in one round. The first one's callback closes the second client's connection. The second event \
                is a new connection. The third one is for the connection that has just been closed.",
        questions: &[
            Question {
                ask: "Which descriptor does the new connection get?",
                answers: OneOf(&[
                    ("the number that was just closed", |seen| seen.holds(REUSED)),
                    (
                        "another one: that number is not free until the round is over",
                        |seen| !seen.holds(REUSED),
                    ),
                ]),
                claim: REUSED,
                why: "The kernel gives the lowest number that is free, and knows nothing of rounds.",
            },
            Question {
                ask: "The third event names that number. What does this framework do with it?",
                answers: OneOf(&[
                    ("nothing", |seen| seen.holds(NOBODY)),
                    ("it reads from the new connection", |seen| {
                        !seen.holds(NOBODY)
                    }),
                ]),
                claim: NOBODY,
                why: "A channel is known by a token, a place and a generation. The old token finds nobody.",
            },
        ],
    },
    Quiz {
        experiment: "32/channel-map-grows",
        scene: "A server's table of channels begins small. A client connects, then 999 more, then 4000 more; then all leave.",
        questions: &[
            Question {
                ask: "Are they all served?",
                answers: OneOf(&[
                    ("yes", |seen| seen.holds("each of them is served")),
                    ("no: the table is full at some point", |seen| {
                        !seen.holds("each of them is served")
                    }),
                ]),
                claim: "each of them is served",
                why: "The table grows with them. With select it could not: a set has 1024 places.",
            },
            Question {
                ask: "All have gone. What about the memory?",
                answers: OneOf(&[
                    ("it stays with the process for ever", |seen| {
                        !seen.holds(
                            "when all have gone, the memory of the table at least is given back",
                        )
                    }),
                    ("the table's, at least, is given back", |seen| {
                        seen.holds(
                            "when all have gone, the memory of the table at least is given back",
                        )
                    }),
                ]),
                claim: "when all have gone, the memory of the table at least is given back",
                why: "A table that only grows remembers the worst day for ever.",
            },
        ],
    },
];

const REUSED: &str =
    "the third client's connection gets the number of the second's, which was closed just before";
const NOBODY: &str = "nobody reads from it for the sake of the old event";
