//! Chapter 4: the three-way handshake.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "4/handshake",
        scene: "A client connects to a server. The wire between them holds back the third segment of the handshake, the \
                client's ACK, for a while.",
        questions: &[
            Question {
                ask: "The third segment has not arrived yet. Has connect returned?",
                answers: OneOf(&[
                    ("yes", |seen| {
                        seen.holds("connect returns after the second has arrived")
                    }),
                    (
                        "no: it waits until the connection exists at both ends",
                        |seen| !seen.holds("connect returns after the second has arrived"),
                    ),
                ]),
                claim: "connect returns after the second has arrived",
                why: "With the SYN ACK the client knows that the server hears it and answers. For the client the connection \
                      is established.",
            },
            Question {
                ask: "Has accept?",
                answers: OneOf(&[
                    ("yes, before the third has arrived", |seen| {
                        !seen.holds("accept has not returned by then")
                    }),
                    ("no, but it does when the third arrives", |seen| {
                        seen.holds("accept has not returned by then")
                            && seen.holds("accept returns after the third has arrived")
                    }),
                    ("no, and it never does", |seen| {
                        seen.holds("accept has not returned by then")
                            && !seen.holds("accept returns after the third has arrived")
                    }),
                ]),
                claim: "accept returns after the third has arrived",
                why: "Until the third segment the server does not know whether the client has heard it: its end is in \
                      SYN-RECEIVED, and accept hands out connections that are established.",
            },
            Question {
                ask: "How many segments without any data pass before the connection is established at both ends?",
                answers: Number(|seen| {
                    let first_data = seen
                        .packets()
                        .carrying_data()
                        .first()
                        .map(|packet| packet.sent);
                    let before = |sent| first_data.is_none_or(|first| sent < first);
                    Some(seen.packets().that(|packet| before(packet.sent)).count())
                }),
                claim: "SYN, SYN ACK, ACK arrive in this order",
                why: "SYN, SYN ACK, ACK: three, and so it is called.",
            },
        ],
    },
    Quiz {
        experiment: "4/handshake-without-accept",
        scene: "A server has called listen and never calls accept. A client connects and sends five bytes.",
        questions: &[
            Question {
                ask: "What does the client's connect do?",
                answers: OneOf(&[
                    ("it fails with ECONNREFUSED", |seen| {
                        seen.of("connect").complains("Connection refused")
                    }),
                    ("it waits until the server calls accept", |seen| {
                        !seen.of("connect").complains("")
                            && !seen.of("connect").says("connected to")
                    }),
                    ("it succeeds at once", |seen| {
                        seen.of("connect").says("connected to")
                    }),
                ]),
                claim: "the client's end is ESTABLISHED",
                why: "The handshake is the work of two kernels. listen asks for it; accept only fetches what is ready.",
            },
            Question {
                ask: "Where are the five bytes a moment later?",
                answers: OneOf(&[
                    (
                        "in the client's kernel, which does not send them yet",
                        |seen| seen.of("connect").sent().carrying_data().count() == 0,
                    ),
                    (
                        "in the server's kernel, which has acknowledged them",
                        |seen| seen.holds("the data waits in the server's kernel"),
                    ),
                    ("with the server's process, which has read them", |seen| {
                        seen.of("make-socket").says("received")
                            || !seen.holds("one connection waits to be accepted")
                    }),
                    ("nowhere: the answer was a reset", |seen| {
                        seen.of("connect").gets(RST)
                    }),
                ]),
                claim: "the data waits in the server's kernel",
                why: "The connection exists, and so does its receive buffer. Whoever accepts it later finds the data \
                      there.",
            },
        ],
    },
    Quiz {
        experiment: "4/refused",
        scene: "A client connects to a host that is up. Nobody listens on the port.",
        questions: &[
            Question {
                ask: "What comes back for the SYN?",
                answers: OneOf(&[
                    ("nothing", |seen| seen.of("connect").received().count() == 0),
                    ("RST, with ACK", |seen| seen.of("connect").gets(RST | ACK)),
                    ("an ICMP message: port unreachable", |seen| {
                        seen.packets().icmp(3, 3).count() > 0
                    }),
                    ("SYN ACK, and then FIN", |seen| {
                        seen.of("connect").gets(SYN | ACK)
                    }),
                ]),
                claim: "the answer to the SYN is a reset",
                why: "TCP has an answer of its own for a port without a listener. Port unreachable is what UDP's kernel \
                      would say.",
            },
            Question {
                ask: "How does connect fail?",
                answers: OneOf(&[
                    ("ETIMEDOUT", |seen| {
                        seen.of("connect").complains("timed out")
                    }),
                    ("ECONNRESET", |seen| {
                        seen.of("connect").complains("Connection reset")
                    }),
                    ("ECONNREFUSED", |seen| {
                        seen.of("connect").complains("Connection refused")
                    }),
                    ("it does not", |seen| !seen.of("connect").complains("Error")),
                ]),
                claim: "connect fails with ECONNREFUSED",
                why: "A reset in the middle of the handshake is a refusal. ECONNRESET is for a connection that existed.",
            },
            Question {
                ask: "How often is the SYN sent?",
                answers: Number(|seen| Some(seen.of("connect").sent().with(SYN).count())),
                claim: "the SYN is not sent again",
                why: "There was an answer. Only silence makes the kernel send it again.",
            },
        ],
    },
];
