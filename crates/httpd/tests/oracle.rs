//! The parser against httparse, and against itself in pieces, on requests that are generated and then damaged.

#[path = "support/oracle.rs"]
mod oracle;

use std::fs;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

/// What requests, and attacks, are made of.
const WORDS: &[&str] = &[
    "GET",
    "POST",
    "HEAD",
    "OPTIONS",
    "CONNECT",
    "get",
    " ",
    "  ",
    "\t",
    "/",
    "/a/b?c=d",
    "*",
    "http://h/p",
    "http://",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\r\r\n",
    "Host",
    "Host: a\r\n",
    "host:a:80\r\n",
    ": ",
    ":",
    " :",
    "Content-Length: ",
    "Transfer-Encoding: ",
    "chunked",
    "gzip",
    ", ",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "0",
    "5",
    "ffffffffffffffff",
    "a",
    ";x",
    "=\"y\"",
    "hello",
    "\0",
    "\x7f",
    "\x0b",
    "\u{e4}",
    "[::1]",
    "@",
    "%41",
    "%",
    "#",
    "X-Field: value\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "1;a=b\r\nx\r\n",
    "Trailer: x\r\n",
];

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"
}

/// A request that should be accepted, in most cases.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = select(vec![
        "GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH",
    ]);
    let version = select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.7"]);
    let value = "[ -~\t\u{80}-\u{ff}]{0,40}";
    let field = (token(), select(vec![":", ": ", ":\t "]), value)
        .prop_map(|(name, colon, value)| format!("{name}{colon}{value}\r\n"));
    let fields = prop::collection::vec(field, 0..8);
    (
        method,
        "(/[!-\"$-~]{0,30}|http://[a-z.]{1,9}(:[0-9]{1,4})?(/[a-z?]{0,9})?)",
        version,
        fields,
    )
        .prop_map(|(method, target, version, fields)| {
            format!(
                "{method} {target} {version}\r\nHost: h\r\n{}\r\n",
                fields.concat()
            )
            .into_bytes()
        })
}

/// A body in chunks that should be accepted.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (
        prop::collection::vec(any::<u8>(), 1..40),
        select(vec!["", ";a", " ;a=b", ";a=\"b c\""]),
    )
        .prop_map(|(data, extension)| {
            let mut chunk = format!("{:x}{extension}\r\n", data.len()).into_bytes();
            chunk.extend(data);
            chunk.extend(b"\r\n");
            chunk
        });
    let end = select(vec![
        "0\r\n\r\n",
        "00;x\r\nTrailer: y\r\n\r\n",
        "0\r\nA:b\r\nC: d\r\n\r\n",
    ]);
    (prop::collection::vec(chunk, 0..6), end)
        .prop_map(|(chunks, end)| [chunks.concat(), end.as_bytes().to_vec()].concat())
}

/// A few bytes changed, taken out, put in, doubled.
fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = (
        any::<prop::sample::Index>(),
        0..5,
        any::<u8>(),
        select(WORDS),
    );
    (bytes, prop::collection::vec(damage, 1..5)).prop_map(|(mut bytes, damages)| {
        for (place, kind, byte, word) in damages {
            let at = place.index(bytes.len() + 1);
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                3 => drop(bytes.splice(at..at, word.bytes())),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

fn words() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(select(WORDS), 0..40).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(Config { cases: 2000, ..Config::default() })]

    #[test]
    fn valid_requests(bytes in request()) { oracle::check(&bytes); }

    #[test]
    fn damaged_requests(bytes in damaged(request())) { oracle::check(&bytes); }

    #[test]
    fn valid_chunks(bytes in chunks()) { oracle::check(&bytes); }

    #[test]
    fn damaged_chunks(bytes in damaged(chunks())) { oracle::check(&bytes); }

    #[test]
    fn heaps_of_words(bytes in words()) { oracle::check(&bytes); }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..200)) { oracle::check(&bytes); }
}

/// The generator makes what it is meant to make: else the tests above would prove nothing.
#[test]
fn generated_requests_are_accepted_for_the_most_part() {
    let mut runner = TestRunner::deterministic();
    let (mut accepted, mut sum) = (0, 0);
    for _ in 0..500 {
        let bytes = request().new_tree(&mut runner).unwrap().current();
        let mut head = httpd::Head::default();
        let outcome = head.parse(&bytes, &mut httpd::Progress::default(), &oracle::limits());
        accepted += usize::from(matches!(outcome, Ok(Some(_))));
        sum += 1;
    }
    assert!(accepted * 10 > sum * 7, "{accepted} of {sum}");
}

/// What the fuzzer has found.
#[test]
fn found_by_fuzzing() {
    // Before any other request, the empty name was one that was known already.
    oracle::check(b"GET / HTTP/1.1\r\nHost:\r\n\r\n");
    // Two faults in one head, and one that only two lines together are.
    oracle::check(b"PUT / HTTP/1.1\r\nHost: a\r\nHost:b\r\n");
    oracle::check(b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Len10-continue\r\n\r\n");
}

/// For a long night: `MINUTES=60 cargo test --release -p httpd --test oracle -- --ignored --nocapture`. A plain mutating
/// fuzzer over the corpus; where cargo-fuzz is at hand, `crates/httpd/fuzz` does better.
#[test]
#[ignore = "runs for MINUTES, 1 by default"]
fn mutations_of_the_corpus_for_minutes() {
    let minutes: f64 = std::env::var("MINUTES").map_or(1.0, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for name in ["request-line", "fields", "framing", "connection"] {
        let path = format!("{}/tests/corpus/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let table: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        for case in table["case"].as_array().unwrap() {
            let send = case["send"].as_str().unwrap();
            corpus.push(send.chars().map(|character| character as u8).collect());
        }
    }
    let mut runner = TestRunner::new(Config::default());
    let mut count = 0u64;
    while Instant::now() < end {
        for _ in 0..100 {
            let strategy = damaged(select(corpus.clone()));
            for _ in 0..100 {
                let bytes = strategy.new_tree(&mut runner).unwrap().current();
                let told = format!("{:?}", String::from_utf8_lossy(&bytes));
                let outcome = std::panic::catch_unwind(|| oracle::check(&bytes));
                assert!(outcome.is_ok(), "{told}\n{bytes:?}");
                count += 1;
            }
        }
    }
    println!("{count} inputs in {minutes} minutes");
}
