//! Clients that others have written: curl, ab and wrk, each where it is installed.

mod support;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use drive::{DriveError, Program};
use httpd::{Files, Method, Options, Request, Response, Routes};
use support::*;
use tempfile::TempDir;

/// No client takes longer.
const BOUND: Duration = Duration::from_secs(5);

/// `ladder `, a thousand times, as `gzip -9n` has it.
const COMPRESSED: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc5\x21\x0d\x00\x00\x08\x00\xb0\x2a\
    \x54\x63\x03\x87\xa2\xbf\x20\x01\x0d\x7e\xf3\xc9\xaa\xde\x18\x49\x92\x24\x49\x92\x24\
    \x49\x92\x24\x49\x7f\x07\x2f\xa5\xff\xa7\x58\x1b\x00\x00";

/// A server, and a directory in which the clients run. What is in `root` there is served.
struct Place {
    server: Running,
    directory: TempDir,
}

/// What curl tells.
struct Curl {
    /// Of each answer: status, connections made for it, bytes of the bodies sent and received.
    told: Vec<String>,
    /// What has arrived, as curl leaves it.
    bodies: Vec<Vec<u8>>,
    /// Its side of the story, with the heads of requests and answers.
    dialogue: String,
}

impl Place {
    fn new(address: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("digits.txt"), "0123456789").unwrap();
        fs::write(root.join("ladder.txt"), "ladder ".repeat(1000)).unwrap();
        fs::write(root.join("ladder.txt.gz"), COMPRESSED).unwrap();
        let options = Options {
            threads: 2,
            ..Default::default()
        };
        let body = |request: &Request, response: &mut Response| {
            response.text(request.body());
        };
        let routes = Routes::new()
            .get("/hello", |_, response| {
                response.text("hello, network programming");
            })
            .get("/stream", echo)
            .post("/body", body)
            .on(Method::Put, "/body", body)
            .files(Files::new(&root).unwrap().precompressed());
        Self {
            server: serve_on(address, options, routes.handler()),
            directory,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    /// A client, to its end, which is to be a good one. `None`, with a word, where it is not installed.
    fn run(&self, name: &str, command: &mut Command) -> Option<Program> {
        let mut client = match Program::start(name, command.current_dir(&self.directory)) {
            Err(DriveError::Start { source, .. }) if source.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: {name} is not installed");
                return None;
            }
            outcome => outcome.unwrap(),
        };
        client.deadline(BOUND);
        client.closes_input();
        let end = client.ends().unwrap();
        let (out, err) = (client.out().text(), client.err().text());
        assert!(end.success(), "{name} {}:\n{out}{err}", end.ending);
        Some(client)
    }

    /// curl, with these arguments, for these paths one after the other.
    fn curl(&self, arguments: &[&str], paths: &[&str]) -> Option<Curl> {
        let mut command = Command::new("curl");
        // The user's settings and proxies are not what is tried.
        command.args(["-q", "--noproxy", "*"]);
        // A request that waits for a 100 in vain fails: curl would send the body after a second.
        command.args(["--max-time", "4", "--expect100-timeout", "60"]);
        command.args(["--silent", "--show-error", "--verbose", "--write-out"]);
        command.arg("told: %{http_code} %{num_connects} %{size_upload} %{size_download}\\n");
        command.args(arguments);
        for (index, path) in paths.iter().enumerate() {
            command.args(["--output", &format!("body-{index}"), &self.url(path)]);
        }
        let curl = self.run("curl", &mut command)?;
        let told = curl.out().text();
        let told = told.lines().filter_map(|line| line.strip_prefix("told: "));
        // Without a body, there is no file.
        let bodies =
            (0..paths.len()).map(|index| fs::read(self.file(&format!("body-{index}"))).ok());
        Some(Curl {
            told: told.map(str::to_owned).collect(),
            bodies: bodies.map(Option::unwrap_or_default).collect(),
            dialogue: curl.err().text(),
        })
    }
}

