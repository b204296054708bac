//! The midterm: a remote shell.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "midterm/bad-input",
        scene: "A client types the letter l, then an empty line, then a directory that is not there. The server knows the \
                commands ls, cd, pwd and quit, and compares the whole line with them.",
        questions: &[
            Question {
                ask: "What is the answer to l?",
                answers: OneOf(&[
                    ("a listing: l is how ls begins", |seen| {
                        !seen.of("telnet-client").says("error: unknown command: l")
                    }),
                    ("an error", |seen| {
                        seen.of("telnet-client").says("error: unknown command: l")
                    }),
                ]),
                claim: "half a word is no command",
                why: "strncmp with the length of what has come would say that l is ls. That is the control's server.",
            },
            Question {
                ask: "And to the empty line?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        seen.of("telnet-client").count("error: unknown command") == 1
                            && !seen.of("telnet-client").says("an empty line is no command")
                    }),
                    ("an error", |seen| {
                        seen.of("telnet-client").says("an empty line is no command")
                    }),
                    ("the first command that there is", |seen| {
                        seen.of("telnet-client").count("error: unknown command") != 1
                            && !seen.of("telnet-client").says("an empty line is no command")
                    }),
                ]),
                claim: "an empty line is no command",
                why: "Compared by no bytes at all, an empty line would be equal to every command.",
            },
        ],
    },
    Quiz {
        experiment: "midterm/second-client",
        scene: "A client types cd build and quit. Then another one connects and is killed in another directory. A third one asks \
                where it is.",
        questions: &[
            Question {
                ask: "Where does the client after the quit begin?",
                answers: OneOf(&[
                    ("where the server was started", |seen| {
                        seen.holds("after a quit the next client begins in the start directory")
                    }),
                    ("in the directory that the first one went to", |seen| {
                        !seen.holds("after a quit the next client begins in the start directory")
                    }),
                ]),
                claim: "after a quit the next client begins in the start directory",
                why: "The server keeps a directory for each client. With chdir there would be one for the whole process.",
            },
            Question {
                ask: "What does the kernel of the killed client send?",
                answers: OneOf(&[
                    ("FIN", |seen| seen.of("telnet-client 2").sends(FIN)),
                    ("RST", |seen| {
                        !seen.of("telnet-client 2").sends(FIN)
                            && seen.of("telnet-client 2").sends(RST)
                    }),
                    ("nothing", |seen| {
                        !seen.of("telnet-client 2").sends(FIN)
                            && !seen.of("telnet-client 2").sends(RST)
                    }),
                ]),
                claim: "the kernel of the killed client sent its FIN",
                why: "It closes what a killed process had open. The server reads the end of file, and waits for the next.",
            },
        ],
    },
];
