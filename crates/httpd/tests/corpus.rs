//! The requests of `tests/corpus`, each in one piece, cut at every byte, and byte by byte: the answer is the same.

mod support;

use std::fs;

use httpd::{Limits, Method};
use serde::Deserialize;
use support::*;

#[derive(Deserialize)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    rfc: String,
    name: String,
    send: String,
    get: String,
    /// The start of the first answer's body; all of it if the request has a body.
    body: Option<String>,
    /// Whether there is a 100 depends on how the request arrives.
    #[serde(default)]
    interim: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["request-line", "fields", "framing", "connection"] {
        let path = format!("{}/tests/corpus/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let corpus: Corpus = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        cases.extend(corpus.case);
    }
    cases
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let bytes = self
            .send
            .chars()
            .map(|character| u8::try_from(character).unwrap());
        bytes.collect()
    }

    fn check(&self, how: &str, pieces: &[&[u8]], event_loop: &mut ByHand) {
        let (answer, ended) = event_loop.exchange(pieces);
        let head = |(index, part): (usize, &str)| part.contains("HEAD /").then_some(index);
        let requests = self.send.split("\r\n\r\n").enumerate();
        let heads: Vec<_> = requests.filter_map(head).collect();
        let mut found = answers(&answer, &heads);
        if self.interim {
            found.retain(|one| one.status != 100);
        }
        let mut got: Vec<_> = found.iter().map(|one| one.status.to_string()).collect();
        if ended {
            got.push("close".into());
        }
        let got = if got.is_empty() {
            "nothing".into()
        } else {
            got.join(" ")
        };
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(
            got, self.get,
            "RFC {}, {} ({how}):\n{answer}",
            self.rfc, self.name
        );
        if let Some(body) = &self.body {
            let text = found[0].text();
            let same = if body.contains(": ") {
                text == body
            } else {
                text.starts_with(body.as_str())
            };
            assert!(same, "RFC {}, {} ({how}): {text}", self.rfc, self.name);
        }
        if let (true, Some(last)) = (ended, found.last()) {
            assert_eq!(last.header("Connection"), Some("close"), "{}", self.name);
        }
    }
}

fn event_loop() -> ByHand {
    ByHand::new(Limits {
        body: 1000,
        ..Default::default()
    })
}

#[test]
fn there_are_at_least_150_cases_and_each_names_its_section() {
    let cases = cases();
    assert!(cases.len() >= 150, "{}", cases.len());
    for case in &cases {
        let (rfc, section) = case.rfc.split_once(' ').unwrap();
        assert!(rfc.len() == 4 && !section.is_empty(), "{}", case.name);
    }
}

#[test]
fn in_one_piece() {
    let mut event_loop = event_loop();
    for case in cases() {
        case.check("in one piece", &[&case.bytes()], &mut event_loop);
    }
}

#[test]
fn cut_at_every_byte() {
    let mut event_loop = event_loop();
    for case in cases() {
        let bytes = case.bytes();
        for cut in 1..bytes.len() {
            let (one, other) = bytes.split_at(cut);
            case.check(&format!("cut at {cut}"), &[one, other], &mut event_loop);
        }
    }
}

#[test]
fn byte_by_byte() {
    let mut event_loop = event_loop();
    for case in cases() {
        let bytes = case.bytes();
        let pieces: Vec<_> = bytes.chunks(1).collect();
        case.check("byte by byte", &pieces, &mut event_loop);
    }
}

/// Every request that leaves its connection open, in one piece behind every other.
#[test]
fn one_behind_the_other() {
    let mut event_loop = event_loop();
    let cases = cases();
    let plain = |case: &&Case| !case.get.contains("close") && case.get.starts_with("200");
    for (one, other) in cases.iter().filter(plain).flat_map(|one| {
        let others = cases.iter().filter(plain).step_by(7);
        others.map(move |other| (one, other))
    }) {
        if one.interim || other.interim || one.send.contains("HEAD") || other.send.contains("HEAD")
        {
            continue;
        }
        if one.send.contains("stream") || other.send.contains("stream") {
            continue;
        }
        let both = [one.bytes(), other.bytes()].concat();
        let (answer, ended) = event_loop.exchange(&[&both]);
        let statuses: Vec<_> = answers(&answer, &[])
            .iter()
            .map(|one| one.status.to_string())
            .collect();
        let expected = format!("{} {}", one.get, other.get);
        assert_eq!(
            statuses.join(" "),
            expected,
            "{} / {}",
            one.name,
            other.name
        );
        assert!(!ended);
    }
}

/// What is as large as its limit allows is taken, and refused when it is larger by one, however it comes.
#[test]
fn a_limit_is_exact() {
    fn post(fields: &str, body: &str) -> String {
        request(Method::Post, "/", fields) + body
    }
    fn chunked(body: &str) -> String {
        post("Transfer-Encoding: chunked\r\n", body)
    }
    fn get(path: &str, fields: &str) -> String {
        request(Method::Get, path, fields)
    }
    fn x(count: usize) -> String {
        "x".repeat(count)
    }
    type Make = fn(usize) -> String;
    let cases: [(&str, usize, &str, Make); 10] = [
        ("line", 40, "414", |size| {
            get(&format!("/{}", x(size - 14)), "")
        }),
        ("header", 60, "431", |size| {
            get("/", &format!("X:{}\r\n", x(size - 15)))
        }),
        ("fields", 5, "431", |count| {
            get("/", &"X: y\r\n".repeat(count - 1))
        }),
        ("body", 20, "413", |size| {
            post(&format!("Content-Length: {size}\r\n"), &x(size))
        }),
        ("chunk", 20, "413", |size| {
            chunked(&format!("{size:x}\r\n{}\r\n0\r\n\r\n", x(size)))
        }),
        ("chunks", 20, "413", |size| {
            chunked(&("1\r\nx\r\n".repeat(size) + "0\r\n\r\n"))
        }),
        ("extension", 1024, "400", |size| {
            chunked(&format!("0;{}\r\n\r\n", x(size - 1)))
        }),
        ("extensions", 1024, "400", |size| {
            chunked(&("1;\r\nx\r\n".repeat(4) + &format!("0;{}\r\n\r\n", x(size - 5))))
        }),
        ("white space", 1024, "400", |size| {
            chunked(&format!("0{};\r\n\r\n", " ".repeat(size - 1)))
        }),
        ("trailer", 60, "431", |size| {
            chunked(&format!("0\r\nX:{}\r\n\r\n", x(size - 6)))
        }),
    ];
    let mut event_loop = ByHand::new(Limits {
        request_line: 40,
        header: 60,
        fields: 5,
        body: 20,
        ..Default::default()
    });
    for (what, most, refusal, make) in cases {
        for (size, status) in [(most, "200"), (most + 1, refusal)] {
            let request = make(size).into_bytes();
            for piece in [1, 7, request.len()] {
                let pieces: Vec<_> = request.chunks(piece).collect();
                let (answer, ended) = event_loop.exchange(&pieces);
                let how = format!("{what} of {size}, in pieces of {piece}");
                assert_eq!(answers(&answer, &[])[0].status.to_string(), status, "{how}");
                assert_eq!(ended, status != "200", "{how}");
            }
        }
    }
}
