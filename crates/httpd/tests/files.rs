//! Files: types, conditions, ranges, compressed siblings, and that nothing outside the directory comes out.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use httpd::{Files, Method, Options, Ranges, Routes};
use support::*;
use tempfile::TempDir;

fn site() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::write(root.join("index.html"), "<h1>home</h1>").unwrap();
    fs::write(root.join("sub/index.html"), "<h1>sub</h1>").unwrap();
    fs::write(root.join("digits.txt"), "0123456789").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("large"), vec![b'x'; 1000]).unwrap();
    fs::write(root.join("a b%c?.txt"), "odd name").unwrap();
    fs::write(root.join("app.js"), "plain").unwrap();
    fs::write(root.join("app.js.br"), "brotli").unwrap();
    fs::write(root.join("app.js.gz"), "gzip").unwrap();
    fs::write(place.path().join("secret"), "outside").unwrap();
    symlink("../secret", root.join("up")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("digits.txt", root.join("within")).unwrap();
    nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    place
}

fn serve_files(place: &Path) -> ByHand {
    let files = Files::new(place.join("root")).unwrap().precompressed();
    ByHand::answering(Options::default(), Routes::new().files(files).handler())
}

fn ask(event_loop: &mut ByHand, method: Method, path: &str, fields: &str) -> Answer {
    let heads: &[usize] = if method == Method::Head { &[0] } else { &[] };
    let (answer, ended) = event_loop.exchange(&[request(method, path, fields).as_bytes()]);
    assert!(!ended, "{path}");
    let mut answers = answers(&answer, heads);
    assert_eq!(answers.len(), 1, "{path}");
    answers.remove(0)
}

fn get(event_loop: &mut ByHand, path: &str, fields: &str) -> Answer {
    ask(event_loop, Method::Get, path, fields)
}

