//! Chapter 6: UDP.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "6/client-alone",
        scene: "A UDP client sends a datagram to a port where nobody is, and waits for the answer. Its socket is not \
                connected.",
        questions: &[
            Question {
                ask: "What does sendto return for the two bytes?",
                answers: OneOf(&[
                    ("2", |seen| seen.of("udpclient").says("send bytes: 2")),
                    ("an error, ECONNREFUSED", |seen| {
                        seen.of("udpclient").complains("Connection refused")
                    }),
                    ("nothing: it waits", |seen| {
                        !seen.of("udpclient").says("send bytes")
                            && !seen.of("udpclient").complains("Connection refused")
                    }),
                ]),
                claim: "its send call had succeeded",
                why: "It hands the datagram over. Nobody is asked before.",
            },
            Question {
                ask: "What comes back?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        seen.of("udpclient").received().count() == 0
                    }),
                    ("an ICMP message: port unreachable", |seen| {
                        seen.of("udpclient").received().icmp(3, 3).count() > 0
                    }),
                    ("a datagram", |seen| {
                        seen.of("udpclient").received().udp().count() > 0
                    }),
                    ("RST", |seen| seen.of("udpclient").gets(RST)),
                ]),
                claim: "the kernel answers that the port is unreachable",
                why: "UDP has no flag for a refusal. ICMP says it.",
            },
            Question {
                ask: "What does the client's receive call do?",
                answers: OneOf(&[
                    ("it fails with ECONNREFUSED", |seen| {
                        seen.of("udpclient").complains("Connection refused")
                    }),
                    ("it returns with data", |seen| {
                        seen.of("udpclient").says("Hi,")
                    }),
                    ("it goes on waiting", |seen| {
                        !seen.of("udpclient").complains("Connection refused")
                            && !seen.of("udpclient").says("Hi,")
                    }),
                ]),
                claim: "the client waits in its receive call all the same",
                why: "An unconnected socket may have sent to many. Its owner could not tell whom the error is about, so it \
                      is not told at all.",
            },
        ],
    },
    Quiz {
        experiment: "6/truncated",
        scene: "A UDP client sends a datagram of ten bytes, 0123456789, and then one of three, abc. The server reads with a \
                buffer of four bytes.",
        questions: &[
            Question {
                ask: "How many bytes of the first datagram does the server get?",
                answers: Number(|seen| seen.of("udpserver").number_after("received ")),
                claim: "four bytes of ten are read",
                why: "One read, one datagram, as much of it as fits.",
            },
            Question {
                ask: "What does its next read return?",
                answers: OneOf(&[
                    ("4567, the next four bytes", |seen| {
                        seen.of("udpserver").says("received 4 bytes: 4567")
                    }),
                    ("abc, the next datagram", |seen| {
                        !seen.of("udpserver").says("received 4 bytes: 4567")
                            && seen.of("udpserver").says("received 3 bytes: abc")
                    }),
                    ("an error, EMSGSIZE", |seen| {
                        seen.of("udpserver").complains("Message too long")
                    }),
                ]),
                claim: "the next read gives the next datagram, not the rest",
                why: "The other six bytes are gone. A datagram is not a stream.",
            },
        ],
    },
    Quiz {
        experiment: "6/server-restart",
        scene: "A UDP server has answered two clients. It is stopped and started again. The clients know nothing of that, and \
                send their next lines.",
        questions: &[
            Question {
                ask: "What does the first client get for its next line?",
                answers: OneOf(&[
                    ("the answer", |seen| seen.of("udpclient").says("Hi, g3")),
                    ("an error", |seen| seen.of("udpclient").complains("Error")),
                    ("nothing: it has to say first that it is there", |seen| {
                        !seen.of("udpclient").says("Hi, g3")
                            && !seen.of("udpclient").complains("Error")
                    }),
                ]),
                claim: "both clients have answers from the new server",
                why: "There was no connection that could be lost. Each datagram stands for itself.",
            },
            Question {
                ask: "How many packets passed, for four lines and their answers?",
                answers: Number(|seen| Some(seen.packets().count())),
                claim: "each asks from the port that it had before",
                why: "A datagram for each line and one for each answer. Nothing opens a conversation, and nothing ends it.",
            },
        ],
    },
];
