//! Chapter 21: poll.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "21/full",
        scene: "A server's list has one place for a client, and it is taken. Another client connects.",
        questions: &[
            Question {
                ask: "What does it see?",
                answers: OneOf(&[
                    ("its connect is refused", |seen| {
                        seen.of("select01 2").complains("Connection refused")
                    }),
                    ("a connection, and then its end, with a word why", |seen| {
                        seen.of("select01 2").says("no place left")
                            && seen.of("pollserver").sends(FIN)
                    }),
                    ("a connection that is never served", |seen| {
                        !seen.of("select01 2").complains("Connection refused")
                            && !seen.of("select01 2").says("no place left")
                    }),
                ]),
                claim: "the second client is told that there is no place",
                why: "The kernel has made the connection before the server knows of it. A server can only be polite about it.",
            },
            Question {
                ask: "And the one who has the place?",
                answers: OneOf(&[
                    ("it is served as before", |seen| {
                        seen.of("select01").prints("data1")
                    }),
                    ("its place is given to the other", |seen| {
                        !seen.of("select01").prints("data1")
                    }),
                ]),
                claim: "the first, who has the place, is served",
                why: "A server that ends because it is full would end for everybody.",
            },
        ],
    },
    Quiz {
        experiment: "21/slow-reader",
        scene: "A client sends eight megabytes to an echo server that uses poll, and reads nothing. Another client sends a line.",
        questions: &[
            Question {
                ask: "Is the other client answered?",
                answers: OneOf(&[
                    ("yes", |seen| seen.of("select01").prints("data2")),
                    ("no: the server waits in send for the first one", |seen| {
                        !seen.of("select01").prints("data2")
                    }),
                ]),
                claim: "the other client is answered as before",
                why: "The server sends only where there is room, and waits for room in poll, with everybody else.",
            },
            Question {
                ask: "Where are the eight megabytes?",
                answers: OneOf(&[
                    (
                        "in the kernel's buffers, and the rest still with the client",
                        |seen| {
                            seen.holds("the server's own memory has not grown by a megabyte")
                            && seen.holds(
                                "what the slow one sends stays in the kernel's buffers, and when they are full, with the client",
                            )
                        },
                    ),
                    ("in the server's own memory", |seen| {
                        !seen.holds("the server's own memory has not grown by a megabyte")
                    }),
                ]),
                claim: "what the slow one sends stays in the kernel's buffers, and when they are full, with the client",
                why: "The server reads no more from a client that it cannot answer. TCP's window does the rest.",
            },
        ],
    },
    Quiz {
        experiment: "21/revents-only",
        scene: "A program asks poll about a socket, and asks for nothing: events is 0.",
        questions: &[
            Question {
                ask: "The peer sends data. What does poll say?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        seen.of("probe").says("data has come              0  ")
                    }),
                    ("POLLIN", |seen| {
                        seen.of("probe").says("data has come              IN")
                    }),
                ]),
                claim: "data, and a FIN alone, are not told unasked",
                why: "Nobody has asked for it.",
            },
            Question {
                ask: "The peer resets the connection. What does it say now?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        seen.of("probe").says("the peer has reset (RST)   0  ")
                    }),
                    ("POLLERR and POLLHUP", |seen| {
                        seen.of("probe")
                            .says("the peer has reset (RST)   ERR HUP  ")
                    }),
                    ("POLLIN", |seen| {
                        seen.of("probe").says("the peer has reset (RST)   IN")
                    }),
                ]),
                claim: "a reset is told unasked, as POLLERR and POLLHUP; read gives its name",
                why: "Errors and hang-ups are told in any case. Who looks at POLLIN alone can be woken without end.",
            },
        ],
    },
];
