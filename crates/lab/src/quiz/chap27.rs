//! Chapter 27: one reactor.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "27/all-in-main-thread",
        scene: "Twenty clients connect to a server with one reactor, and each of them asks three times.",
        questions: &[
            Question {
                ask: "How many threads does the server have?",
                answers: OneOf(&[
                    ("one", |seen| seen.holds("the server has one thread")),
                    ("twenty", |seen| {
                        !seen.holds("the server has one thread") && !seen.holds(ONE_THREAD)
                    }),
                    ("some, but all the work is done by the first", |seen| {
                        !seen.holds("the server has one thread") && seen.holds(ONE_THREAD)
                    }),
                ]),
                claim: "the server has one thread",
                why: "It waits in one place for all of them, and does what has to be done in turn.",
            },
            Question {
                ask: "How many descriptors does it hand to poll?",
                answers: OneOf(&[
                    ("20: the clients", |seen| !seen.holds(DESCRIPTORS)),
                    ("23", |seen| seen.holds(DESCRIPTORS)),
                ]),
                claim: DESCRIPTORS,
                why: "The clients and the listener, one to be woken through by other threads, and one that tells of signals.",
            },
        ],
    },
    Quiz {
        experiment: "27/commands",
        scene: "The midterm's commands on a reactor. Two clients are connected at the same time and begin in the same directory. \
                The first types cd .. and then both type pwd.",
        questions: &[Question {
            ask: "Where is the second client?",
            answers: OneOf(&[
                ("where it was", |seen| {
                    seen.holds("the first has gone up, and the second is where it was")
                }),
                ("where the first one has gone", |seen| {
                    !seen.holds("the first has gone up, and the second is where it was")
                }),
            ]),
            claim: "the first has gone up, and the second is where it was",
            why: "There is one thread, and no loop whose local variable could be the directory. It lies in the connection's own \
                  value, and is opened as a descriptor.",
        }],
    },
    Quiz {
        experiment: "27/transcript",
        scene: "A server with one reactor on poll. A client sends a line and gets its answer, several times.",
        questions: &[Question {
            ask: "How many system calls does the server make for a line?",
            answers: OneOf(&[
                ("two: read and send", |seen| !seen.holds(THREE)),
                ("three: poll, read and send", |seen| seen.holds(THREE)),
            ]),
            claim: THREE,
            why: "A thread for each client would need two: it waits in read. The reactor waits for all of them in poll.",
        }],
    },
];

const ONE_THREAD: &str = "it is the first thread that accepts, reads and sends, for all of them";
const DESCRIPTORS: &str =
    "one poll waits for 23 descriptors: the clients, the listener, a waker, and the signals";
const THREE: &str =
    "for each message the kernel is asked three things: one wait, one read, one send";
