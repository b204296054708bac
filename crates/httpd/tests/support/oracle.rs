//! What must hold for any bytes whatever. The tests of `oracle.rs` and the fuzz target `requests` try it.

use httpd::{Chunked, Head, Limits, Progress, Refusal};

/// As strict as the server is with what a client sends, and a little narrower in size, to reach the limits.
pub fn limits() -> Limits {
    Limits {
        request_line: 300,
        header: 600,
        fields: 20,
        body: 500,
        ..Default::default()
    }
}

/// All of them.
pub fn check(bytes: &[u8]) {
    compare_with_httparse(bytes);
    cuts_make_no_difference(bytes);
    what_was_read_before_makes_no_difference(bytes);
    chunks_are_what_the_grammar_says(bytes);
}

fn parse(bytes: &[u8]) -> (Head, Result<Option<usize>, Refusal>) {
    let mut head = Head::default();
    let outcome = head.parse(bytes, &mut Progress::default(), &limits());
    (head, outcome)
}

/// What we accept, httparse accepts, and understands in the same way. What httparse accepts and we refuse on the ground of its
/// syntax has one of the features in which we are stricter on purpose.
fn compare_with_httparse(bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut theirs = httparse::Request::new(&mut fields);
    let their_outcome = theirs.parse(bytes);
    let (head, outcome) = parse(bytes);
    match outcome {
        Ok(Some(length)) => {
            let request = head.request(&bytes[..length]);
            // It knows no later 1.x.
            if bytes[..length].windows(8).any(|eight| {
                matches!(
                    eight,
                    b"HTTP/1.2"
                        | b"HTTP/1.3"
                        | b"HTTP/1.4"
                        | b"HTTP/1.5"
                        | b"HTTP/1.6"
                        | b"HTTP/1.7"
                        | b"HTTP/1.8"
                        | b"HTTP/1.9"
                )
            }) {
                return;
            }
            assert_eq!(their_outcome, Ok(httparse::Status::Complete(length)));
            assert_eq!(theirs.method, Some(request.method().as_str()));
            assert_eq!(theirs.path, Some(request.target()));
            let version = theirs.version.map(|version| format!("HTTP/1.{version}"));
            assert_eq!(version.as_deref(), Some(request.version()));
            let ours: Vec<_> = request.fields().collect();
            let theirs: Vec<_> = theirs
                .headers
                .iter()
                .map(|one| (one.name, one.value))
                .collect();
            assert_eq!(ours, theirs);
            assert!(request.path() == "*" || request.path().starts_with('/'));
            assert!(request.target().bytes().all(|byte| byte.is_ascii_graphic()));
        }
        Ok(None) => assert!(
            !matches!(their_outcome, Ok(httparse::Status::Complete(_))),
            "it is complete"
        ),
        Err(
            Refusal::RequestLine
            | Refusal::Target
            | Refusal::LineEnd
            | Refusal::FieldName
            | Refusal::FieldValue,
        ) => {
            if let Ok(httparse::Status::Complete(length)) = their_outcome {
                let target = theirs.path.unwrap_or_default().as_bytes();
                let stricter = has_bare_line_feed(&bytes[..length])
                    || bytes.starts_with(b"\r")
                    || !target
                        .iter()
                        .all(|byte| byte.is_ascii_graphic() && *byte != b'#')
                    || !target.starts_with(b"/");
                assert!(stricter, "refused: {outcome:?}");
            }
        }
        Err(_) => {}
    }
}

fn has_bare_line_feed(bytes: &[u8]) -> bool {
    let feeds = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    feeds
        .map(|(at, _)| at)
        .any(|at| at == 0 || bytes[at - 1] != b'\r')
}

