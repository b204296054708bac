//! Chapter 7: local sockets.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "7/stale-file",
        scene: "A server with a local socket is killed with kill -9. Then a client connects to its path, and another server \
                binds there.",
        questions: &[
            Question {
                ask: "Is the socket's file still there?",
                answers: OneOf(&[
                    ("yes", |seen| seen.holds("the file is still there")),
                    ("no: it went with its socket", |seen| {
                        !seen.holds("the file is still there")
                    }),
                ]),
                claim: "the file is still there",
                why: "bind makes the file, and only unlink takes it away. The kernel does not.",
            },
            Question {
                ask: "What does the client's connect say?",
                answers: OneOf(&[
                    ("ENOENT: there is no such file", |seen| {
                        seen.of("unixstreamclient").complains("No such file")
                    }),
                    ("ECONNREFUSED: nobody listens", |seen| {
                        seen.of("unixstreamclient").complains("Connection refused")
                    }),
                    ("nothing: it waits for a server", |seen| {
                        !seen.of("unixstreamclient").complains("Error")
                    }),
                ]),
                claim: "connect finds it, and nobody behind it: ECONNREFUSED",
                why: "The name is found, and behind it is no socket any more.",
            },
            Question {
                ask: "And the other server's bind?",
                answers: OneOf(&[
                    ("it succeeds", |seen| {
                        seen.of("unixstreamserver 2").says("listening on")
                    }),
                    ("it fails with EADDRINUSE", |seen| {
                        seen.of("unixstreamserver 2")
                            .complains("Address already in use")
                    }),
                    ("it fails with EEXIST", |seen| {
                        seen.of("unixstreamserver 2").complains("File exists")
                    }),
                ]),
                claim: "bind fails with EADDRINUSE",
                why: "It wants to make the file, and there is one. Whether somebody listens behind it does not matter.",
            },
        ],
    },
    Quiz {
        experiment: "7/other-user",
        scene: "Root's server has made a socket file with the permissions rwxr-xr-x. An ordinary user's client connects.",
        questions: &[
            Question {
                ask: "What does connect do?",
                answers: OneOf(&[
                    ("it succeeds: everybody may read the file", |seen| {
                        !seen.of("unixstreamclient").complains("Error")
                    }),
                    ("it fails with EACCES", |seen| {
                        seen.of("unixstreamclient").complains("Permission denied")
                    }),
                    ("it fails with ECONNREFUSED", |seen| {
                        seen.of("unixstreamclient").complains("Connection refused")
                    }),
                ]),
                claim: "connect fails with EACCES",
                why: "To connect one must be allowed to write the file.",
            },
            Question {
                ask: "Another file may be written by everybody, and read by its owner only. What does connect do there?",
                answers: OneOf(&[
                    ("it fails with EACCES", |seen| {
                        seen.of("unixstreamclient 2").complains("Permission denied")
                    }),
                    ("it succeeds", |seen| {
                        seen.of("unixstreamclient 2").says("Hi, g2")
                    }),
                ]),
                claim: "with the right to write and none to read, it connects",
                why: "The right to read plays no part.",
            },
        ],
    },
    Quiz {
        experiment: "7/datagram",
        scene: "Two clients send datagrams to a server over a local socket, and want an answer. The first has called bind \
                before, the second has not.",
        questions: &[
            Question {
                ask: "Does the second client get its answer, as it would with UDP?",
                answers: OneOf(&[
                    ("yes", |seen| seen.of("unixdataclient 2").says("Hi,")),
                    ("no: its datagram does not arrive", |seen| {
                        !seen.of("unixdataclient 2").says("Hi,")
                            && !seen.of("unixdataserver").says("received 2 bytes: g3")
                    }),
                    ("no: the server does not know to whom to send it", |seen| {
                        !seen.of("unixdataclient 2").says("Hi,")
                            && seen.of("unixdataserver").says("received 2 bytes: g3")
                    }),
                ]),
                claim: "it gets no answer",
                why: "UDP gives a socket a port when it first sends. A local socket without bind has no name.",
            },
            Question {
                ask: "The first client has bound its socket to a path. Is there a file of that name while it runs?",
                answers: OneOf(&[
                    ("yes, as for a server", |seen| {
                        seen.holds("the client that did bind has a file, too")
                    }),
                    ("no", |seen| {
                        !seen.holds("the client that did bind has a file, too")
                    }),
                ]),
                claim: "the client that did bind has a file, too",
                why: "bind to a path makes a file, whoever calls it.",
            },
        ],
    },
    Quiz {
        experiment: "7/fd-passing",
        scene: "A process opens a file, reads its first twelve bytes, “first half, ”, sends the descriptor to another process \
                and ends. The file is deleted. Then the other process takes the descriptor and reads.",
        questions: &[
            Question {
                ask: "What does it read?",
                answers: OneOf(&[
                    ("nothing: the read fails", |seen| {
                        !seen.of("fd-pass").says("first half")
                            && !seen.of("fd-pass").says("second half")
                    }),
                    ("the file from its beginning", |seen| {
                        seen.of("fd-pass").says("first half")
                    }),
                    ("the second half", |seen| {
                        !seen.of("fd-pass").says("first half")
                            && seen.of("fd-pass").says("second half")
                    }),
                ]),
                claim: "it goes on where the sender stopped: they share one open file, and one offset",
                why: "What was sent is the open file itself. It stays while anybody has a descriptor for it, and it knows how \
                      far it has been read.",
            },
            Question {
                ask: "The sender's descriptor had the number 4. Which number has the receiver's?",
                answers: OneOf(&[
                    ("4, too", |seen| {
                        seen.of("fd-pass").number_after("received descriptor ") == Some(4)
                    }),
                    ("the lowest that is free in the receiver", |seen| {
                        let number = seen.of("fd-pass").number_after("received descriptor ");
                        number.is_some_and(|number| number != 4)
                    }),
                ]),
                claim: "the receiver gets a descriptor, when the sender has closed its own and ended",
                why: "A number is a place in one process's table. The kernel finds a place in the other's.",
            },
        ],
    },
];