#[test]
fn files_have_their_types_and_directories_an_index() {
    let place = site();
    let event_loop = &mut serve_files(place.path());
    for (path, status, kind, body) in [
        ("/", 200, "text/html; charset=utf-8", "<h1>home</h1>"),
        (
            "/index.html",
            200,
            "text/html; charset=utf-8",
            "<h1>home</h1>",
        ),
        ("/sub/", 200, "text/html; charset=utf-8", "<h1>sub</h1>"),
        (
            "/digits.txt",
            200,
            "text/plain; charset=utf-8",
            "0123456789",
        ),
        (
            "/%64igits.txt",
            200,
            "text/plain; charset=utf-8",
            "0123456789",
        ),
        (
            "/digits.txt?v=2",
            200,
            "text/plain; charset=utf-8",
            "0123456789",
        ),
        ("/within", 200, "application/octet-stream", "0123456789"),
        ("/empty", 200, "application/octet-stream", ""),
        (
            "/a%20b%25c%3F.txt",
            200,
            "text/plain; charset=utf-8",
            "odd name",
        ),
        ("/missing", 404, "text/plain; charset=utf-8", "Not Found\n"),
        (
            "/sub/deep/",
            404,
            "text/plain; charset=utf-8",
            "Not Found\n",
        ),
        (
            "/digits.txt/",
            404,
            "text/plain; charset=utf-8",
            "Not Found\n",
        ),
        ("/fifo", 404, "text/plain; charset=utf-8", "Not Found\n"),
    ] {
        let answer = get(event_loop, path, "");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("Content-Type"), Some(kind), "{path}");
        assert_eq!(answer.text(), body, "{path}");
        let head = ask(event_loop, Method::Head, path, "");
        let without_date = |answer: &Answer| {
            let lines = answer.head.lines().filter(|line| !line.starts_with("Date"));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(without_date(&head), without_date(&answer), "{path}");
    }
    let answer = ask(event_loop, Method::Post, "/digits.txt", "");
    assert_eq!(
        (answer.status, answer.header("Allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
    assert_eq!(
        ask(event_loop, Method::Options, "/digits.txt", "").status,
        204
    );
}

#[test]
fn a_directory_without_a_slash_is_redirected_and_nowhere_else() {
    let place = site();
    let event_loop = &mut serve_files(place.path());
    fs::create_dir(place.path().join("root/o d\"d")).unwrap();
    for (path, location) in [
        ("/sub", "/sub/"),
        ("/sub?a=b", "/sub/?a=b"),
        ("/o%20d%22d", "/o%20d%22d/"),
    ] {
        let answer = get(event_loop, path, "");
        assert_eq!(
            (answer.status, answer.header("Location")),
            (301, Some(location))
        );
    }
    for path in [
        "//sub",
        "///sub",
        "/\\sub",
        "//evil.example/..",
        "/%2f%2fsub",
        "/%5csub",
        "/./sub",
        "/sub/.",
        "/sub/../sub",
        "/sub//deep",
    ] {
        assert!(
            matches!(get(event_loop, path, "").status, 400 | 404),
            "{path}"
        );
    }
}

/// Every spelling of a way out that we could think of.
#[test]
fn nothing_outside_the_directory_comes_out() {
    let place = site();
    let event_loop = &mut serve_files(place.path());
    let mut paths: Vec<String> = [
        "/up",
        "/absolute",
        "/proc/self/environ",
        "/%00",
        "/digits.txt%00.html",
    ]
    .map(String::from)
    .into();
    for dots in [
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "..%00",
        "..;",
        "%252e%252e",
        "%c0%ae%c0%ae",
        "..%c0%af",
    ] {
        for slash in ["/", "%2f", "%5c", "\\", "//", "/./"] {
            paths.push(format!("/{dots}{slash}secret"));
            paths.push(format!("/sub{slash}{dots}{slash}{dots}{slash}secret"));
            paths.push(format!(
                "/{}etc/passwd",
                format!("{dots}{slash}").repeat(12)
            ));
        }
    }
    for path in paths {
        let answer = get(event_loop, &path, "");
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.status
        );
        assert!(
            !answer.text().contains("outside") && !answer.text().contains("root:"),
            "{path}"
        );
    }
}

/// RFC 9110 section 13.
#[test]
fn conditions() {
    let place = site();
    let event_loop = &mut serve_files(place.path());
    let first = get(event_loop, "/digits.txt", "");
    let etag = first.header("ETag").unwrap().to_string();
    let date = first.header("Last-Modified").unwrap().to_string();
    assert!(etag.starts_with('"') && etag.ends_with('"'));
    let (old, new) = (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    );
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: W/{etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", {etag}\r\n"), 304),
        ("If-None-Match: *\r\n".into(), 304),
        ("If-None-Match: \"x\"\r\n".into(), 200),
        (format!("If-Modified-Since: {date}\r\n"), 304),
        (format!("If-Modified-Since: {new}\r\n"), 304),
        (format!("If-Modified-Since: {old}\r\n"), 200),
        ("If-Modified-Since: soon\r\n".into(), 200),
        // The tag wins over the date.
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n"),
            200,
        ),
        (
            format!("If-None-Match: {etag}\r\nIf-Modified-Since: {old}\r\n"),
            304,
        ),
        ("If-None-Match: \"x,*,y\"\r\n".into(), 200),
        (format!("If-Match: {etag}\r\n"), 200),
        ("If-Match: *\r\n".into(), 200),
        (format!("If-Match: W/{etag}\r\n"), 412),
        ("If-Match: \"x\"\r\n".into(), 412),
        (format!("If-Match: \"x\"\r\nIf-None-Match: {etag}\r\n"), 412),
        (format!("If-Unmodified-Since: {date}\r\n"), 200),
        (format!("If-Unmodified-Since: {old}\r\n"), 412),
        (
            format!("If-Match: {etag}\r\nIf-Unmodified-Since: {old}\r\n"),
            200,
        ),
    ] {
        let answer = get(event_loop, "/digits.txt", &fields);
        assert_eq!(answer.status, status, "{fields}");
        if status == 304 {
            assert_eq!(answer.header("ETag"), Some(&*etag));
            assert!(
                answer.header("Content-Length").is_none()
                    && answer.header("Content-Type").is_none()
            );
        }
    }
    fs::write(place.path().join("root/digits.txt"), "9876543210").unwrap();
    let answer = get(
        event_loop,
        "/digits.txt",
        &format!("If-None-Match: {etag}\r\n"),
    );
    assert_eq!((answer.status, answer.text()), (200, "9876543210"));
}

