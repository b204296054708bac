//! Chapter 36: echo, and everything that goes wrong.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "36/child-killed",
        scene: "An echo server has a child process for each client. A client has sent data1 and got its echo; now it waits \
                in read for the keyboard. The server's child is killed.",
        questions: &[
            Question {
                ask: "What does the server's kernel send?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        !seen.of("tcpserv").sends(FIN) && !seen.of("tcpserv").sends(RST)
                    }),
                    ("FIN", |seen| seen.of("tcpserv").sends(FIN)),
                    ("RST", |seen| {
                        !seen.of("tcpserv").sends(FIN) && seen.of("tcpserv").sends(RST)
                    }),
                ]),
                claim: "the client's kernel has the FIN, the client does not know",
                why: "The child had read everything, so the kernel closes its connection in good order.",
            },
            Question {
                ask: "The user types data2. What comes back for it?",
                answers: OneOf(&[
                    ("its echo", |seen| seen.of("tcpcli").prints("data2")),
                    ("RST", |seen| seen.of("tcpcli").gets(RST)),
                    (
                        "nothing: the client knows already, and does not send it",
                        |seen| seen.of("tcpcli").sent().carrying_data().count() < 2,
                    ),
                ]),
                claim: "its next line is sent, and answered with a reset",
                why: "The client was in read on the keyboard, and did not see the FIN. Nobody has the other end any more.",
            },
            Question {
                ask: "What does the client's read from the server return then?",
                answers: OneOf(&[
                    ("0: the server terminated prematurely", |seen| {
                        seen.of("tcpcli").complains("server terminated prematurely")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("tcpcli").complains("Connection reset")
                    }),
                    ("an error, EPIPE", |seen| {
                        seen.of("tcpcli").complains("Broken pipe")
                    }),
                ]),
                claim: "only then it reads the end of file",
                why: "The FIN came before the reset, and is what a reader sees.",
            },
            Question {
                ask: "Another client waits for the keyboard and the server with select. Its child is killed, too. How many \
                      lines does it send after that?",
                answers: Number(|seen| {
                    let of_it = seen.of("tcpcli-select").sent().carrying_data().count();
                    of_it.checked_sub(1)
                }),
                claim: "it has sent nothing after the FIN",
                why: "Who waits for both ends learns of the FIN when it comes.",
            },
        ],
    },
    Quiz {
        experiment: "36/host-crash-reboot",
        scene: "A client has sent a line and got its echo. Then the server's host crashes, and is back a moment later: it \
                has the same address and no memory. After that the client sends data2.",
        questions: &[
            Question {
                ask: "What has the client heard of the crash and the boot by then?",
                answers: OneOf(&[
                    ("a FIN", |seen| seen.of("tcpcli").gets(FIN)),
                    ("a RST", |seen| {
                        seen.of("tcpcli").gets(RST)
                            && !seen.holds("crash and boot tell the client nothing")
                    }),
                    ("nothing", |seen| {
                        seen.holds("crash and boot tell the client nothing")
                            && !seen.of("tcpcli").gets(FIN)
                    }),
                ]),
                claim: "crash and boot tell the client nothing",
                why: "A host that crashes cannot send, and one that boots does not know to whom.",
            },
            Question {
                ask: "What comes back for data2?",
                answers: OneOf(&[
                    ("its echo", |seen| seen.of("tcpcli").prints("data2")),
                    ("nothing: the client sends it again and again", |seen| {
                        !seen.of("tcpcli").gets(RST) && !seen.of("tcpcli").prints("data2")
                    }),
                    ("RST", |seen| seen.of("tcpcli").gets(RST)),
                ]),
                claim: "the line is answered with a reset",
                why: "The kernel that has booted knows of no such connection.",
            },
            Question {
                ask: "And what does the client's read return?",
                answers: OneOf(&[
                    ("0", |seen| {
                        seen.of("tcpcli").complains("server terminated prematurely")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("tcpcli").complains("Connection reset")
                    }),
                    ("an error, ETIMEDOUT", |seen| {
                        seen.of("tcpcli").complains("timed out")
                    }),
                    ("an error, ECONNREFUSED", |seen| {
                        seen.of("tcpcli").complains("Connection refused")
                    }),
                ]),
                claim: "read fails with ECONNRESET",
                why: "No FIN came before this reset.",
            },
        ],
    },
    Quiz {
        experiment: "36/zombies-wait",
        scene: "A server has five children, one for each connection. Its handler for SIGCHLD calls wait once. The server is \
                stopped; all five children end; the server goes on.",
        questions: &[
            Question {
                ask: "For how many children does the handler wait?",
                answers: Number(|seen| Some(seen.of("tcpserv").count("terminated"))),
                claim: "the server has waited for one",
                why: "A signal that is pending already is not queued once more: five times SIGCHLD is one SIGCHLD, and the \
                      handler runs once.",
            },
            Question {
                ask: "How many zombies stay?",
                answers: Number(|seen| {
                    let server = seen.of("tcpserv");
                    server
                        .count("serves")
                        .checked_sub(server.count("terminated"))
                }),
                claim: "four children are zombies",
                why: "A child that has ended stays until somebody waits for it. The handler has to call waitpid until there \
                      is none left.",
            },
            Question {
                ask: "And the five connections?",
                answers: OneOf(&[
                    ("those of the zombies are still open", |seen| {
                        seen.of("tcpserv").sent().with(FIN).count() < 5
                    }),
                    ("they have all ended", |seen| {
                        seen.of("tcpserv").sent().with(FIN).count() == 5
                    }),
                ]),
                claim: "all connections have ended",
                why: "A zombie has no descriptors. It is an entry in the table of processes, and nothing more.",
            },
        ],
    },
    Quiz {
        experiment: "36/host-crash",
        scene: "A client has sent a line and got its echo. Then the server's host loses its power, and the client sends data2.",
        questions: &[
            Question {
                ask: "What comes back?",
                answers: OneOf(&[
                    ("FIN", |seen| seen.of("tcpcli").gets(FIN)),
                    ("RST", |seen| seen.of("tcpcli").gets(RST)),
                    ("nothing", |seen| {
                        !seen.of("tcpcli").gets(FIN)
                            && !seen.of("tcpcli").gets(RST)
                            && !seen.of("tcpcli").prints("data2")
                    }),
                    ("the echo", |seen| seen.of("tcpcli").prints("data2")),
                ]),
                claim: "nothing comes back: neither FIN nor RST",
                why: "Nobody is there who could send anything.",
            },
            Question {
                ask: "What does the client's read return in the end?",
                answers: OneOf(&[
                    ("0", |seen| {
                        seen.of("tcpcli").complains("server terminated prematurely")
                    }),
                    ("an error, ETIMEDOUT", |seen| {
                        seen.of("tcpcli").complains("timed out")
                    }),
                    ("an error, EHOSTUNREACH", |seen| {
                        seen.of("tcpcli").complains("No route to host")
                    }),
                    ("an error, ECONNRESET", |seen| {
                        seen.of("tcpcli").complains("Connection reset")
                    }),
                    ("it does not return an error", |seen| {
                        !seen.of("tcpcli").complains("")
                    }),
                ]),
                claim: "read fails with ETIMEDOUT",
                why: "The kernel sends the line again and again, and gives up. Left as it is, that takes a quarter of an hour; here \
                      tcp_retries2 is smaller.",
            },
        ],
    },
];
