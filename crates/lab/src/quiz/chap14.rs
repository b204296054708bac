//! Chapter 14: connected UDP.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "14/refused",
        scene: "Nobody is at the port. A client connects its UDP socket to it, sends a line and waits for the answer. Another \
                client connects and sends two lines, and waits for nothing in between.",
        questions: &[
            Question {
                ask: "Which call of the first client fails?",
                answers: OneOf(&[
                    ("connect", |seen| seen.of("client").complains("connect 1")),
                    ("send", |seen| seen.of("client").complains("send:")),
                    ("recv", |seen| seen.of("client").complains("recv:")),
                    ("none: it waits", |seen| {
                        !seen.of("client").complains("Error")
                    }),
                ]),
                claim: "the call that waits for the answer fails with ECONNREFUSED",
                why: "connect only notes the address. send hands the datagram over. Then the ICMP message comes, and the next \
                      call tells of it.",
            },
            Question {
                ask: "What becomes of the other client's second send?",
                answers: OneOf(&[
                    ("it succeeds, like the first", |seen| {
                        seen.of("another").count("send bytes") > 1
                    }),
                    ("it fails with ECONNREFUSED, and nothing leaves", |seen| {
                        seen.of("another").complains("send: Connection refused")
                            && seen.of("another").sent().udp().count() == 1
                    }),
                    (
                        "it fails with ECONNREFUSED, and the datagram leaves",
                        |seen| {
                            seen.of("another").complains("send: Connection refused")
                                && seen.of("another").sent().udp().count() > 1
                        },
                    ),
                ]),
                claim: "of a client that does not wait, the next send fails",
                why: "The error belongs to the first datagram and is told by the second call, which does nothing else.",
            },
        ],
    },
    Quiz {
        experiment: "14/second-client-refused",
        scene: "A UDP server connects its one socket to the first client that sends something. A second client sends a line to \
                the same port, from a connected socket of its own.",
        questions: &[
            Question {
                ask: "What does the second client get?",
                answers: OneOf(&[
                    ("its answer, in its turn", |seen| {
                        seen.of("udpconnectclient2 2").says("Hi,")
                    }),
                    ("nothing: it waits", |seen| {
                        !seen.of("udpconnectclient2 2").says("Hi,")
                            && !seen.of("udpconnectclient2 2").complains("Error")
                    }),
                    ("ECONNREFUSED, as if no server were there", |seen| {
                        seen.of("udpconnectclient2 2")
                            .complains("Connection refused")
                    }),
                ]),
                claim: "the second client gets ECONNREFUSED",
                why: "A connected socket takes datagrams from its peer only. For all others nobody has the port.",
            },
            Question {
                ask: "What does the server's kernel send to it?",
                answers: OneOf(&[
                    ("ICMP: port unreachable", |seen| {
                        seen.of("udpconnectclient2 2").received().icmp(3, 3).count() > 0
                    }),
                    ("RST", |seen| seen.of("udpconnectclient2 2").gets(RST)),
                    ("nothing", |seen| {
                        seen.of("udpconnectclient2 2").received().count() == 0
                    }),
                    ("a datagram", |seen| {
                        seen.of("udpconnectclient2 2").received().udp().count() > 0
                    }),
                ]),
                claim: "though there is a server, the kernel answers that the port is unreachable",
                why: "It has looked for a socket that would take this datagram, and found none.",
            },
        ],
    },
    Quiz {
        experiment: "14/sendto-elsewhere",
        scene: "A UDP socket is connected to one server. The program calls sendto with the address of another one, and that \
                one answers.",
        questions: &[
            Question {
                ask: "Where does the datagram go?",
                answers: OneOf(&[
                    ("to the server that the socket is connected to", |seen| {
                        seen.of("peer").says("received 2 bytes: g1")
                    }),
                    ("to the address in the call", |seen| {
                        seen.of("other").says("received 2 bytes: g1")
                    }),
                    ("nowhere: sendto fails with EISCONN", |seen| {
                        seen.of("udpreconnect").complains("already connected")
                    }),
                ]),
                claim: "the datagram goes to the address in the call, and not to the peer",
                why: "On Linux the address in the call wins. EISCONN is what POSIX allows, and what BSD systems say.",
            },
            Question {
                ask: "Does the answer reach the program?",
                answers: OneOf(&[
                    ("yes", |seen| seen.of("udpreconnect").says("Hi, g1")),
                    ("no: its own kernel refuses it", |seen| {
                        !seen.of("udpreconnect").says("Hi, g1")
                            && seen.of("udpreconnect").sent().icmp(3, 3).count() > 0
                    }),
                    ("no: it is thrown away in silence", |seen| {
                        !seen.of("udpreconnect").says("Hi, g1")
                            && seen.of("udpreconnect").sent().icmp(3, 3).count() == 0
                    }),
                ]),
                claim: "the answer from there is refused: the socket takes only its peer's",
                why: "For receiving, the socket still has its one peer.",
            },
        ],
    },
];
