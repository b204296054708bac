//! Chapter 18: validating data.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "18/exactly-full",
        scene: "A server has a buffer of 128 bytes and calls read with all of it. 133 bytes come in one segment: 128 and then \
                next, with a newline.",
        questions: &[
            Question {
                ask: "What does the first read return?",
                answers: Number(|seen| seen.of("samplebuffer01").number_after("received ")),
                claim: "the first read returns 128: the buffer is full",
                why: "As much as fits. A C program that writes a 0 behind it, at buffer[128], writes where it has no right to.",
            },
            Question {
                ask: "And the second?",
                answers: OneOf(&[
                    ("0: the segment has been read", |seen| {
                        !seen.of("samplebuffer01").says("received 5 bytes")
                    }),
                    ("5", |seen| {
                        seen.of("samplebuffer01").says("received 5 bytes")
                    }),
                ]),
                claim: "the next read returns the other five, the one after it the end of file",
                why: "A stream does not lose what does not fit. Segments are nothing to a reader.",
            },
        ],
    },
    Quiz {
        experiment: "18/lying-length",
        scene: "A message says that its body has 65535 bytes. Twelve come, and the client waits for an answer. It is sent to two \
                servers: one compares the length with its limit of 128, the other believes every length.",
        questions: &[
            Question {
                ask: "What does the first server's client see?",
                answers: OneOf(&[
                    ("an answer", |seen| {
                        !seen.of("samplebuffer02").complains("Error")
                            && seen.of("samplebuffer02").ended("exited")
                    }),
                    ("ECONNRESET", |seen| {
                        seen.of("samplebuffer02").complains("Connection reset")
                    }),
                    ("nothing: it waits", |seen| {
                        !seen.of("samplebuffer02").ended("exited")
                    }),
                ]),
                claim: "the server that checks resets the connection, and the client is told: ECONNRESET",
                why: "Refused at the first look, with the body unread.",
            },
            Question {
                ask: "When does the other server notice that something is wrong?",
                answers: OneOf(&[
                    ("at once", |seen| {
                        seen.of("streamserver 2").complains("client")
                    }),
                    ("when a timer in its kernel runs out", |seen| {
                        !seen.of("streamserver 2").complains("client")
                            && !seen.holds(
                                "no timer runs at either end: unless the client says more or leaves, nothing will ever wake it",
                            )
                    }),
                    ("never", |seen| {
                        !seen.of("streamserver 2").complains("client")
                            && seen.holds(
                                "no timer runs at either end: unless the client says more or leaves, nothing will ever wake it",
                            )
                    }),
                ]),
                claim: "no timer runs at either end: unless the client says more or leaves, nothing will ever wake it",
                why: "It waits in read for 65523 bytes more. To TCP this is a connection on which nobody has anything to say.",
            },
        ],
    },
    Quiz {
        experiment: "18/read-timeout",
        scene: "A server has set SO_RCVTIMEO to 0.6 seconds. A client sends four bytes, and then nothing.",
        questions: &[Question {
            ask: "What does the server's second read return?",
            answers: OneOf(&[
                ("0", |seen| {
                    seen.of("readtimeout").calls("up to 4096 bytes) = 0") > 0
                }),
                ("an error, ETIMEDOUT", |seen| {
                    seen.of("readtimeout")
                        .calls("up to 4096 bytes) = ETIMEDOUT")
                        > 0
                }),
                ("an error, EAGAIN", |seen| {
                    seen.of("readtimeout").calls("up to 4096 bytes) = EAGAIN") > 0
                }),
                ("nothing: it goes on waiting", |seen| {
                    seen.of("readtimeout").calls("up to 4096 bytes) = 0") == 0
                        && seen.of("readtimeout").calls("up to 4096 bytes) = E") == 0
                }),
            ]),
            claim: "a read fails with EAGAIN",
            why: "The connection is well, and it is only the time that is up: the same error as on a socket that does not \
                      block. ETIMEDOUT would mean that the peer is gone.",
        }],
    },
];
