//! Chapter 20: select.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "20/sets-are-overwritten",
        scene: "A program asks select about two pipes, 3 and 5, and 3 has data. It reads 3. Then data comes into 5, and the \
                program calls select with the same variable again.",
        questions: &[
            Question {
                ask: "What does the second call return?",
                answers: OneOf(&[
                    ("1: descriptor 5 is ready", |seen| {
                        seen.of("probe sets").count("select returns 1") == 2
                    }),
                    ("0: nothing is ready", |seen| {
                        seen.of("probe sets").says("select returns 0")
                    }),
                    ("an error, EBADF", |seen| {
                        seen.of("probe sets").says("EBADF")
                    }),
                ]),
                claim: "the next call finds nothing, though the second pipe has data",
                why: "The first call has left only 3 in the set. Descriptor 5 is not asked about any more.",
            },
            Question {
                ask: "And when does it return?",
                answers: OneOf(&[
                    ("at once", |seen| {
                        !seen.holds("it waits until its second is over")
                    }),
                    ("when its time is up", |seen| {
                        seen.holds("it waits until its second is over")
                    }),
                ]),
                claim: "it waits until its second is over",
                why: "A set is question and answer in one. Who does not make it anew asks about less and less.",
            },
        ],
    },
    Quiz {
        experiment: "20/readiness",
        scene: "A program asks select about one TCP socket, in many situations, for all three sets.",
        questions: &[
            Question {
                ask: "Nothing has happened. Is the socket writable?",
                answers: OneOf(&[
                    ("yes", |seen| {
                        seen.of("probe readiness")
                            .says("nothing has happened                   write")
                    }),
                    ("no: there is nothing to write", |seen| {
                        !seen
                            .of("probe readiness")
                            .says("nothing has happened                   write")
                    }),
                ]),
                claim: "writable, the first way: the send buffer has room; when it is full, the socket is not writable",
                why: "There is room. A program that asks for it without need is told without end.",
            },
            Question {
                ask: "The peer has reset the connection. What does select say?",
                answers: OneOf(&[
                    ("neither readable nor writable", |seen| {
                        !seen.holds("after a reset both, and the error")
                            && !seen
                                .of("probe readiness")
                                .says("the peer has reset (RST)          read ")
                    }),
                    ("readable only", |seen| {
                        seen.of("probe readiness")
                            .says("the peer has reset (RST)          read ")
                            && !seen
                                .of("probe readiness")
                                .says("the peer has reset (RST)          read write")
                    }),
                    ("readable and writable", |seen| {
                        seen.of("probe readiness")
                            .says("the peer has reset (RST)          read write")
                    }),
                ]),
                claim: "after a reset both, and the error",
                why: "Ready means that the call would not wait. read and write both return at once, with the error.",
            },
            Question {
                ask: "Data came, and then the reset. What does the next read return?",
                answers: OneOf(&[
                    ("the data", |seen| {
                        seen.holds("data before a reset is read first, too")
                    }),
                    ("ECONNRESET: the data is gone", |seen| {
                        !seen.holds("data before a reset is read first, too")
                    }),
                ]),
                claim: "data before a reset is read first, too",
                why: "On Linux what lies in the receive buffer can be read even after a reset.",
            },
        ],
    },
    Quiz {
        experiment: "20/two-sources",
        scene: "A client waits with select for the keyboard and for the server. It reads with read into a buffer of its own. Two \
                lines come from the keyboard in one go, while the server stands still and answers nothing.",
        questions: &[
            Question {
                ask: "When is the second line sent?",
                answers: OneOf(&[
                    ("at once, after the first", |seen| {
                        seen.holds("two lines of one read are both sent, though the server does not answer")
                    }),
                    ("when the answer to the first has come", |seen| {
                        !seen.holds("two lines of one read are both sent, though the server does not answer")
                    }),
                ]),
                claim: "two lines of one read are both sent, though the server does not answer",
                why: "This client takes every line out of its buffer before it asks select again. What lies in a buffer of \
                      the program is nothing that select could know of.",
            },
            Question {
                ask: "The server ends while the client waits for the keyboard. When does it hear of that?",
                answers: OneOf(&[
                    ("when the user types the next line", |seen| {
                        !seen.holds("a client that waits for the keyboard hears at once that the server has ended")
                    }),
                    ("at once", |seen| {
                        seen.holds("a client that waits for the keyboard hears at once that the server has ended")
                    }),
                ]),
                claim: "a client that waits for the keyboard hears at once that the server has ended",
                why: "It waits for both. The FIN makes the socket readable.",
            },
        ],
    },
];
