//! Chapter 2: client and server.

use super::prelude::*;
use crate::packets::Packets;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "2/four-tuple",
        scene: "One client opens three connections to the same server, and keeps all three open.",
        questions: &[
            Question {
                ask: "How many ports does the client use?",
                answers: Number(|seen| Some(ports(&seen.of("four-tuple 2").sent().with(SYN)))),
                claim: "three client ports, one for each connection",
                why: "Address and port of the server are the same for all three, and so is the client's address. The client's \
                  port is what tells them apart.",
            },
            Question {
                ask: "And the server?",
                answers: Number(|seen| Some(ports(&seen.of("four-tuple").sent().with(SYN | ACK)))),
                claim: "everything else is the same for all",
                why: "An accepted connection has the port of the socket that listens. There is no second one.",
            },
            Question {
                ask: "Does the server's kernel see other addresses and ports than the client's?",
                answers: OneOf(&[
                    ("yes: the server's end is numbered anew", |seen| {
                        !seen.holds("the server's kernel names the same pairs")
                    }),
                    ("no: both ends name the same two", |seen| {
                        seen.holds("the server's kernel names the same pairs")
                    }),
                ]),
                claim: "the server's kernel names the same pairs",
                why: "They stand in every packet. That is how it finds its way to the right socket.",
            },
        ],
    },
    Quiz {
        experiment: "2/services",
        scene: "A server listens on port 80. A client is told the service's name, http, and no number. The machine has a table \
                of services.",
        questions: &[
            Question {
                ask: "To which port does the client's SYN go?",
                answers: Number(|seen| {
                    let sent = seen.of("four-tuple 2").sent().with(SYN);
                    Some(usize::from(sent.first()?.destination.port()))
                }),
                claim: "the client's SYN goes there",
                why: "getservbyname(3) looks into /etc/services. Nobody on the network is asked.",
            },
            Question {
                ask: "What does the client get?",
                answers: OneOf(&[
                    ("a connection", |seen| {
                        seen.of("four-tuple 2").gets(SYN | ACK)
                    }),
                    (
                        "a refusal: the server does not know that it is called http",
                        |seen| seen.of("four-tuple 2").gets(RST),
                    ),
                ]),
                claim: "it reaches the server that listens there",
                why: "The name is the client's. On the wire there is a number.",
            },
        ],
    },
];

/// From how many ports these were sent.
fn ports(packets: &Packets) -> usize {
    let ports = packets.iter().map(|packet| packet.source.port());
    ports.collect::<std::collections::BTreeSet<_>>().len()
}
