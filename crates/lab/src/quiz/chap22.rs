//! Chapter 22: non-blocking I/O.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "22/read-write-table",
        scene: "read and write are called on a blocking and on a non-blocking socket. The one who should send or read does so a \
                moment later.",
        questions: &[
            Question {
                ask: "A blocking read asks for 4096 bytes. Five have come. What does it do?",
                answers: OneOf(&[
                    ("it waits for the others", |seen| {
                        seen.of("probe read-write")
                            .says("read: 5 bytes have come          waits")
                    }),
                    ("it returns 5 at once", |seen| {
                        seen.of("probe read-write")
                            .says("read: 5 bytes have come          5 at once")
                    }),
                ]),
                claim: "where there is data, read returns it at once, also when it asked for more",
                why: "Blocking means to wait for something, not for everything.",
            },
            Question {
                ask: "A non-blocking write of 1000000 bytes, and there is room for a part. What does it do?",
                answers: OneOf(&[
                    ("it fails with EAGAIN", |seen| {
                        !seen.holds("a non-blocking write takes the part and returns at once")
                    }),
                    ("it takes the part, and returns how much that was", |seen| {
                        seen.holds("a non-blocking write takes the part and returns at once")
                    }),
                ]),
                claim: "a non-blocking write takes the part and returns at once",
                why: "A short count is no error. EAGAIN means that there was no room at all.",
            },
            Question {
                ask: "And a blocking write of as much?",
                answers: OneOf(&[
                    ("it waits until all is taken", |seen| {
                        seen.holds("where there is room for a part, a blocking write waits until all is taken")
                    }),
                    ("it returns the part, too", |seen| {
                        !seen.holds("where there is room for a part, a blocking write waits until all is taken")
                    }),
                ]),
                claim: "where there is room for a part, a blocking write waits until all is taken",
                why: "In this read and write are not alike.",
            },
        ],
    },
    Quiz {
        experiment: "22/write-to-closed-peer",
        scene: "The peer has read everything and has closed the connection. The program's read has returned 0. It writes five \
                bytes, and a moment later five more.",
        questions: &[
            Question {
                ask: "What does the first write return?",
                answers: OneOf(&[
                    ("5", |seen| {
                        seen.of("probe closed-peer").count("write: 5") >= 2
                    }),
                    ("EPIPE", |seen| {
                        seen.of("probe closed-peer").count("write: 5") < 2
                    }),
                ]),
                claim: "before and after the peer has ended, write takes all of its 5 bytes",
                why: "The peer's FIN says that it sends no more. That it does not read any more, nobody has said yet.",
            },
            Question {
                ask: "And the second?",
                answers: OneOf(&[
                    ("5", |seen| {
                        seen.of("probe closed-peer").count("write: 5") > 2
                    }),
                    ("ECONNRESET", |seen| {
                        seen.of("probe closed-peer").says("write: ECONNRESET")
                    }),
                    ("EPIPE", |seen| {
                        seen.of("probe closed-peer").says("write: EPIPE")
                    }),
                ]),
                claim: "the third write fails with EPIPE",
                why: "The first one's bytes were answered with a reset. After a FIN that is a broken pipe.",
            },
        ],
    },
    Quiz {
        experiment: "22/reset-before-accept",
        scene: "select says that the listening socket is readable. Then the client resets its connection. Now the server calls \
                accept.",
        questions: &[
            Question {
                ask: "What does accept do, on a listening socket that blocks?",
                answers: OneOf(&[
                    ("it waits: there is nobody any more", |seen| {
                        !seen.holds("with a blocking listener accept returns a connection")
                    }),
                    ("it returns the connection", |seen| {
                        seen.holds("with a blocking listener accept returns a connection")
                    }),
                ]),
                claim: "with a blocking listener accept returns a connection",
                why: "On Linux a connection that was reset keeps its place in the queue. Other systems take it away, and then \
                      accept waits.",
            },
            Question {
                ask: "What does the first read on it return?",
                answers: OneOf(&[
                    ("0", |seen| {
                        seen.of("nonblockingserver")
                            .calls("recvfrom(5, up to 1024 bytes) = 0")
                            > 0
                    }),
                    ("ECONNRESET", |seen| {
                        seen.of("nonblockingserver")
                            .calls("recvfrom(5, up to 1024 bytes) = ECONNRESET")
                            > 0
                    }),
                    ("EAGAIN", |seen| {
                        seen.of("nonblockingserver")
                            .calls("recvfrom(5, up to 1024 bytes) = EAGAIN")
                            > 0
                    }),
                ]),
                claim: "the first read on it fails with ECONNRESET",
                why: "The error was kept for whoever would ask.",
            },
        ],
    },
    Quiz {
        experiment: "22/rot13",
        scene: "A server has a buffer of 1024 bytes for each client, and sends each line back with its letters turned by 13. A \
                client sends a line of 100000 bytes.",
        questions: &[Question {
            ask: "How long is the answer?",
            answers: OneOf(&[
                ("1024 bytes: the rest found no room", |seen| {
                    !seen.holds("and a line of 100 000 bytes")
                }),
                ("100000 bytes", |seen| {
                    seen.holds("and a line of 100 000 bytes")
                }),
            ]),
            claim: "and a line of 100 000 bytes",
            why: "When the buffer is full the server sends what it has, and reads on. The course's server drops the rest: that is the \
                  control.",
        }],
    },
];
