//! Chapter 31: inside epoll.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "31/closed-but-duplicated",
        scene: "Descriptor 4 is watched. Descriptor 5 is its duplicate, and not watched. Then 4 is closed.",
        questions: &[
            Question {
                ask: "Something is written to the file. What does the wait tell?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        seen.of("probe").says("after a write it tells of nothing")
                    }),
                    ("4 EPOLLIN", |seen| {
                        seen.of("probe").says("after a write it tells of 4 EPOLLIN")
                    }),
                    ("5 EPOLLIN", |seen| {
                        seen.of("probe").says("after a write it tells of 5 EPOLLIN")
                    }),
                ]),
                claim: "the wait tells of a descriptor that is closed",
                why: "What is watched is the file, with the number as a label. The file lives on.",
            },
            Question {
                ask: "Number 4 is to be removed, which is closed. What does epoll_ctl say?",
                answers: OneOf(&[
                    ("done", |seen| seen.of("probe").says("4 is removed: done")),
                    ("EBADF", |seen| seen.of("probe").says("4 is removed: EBADF")),
                    ("ENOENT", |seen| {
                        seen.of("probe").says("4 is removed: ENOENT")
                    }),
                ]),
                claim: "its number names nothing any more, and the other number was never added",
                why: "The number has to name an open file. Nobody can name this entry any more: it goes when the last \
                      descriptor of the file is closed.",
            },
        ],
    },
    Quiz {
        experiment: "31/revalidated",
        scene: "Three descriptors are written to, and before the program waits it reads two of them: one is watched \
                level-triggered, the other edge-triggered.",
        questions: &[Question {
            ask: "How many of the three does the next wait tell of?",
            answers: Number(|seen| {
                let told = |count: &usize| seen.of("probe").calls(&format!("], 0) = {count}")) > 0;
                (0..=3).find(told)
            }),
            claim: "nor edge-triggered",
            why: "Before anything is told, the kernel asks the file once more. What has been read is left out, whatever the \
                  trigger.",
        }],
    },
    Quiz {
        experiment: "31/one-of-many",
        scene: "Four threads sleep in epoll_wait for the same instance. It watches one descriptor, edge-triggered, and that is \
                written to once.",
        questions: &[Question {
            ask: "How many of the threads are told?",
            answers: Number(|seen| Some(seen.of("probe").count("is told of"))),
            claim: "one thread is told of the event",
            why: "The event is taken from the list by the first that comes. Level-triggered it would go back to the list, and the \
                  next would be woken for it.",
        }],
    },
    Quiz {
        experiment: "31/regular-file",
        scene: "A program wants to watch a regular file with epoll.",
        questions: &[
            Question {
                ask: "What does epoll_ctl say?",
                answers: OneOf(&[
                    ("nothing: a file is always ready", |seen| {
                        seen.of("probe").calls("EPOLLIN) = EPERM") == 0
                    }),
                    ("EPERM", |seen| {
                        seen.of("probe").calls("EPOLLIN) = EPERM") > 0
                    }),
                    ("EBADF", |seen| {
                        seen.of("probe").calls("EPOLLIN) = EBADF") > 0
                    }),
                ]),
                claim: "epoll_ctl refuses all three with EPERM",
                why: "epoll has to be called when something becomes ready. A file has nobody who would call.",
            },
            Question {
                ask: "And poll, asked about the same file?",
                answers: OneOf(&[
                    ("POLLNVAL", |seen| {
                        !seen.of("probe").says("poll says ready, epoll_ctl: EPERM")
                    }),
                    ("it is ready at once", |seen| {
                        seen.of("probe").says("poll says ready, epoll_ctl: EPERM")
                    }),
                ]),
                claim: "for a file, a directory and a device poll says at once that they are ready",
                why: "To poll, reading a file never waits, even if the disk takes its time.",
            },
        ],
    },
];