/// RFC 9110 section 14.
#[test]
fn ranges() {
    let place = site();
    let event_loop = &mut serve_files(place.path());
    let first = get(event_loop, "/digits.txt", "");
    assert_eq!(first.header("Accept-Ranges"), Some("bytes"));
    let etag = first.header("ETag").unwrap().to_string();
    let date = first.header("Last-Modified").unwrap().to_string();
    for (range, status, content, body) in [
        ("bytes=0-3", 206, "bytes 0-3/10", "0123"),
        ("bytes=4-", 206, "bytes 4-9/10", "456789"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=-30", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=9-9", 206, "bytes 9-9/10", "9"),
        ("BYTES=5-99999999999999999999", 206, "bytes 5-9/10", "56789"),
        ("bytes= 0-0 , 10-", 206, "bytes 0-0/10", "0"),
        ("bytes=10-", 416, "bytes */10", "Range Not Satisfiable\n"),
        ("bytes=-0", 416, "bytes */10", "Range Not Satisfiable\n"),
        (
            "bytes=99999999999999999999-",
            416,
            "bytes */10",
            "Range Not Satisfiable\n",
        ),
        ("bytes=3-2", 200, "", "0123456789"),
        ("bytes=", 200, "", "0123456789"),
        ("bytes=a-b", 200, "", "0123456789"),
        ("bytes=+1-2", 200, "", "0123456789"),
        ("lines=0-1", 200, "", "0123456789"),
        ("bytes=0-8,0-8", 200, "", "0123456789"),
    ] {
        let answer = get(event_loop, "/digits.txt", &format!("Range: {range}\r\n"));
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(
            answer.header("Content-Range").unwrap_or(""),
            content,
            "{range}"
        );
        assert_eq!(answer.text(), body, "{range}");
    }
    for (count, status) in [(16, 206), (17, 200)] {
        let many = vec!["0-0"; count].join(",");
        let answer = get(event_loop, "/large", &format!("Range: bytes={many}\r\n"));
        assert_eq!(answer.status, status, "{count} ranges");
    }
    let halves = get(event_loop, "/digits.txt", "Range: bytes=0-4,5-9\r\n");
    assert_eq!(halves.status, 206);
    assert_eq!(get(event_loop, "/empty", "Range: bytes=0-\r\n").status, 416);
    for (condition, status) in [
        (&*etag, 206),
        (&*date, 206),
        ("\"x\"", 200),
        (&*format!("W/{etag}"), 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
        ("nonsense", 200),
    ] {
        let fields = format!("Range: bytes=0-0\r\nIf-Range: {condition}\r\n");
        assert_eq!(
            get(event_loop, "/digits.txt", &fields).status,
            status,
            "{condition}"
        );
    }
    let head = ask(
        event_loop,
        Method::Head,
        "/digits.txt",
        "Range: bytes=0-3\r\n",
    );
    assert_eq!(
        (head.status, head.header("Content-Length")),
        (200, Some("10"))
    );
}

#[test]
fn several_ranges_are_a_multipart_body() {
    let place = site();
    let event_loop = &mut serve_files(place.path());
    let answer = get(event_loop, "/digits.txt", "Range: bytes=0-1,-2\r\n");
    assert_eq!(answer.status, 206);
    let boundary = answer.header("Content-Type").unwrap();
    let boundary = boundary
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let part = |range: &str, body: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/10\r\n\r\n{body}"
        )
    };
    let expected = format!(
        "{}{}\r\n--{boundary}--\r\n",
        part("0-1", "01"),
        part("8-9", "89")
    );
    assert_eq!(answer.text(), expected);
}

/// A range never reaches outside of the file, nor is it empty.
#[test]
fn every_small_range() {
    for size in 0..6u64 {
        let content: Vec<u64> = (0..size).collect();
        for first in 0..7usize {
            for last in 0..7usize {
                let parsed = Ranges::parse(format!("bytes={first}-{last}").as_bytes(), size);
                let expected = match first <= last {
                    false => Ranges::Whole,
                    true if (first as u64) < size => {
                        Ranges::Parts(vec![(first as u64, (last as u64 + 1).min(size))])
                    }
                    true => Ranges::Unsatisfiable,
                };
                assert_eq!(parsed, expected, "{first}-{last} of {content:?}");
            }
        }
    }
}

