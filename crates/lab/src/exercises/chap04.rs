//! Exercises of chapter 4: the handshake.

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "4/one-after-the-other",
    "the client connects to the first of its addresses that answers",
    5,
    one_after_the_other,
    "What does the second attempt's error say, and is it about the server? What was decided when the socket was made, and how often \
     is one made? What does connect(2) say of a socket whose connect has failed?",
)];

fn one_after_the_other(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-4 make-socket")?;
    server.listens()?;
    let exits = |addresses: &str, code| -> Result<Check, LabError> {
        Ok(host
            .exercise("client", addresses)
            .start()?
            .ends()?
            .exited_with(code))
    };
    lab.notes("the server is at 127.0.0.1 only");
    let found = exits("::1 127.0.0.1", 0)?;
    lab.central("who tries ::1 first connects to 127.0.0.1 then", found);
    let found = exits("127.0.0.2 127.0.0.1", 0)?;
    lab.claim("so does who tries 127.0.0.2 first", found);
    let found = exits("127.0.0.1 ::1", 0)?;
    lab.claim("who is answered at the first address is content", found);
    let nobody = exits("127.0.0.2 ::1", 1)?;
    lab.claim("where nobody answers the client ends with an error", nobody);
    lab.done()
}
