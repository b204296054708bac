//! Chapter 10: TIME_WAIT.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "10/who-waits",
        scene: "Two connections to one server, one after the other. In the first the client closes, and the server closes \
                when it has read the end of file. In the second the client asks the server to close first.",
        questions: &[
            Question {
                ask: "The first connection: which end is in TIME-WAIT afterwards?",
                answers: OneOf(&[
                    ("the client's", |seen| {
                        seen.holds("its end is in TIME-WAIT")
                            && seen.holds("the server's end of that connection is gone")
                    }),
                    ("the server's", |seen| {
                        !seen.holds("its end is in TIME-WAIT")
                            && !seen.holds("the server's end of that connection is gone")
                    }),
                    ("both", |seen| {
                        seen.holds("its end is in TIME-WAIT")
                            && !seen.holds("the server's end of that connection is gone")
                    }),
                    ("neither", |seen| {
                        !seen.holds("its end is in TIME-WAIT")
                            && seen.holds("the server's end of that connection is gone")
                    }),
                ]),
                claim: "its end is in TIME-WAIT",
                why: "The end that closes first has to wait: it sends the last ACK, and must be there if that is lost.",
            },
            Question {
                ask: "The second connection, in which the server closes first: which end?",
                answers: OneOf(&[
                    ("the client's: it is always the client", |seen| {
                        !seen.holds("the second client's end is gone")
                    }),
                    ("the server's", |seen| {
                        seen.holds("the second client's end is gone")
                            && seen.holds(
                                "the second client asks the server to close first: the server's end is in TIME-WAIT",
                            )
                    }),
                    ("neither", |seen| {
                        seen.holds("the second client's end is gone")
                            && !seen.holds(
                                "the second client asks the server to close first: the server's end is in TIME-WAIT",
                            )
                    }),
                ]),
                claim: "the second client asks the server to close first: the server's end is in TIME-WAIT",
                why: "It does not matter who is the client and who the server. What matters is whose FIN is the first.",
            },
            Question {
                ask: "The first client's process has ended. Is its end still in TIME-WAIT?",
                answers: OneOf(&[
                    ("yes: the kernel waits", |seen| {
                        seen.of("client").ended("exited") && seen.holds("its end is in TIME-WAIT")
                    }),
                    ("no: a process that ends takes its sockets along", |seen| {
                        seen.of("client").ended("exited") && !seen.holds("its end is in TIME-WAIT")
                    }),
                    ("the process cannot end before the minute is over", |seen| {
                        !seen.of("client").ended("exited")
                    }),
                ]),
                claim: "the first client has long ended: it is the kernel that waits",
                why: "TIME-WAIT belongs to the pair of addresses, not to a process.",
            },
        ],
    },
    Quiz {
        experiment: "10/ports-run-out",
        scene: "A host has two ports to give to its clients: 40000 and 40001. Clients connect to one server, one after the \
                other, and each one closes first.",
        questions: &[
            Question {
                ask: "What does the third client's connect do?",
                answers: OneOf(&[
                    ("it succeeds: the others have ended", |seen| {
                        seen.of("client 3").says("connection 1 from")
                    }),
                    ("it fails with ECONNREFUSED", |seen| {
                        seen.of("client 3").complains("Connection refused")
                    }),
                    ("it fails with EADDRNOTAVAIL", |seen| {
                        seen.of("client 3")
                            .complains("Cannot assign requested address")
                    }),
                    ("it waits until a port is free", |seen| {
                        !seen.of("client 3").says("connection 1 from")
                            && !seen.of("client 3").complains("Error")
                    }),
                ]),
                claim: "the third connect fails with EADDRNOTAVAIL",
                why: "Both ports are in TIME-WAIT for this server. There is no pair of addresses left that nobody has.",
            },
            Question {
                ask: "How many packets does the third client send?",
                answers: Number(|seen| Some(seen.of("client 3").sent().count())),
                claim: "it sends nothing",
                why: "The refusal comes from its own kernel, which finds no port.",
            },
            Question {
                ask: "A fourth client connects to another port of the same host at the same moment. What does it get?",
                answers: OneOf(&[
                    ("the same error", |seen| {
                        seen.of("client 4").complains("Error")
                    }),
                    ("a connection, from one of the two ports", |seen| {
                        seen.of("client 4").says("connection 1 from 127.0.0.1:4000")
                    }),
                    ("a connection, from a third port", |seen| {
                        seen.of("client 4").says("connection 1 from")
                            && !seen.of("client 4").says("connection 1 from 127.0.0.1:4000")
                    }),
                ]),
                claim: "a connection to another port of the same server succeeds",
                why: "A connection is named by four values. With another server's port the same own port makes another \
                      connection.",
            },
        ],
    },
    Quiz {
        experiment: "10/last-ack-lost",
        scene: "A client closes first, the server follows, and the client's process ends. The client's last ACK, the one \
                for the server's FIN, is lost on the wire.",
        questions: &[
            Question {
                ask: "What does the server's kernel do?",
                answers: OneOf(&[
                    (
                        "nothing: it has closed, and forgets the connection",
                        |seen| {
                            seen.of("server").sent().with(FIN).count() == 1
                                && !seen.of("server").sends(RST)
                        },
                    ),
                    ("it sends its FIN again", |seen| {
                        seen.of("server").sent().with(FIN).count() > 1
                    }),
                    ("it sends RST", |seen| seen.of("server").sends(RST)),
                ]),
                claim: "the server, in LAST-ACK, sends its FIN again",
                why: "A FIN has a sequence number, and is sent again until it is acknowledged, as data is.",
            },
            Question {
                ask: "The client's process is gone. What does the server get for it?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        !seen.holds("TIME-WAIT acknowledges it again")
                            && !seen.of("client").sends(RST)
                    }),
                    ("a reset: nobody is there any more", |seen| {
                        seen.of("client").sends(RST)
                    }),
                    ("the same ACK once more", |seen| {
                        seen.holds("TIME-WAIT acknowledges it again")
                            && !seen.of("client").sends(RST)
                    }),
                ]),
                claim: "TIME-WAIT acknowledges it again",
                why: "This is what TIME-WAIT is for. Without it the server would get a reset, and see an error at the end \
                      of a connection that ended well.",
            },
            Question {
                ask: "What becomes of the client's TIME-WAIT then?",
                answers: OneOf(&[
                    ("it begins anew", |seen| {
                        seen.holds("TIME-WAIT begins anew: its end is put off")
                    }),
                    ("it goes on, and ends a minute after it began", |seen| {
                        !seen.holds("TIME-WAIT begins anew: its end is put off")
                    }),
                ]),
                claim: "TIME-WAIT begins anew: its end is put off",
                why: "The second ACK can be lost, too.",
            },
        ],
    },
];
