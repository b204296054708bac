//! Chapter 11: close and shutdown.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "11/close",
        scene: "The server takes a second for each answer. The client sends data1 and data2, and calls close before the \
                first answer comes.",
        questions: &[
            Question {
                ask: "How many of the two answers does the client print?",
                answers: Number(|seen| Some(seen.of("graceclient").count("Hi,"))),
                claim: "the client prints no answer",
                why: "close ends both directions for the program: it has no descriptor left to read from.",
            },
            Question {
                ask: "What does the client's kernel send when the first answer arrives?",
                answers: OneOf(&[
                    ("an ACK: the answer has arrived", |seen| {
                        !seen.of("graceclient").sends(RST) && !seen.of("graceclient").says("Hi,")
                    }),
                    ("an ACK, and it hands the answer to the client", |seen| {
                        seen.of("graceclient").says("Hi,")
                    }),
                    ("RST", |seen| seen.of("graceclient").sends(RST)),
                ]),
                claim: "its kernel answers the late data with a reset",
                why: "Data that nobody is going to read must not be acknowledged: the peer would believe that it was \
                      received.",
            },
            // ANCHOR: epipe
            Question {
                ask: "What does the server's second send return, the one for data2?",
                answers: OneOf(&[
                    (
                        "9: the answer is in the send buffer, like the first one",
                        |seen| seen.of("graceserver").count("send bytes: 9") == 2,
                    ),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("graceserver").complains("send: Connection reset")
                    }),
                    ("an error, EPIPE", |seen| {
                        seen.of("graceserver").complains("send: Broken pipe")
                    }),
                    ("nothing: it waits", |seen| {
                        seen.of("graceserver").count("send bytes: 9") < 2
                            && !seen.of("graceserver").complains("send:")
                    }),
                ]),
                claim: "the server's next send fails with EPIPE",
                why: "The first send only copied nine bytes into the send buffer. The reset that came back for them has \
                      ended the connection, and the second send finds it so.",
            },
            // ANCHOR_END: epipe
        ],
    },
    Quiz {
        experiment: "11/shutdown",
        scene: "The server takes a second for each answer. The client sends data1 and data2, and ends its own \
                direction only, with shutdown for writing, before the first answer comes.",
        questions: &[
            Question {
                ask: "How many of the two answers does the client print?",
                answers: Number(|seen| Some(seen.of("graceclient").count("Hi,"))),
                claim: "both answers still arrive",
                why: "A half-close ends one direction. The other one is as it was.",
            },
            Question {
                ask: "How many FINs pass on this connection, from both sides together?",
                answers: Number(|seen| Some(seen.packets().with(FIN).count())),
                claim: "the server's FIN comes after both answers",
                why: "Each direction is ended by a FIN of its own: the client's leaves at its shutdown, the server's when \
                      it has said everything.",
            },
            Question {
                ask: "What does the client's last read return?",
                answers: OneOf(&[
                    ("0, the end of file", |seen| {
                        seen.of("graceclient").says("server terminated")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("graceclient").complains("Connection reset")
                    }),
                    ("it never returns", |seen| {
                        !seen.of("graceclient").says("server terminated")
                            && !seen.of("graceclient").complains("Connection reset")
                    }),
                ]),
                claim: "the client reads the end of file",
                why: "The server has read the end of file, sent both answers and ended. Its FIN is the last thing that \
                      the client reads.",
            },
        ],
    },
    Quiz {
        experiment: "11/exit-sends-fin",
        scene: "A server is killed with kill -9, twice. The first time it has read everything that its client sent. The \
                second time one message has arrived that it has not read. A third server returns from main and has called \
                neither close nor shutdown.",
        questions: &[
            Question {
                ask: "What does the kernel of the first server send when the process is killed?",
                answers: OneOf(&[
                    ("nothing: the program had no time to call close", |seen| {
                        !seen.of("graceserver").sends(FIN) && !seen.of("graceserver").sends(RST)
                    }),
                    ("FIN", |seen| seen.of("graceserver").sends(FIN)),
                    ("RST", |seen| seen.of("graceserver").sends(RST)),
                ]),
                claim: "kill -9 sends FIN when everything was read",
                why: "The kernel closes every descriptor of a process that ends, however it ends.",
            },
            Question {
                ask: "And what for the second one, with the unread message?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        !seen.of("graceserver 2").sends(FIN) && !seen.of("graceserver 2").sends(RST)
                    }),
                    ("FIN", |seen| seen.of("graceserver 2").sends(FIN)),
                    ("RST", |seen| seen.of("graceserver 2").sends(RST)),
                ]),
                claim: "and RST when something was unread",
                why: "The peer should know that something it sent was lost (RFC 9293, section 3.6.1).",
            },
            Question {
                ask: "The third server just returns from main. Does it send a FIN?",
                answers: OneOf(&[
                    ("yes", |seen| seen.of("graceserver 3").sends(FIN)),
                    ("no", |seen| !seen.of("graceserver 3").sends(FIN)),
                ]),
                claim: "a return from main without close sends FIN as well",
                why: "It is the kernel that sends it, not the program.",
            },
        ],
    },
];