/// RFC 9110 section 12.5.3.
#[test]
fn compressed_siblings_go_to_those_who_take_them() {
    let place = site();
    let event_loop = &mut serve_files(place.path());
    for (accept, body, coding) in [
        ("", "plain", None),
        (
            "Accept-Encoding: gzip, deflate, br\r\n",
            "brotli",
            Some("br"),
        ),
        ("Accept-Encoding: gzip\r\n", "gzip", Some("gzip")),
        ("Accept-Encoding: GZIP;q=0.5\r\n", "gzip", Some("gzip")),
        ("Accept-Encoding: br;q=0, gzip\r\n", "gzip", Some("gzip")),
        ("Accept-Encoding: br;q=0.000, gzip; q=0\r\n", "plain", None),
        ("Accept-Encoding: *\r\n", "brotli", Some("br")),
        ("Accept-Encoding: *, br;q=0\r\n", "gzip", Some("gzip")),
        ("Accept-Encoding: identity\r\n", "plain", None),
        ("Accept-Encoding: brx\r\n", "plain", None),
    ] {
        let answer = get(event_loop, "/app.js", accept);
        assert_eq!(answer.text(), body, "{accept}");
        assert_eq!(answer.header("Content-Encoding"), coding, "{accept}");
        assert_eq!(
            answer.header("Content-Type"),
            Some("text/javascript; charset=utf-8")
        );
        assert_eq!(answer.header("Vary"), Some("Accept-Encoding"));
    }
    let plain = get(event_loop, "/app.js", "");
    let compressed = get(event_loop, "/app.js", "Accept-Encoding: br\r\n");
    assert_ne!(plain.header("ETag"), compressed.header("ETag"));
}

/// Large files, pipelined with other requests, come whole and in order.
#[test]
fn a_large_file_between_other_answers() {
    let place = site();
    let large: Vec<u8> = (0..3_000_000u32).map(|number| (number / 7) as u8).collect();
    fs::write(place.path().join("root/large.bin"), &large).unwrap();
    let files = Files::new(place.path().join("root")).unwrap();
    let server = serve_with(Options::default(), Routes::new().files(files).handler());
    let range = request(
        Method::Get,
        "/large.bin",
        "Range: bytes=1000000-1999999\r\n",
    );
    let requests = [
        request(Method::Get, "/digits.txt", ""),
        request(Method::Get, "/large.bin", ""),
        range,
        request(Method::Head, "/large.bin", ""),
        request(Method::Get, "/missing", ""),
        request(Method::Get, "/digits.txt", "Connection: close\r\n"),
    ];
    let answers = answers(&server.exchange(requests.concat()), &[3]);
    assert_eq!(answers.len(), 6);
    assert_eq!(answers[0].text(), "0123456789");
    assert_eq!(answers[1].body, large);
    assert_eq!(answers[2].body, large[1_000_000..2_000_000]);
    assert_eq!(answers[3].header("Content-Length"), Some("3000000"));
    assert_eq!(answers[4].status, 404);
    assert_eq!(answers[5].text(), "0123456789");
    server.stop();
}

