//! Exercises of chapter 38: a chat room.

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "38/whole-lines",
    "every line reaches everybody else once and whole, however it is typed",
    10,
    whole_lines,
    "What does one read bring when somebody types slowly, and what when somebody pastes two lines? Whose is the piece that is not a \
     line yet, and where can it wait? `common::lines` has what the earlier lessons used for the keyboard.",
)];

fn whole_lines(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let comes = |name: &str| -> Result<Process, LabError> {
        let client = host.program(&format!("chap-38 chat-client 127.0.0.1 {PORT}"));
        let client = client.named(name).start()?;
        server.says("comes in")?;
        Ok(client)
    };
    let (anna, ben, carl) = (comes("anna")?, comes("ben")?, comes("carl")?);

    let begun = "good mor";
    anna.types_on(begun)?;
    lab.until("the server has read the beginning of a line", || {
        host.has(TcpState::Established, |socket: &Socket| {
            let came = socket
                .info
                .is_some_and(|info| info.bytes_received == begun.len() as u64);
            socket.local.port() == PORT && came && socket.receive_queue == 0
        })
    })?;
    ben.types("hello")?;
    lab.eventually("another one's line arrives meanwhile", || {
        carl.output().says("hello")
    });
    anna.types_on("ning\n")?;
    lab.eventually("and then the end of the first", || {
        carl.output().says("ning").and(ben.output().says("ning"))
    });
    lab.central("neither stands in the other", {
        let line = carl.output().says_exactly("hello", &["hello"]);
        line.and(carl.output().says_exactly("ning", &["good morning"]))
    });
    anna.types_on("one\ntwo\n")?;
    lab.eventually("of two lines that come together both arrive", || {
        let first = carl.output().says_exactly("one", &["one"]);
        first.and(carl.output().says_exactly("two", &["two"]))
    });
    anna.types_on("bye")?;
    anna.types_ctrl_d();
    lab.eventually("a last line arrives though no newline ends it", || {
        carl.output().says_exactly("bye", &["bye"])
    });
    lab.claim("nobody hears what they say themselves", {
        anna.output().lacks("good").and(ben.output().lacks("hello"))
    });
    lab.claim("the server goes on", equal(server.ended(), None));
    lab.done()
}