impl Curl {
    /// A line of the dialogue: `> ` and what was sent, `< ` and what came, `* ` and what curl thinks of it.
    #[track_caller]
    fn has(&self, line: &str) -> &Self {
        assert!(self.has_line(line), "no {line:?}:\n{}", self.dialogue);
        self
    }

    #[track_caller]
    fn lacks(&self, line: &str) -> &Self {
        assert!(!self.has_line(line), "{line:?}:\n{}", self.dialogue);
        self
    }

    fn has_line(&self, start: &str) -> bool {
        self.dialogue.lines().any(|line| line.starts_with(start))
    }
}

#[test]
fn curl_uses_a_connection_again() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let place = Place::new(address);
        let paths = ["/hello", "/stream", "/digits.txt", "/missing"];
        let Some(curl) = place.curl(&[], &paths) else {
            return;
        };
        assert_eq!(
            curl.told,
            ["200 1 0 26", "200 0 0 21", "200 0 0 10", "404 0 0 10"]
        );
        assert_eq!(curl.bodies[0], b"hello, network programming");
        assert_eq!(curl.bodies[1], b"part 2\npart 1\npart 0\n");
        assert_eq!(curl.bodies[2], b"0123456789");
        assert_eq!(curl.bodies[3], b"Not Found\n");
        // Its versions spell it differently.
        let again = curl.dialogue.replace("Re-using", "Reusing");
        assert_eq!(again.matches("* Reusing existing").count(), 3, "{again}");
        place.server.stop();
    }
}

#[test]
fn curl_speaks_http_1_0() {
    let place = Place::new("127.0.0.1:0");
    // The stream's end is the end of the connection: there are no chunks in HTTP/1.0.
    let paths = ["/hello", "/stream", "/digits.txt"];
    let Some(curl) = place.curl(&["--http1.0"], &paths) else {
        return;
    };
    assert_eq!(curl.told, ["200 1 0 26", "200 1 0 21", "200 1 0 10"]);
    assert_eq!(curl.bodies[1], b"part 2\npart 1\npart 0\n");
    curl.has("> GET /hello HTTP/1.0")
        .has("< Connection: close")
        .lacks("< Transfer-Encoding");

    let arguments = ["--http1.0", "--header", "Connection: keep-alive"];
    let curl = place.curl(&arguments, &["/hello", "/digits.txt"]).unwrap();
    assert_eq!(curl.told, ["200 1 0 26", "200 0 0 10"]);
    curl.has("< Connection: Keep-Alive");
    place.server.stop();
}

#[test]
fn curl_asks_for_heads() {
    let place = Place::new("127.0.0.1:0");
    let paths = ["/hello", "/ladder.txt", "/digits.txt"];
    let Some(curl) = place.curl(&["--head"], &paths) else {
        return;
    };
    assert_eq!(curl.told, ["200 1 0 0", "200 0 0 0", "200 0 0 0"]);
    for (head, length) in curl.bodies.iter().zip(["26", "7000", "10"]) {
        // curl has the head in the body's place.
        let answers = answers(head, &[0]);
        assert_eq!(answers[0].header("Content-Length"), Some(length));
    }
    curl.has("> HEAD /ladder.txt HTTP/1.1");
    place.server.stop();
}

#[test]
fn curl_takes_ranges_and_resumes() {
    let place = Place::new("127.0.0.1:0");
    let Some(curl) = place.curl(&["--range", "2-5"], &["/digits.txt"]) else {
        return;
    };
    assert_eq!(
        (&*curl.told[0], &*curl.bodies[0]),
        ("206 1 0 4", &b"2345"[..])
    );
    curl.has("< Content-Range: bytes 2-5/10");

    let curl = place.curl(&["--range", "-3"], &["/digits.txt"]).unwrap();
    assert_eq!(
        (&*curl.told[0], &*curl.bodies[0]),
        ("206 1 0 3", &b"789"[..])
    );

    let curl = place.curl(&["--range", "10-"], &["/digits.txt"]).unwrap();
    assert!(curl.told[0].starts_with("416 1 "), "{:?}", curl.told);
    curl.has("< Content-Range: bytes */10");

    fs::write(place.file("body-0"), "0123456").unwrap();
    let resume = ["--continue-at", "-"];
    let curl = place.curl(&resume, &["/digits.txt"]).unwrap();
    assert_eq!(curl.told, ["206 1 0 3"]);
    assert_eq!(curl.bodies[0], b"0123456789");
    curl.has("> Range: bytes=7-");
    place.server.stop();
}

