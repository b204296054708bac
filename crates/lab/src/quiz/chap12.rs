//! Chapter 12: keep-alive and heartbeat.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "12/keepalive-defaults",
        scene: "A client has switched keep-alive on and set nothing else. The server has not. Nobody says anything.",
        questions: &[
            Question {
                ask: "After how many seconds of silence does the client's kernel send its first probe?",
                answers: Number(|seen| seen.of("keepalive client").number_after("TCP_KEEPIDLE: ")),
                claim: "the client's socket has a timer of two hours",
                why: "Two hours: tcp_keepalive_time.",
            },
            Question {
                ask: "How many probes stay without an answer before it gives up?",
                answers: Number(|seen| seen.of("keepalive client").number_after("TCP_KEEPCNT: ")),
                claim: "the variables of the host are 7200 seconds, 75 seconds and 9 probes",
                why: "Nine, 75 seconds apart. A dead host is noticed after 2 hours, 11 minutes and 15 seconds.",
            },
            Question {
                ask: "The client's host dies. When does the server find out?",
                answers: OneOf(&[
                    ("never", |seen| {
                        seen.of("keepalive server")
                            .says("a dead peer is never noticed")
                    }),
                    ("after two hours and a bit, too", |seen| {
                        seen.of("keepalive server")
                            .says("a dead peer is noticed after")
                    }),
                ]),
                claim: "the server's, where nobody asked for it, has none",
                why: "Keep-alive is off unless asked for, and each end asks for itself.",
            },
        ],
    },
    Quiz {
        experiment: "12/keepalive-rebooted-host",
        scene: "A client waits in read, with keep-alive on. The server's host loses its power and is back a moment later. \
                Nobody sends anything until the first probe.",
        questions: &[
            Question {
                ask: "What does the first probe bring?",
                answers: OneOf(&[
                    ("an ACK: the host is up", |seen| {
                        seen.of("keepalive client").gets(ACK)
                            && seen
                                .of("keepalive client")
                                .received()
                                .without(SYN)
                                .with(ACK)
                                .count()
                                > 0
                    }),
                    ("nothing", |seen| {
                        !seen.of("keepalive client").gets(RST)
                            && seen
                                .of("keepalive client")
                                .received()
                                .without(SYN)
                                .with(ACK)
                                .count()
                                == 0
                    }),
                    ("RST", |seen| seen.of("keepalive client").gets(RST)),
                ]),
                claim: "a probe is answered with a reset",
                why: "The host is up, and knows of no such connection.",
            },
            Question {
                ask: "And the client's read?",
                answers: OneOf(&[
                    ("it returns 0", |seen| {
                        seen.of("keepalive client").says("read returned")
                            && !seen.of("keepalive client").complains("read:")
                    }),
                    ("it fails with ETIMEDOUT", |seen| {
                        seen.of("keepalive client")
                            .complains("read: Connection timed out")
                    }),
                    ("it fails with ECONNRESET", |seen| {
                        seen.of("keepalive client")
                            .complains("read: Connection reset")
                    }),
                    ("it goes on waiting", |seen| {
                        !seen.of("keepalive client").says("read returned")
                    }),
                ]),
                claim: "the client's read fails with ECONNRESET",
                why: "ETIMEDOUT is for probes that nobody answers.",
            },
        ],
    },
    Quiz {
        experiment: "12/in-pieces",
        scene: "A PING has 1028 bytes. A client sends one in two segments, of 600 and 428 bytes, and then two more in one \
                segment.",
        questions: &[Question {
            ask: "How many PONGs of 1028 bytes come back, all together?",
            answers: Number(|seen| {
                Some(seen.of("pingserver").sent().carrying_data().bytes() / 1028)
            }),
            claim: "three PONGs come back",
            why: "The server counts messages and not reads: it knows how long a PING is.",
        }],
    },
    Quiz {
        experiment: "12/dead",
        scene: "A client sends a PING when it has heard nothing for a while, and another one when no answer comes, as its rules \
                say. The server's program is stuck: it takes the connection and answers much too late. Its host is well.",
        questions: &[
            Question {
                ask: "What does the server's kernel do with the PINGs?",
                answers: OneOf(&[
                    ("it acknowledges them", |seen| {
                        seen.holds(
                            "the server's kernel acknowledges all of them: the connection is well, it is the program that is stuck",
                        )
                    }),
                    ("it keeps silent, because the program does", |seen| {
                        !seen.holds(
                            "the server's kernel acknowledges all of them: the connection is well, it is the program that is stuck",
                        ) && !seen.of("pingserver").sends(RST)
                    }),
                    ("it resets the connection", |seen| {
                        seen.of("pingserver").sends(RST)
                    }),
                ]),
                claim: "the server's kernel acknowledges all of them: the connection is well, it is the program that is stuck",
                why: "Keep-alive would find nothing wrong here. It asks kernels, and a heartbeat asks programs.",
            },
            Question {
                ask: "How many PINGs does the client send before it gives up?",
                answers: Number(|seen| Some(seen.of("pingclient").count("sending heartbeat"))),
                claim: "the client sends exactly three PINGs",
                why: "Three without an answer: that is this client's rule, and nobody else's.",
            },
        ],
    },
];
