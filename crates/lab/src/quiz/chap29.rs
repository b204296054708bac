//! Chapter 29: a reactor on epoll.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "29/edge-needs-draining",
        scene: "Two servers read 512 bytes for each event, and no more. A client sends each of them 2000 bytes in one go. The \
                first is level-triggered, the second edge-triggered.",
        questions: &[
            Question {
                ask: "How many bytes come back from the first?",
                answers: OneOf(&[
                    ("512", |seen| !seen.holds(LEVEL)),
                    ("2000", |seen| seen.holds(LEVEL)),
                ]),
                claim: LEVEL,
                why: "As long as something is left, the next wait tells of it.",
            },
            Question {
                ask: "And from the second?",
                answers: OneOf(&[
                    ("512", |seen| seen.holds("edge-triggered, 512 come back")),
                    ("2000", |seen| !seen.holds("edge-triggered, 512 come back")),
                ]),
                claim: "edge-triggered, 512 come back",
                why: "One arrival, one event. The other 1488 lie in the server's kernel.",
            },
            Question {
                ask: "The client sends one byte more to the second. How many bytes come back now?",
                answers: OneOf(&[
                    ("1", |seen| {
                        !seen.holds("one byte more is a new event, and 512 more come back")
                            && seen.holds("edge-triggered, 512 come back")
                    }),
                    ("512", |seen| {
                        seen.holds("one byte more is a new event, and 512 more come back")
                    }),
                    ("1489", |seen| {
                        !seen.holds("one byte more is a new event, and 512 more come back")
                            && !seen.holds("edge-triggered, 512 come back")
                    }),
                ]),
                claim: "one byte more is a new event, and 512 more come back",
                why: "A new event, and again one read: 512 of those that were left.",
            },
        ],
    },
    Quiz {
        experiment: "29/write-storm",
        scene: "A server watches its connections for room to write, all the time, and has nothing to write.",
        questions: &[
            Question {
                ask: "Level-triggered: how often does epoll_wait return while nothing happens?",
                answers: OneOf(&[
                    ("not at all", |seen| !seen.holds(STORM)),
                    ("again and again", |seen| seen.holds(STORM)),
                ]),
                claim: STORM,
                why: "There is room, and that is what was asked for.",
            },
            Question {
                ask: "Edge-triggered?",
                answers: OneOf(&[
                    ("again and again, too", |seen| {
                        !seen.holds("edge-triggered, it does not")
                    }),
                    ("it does not", |seen| {
                        seen.holds("edge-triggered, it does not")
                    }),
                ]),
                claim: "edge-triggered, it does not",
                why: "There was room once, and that was told. It is told again when there was none in between.",
            },
        ],
    },
    Quiz {
        experiment: "29/log",
        scene: "A main thread accepts, and two other threads serve. Two clients connect, one after the other, and send a line each.",
        questions: &[
            Question {
                ask: "How often does the main thread wake up?",
                answers: OneOf(&[
                    ("twice", |seen| {
                        seen.holds(
                            "epoll_wait returns twice in the main thread, once for each connection",
                        )
                    }),
                    ("four times", |seen| {
                        !seen.holds(
                            "epoll_wait returns twice in the main thread, once for each connection",
                        )
                    }),
                ]),
                claim: "epoll_wait returns twice in the main thread, once for each connection",
                why: "Once for each connection. The lines are the others' business.",
            },
            Question {
                ask: "From how many connections does it read?",
                answers: OneOf(&[
                    ("none", |seen| {
                        seen.holds("the main thread reads from no connection")
                    }),
                    ("both: it hands the lines over", |seen| {
                        !seen.holds("the main thread reads from no connection")
                    }),
                ]),
                claim: "the main thread reads from no connection",
                why: "It hands over the connections, not the data.",
            },
        ],
    },
];

const LEVEL: &str = "level-triggered, all 2000 bytes come back, 512 at a time";
const STORM: &str = "level-triggered, epoll_wait returns again and again while nothing happens";
