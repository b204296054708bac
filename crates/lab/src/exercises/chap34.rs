//! Exercises of chapter 34: an HTTP server.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "34/inside",
    "the server gives out what is in its directory, and nothing else, however it is asked for",
    15,
    inside,
    "In how many ways can a path lead out of a directory? Not all of them can be seen in its text. Who walks the path, and so sees \
     where it leads?",
)];

const SECRET: &str = "a secret";

fn inside(lab: &Lab) -> Outcome {
    let directory = fs::canonicalize(&lab.shared.directory)?;
    let (root, beside) = (directory.join("site"), directory.join("site-private"));
    fs::create_dir_all(root.join("more"))?;
    fs::create_dir_all(&beside)?;
    fs::write(root.join("page.txt"), "a page")?;
    fs::write(root.join("more/two..dots and blanks.txt"), "another page")?;
    fs::write(beside.join("secret"), SECRET)?;
    symlink(&beside, root.join("link"))?;
    lab.leaves_out_packets(|packet| packet.data().is_empty());
    let host = lab.host()?;
    host.names_own_hand("client");
    let server = host.exercise("server", "site").start()?;
    server.listens()?;
    let asks = |path: &str| -> Result<String, LabError> {
        lab.notes(&format!("GET {path}"));
        let mut client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
        client.set_read_timeout(Some(Duration::from_secs(2)))?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        host.enter(|| client.write_all(request.as_bytes()))?;
        let mut answer = Vec::new();
        // What was read before an error stays in the buffer, and it is the answer.
        let _ = client.read_to_end(&mut answer);
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let gives = |answer: String, text: &str| {
        let ok = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(text);
        Check::new(ok, first_and_last(&answer))
    };
    let refuses = |answer: String| {
        let refused = answer.starts_with("HTTP/1.1 4") && !answer.contains(SECRET);
        Check::new(refused, first_and_last(&answer))
    };

    lab.claim(
        "a file of the directory is given out",
        gives(asks("/page.txt")?, "a page"),
    );
    lab.claim("so is one below it, with dots and blanks in its name", {
        gives(asks("/more/two..dots%20and%20blanks.txt")?, "another page")
    });
    lab.claim("what is not there is refused", refuses(asks("/nothing")?));
    lab.central(
        "two dots lead nowhere",
        refuses(asks("/../site-private/secret")?),
    );
    lab.central("nor do they when they are encoded", {
        refuses(asks("/more/%2e%2e%2f%2E%2E%2Fsite-private/secret")?)
    });
    lab.central("a path from the root of the file system leads nowhere", {
        refuses(asks(&format!("/{}", beside.join("secret").display()))?)
    });
    lab.central(
        "nor does a link that leads out",
        refuses(asks("/link/secret")?),
    );
    lab.claim("the server goes on", equal(server.ended(), None));
    lab.done()
}

/// The status line and the last line of an answer.
fn first_and_last(answer: &str) -> String {
    let ends = [answer.lines().next(), answer.lines().next_back()];
    format!("{:?}", ends.map(Option::unwrap_or_default))
}
