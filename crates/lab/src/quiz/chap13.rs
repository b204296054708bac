//! Chapter 13: small packets.

use super::prelude::*;

pub(super) const QUIZZES: &[Quiz] = &[
    Quiz {
        experiment: "13/nagle-meets-delayed-ack",
        scene: "A client writes each request in two parts, 6 bytes and 6 bytes, and waits for the answer before the next \
                request. Nobody has set an option.",
        questions: &[
            Question {
                ask: "The first part has left. What does the client's kernel wait for before it sends the second?",
                answers: OneOf(&[
                    ("nothing: it leaves at once", |seen| {
                        !seen.holds(
                            "the second part of a request never leaves before the first is acknowledged",
                        )
                    }),
                    ("the ACK of the first part", |seen| {
                        seen.holds(
                            "the second part of a request never leaves before the first is acknowledged",
                        )
                    }),
                ]),
                claim: "the second part of a request never leaves before the first is acknowledged",
                why: "Nagle's rule: as long as something small is under way, nothing else that is small follows.",
            },
            Question {
                ask: "How long does a request take for that reason, from the second one on?",
                answers: OneOf(&[
                    ("about 40 milliseconds", |seen| {
                        seen.holds(
                            "from the second request on it waits about 40 milliseconds, which is how long the ACK is delayed",
                        )
                    }),
                    ("a millisecond or less", |seen| {
                        !seen.holds(
                            "from the second request on it waits about 40 milliseconds, which is how long the ACK is delayed",
                        )
                    }),
                ]),
                claim: "from the second request on it waits about 40 milliseconds, which is how long the ACK is delayed",
                why: "The server's kernel delays its ACK in the hope of an answer that it could travel with. The server \
                      waits for the second part. Each waits for the other, until the delay is over.",
            },
            Question {
                ask: "Another client gives both parts to one writev. Does it wait?",
                answers: OneOf(&[
                    ("yes: the kernel still sees two parts", |seen| {
                        !seen.holds("writev sends both parts in one segment")
                    }),
                    ("no: they leave in one segment", |seen| {
                        seen.holds("writev sends both parts in one segment")
                    }),
                ]),
                claim: "writev sends both parts in one segment",
                why: "One call, one segment. It is the best of the cures: nobody has to switch anything off.",
            },
        ],
    },
    Quiz {
        experiment: "13/silly-window",
        scene: "A receiver has stopped reading, and its buffer is full. Then it reads again, one byte at a time.",
        questions: &[
            Question {
                ask: "It has read one byte. Does its kernel tell the sender that there is room for one byte?",
                answers: OneOf(&[
                    ("yes: a window of 1", |seen| {
                        !seen.holds("no window between 1 and 1447 bytes is ever announced")
                    }),
                    ("no", |seen| {
                        seen.holds("no window between 1 and 1447 bytes is ever announced")
                    }),
                ]),
                claim: "no window between 1 and 1447 bytes is ever announced",
                why: "The sender would send one byte with 40 bytes of header, again and again: the silly window (RFC 9293, \
                      section 3.8.6.2).",
            },
            Question {
                ask: "After about how many such reads does it say that there is room?",
                answers: OneOf(&[
                    ("after the first", |seen| {
                        !seen.holds("more than a thousand reads go by before the window opens")
                    }),
                    (
                        "after more than a thousand: when a whole segment fits",
                        |seen| {
                            seen.holds("more than a thousand reads go by before the window opens")
                                && seen.holds("then it has room for a whole segment at once")
                        },
                    ),
                ]),
                claim: "more than a thousand reads go by before the window opens",
                why: "It waits until a whole segment fits, or half of the buffer where that is less.",
            },
        ],
    },
    Quiz {
        experiment: "13/slow-start",
        scene: "A new connection with reno as its congestion control. The sender has much to send, the receiver has room for it, \
                and the wire delivers the ACKs of a flight all at once.",
        questions: &[
            Question {
                ask: "How many segments leave before the first ACK for them comes back?",
                answers: Number(|seen| {
                    let of_client = seen.of("client").sent().carrying_data();
                    let answered = seen.of("server").sent().without(SYN);
                    let first = answered.first()?.sent;
                    Some(of_client.that(|packet| packet.sent < first).count())
                }),
                claim: "ten segments leave before the first acknowledgement comes",
                why: "That is the initial congestion window (RFC 6928).",
            },
            Question {
                ask: "And when all of those are acknowledged, how many leave next?",
                answers: OneOf(&[
                    ("twice as many", |seen| {
                        seen.holds("when all ten are acknowledged twenty leave, and then forty")
                    }),
                    ("one more than before", |seen| {
                        !seen.holds("when all ten are acknowledged twenty leave, and then forty")
                    }),
                ]),
                claim: "when all ten are acknowledged twenty leave, and then forty",
                why: "In slow start the window grows by one segment for each segment that is acknowledged: it doubles in \
                      each round trip. Slow is only its beginning.",
            },
        ],
    },
];