#[test]
fn curl_understands_the_compressed_sibling() {
    let place = Place::new("127.0.0.1:0");
    let Some(curl) = place.curl(&["--compressed"], &["/ladder.txt", "/digits.txt"]) else {
        return;
    };
    let compressed = format!("200 1 0 {}", COMPRESSED.len());
    assert_eq!(curl.told, [&*compressed, "200 0 0 10"]);
    assert_eq!(curl.bodies[0], "ladder ".repeat(1000).as_bytes());
    assert_eq!(curl.bodies[1], b"0123456789");
    curl.has("< Content-Encoding: gzip")
        .has("< Vary: Accept-Encoding");

    let curl = place.curl(&[], &["/ladder.txt"]).unwrap();
    assert_eq!(curl.told, ["200 1 0 7000"]);
    assert_eq!(curl.bodies[0], "ladder ".repeat(1000).as_bytes());
    curl.lacks("< Content-Encoding");
    place.server.stop();
}

#[test]
fn curl_waits_for_100_continue() {
    let place = Place::new("127.0.0.1:0");
    let body = "x=1&".repeat(512);
    fs::write(place.file("body"), &body).unwrap();
    fs::write(place.file("large"), vec![b'x'; 2 * 1024 * 1024]).unwrap();
    let expecting = ["--header", "Expect: 100-continue", "--data-binary"];
    let post = |file| [&expecting[..], &[file]].concat();
    let Some(curl) = place.curl(&post("@body"), &["/body", "/body"]) else {
        return;
    };
    assert_eq!(curl.told, ["200 1 2048 2048", "200 0 2048 2048"]);
    assert_eq!(curl.bodies, [body.as_bytes(), body.as_bytes()]);
    let count = curl.dialogue.matches("< HTTP/1.1 100 Continue").count();
    assert_eq!(count, 2, "{}", curl.dialogue);

    // What is too large is refused before it is sent.
    let curl = place.curl(&post("@large"), &["/body"]).unwrap();
    assert!(curl.told[0].starts_with("413 1 0 "), "{:?}", curl.told);
    curl.lacks("< HTTP/1.1 100").has("< Connection: close");
    place.server.stop();
}

#[test]
fn curl_uploads_in_chunks() {
    let place = Place::new("127.0.0.1:0");
    let body: String = (0..30_000).map(|number| format!("{number}\n")).collect();
    fs::write(place.file("body"), &body).unwrap();
    let chunked = ["--header", "Transfer-Encoding: chunked"];
    // An upload belongs to one URL, posted data to all of them.
    let uploads = ["--upload-file", "body", "--upload-file", "body"];
    for how in [
        &["--data-binary", "@body"][..],
        &uploads,
        &[&uploads[..], &["--header", "Expect:"]].concat(),
    ] {
        let arguments = [&chunked, how].concat();
        let Some(curl) = place.curl(&arguments, &["/body", "/body"]) else {
            return;
        };
        curl.has("> Transfer-Encoding: chunked")
            .lacks("> Content-Length");
        assert!(curl.told[0].starts_with("200 1 "), "{:?}", curl.told);
        assert!(curl.told[1].starts_with("200 0 "), "{:?}", curl.told);
        for answer in curl.bodies {
            assert!(answer == body.as_bytes(), "{} bytes", answer.len());
        }
    }
    place.server.stop();
}

