//! Chapter 16: framing a stream.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "16/three-splits",
        scene: "Three clients send the same two messages, 32 bytes together: the first in one segment, the other two in two \
                segments that are cut somewhere else each time. The server knows that each message begins with its length.",
        questions: &[
            Question {
                ask: "How many messages does the server find, from all three clients together?",
                answers: Number(|seen| Some(seen.of("streamserver").count("received 8 bytes"))),
                claim: "the server finds the same two messages in each",
                why: "It asks for the length, and then for as many bytes as the length says, however many reads that takes.",
            },
            Question {
                ask: "In how many segments do the 96 bytes travel?",
                answers: Number(|seen| {
                    let to_server = seen.of("streamserver").received();
                    Some(to_server.carrying_data().count())
                }),
                claim: "the segments are cut in three ways",
                why: "One and two and two.",
            },
        ],
    },
    Quiz {
        experiment: "16/too-long",
        scene: "A server takes messages of up to 128 bytes. One client announces 129 bytes, another one 4294967295. Each of them \
                sends five.",
        questions: &[
            Question {
                ask: "What does the server do with the second?",
                answers: OneOf(&[
                    ("it waits for the other 4 GiB", |seen| {
                        !seen.of("streamclient 2").gets(RST) && !seen.of("streamclient 2").gets(FIN)
                    }),
                    (
                        "it ends the connection, and the client gets a reset",
                        |seen| seen.of("streamclient 2").gets(RST),
                    ),
                    (
                        "it ends the connection, and the client gets a FIN",
                        |seen| {
                            !seen.of("streamclient 2").gets(RST)
                                && seen.of("streamclient 2").gets(FIN)
                        },
                    ),
                ]),
                claim: "the server's kernel resets both connections",
                why: "It looks at the number before it believes it, and closes. The five bytes of the body are unread, and so \
                      the FIN becomes a RST.",
            },
            Question {
                ask: "And the next client, whose message is right?",
                answers: OneOf(&[
                    ("it is served", |seen| {
                        seen.holds("the next client is served")
                    }),
                    ("it finds no server any more", |seen| {
                        !seen.holds("the next client is served")
                    }),
                ]),
                claim: "the next client is served",
                why: "A client's error ends the client's connection, and nothing else.",
            },
        ],
    },
    Quiz {
        experiment: "16/byteorder",
        scene: "A message begins with its length in four bytes. A client sends five bytes and the length 5, first with htonl and \
                then without. The machine stores the least significant byte first.",
        questions: &[
            Question {
                ask: "What does the server do with the first message?",
                answers: OneOf(&[
                    ("it takes it: five bytes", |seen| {
                        seen.of("streamserver").says("received 5 bytes")
                    }),
                    ("it refuses it: the bytes are the wrong way round", |seen| {
                        !seen.of("streamserver").says("received 5 bytes")
                    }),
                ]),
                claim: "the server reads 5",
                why: "Sender and receiver mean the same order, the network's: the most significant byte first.",
            },
            Question {
                ask: "Which length does the server read in the second message?",
                answers: Number(|seen| seen.of("streamserver").number_after("a message of ")),
                claim: "then the server reads 83886080",
                why: "05 00 00 00 is five times 2 to the power of 24.",
            },
            Question {
                ask: "htonl(5) itself, printed on this machine: which number is it?",
                answers: Number(|seen| seen.of("byteorder").number_after("htonl(5) = ")),
                claim: "those are the bytes of htonl and of to_be_bytes",
                why: "The number 5 with its bytes turned around. It is meant to be sent, not to be reckoned with.",
            },
        ],
    },
];
