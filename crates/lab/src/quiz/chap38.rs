//! Chapter 38: a chat room.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "38/broadcast",
        scene: "Five people in a chat room speak at the same time, many lines each. One of them does not listen for a while.",
        questions: &[Question {
            ask: "Which lines of the others does that one see afterwards?",
            answers: OneOf(&[
                (
                    "the latest: each has taken the place of the one before",
                    |seen| !seen.holds("also the one who did not listen for a while"),
                ),
                ("all of them, whole and in order", |seen| {
                    seen.holds("also the one who did not listen for a while")
                }),
            ]),
            claim: "also the one who did not listen for a while",
            why: "The server keeps for each user what has not gone out yet. One pointer for each user, as in the course's \
                  server, keeps only the last line.",
        }],
    },
    Quiz {
        experiment: "38/reset",
        scene: "Two users are in the room. One of them resets the connection, and poll says POLLERR.",
        questions: &[
            Question {
                ask: "The server asks for SO_ERROR. What is it?",
                answers: OneOf(&[
                    ("0", |seen| seen.of("chat-server").calls("SO_ERROR, 0)") > 0),
                    ("EPIPE", |seen| {
                        seen.of("chat-server").calls("SO_ERROR, EPIPE)") > 0
                    }),
                    ("ECONNRESET", |seen| {
                        seen.of("chat-server").calls("SO_ERROR, ECONNRESET)") > 0
                    }),
                    ("it does not ask", |seen| {
                        seen.of("chat-server").calls("SO_ERROR") == 0
                    }),
                ]),
                claim: "it is ECONNRESET",
                why: "Asking takes the error away: the next one who asks gets 0.",
            },
            Question {
                ask: "Does poll return again and again for this user?",
                answers: OneOf(&[
                    ("yes", |seen| {
                        !seen.holds("poll does not return again and again")
                    }),
                    ("no: the server has closed the connection", |seen| {
                        seen.holds("poll does not return again and again")
                    }),
                ]),
                claim: "poll does not return again and again",
                why: "It would, if the server only asked for the error and went on: POLLHUP stays.",
            },
        ],
    },
    Quiz {
        experiment: "38/stdin-eof",
        scene: "A client's input ends while it is in the room.",
        questions: &[
            Question {
                ask: "How often does this client ask poll after that?",
                answers: OneOf(&[
                    ("a few times", |seen| {
                        seen.holds("it has asked poll a few times and no more")
                    }),
                    ("without end: its input is ready for ever", |seen| {
                        !seen.holds("it has asked poll a few times and no more")
                    }),
                ]),
                claim: "it has asked poll a few times and no more",
                why: "At its end a descriptor is always ready. It has to be taken out of the list.",
            },
            Question {
                ask: "How does it end its connection?",
                answers: OneOf(&[
                    ("by FIN", |seen| seen.holds("by an orderly end, FIN")),
                    ("by RST", |seen| !seen.holds("by an orderly end, FIN")),
                ]),
                claim: "by an orderly end, FIN",
                why: "It says that it has finished, reads what is left, and goes.",
            },
        ],
    },
];
