//! Chapter 15: address in use.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "15/client-closes-first",
        scene: "A server without any option has a client. The client ends the connection, and the server ends, too. At once the \
                server is started again.",
        questions: &[Question {
            ask: "Can it listen?",
            answers: OneOf(&[
                ("yes", |seen| seen.of("addressused 2").says("listening on")),
                ("no: EADDRINUSE", |seen| {
                    seen.of("addressused 2").complains("Address already in use")
                }),
            ]),
            claim: "the server listens again at once",
            why: "TIME-WAIT is on the client's side, with the client's port. Nothing has the server's port as its own.",
        }],
    },
    Quiz {
        experiment: "15/server-closes-first",
        scene: "A server without any option has a client. The server is ended with Ctrl-C, and the client follows. At once the \
                server is started again.",
        questions: &[
            Question {
                ask: "Can it listen?",
                answers: OneOf(&[
                    ("yes: no process has the port any more", |seen| {
                        seen.of("addressused 2").says("listening on")
                    }),
                    ("no: EADDRINUSE", |seen| {
                        seen.of("addressused 2").complains("Address already in use")
                    }),
                ]),
                claim: "the second server is refused: bind fails with EADDRINUSE",
                why: "The server's end of the old connection is in TIME-WAIT, and has the server's port.",
            },
            Question {
                ask: "Which process has the socket that is in the way?",
                answers: OneOf(&[
                    ("none", |seen| {
                        seen.holds("one socket has the port, in TIME-WAIT, and no process has it")
                    }),
                    ("the first server, which is not quite gone", |seen| {
                        !seen.holds("one socket has the port, in TIME-WAIT, and no process has it")
                    }),
                ]),
                claim: "one socket has the port, in TIME-WAIT, and no process has it",
                why: "That is why no kill helps, and why SO_REUSEADDR exists.",
            },
        ],
    },
    Quiz {
        experiment: "15/two-servers",
        scene: "A server with SO_REUSEADDR listens and has a client. A second server, with SO_REUSEADDR, too, is started on the \
                same port.",
        questions: &[
            Question {
                ask: "What does it get?",
                answers: OneOf(&[
                    ("the port: both listen, and share the clients", |seen| {
                        seen.of("addressused02 2").says("listening on")
                    }),
                    ("EADDRINUSE", |seen| {
                        seen.of("addressused02 2")
                            .complains("Address already in use")
                    }),
                ]),
                claim: "the second server is refused, though both have the option: EADDRINUSE",
                why: "A socket in LISTEN is the one state that the option does not look away from.",
            },
            Question {
                ask: "Another server closes its listening socket and keeps its client. Can a second one listen on its port now?",
                answers: OneOf(&[
                    ("yes", |seen| {
                        seen.of("addressused02 4").says("listening on")
                    }),
                    ("no: the connection has the port", |seen| {
                        seen.of("addressused02 4")
                            .complains("Address already in use")
                    }),
                ]),
                claim: "where the first has closed its listening socket, the second may listen beside the ESTABLISHED \
                        connection",
                why: "With the option in both, a connection does not stand in the way of a listener.",
            },
        ],
    },
    Quiz {
        experiment: "15/same-four-tuple",
        scene: "A server has closed first, so its end of the connection is in TIME-WAIT. A new server listens on the same port. \
                The client comes back with the same address and the same port as before.",
        questions: &[Question {
            ask: "What is its SYN answered with?",
            answers: OneOf(&[
                ("RST: this pair of addresses is in TIME-WAIT", |seen| {
                    seen.of("lines 2").gets(RST)
                }),
                ("SYN ACK", |seen| {
                    seen.of("lines 2").gets(SYN | ACK) && !seen.of("lines 2").gets(RST)
                }),
                ("nothing, for a minute", |seen| {
                    seen.of("lines 2").received().count() == 0
                }),
                ("an ACK of the old connection", |seen| {
                    seen.of("lines 2").received().count() > 0
                        && !seen.of("lines 2").gets(SYN | ACK)
                        && !seen.of("lines 2").gets(RST)
                }),
            ]),
            claim: "the new SYN is answered with SYN ACK",
            why: "Its sequence number is higher and its timestamp later than what the old connection had, so it cannot be \
                      an old segment that was late.",
        }],
    },
];