#[test]
fn curl_keeps_what_has_not_changed() {
    let place = Place::new("127.0.0.1:0");
    let Some(help) = place.run("curl", Command::new("curl").args(["--help", "all"])) else {
        return;
    };
    if !help.out().text().contains("--etag-compare") {
        eprintln!("skipped: this curl knows no --etag-compare");
        return;
    }
    let etag = ["--etag-compare", "etag", "--etag-save", "etag"];
    let curl = place.curl(&etag[2..], &["/digits.txt"]).unwrap();
    assert_eq!(curl.told, ["200 1 0 10"]);

    let curl = place.curl(&etag, &["/digits.txt"]).unwrap();
    assert_eq!(curl.told, ["304 1 0 0"]);
    curl.has("> If-None-Match: \"")
        .has("< ETag: \"")
        .lacks("< Content-Length");

    fs::write(place.file("root/digits.txt"), "0123456789abcdef").unwrap();
    let curl = place.curl(&etag, &["/digits.txt"]).unwrap();
    assert_eq!(curl.told, ["200 1 0 16"]);
    assert_eq!(curl.bodies[0], b"0123456789abcdef");
    place.server.stop();
}

/// ab: two thousand requests on twenty connections at a time.
fn ab(arguments: &[&str], keep_alive: &str) {
    let place = Place::new("127.0.0.1:0");
    for path in ["/hello", "/digits.txt"] {
        let mut command = Command::new("ab");
        command.args(["-q", "-n", "2000", "-c", "20"]);
        command.args(arguments).arg(place.url(path));
        let Some(ab) = place.run("ab", &mut command) else {
            return;
        };
        let report = ab.out().text();
        let value = |name: &str| {
            let mut lines = report.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(str::trim)
        };
        assert_eq!(value("Complete requests"), Some("2000"), "{report}");
        assert_eq!(value("Failed requests"), Some("0"), "{report}");
        assert_eq!(value("Write errors").unwrap_or("0"), "0", "{report}");
        assert_eq!(value("Non-2xx responses"), None, "{report}");
        let kept = value("Keep-Alive requests").unwrap_or("0");
        assert_eq!(kept, keep_alive, "{report}");
    }
    place.server.stop();
}

#[test]
fn ab_connects_for_each_request() {
    ab(&[], "0");
}

#[test]
fn ab_keeps_its_connections() {
    ab(&["-k"], "2000");
}

/// wrk: twenty connections, as many requests as go into a second.
fn wrk(script: Option<&str>) {
    let place = Place::new("127.0.0.1:0");
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c20", "-d1s"]);
    if let Some(script) = script {
        fs::write(place.file("script.lua"), script).unwrap();
        command.args(["-s", "script.lua"]);
    }
    let Some(wrk) = place.run("wrk", command.arg(place.url("/hello"))) else {
        return;
    };
    let report = wrk.out().text();
    // It mentions these only if there are any.
    assert!(!report.contains("Socket errors"), "{report}");
    assert!(!report.contains("Non-2xx"), "{report}");
    let requests = report.lines().find_map(|line| {
        let (count, _) = line.trim_start().split_once(" requests in ")?;
        count.parse::<u64>().ok()
    });
    assert!(requests.is_some_and(|count| count >= 20), "{report}");
    place.server.stop();
}

#[test]
fn wrk_asks_for_one_after_the_other() {
    wrk(None);
}

/// Sixteen requests in one write, to what is in memory, what is made on the way and what is in a file.
#[test]
fn wrk_asks_for_sixteen_at_once() {
    wrk(Some(
        r#"
        function init()
            local paths = { "/hello", "/stream", "/digits.txt", "/ladder.txt" }
            local requests = {}
            for index = 1, 16 do
                requests[index] = wrk.format("GET", paths[index % 4 + 1])
            end
            batch = table.concat(requests)
        end

        function request()
            return batch
        end
        "#,
    ));
}
