//! Chapter 17: TCP is not always reliable.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "17/read-sees-fin",
        scene: "A client has sent a line and waits in read for the answer. Before there is one, the server is killed with \
                kill -9. That happens twice: the first server has read the line, the second one has not.",
        questions: &[
            Question {
                ask: "The first server had read everything. What does the client's read return?",
                answers: OneOf(&[
                    ("it does not return: nobody closed the connection", |seen| {
                        seen.of("reliable-client01").ended("exited")
                            && !seen.of("reliable-client01").says("peer connection closed")
                            && !seen.of("reliable-client01").complains("read:")
                    }),
                    ("0, as if the server had closed", |seen| {
                        seen.of("reliable-client01").says("peer connection closed")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("reliable-client01").complains("Connection reset")
                    }),
                    ("an error, EPIPE", |seen| {
                        seen.of("reliable-client01").complains("Broken pipe")
                    }),
                ]),
                claim: "the client's read returns 0, as if the server had closed",
                why: "The kernel closes what a killed process had open, and sends FIN. A client cannot tell a server that is \
                      done from one that was killed.",
            },
            Question {
                ask: "The second one had not read the line. What does the client's read return now?",
                answers: OneOf(&[
                    ("0", |seen| {
                        seen.of("reliable-client01 2")
                            .says("peer connection closed")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("reliable-client01 2").complains("Connection reset")
                    }),
                    ("an error, ETIMEDOUT", |seen| {
                        seen.of("reliable-client01 2").complains("timed out")
                    }),
                ]),
                claim: "and the client's read fails with ECONNRESET",
                why: "With unread input the kernel sends RST in place of FIN.",
            },
        ],
    },
    Quiz {
        experiment: "17/write-until-error",
        scene: "A client sends line after line and never reads. After its first line the server is killed: it has read \
                that line. Then the client sends three more. SIGPIPE is ignored.",
        questions: &[
            Question {
                ask: "What does the first send after the server's death return?",
                answers: OneOf(&[
                    ("19: it succeeds", |seen| {
                        seen.of("reliable-client02").count("send into buffer 19") == 2
                    }),
                    ("an error, EPIPE", |seen| {
                        seen.of("reliable-client02").count("send into buffer 19") == 1
                            && seen
                                .of("reliable-client02")
                                .complaint(0)
                                .contains("Broken pipe")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("reliable-client02").count("send into buffer 19") == 1
                            && seen
                                .of("reliable-client02")
                                .complaint(0)
                                .contains("Connection reset")
                    }),
                ]),
                claim: "after the FIN one send succeeds",
                why: "A FIN says that the server sends nothing more. It does not say that it hears nothing more: the \
                      client's kernel has no reason to refuse.",
            },
            Question {
                ask: "And the second?",
                answers: OneOf(&[
                    ("19: it succeeds, too", |seen| {
                        seen.of("reliable-client02").count("send into buffer 19") > 2
                    }),
                    ("an error, EPIPE", |seen| {
                        seen.of("reliable-client02")
                            .complaint(0)
                            .contains("Broken pipe")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("reliable-client02")
                            .complaint(0)
                            .contains("Connection reset")
                    }),
                ]),
                claim: "the next one fails with EPIPE, and so does the one after it",
                why: "The first line was answered with a reset. The FIN had come before it, so that the kernel calls it a \
                      broken pipe.",
            },
            Question {
                ask: "Another server is killed with the line still unread. How does the first send fail after that?",
                answers: OneOf(&[
                    ("it does not: one send succeeds, as before", |seen| {
                        seen.of("reliable-client02 2").count("send into buffer 19") > 1
                    }),
                    ("with EPIPE", |seen| {
                        seen.of("reliable-client02 2")
                            .complaint(0)
                            .contains("Broken pipe")
                    }),
                    ("with ECONNRESET", |seen| {
                        seen.of("reliable-client02 2")
                            .complaint(0)
                            .contains("Connection reset")
                    }),
                ]),
                claim: "then the first send fails with ECONNRESET, and only the next one with EPIPE",
                why: "The reset is there already. It is told once, as ECONNRESET; after that there is no connection, and that \
                      is EPIPE.",
            },
        ],
    },
    Quiz {
        experiment: "17/network-cut",
        scene: "The wire between client and server is cut, and nobody is told. Then the client sends three bytes and waits \
                in read for the answer. Its host has tcp_retries2 set to 2; the default is 15.",
        questions: &[
            Question {
                ask: "What does the client's send return?",
                answers: OneOf(&[
                    ("3", |seen| {
                        seen.of("reliable-client01").count("send bytes") == 2
                    }),
                    ("an error, ENETUNREACH", |seen| {
                        seen.of("reliable-client01")
                            .complains("send: Network is unreachable")
                    }),
                    ("an error, ETIMEDOUT, after a while", |seen| {
                        seen.of("reliable-client01")
                            .complains("send: Connection timed out")
                    }),
                ]),
                claim: "the send succeeds",
                why: "send copies into the send buffer. Whether anything arrives is found out later.",
            },
            Question {
                ask: "How many times do the three bytes leave, all together?",
                answers: Number(|seen| {
                    let of_client = seen.of("reliable-client01").sent();
                    Some(of_client.that(|packet| packet.length == 3).count())
                }),
                claim: "the data goes out once, once more as a tail loss probe, and two or three times because of the \
                        retransmission timer",
                why: "Once, once more as a tail loss probe, and then by the retransmission timer: tcp_retries2 stands for a \
                      time, that of two retransmissions and the wait after them, and not for a count of packets.",
            },
            Question {
                ask: "What does the client's read return in the end?",
                answers: OneOf(&[
                    ("0", |seen| {
                        seen.of("reliable-client01").says("peer connection closed")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("reliable-client01")
                            .complains("read: Connection reset")
                    }),
                    ("an error, ETIMEDOUT", |seen| {
                        seen.of("reliable-client01")
                            .complains("read: Connection timed out")
                    }),
                    ("nothing: it waits for ever", |seen| {
                        !seen.of("reliable-client01").ended("exited")
                    }),
                ]),
                claim: "then the client's read fails with ETIMEDOUT",
                why: "Somebody has to give up, and that is who has sent something. With the default it takes a quarter of an \
                      hour.",
            },
            Question {
                ask: "And the server's end of the connection?",
                answers: OneOf(&[
                    ("it is gone", |seen| {
                        !seen.holds("the server's end is ESTABLISHED: nobody has told it")
                    }),
                    ("it is ESTABLISHED", |seen| {
                        seen.holds("the server's end is ESTABLISHED: nobody has told it")
                    }),
                ]),
                claim: "the server's end is ESTABLISHED: nobody has told it",
                why: "It has nothing to send, so it finds out nothing. That is what heartbeats are for.",
            },
        ],
    },
    Quiz {
        experiment: "17/acked-but-not-read",
        scene: "The server's program stands still. The client sends four bytes. Then the server's host crashes.",
        questions: &[
            Question {
                ask: "What did the server's kernel do with the four bytes before the crash?",
                answers: OneOf(&[
                    ("it acknowledged them", |seen| {
                        seen.holds(
                            "the other kernel acknowledges all four bytes, and the client's send buffer is empty",
                        )
                    }),
                    ("it kept them back: the program had not read them", |seen| {
                        !seen.holds(
                            "the other kernel acknowledges all four bytes, and the client's send buffer is empty",
                        )
                    }),
                ]),
                claim: "the other kernel acknowledges all four bytes, and the client's send buffer is empty",
                why: "An ACK says that a kernel has them. It says nothing of the program.",
            },
            Question {
                ask: "What does the client hear of the loss?",
                answers: OneOf(&[
                    ("a reset", |seen| seen.of("reliable-client01").gets(RST)),
                    ("a FIN", |seen| seen.of("reliable-client01").gets(FIN)),
                    ("nothing", |seen| {
                        seen.holds("the client hears nothing: no answer, no FIN, no RST")
                    }),
                    ("an answer", |seen| {
                        seen.of("reliable-client01").prints("good")
                    }),
                ]),
                claim: "the client hears nothing: no answer, no FIN, no RST",
                why: "Its kernel has nothing left to send, and so nothing to miss. Only an answer of the program would say that \
                      the program has read them.",
            },
        ],
    },
];
