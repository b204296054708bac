//! Chapter 3: socket addresses.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "3/bytes",
        scene: "A program fills in a sockaddr_in for 127.0.0.1, port 43211, as the kernel wants it. The port is 0xa8cb in \
                hexadecimal. Then a client connects to it, and its packets are looked at.",
        questions: &[
            Question {
                ask: "Which byte of the port comes first in memory?",
                answers: OneOf(&[
                    ("a8, the most significant one", |seen| {
                        seen.of("addresses").says("sin_port      a8 cb")
                    }),
                    ("cb, the least significant one", |seen| {
                        seen.of("addresses").says("sin_port      cb a8")
                    }),
                ]),
                claim: "they are a8 cb: the most significant byte first",
                why: "It goes into the TCP header as it lies in memory, and there the most significant byte comes first.",
            },
            Question {
                ask: "The family, AF_INET, is the number 2. How does it lie in memory?",
                answers: OneOf(&[
                    ("00 02, like the port", |seen| {
                        seen.of("addresses").says("sin_family    00 02")
                    }),
                    ("02 00, in the order of this machine", |seen| {
                        seen.of("addresses").says("sin_family    02 00")
                    }),
                ]),
                claim: "the family is in this machine's order",
                why: "The family never goes over the wire. It is for the kernel, which runs on the same machine.",
            },
        ],
    },
    Quiz {
        experiment: "3/layouts",
        scene: "A program calls bind with addresses that are right, and says how long they are. Once it says one byte less \
                than a sockaddr_in has, and once less than a sockaddr_in6 has.",
        questions: &[
            Question {
                ask: "15 bytes of an IPv4 address in place of 16. The missing byte is never used. What does bind do?",
                answers: OneOf(&[
                    ("it succeeds", |seen| {
                        seen.of("addresses 2").says("bind with 15 bytes: success")
                    }),
                    ("it fails with EINVAL", |seen| {
                        seen.of("addresses 2").says("bind with 15 bytes: EINVAL")
                    }),
                    ("it fails with EFAULT", |seen| {
                        seen.of("addresses 2").says("bind with 15 bytes: EFAULT")
                    }),
                ]),
                claim: "an IPv4 address has 16 bytes for the kernel, and not one less",
                why: "The kernel looks at the length before it looks at anything else.",
            },
            Question {
                ask: "24 bytes of an IPv6 address in place of 28?",
                answers: OneOf(&[
                    ("it fails with EINVAL", |seen| {
                        seen.of("addresses 2").says("bind with 24 bytes: EINVAL")
                    }),
                    ("it succeeds", |seen| {
                        seen.of("addresses 2").says("bind with 24 bytes: success")
                    }),
                ]),
                claim: "an IPv6 address has 28, or the 24 of its first version",
                why: "The first version of the structure had no sin6_scope_id. Programs from that time still run.",
            },
            Question {
                ask: "How many bytes does a sockaddr_un have, the address of a local socket?",
                answers: Number(|seen| seen.of("addresses").number_after("sockaddr_un: ")),
                claim: "sockaddr_un has 110 bytes",
                why: "Two for the family, 108 for the path.",
            },
        ],
    },
    Quiz {
        experiment: "3/reserved-port",
        scene: "A process that is not privileged starts a server on port 1023, and then one on port 1024. After that the \
                host's limit for such ports is lowered to 1000, and it tries 1023 once more.",
        questions: &[
            Question {
                ask: "Port 1023: which call fails?",
                answers: OneOf(&[
                    ("socket", |seen| {
                        seen.of("make-socket").complains("Error: socket")
                    }),
                    ("bind", |seen| {
                        seen.of("make-socket").complains("Error: bind")
                    }),
                    ("listen", |seen| {
                        seen.of("make-socket").complains("Error: listen")
                    }),
                    ("none", |seen| !seen.of("make-socket").complains("Error")),
                ]),
                claim: "port 1023: bind fails with EACCES",
                why: "bind is the call that asks for the port.",
            },
            Question {
                ask: "Port 1024?",
                answers: OneOf(&[
                    ("the same error", |seen| {
                        seen.of("make-socket 2").complains("Error")
                    }),
                    ("it listens", |seen| {
                        seen.of("make-socket 2").says("listening on")
                    }),
                ]),
                claim: "port 1024 is allowed",
                why: "The ports below 1024 are reserved, and this is the first that is not.",
            },
            Question {
                ask: "Port 1023 again, with the limit lowered?",
                answers: OneOf(&[
                    ("it listens", |seen| {
                        seen.of("make-socket 3").says("listening on")
                    }),
                    (
                        "it is refused: 1024 is written down in the kernel",
                        |seen| seen.of("make-socket 3").complains("Error"),
                    ),
                ]),
                claim: "with the limit lowered to 1000, 1023 is allowed as well",
                why: "The limit is a variable of the host, net.ipv4.ip_unprivileged_port_start.",
            },
        ],
    },
];
