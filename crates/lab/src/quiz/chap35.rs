//! Chapter 35: answers to part three.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[Quiz {
    experiment: "35/write-first",
    scene: "A client asks, and waits for each answer. One server writes its answer at once. Another one puts each answer into a \
            buffer, asks epoll for room, and writes when it is told of room.",
    questions: &[
        Question {
            ask: "How many calls of epoll_ctl does the second one make for each answer?",
            answers: Number(|seen| {
                let server = seen.of("through a buffer");
                let drawn = server.calls("sendto(");
                let changes = server.calls("EPOLL_CTL_MOD");
                (drawn > 0 && changes.is_multiple_of(drawn)).then(|| changes / drawn)
            }),
            claim: "through a buffer it takes a wait more, and two epoll_ctl: watch for room, and no longer",
            why: "One to ask for room, and one to ask no longer: else it would be told of room without end. And a wait in between.",
        },
        Question {
            ask: "And the first one?",
            answers: OneOf(&[
                ("one", |seen| {
                    !seen.holds("written at once, an answer takes a wait, a read and a send, and no epoll_ctl")
                }),
                ("none", |seen| {
                    seen.holds("written at once, an answer takes a wait, a read and a send, and no epoll_ctl")
                }),
            ]),
            claim: "written at once, an answer takes a wait, a read and a send, and no epoll_ctl",
            why: "There is almost always room. Who tries first has to ask only when there is none.",
        },
    ],
}];