/// A head that arrives in pieces comes to the same end as one that arrives whole; only the limits may strike earlier.
fn cuts_make_no_difference(bytes: &[u8]) {
    let (_, whole) = parse(bytes);
    let step = 1 + bytes.first().map_or(0, |byte| usize::from(*byte) % 7);
    let (mut head, mut progress) = (Head::default(), Progress::default());
    let mut outcome = Ok(None);
    for end in (1..bytes.len()).step_by(step).chain([bytes.len()]) {
        outcome = head.parse(&bytes[..end], &mut progress, &limits());
        if outcome != Ok(None) {
            break;
        }
        // Another connection's request, as in the life of a loop.
        if end % 3 == 0 {
            let other = b"GET /other HTTP/1.1\r\nHost: other\r\nX: y\r\n\r\n";
            head.parse(other, &mut Progress::default(), &limits())
                .unwrap();
        }
    }
    let size = [
        Refusal::RequestLineTooLong,
        Refusal::FieldsTooLarge,
        Refusal::TooManyFields,
    ];
    let is_size = |outcome: &Result<Option<usize>, Refusal>| {
        outcome.is_err_and(|refusal| size.contains(&refusal))
    };
    match (whole, outcome) {
        // Of several faults, another one may be told: what two fields say together is looked at in a whole head only.
        (Err(_), Err(_)) => {}
        // Whole, a fault is told as soon as it is seen; cut, at the end of its line or of the head.
        (Err(_), Ok(None)) => assert!(!bytes.windows(4).any(|four| four == b"\r\n\r\n")),
        (whole, cut) if whole != cut => {
            assert!(is_size(&whole) || is_size(&cut), "{whole:?} {cut:?}")
        }
        (Ok(Some(length)), Ok(Some(_))) => {
            let ours = head.request(&bytes[..length]);
            let (whole, _) = parse(bytes);
            let whole = whole.request(&bytes[..length]);
            assert_eq!(
                format!("{:?}", ours.fields().collect::<Vec<_>>()),
                format!("{:?}", whole.fields().collect::<Vec<_>>())
            );
            assert_eq!(
                (ours.host(), ours.path(), ours.query()),
                (whole.host(), whole.path(), whole.query())
            );
        }
        _ => {}
    }
}

/// A head that has been used comes to what a new one would, be the header the same as before, a part of it, or another.
fn what_was_read_before_makes_no_difference(bytes: &[u8]) {
    let line_end = bytes.windows(2).position(|two| two == b"\r\n");
    let header = &bytes[line_end.map_or(bytes.len(), |at| at + 2)..];
    let with = |line: &[u8]| [line, b"\r\n", header].concat();
    let old = with(b"GET /old HTTP/1.0");
    let absolute = with(b"GET http://host HTTP/1.1");
    let cut = &bytes[..bytes.len() - bytes.len().min(1)];
    let longer = [cut, b"X: y\r\n\r\n"].concat();
    let mut used = Head::default();
    for request in [bytes, &old, cut, bytes, &absolute, &longer, &old, bytes] {
        let (new, expected) = parse(request);
        let outcome = used.parse(request, &mut Progress::default(), &limits());
        assert_eq!(outcome, expected);
        if matches!(outcome, Ok(Some(_))) {
            assert_eq!(format!("{used:?}"), format!("{new:?}"));
        }
    }
}

/// The decoder agrees with a plain one that looks at the whole, and does so in any pieces.
fn chunks_are_what_the_grammar_says(bytes: &[u8]) {
    let expected = plain_decoder(bytes);
    for step in [usize::MAX, 1, 3] {
        let (mut decoder, mut body) = (Chunked::default(), Vec::new());
        let mut taken = 0;
        let mut outcome = Ok(());
        for piece in bytes.chunks(step.min(bytes.len().max(1))) {
            match decoder.decode(piece, &mut body, &limits()) {
                Ok(count) => taken += count,
                Err(refusal) => {
                    outcome = Err(refusal);
                    break;
                }
            }
            if decoder.is_done() {
                break;
            }
        }
        match (&expected, outcome) {
            (Some((length, content)), Ok(())) => {
                assert!(decoder.is_done());
                assert_eq!((taken, &body), (*length, content));
            }
            (Some(_), Err(refusal)) => assert!(
                matches!(
                    refusal,
                    Refusal::BodyTooLarge | Refusal::Extensions | Refusal::TrailerTooLarge
                ),
                "{refusal:?}"
            ),
            (None, _) => assert!(!decoder.is_done(), "accepted: {taken}"),
        }
        assert!(body.len() <= limits().body);
    }
}

/// RFC 9112 section 7.1, word for word: the length of the coded body and its content, if it is complete and valid.
fn plain_decoder(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let line = |at: usize| {
        let rest = bytes.get(at..)?;
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = &rest[..end];
        let clean = line
            .iter()
            .all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f));
        clean.then_some((line, at + end + 2))
    };
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let (text, next) = line(at)?;
        let digits = text
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let extension = text[digits..].trim_ascii_start();
        let valid =
            (1..=16).contains(&digits) && (digits == text.len() || extension.starts_with(b";"));
        if !valid {
            return None;
        }
        let size = usize::from_str_radix(str::from_utf8(&text[..digits]).ok()?, 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        let end = at.checked_add(size)?;
        content.extend_from_slice(bytes.get(at..end)?);
        if bytes.get(end..end.checked_add(2)?)? != b"\r\n" {
            return None;
        }
        at = end + 2;
    }
    loop {
        let (text, next) = line(at)?;
        at = next;
        if text.is_empty() {
            return Some((at, content));
        }
        let colon = text.iter().position(|byte| *byte == b':')?;
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if colon == 0 || !text[..colon].iter().all(token) {
            return None;
        }
    }
}
