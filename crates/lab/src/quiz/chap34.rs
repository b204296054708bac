//! Chapter 34: an HTTP server.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "34/keep-alive",
        scene: "A client sends a request of HTTP/1.0, and reads the answer. Another one sends requests of HTTP/1.1, a thousand of \
                them, one after the other.",
        questions: &[
            Question {
                ask: "Who ends the first connection?",
                answers: OneOf(&[
                    ("the client, when it has the answer", |seen| {
                        !seen.holds(SERVER_FIRST)
                    }),
                    ("the server, after the answer", |seen| {
                        seen.holds(SERVER_FIRST)
                    }),
                ]),
                claim: SERVER_FIRST,
                why: "In HTTP/1.0 the end of the connection is the end of the answer.",
            },
            Question {
                ask: "How many connections are made for the thousand requests of HTTP/1.1?",
                answers: OneOf(&[
                    ("one", |seen| {
                        seen.holds("no other was made for them")
                            && seen.holds("a thousand requests are answered on one connection")
                    }),
                    ("a thousand", |seen| {
                        !seen.holds("no other was made for them")
                    }),
                ]),
                claim: "a thousand requests are answered on one connection",
                why: "Unless somebody says close, a connection of HTTP/1.1 stays.",
            },
        ],
    },
    Quiz {
        experiment: "34/pipelined",
        scene: "A client writes twenty requests with one call, and then reads.",
        questions: &[
            Question {
                ask: "In how many segments do the twenty answers come?",
                answers: Number(|seen| {
                    let of_server = seen.of("http-server01").sent();
                    Some(of_server.carrying_data().count())
                }),
                claim: "one segment carries all the answers",
                why: "The server answers whatever it has read before it writes, and writes once.",
            },
            Question {
                ask: "In which order?",
                answers: OneOf(&[
                    ("in that of the requests", |seen| {
                        seen.holds("there are twenty answers, in the order of the requests")
                    }),
                    ("in any", |seen| {
                        !seen.holds("there are twenty answers, in the order of the requests")
                    }),
                ]),
                claim: "there are twenty answers, in the order of the requests",
                why: "In HTTP/1.1 nothing else says which answer belongs to which request (RFC 9112, section 9.3.2).",
            },
        ],
    },
    Quiz {
        experiment: "34/split-request",
        scene: "A request arrives in two pieces. It is done once for each place where it can be cut, between the \\r and the \\n \
                as well.",
        questions: &[Question {
            ask: "What does this server do that has seen the first piece?",
            answers: OneOf(&[
                ("it waits for the rest, wherever the cut is", |seen| {
                    seen.holds("the request is answered wherever it was cut")
                }),
                ("it answers 400", |seen| {
                    !seen.holds("the request is answered wherever it was cut")
                }),
            ]),
            claim: "the request is answered wherever it was cut",
            why: "The parser remembers how far it has come. A read is no request.",
        }],
    },
    Quiz {
        experiment: "34/slowloris",
        scene: "Two hundred clients send a byte each second, and never finish their request. The server gives a request three \
                seconds. Meanwhile a normal client asks.",
        questions: &[
            Question {
                ask: "What becomes of the two hundred?",
                answers: OneOf(&[
                    ("they stay: each byte puts the end off", |seen| {
                        !seen.holds("every one of the 200 is told 408")
                    }),
                    ("they are told 408 and ended", |seen| {
                        seen.holds("every one of the 200 is told 408")
                    }),
                ]),
                claim: "every one of the 200 is told 408",
                why: "The time is for the whole request and not for the next byte.",
            },
            Question {
                ask: "What does the normal client notice?",
                answers: OneOf(&[
                    ("nothing", |seen| {
                        seen.holds("it never waits as long as the slow ones do")
                    }),
                    ("it has to wait as long as they do", |seen| {
                        !seen.holds("it never waits as long as the slow ones do")
                    }),
                ]),
                claim: "it never waits as long as the slow ones do",
                why: "Nobody has a thread here that a slow client could hold.",
            },
        ],
    },
];

const SERVER_FIRST: &str = "the server has closed the connection first: it is the one in TIME-WAIT";
