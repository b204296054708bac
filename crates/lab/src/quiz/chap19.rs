//! Chapter 19: answers to part two.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "19/four-way-close",
        scene: "A client closes. The server reads the end of file, and takes its time before it closes, too.",
        questions: &[
            Question {
                ask: "How many FINs pass, from both sides together?",
                answers: Number(|seen| {
                    let client = seen.of("client").sent().with(FIN).count();
                    Some(client + seen.of("server").sent().with(FIN).count())
                }),
                claim: "each end sends one FIN",
                why: "Each direction is ended by itself.",
            },
            Question {
                ask: "In which states are the two ends while the server takes its time?",
                answers: OneOf(&[
                    ("both in TIME-WAIT", |seen| {
                        !seen.holds(
                            "between the two closes one end waits in FIN-WAIT-2, the other in CLOSE-WAIT",
                        )
                    }),
                    (
                        "the client in FIN-WAIT-2, the server in CLOSE-WAIT",
                        |seen| {
                            seen.holds(
                            "between the two closes one end waits in FIN-WAIT-2, the other in CLOSE-WAIT",
                        )
                        },
                    ),
                ]),
                claim: "between the two closes one end waits in FIN-WAIT-2, the other in CLOSE-WAIT",
                why: "The client's FIN is acknowledged, and the server's has not come. CLOSE-WAIT lasts as long as the \
                      program likes.",
            },
            Question {
                ask: "Which end is in TIME-WAIT at last?",
                answers: OneOf(&[
                    ("another, or none", |seen| {
                        !seen.holds("and stays in TIME-WAIT")
                    }),
                    ("the client's", |seen| seen.holds("and stays in TIME-WAIT")),
                ]),
                claim: "and stays in TIME-WAIT",
                why: "The one that closed first.",
            },
        ],
    },
    Quiz {
        experiment: "19/simultaneous-close",
        scene: "Client and server close at the same moment: neither has the other's FIN yet.",
        questions: &[
            Question {
                ask: "Through which state do the ends go that is not there when one closes after the other?",
                answers: OneOf(&[
                    ("CLOSING", |seen| {
                        seen.holds("the client's end passes FIN-WAIT-1 and CLOSING")
                            && seen.holds("so does the server's end")
                    }),
                    ("none", |seen| {
                        !seen.holds("the client's end passes FIN-WAIT-1 and CLOSING")
                            || !seen.holds("so does the server's end")
                    }),
                ]),
                claim: "the client's end passes FIN-WAIT-1 and CLOSING",
                why: "CLOSING: our FIN is not acknowledged yet, and the other's has come.",
            },
            Question {
                ask: "Which of them is in TIME-WAIT afterwards?",
                answers: OneOf(&[
                    ("the client's end only", |seen| {
                        !seen.holds("the server's end is in TIME-WAIT at last")
                            && seen.holds("and the client's end is in TIME-WAIT as well")
                    }),
                    ("the server's end only", |seen| {
                        seen.holds("the server's end is in TIME-WAIT at last")
                            && !seen.holds("and the client's end is in TIME-WAIT as well")
                    }),
                    ("both", |seen| {
                        seen.holds("the server's end is in TIME-WAIT at last")
                            && seen.holds("and the client's end is in TIME-WAIT as well")
                    }),
                    ("neither", |seen| {
                        !seen.holds("the server's end is in TIME-WAIT at last")
                            && !seen.holds("and the client's end is in TIME-WAIT as well")
                    }),
                ]),
                claim: "the server's end is in TIME-WAIT at last",
                why: "Each of them has sent the last ACK for the other's FIN, and neither knows whether it has arrived.",
            },
        ],
    },
    Quiz {
        experiment: "19/somaxconn-caps",
        scene: "On a host net.core.somaxconn is 1. A server calls listen with a backlog of 100 and never calls accept. Three \
                clients connect, one after the other.",
        questions: &[
            Question {
                ask: "What does listen say to a backlog above the limit?",
                answers: OneOf(&[
                    ("nothing", |seen| seen.holds("listen has reported no error")),
                    ("it fails with EINVAL", |seen| {
                        seen.of("backlog").complains("Error")
                    }),
                ]),
                claim: "listen has reported no error",
                why: "The kernel takes the lesser of the two numbers, and tells nobody (listen(2)).",
            },
            Question {
                ask: "For how many of the three does connect succeed?",
                answers: Number(|seen| Some(seen.lines("connected to"))),
                claim: "two connections are made",
                why: "One more than the backlog may wait in the queue.",
            },
            Question {
                ask: "What does the third one's SYN bring?",
                answers: OneOf(&[
                    ("RST", |seen| seen.of("client 3").gets(RST)),
                    ("SYN ACK", |seen| seen.of("client 3").gets(SYN | ACK)),
                    ("nothing", |seen| {
                        seen.of("client 3").received().count() == 0
                    }),
                ]),
                claim: "the third client's SYN gets no answer",
                why: "A client that hears nothing tries again, and then there may be room. A reset would send it away.",
            },
        ],
    },
];
