//! Chapter 5: reading and writing.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "5/blocking-send",
        scene: "The client's send buffer and the server's receive buffer have 400000 bytes each. The client sends 10240000 \
                bytes with one call, on a socket that blocks. For a while the server stands still; then it reads them all, \
                1024 at a time.",
        questions: &[
            Question {
                ask: "When does the call return?",
                answers: OneOf(&[
                    ("at once: the kernel takes everything", |seen| {
                        !seen.holds("with both full, send waits")
                    }),
                    (
                        "when the reader has taken all but what the buffers hold",
                        |seen| {
                            seen.holds("with both full, send waits")
                            && seen.holds("by then the reader has taken all but what the two buffers hold")
                        },
                    ),
                    (
                        "earlier, when the buffers are full, with a short count",
                        |seen| {
                            seen.holds("with both full, send waits")
                            && !seen.holds("by then the reader has taken all but what the two buffers hold")
                        },
                    ),
                ]),
                claim: "by then the reader has taken all but what the two buffers hold",
                why: "A blocking send waits until the last byte has found room in the send buffer. The bytes before it \
                      must have left by then.",
            },
            Question {
                ask: "What does it return?",
                answers: OneOf(&[
                    ("10240000", |seen| {
                        seen.of("tcpclient").says("send into buffer 10240000 after")
                    }),
                    ("400000, the size of the send buffer", |seen| {
                        seen.of("tcpclient").says("send into buffer 400000 after")
                    }),
                    ("0", |seen| {
                        seen.of("tcpclient").says("send into buffer 0 after")
                    }),
                ]),
                claim: "one send returns the whole count",
                why: "On Linux a blocking send takes all, unless a signal or an error comes in between.",
            },
        ],
    },
    Quiz {
        experiment: "5/slow-reader",
        scene: "The server reads 1024 bytes at a time and pauses after each. The client has a send buffer of 4 MiB, sends \
                1024000 bytes with one call, and ends.",
        questions: &[
            Question {
                ask: "How much has the server read when the client's call returns?",
                answers: OneOf(&[
                    ("everything", |seen| {
                        !seen.holds("the reader has read less than half of it by then")
                    }),
                    ("less than half of it", |seen| {
                        seen.holds("the reader has read less than half of it by then")
                    }),
                ]),
                claim: "the reader has read less than half of it by then",
                why: "send only waits for room in its own kernel's buffer, and there is room for all of it.",
            },
            Question {
                ask: "The client's process has ended. What becomes of the bytes that have not been read?",
                answers: OneOf(&[
                    ("they are lost: a reset tells the server so", |seen| {
                        seen.of("tcpclient").sends(RST)
                    }),
                    (
                        "they wait in the client's kernel, which goes on sending",
                        |seen| {
                            seen.holds(
                                "the rest waits in the kernel, in a queue whose process is gone",
                            ) && !seen.of("tcpclient").sends(RST)
                        },
                    ),
                    ("they have all reached the server's kernel before", |seen| {
                        !seen
                            .holds("the rest waits in the kernel, in a queue whose process is gone")
                            && !seen.of("tcpclient").sends(RST)
                    }),
                ]),
                claim: "the rest waits in the kernel, in a queue whose process is gone",
                why: "What send has taken is the kernel's business. It sends it, and the FIN after it, without the process.",
            },
        ],
    },
];
