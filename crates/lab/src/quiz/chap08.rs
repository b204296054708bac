//! Chapter 8: tools.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "8/traceroute",
        scene: "Between a host and a server is one router. traceroute sends datagrams to a port of the server that nobody \
                has, the first with a time to live of 1, the next with 2.",
        questions: &[
            Question {
                ask: "What does the router do with the first one?",
                answers: OneOf(&[
                    (
                        "it throws it away, and says so: ICMP time exceeded",
                        |seen| {
                            seen.of("traceroute")
                                .received()
                                .icmp(11, 0)
                                .arrived()
                                .count()
                                > 0
                        },
                    ),
                    ("it throws it away, and nobody hears of it", |seen| {
                        seen.of("traceroute")
                            .received()
                            .icmp(11, 0)
                            .arrived()
                            .count()
                            == 0
                    }),
                ]),
                claim: "over IPv4 the router has said that the first request's time is used up",
                why: "Every router takes one from the time to live. Who comes to 0 throws the packet away and tells the \
                      sender, from its own address.",
            },
            Question {
                ask: "How does the sender know that it has reached the server?",
                answers: OneOf(&[
                    ("the server answers with a datagram", |seen| {
                        seen.of("server").sent().udp().count() > 0
                    }),
                    ("the server says ICMP time exceeded, too", |seen| {
                        let of_server = seen.of("server").sent();
                        of_server.icmp(11, 0).count() > 0
                    }),
                    ("the server says ICMP port unreachable", |seen| {
                        seen.of("server").sent().udp().count() == 0
                            && seen.of("server").sent().icmp(3, 3).count() > 0
                    }),
                ]),
                claim: "over IPv4 the server has said that nobody listens at the second request's port",
                why: "Only the host that the datagram is meant for looks at the port.",
            },
        ],
    },
    Quiz {
        experiment: "8/who-has-the-port",
        scene: "A server has a port. Another one is started with the same port. Then lsof is asked about it.",
        questions: &[
            Question {
                ask: "How does the second server fail?",
                answers: OneOf(&[
                    ("bind fails with EADDRINUSE", |seen| {
                        seen.of("graceserver 2")
                            .complains("bind 127.0.0.1:43211: Address already in use")
                    }),
                    ("listen fails with EADDRINUSE", |seen| {
                        seen.of("graceserver 2")
                            .complains("listen 127.0.0.1:43211: Address already in use")
                    }),
                    ("bind fails with EACCES", |seen| {
                        seen.of("graceserver 2").complains("Permission denied")
                    }),
                    ("it does not: the later one takes the port over", |seen| {
                        !seen.of("graceserver 2").complains("Error")
                    }),
                ]),
                claim: "the second server's bind fails with EADDRINUSE",
                why: "bind asks for the port, and somebody listens there.",
            },
            Question {
                ask: "Whose port does lsof say it is?",
                answers: OneOf(&[
                    (
                        "the first server's, with its process id and descriptor",
                        |seen| seen.holds("lsof names the process that has the port"),
                    ),
                    ("the kernel's: sockets belong to nobody", |seen| {
                        !seen.holds("lsof names the process that has the port")
                    }),
                ]),
                claim: "lsof names the process that has the port",
                why: "The kernel's table of sockets has a number for each, and /proc shows which process has a descriptor for \
                      that number.",
            },
        ],
    },
    Quiz {
        experiment: "8/udp-capture",
        scene: "tcpdump watches the server's interface. A client sends a datagram to the server, and is answered.",
        questions: &[
            Question {
                ask: "Does the server still get the datagram that tcpdump has shown?",
                answers: OneOf(&[
                    ("no: a packet is read once", |seen| {
                        !seen.of("udpserver").says("received 5 bytes: data1")
                    }),
                    ("yes", |seen| {
                        seen.of("udpserver").says("received 5 bytes: data1")
                    }),
                ]),
                claim: "a datagram of 5 bytes goes to the server, and one of 9 comes back",
                why: "A packet socket gets a copy of what passes.",
            },
            Question {
                ask: "How many packets does tcpdump show?",
                answers: Number(|seen| Some(seen.of("tcpdump").count("IP 10.0.0."))),
                claim: "tcpdump shows both",
                why: "The question and the answer. It was told to show UDP; the control asks for TCP and sees none.",
            },
        ],
    },
];