/// Files that are kept open are sent as they are now. Only another way to them is noticed late.
#[test]
fn a_file_that_is_kept_open_is_not_an_old_one() {
    let serve = |root: &Path, time| {
        let files = Files::new(root).unwrap().kept_open(time);
        ByHand::answering(Options::default(), Routes::new().files(files).handler())
    };
    let place = site();
    let root = place.path().join("root");
    let (file, event_loop) = (root.join("digits.txt"), &mut serve(&root, DEADLINE));
    let one = get(event_loop, "/digits.txt", "");
    assert_eq!(one.body, b"0123456789");
    // Written anew, with another length.
    fs::write(&file, "01234").unwrap();
    let other = get(event_loop, "/digits.txt", "");
    assert_eq!(other.body, b"01234");
    assert_ne!(one.header("ETag"), other.header("ETag"));
    // Replaced, and removed.
    fs::write(root.join("new"), "replaced").unwrap();
    fs::rename(root.join("new"), &file).unwrap();
    assert_eq!(get(event_loop, "/digits.txt", "").body, b"replaced");
    fs::remove_file(&file).unwrap();
    assert_eq!(get(event_loop, "/digits.txt", "").status, 404);
    // Replaced, while the old one lives on under another name.
    fs::write(root.join("app2.js"), "another").unwrap();
    assert_eq!(get(event_loop, "/app.js", "").body, b"plain");
    fs::rename(root.join("app.js"), root.join("old.js")).unwrap();
    fs::rename(root.join("app2.js"), root.join("app.js")).unwrap();
    assert_eq!(get(event_loop, "/app.js", "").body, b"another");
    // Through another directory, until the time is over.
    let page = |event_loop: &mut ByHand| get(event_loop, "/sub/index.html", "").status;
    let brief = &mut serve(&root, Duration::ZERO);
    assert_eq!((page(event_loop), page(brief)), (200, 200));
    fs::rename(root.join("sub"), root.join("elsewhere")).unwrap();
    assert_eq!((page(event_loop), page(brief)), (200, 404));
}

/// A date to come is no Last-Modified, RFC 9110 section 8.8.2.1; nor is one that HTTP cannot write.
#[test]
fn a_file_from_the_future_was_modified_now() {
    let place = site();
    let event_loop = &mut serve_files(place.path());
    for seconds in [5_000_000_000, 300_000_000_000] {
        let path = place.path().join("root/digits.txt");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
        let answer = get(event_loop, "/digits.txt", "");
        assert_eq!(answer.status, 200);
        let date = |name| httpdate::parse_http_date(answer.header(name).unwrap()).unwrap();
        assert!(date("Last-Modified") <= date("Date"));
    }
}

/// However many files there are, most descriptors are left for connections.
#[test]
fn so_many_files_and_no_more_are_kept_open() {
    let place = tempfile::tempdir().unwrap();
    for number in 0..200 {
        fs::write(place.path().join(number.to_string()), "x").unwrap();
    }
    let files = Files::new(place.path()).unwrap().kept_open(DEADLINE);
    let event_loop =
        &mut ByHand::answering(Options::default(), Routes::new().files(files).handler());
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for number in 0..200 {
        assert_eq!(get(event_loop, &format!("/{number}"), "").body, b"x");
    }
    assert_eq!(open() - before, 64);
}

/// Those whose time is over make room.
#[test]
fn files_that_nobody_asks_for_do_not_stay_open() {
    let place = tempfile::tempdir().unwrap();
    for number in 0..65 {
        fs::write(place.path().join(number.to_string()), "x").unwrap();
    }
    let time = Duration::from_millis(10);
    let files = Files::new(place.path()).unwrap().kept_open(time);
    let event_loop =
        &mut ByHand::answering(Options::default(), Routes::new().files(files).handler());
    for number in 0..64 {
        get(event_loop, &format!("/{number}"), "");
    }
    std::thread::sleep(time);
    get(event_loop, "/64", "");
    let file = place.path().join("64");
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let mut open = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    assert!(open.any(|open| open == file));
}

/// A file that becomes shorter while it is sent: the promised length cannot be kept, so the connection ends.
#[test]
fn a_file_that_shrinks_ends_the_connection_and_not_the_server() {
    use std::io::{Read, Write};
    let place = site();
    let path = place.path().join("root/shrinks");
    fs::write(&path, vec![b'x'; 16 * 1024 * 1024]).unwrap();
    let files = Files::new(place.path().join("root")).unwrap();
    let routes = Routes::new().files(files).get("/well", |_, response| {
        response.text("well");
    });
    let server = serve_with(Options::default(), routes.handler());
    let mut stream = server.connect();
    stream
        .write_all(request(Method::Get, "/shrinks", "").as_bytes())
        .unwrap();
    let mut some = [0; 4096];
    stream.read_exact(&mut some).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(10)
        .unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < 16 * 1024 * 1024);
    server.is_well();
    server.stop();
}
