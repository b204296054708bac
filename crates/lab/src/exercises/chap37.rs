//! Exercises of chapter 37: a process per connection, and two people chatting.

use std::fs;

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "37/left-behind",
    "when one side of a chat leaves, both processes of the other side end, and the connection with them",
    10,
    left_behind,
    "Who holds the connection after fork, and who of them has ended when the client seems to have ended? What does the one that is \
     left wait for? It does not hear of the other's end by itself.",
)];

fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

fn ended_well(process: &Process) -> Check {
    let end = process.ended();
    end.map_or(Check::new(false, "it has not ended"), |end| {
        end.exited_with(0)
    })
}

fn left_behind(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let talk = |name: &str| -> Result<(Process, Process), LabError> {
        let server = host.program("chap-37 p2p-server");
        let server = server.named(&format!("{name} server")).start()?;
        server.listens()?;
        let client = host
            .exercise(&format!("{name} client"), "127.0.0.1")
            .start()?;
        server.says("connected to")?;
        client.types("hello")?;
        server.says("hello")?;
        server.types("good day")?;
        client.says("good day")?;
        Ok((server, client))
    };

    let (server, client) = talk("first")?;
    client.types_ctrl_d();
    lab.eventually(
        "the client leaves first: the server ends in good order",
        || ended_well(&server),
    );
    lab.eventually("and so does the client", || ended_well(&client));

    let (server, client) = talk("second")?;
    let keyboard = client.children();
    server.types_ctrl_d();
    client.says("has left")?;
    lab.central_eventually(
        "the server leaves first: nobody holds the connection open",
        || !host.has(TcpState::CloseWait, of_client),
    );
    lab.central_eventually("the process at the client's keyboard is gone", || {
        equal(
            keyboard
                .iter()
                .filter(|(pid, _)| lives(pid.as_raw()))
                .count(),
            0,
        )
    });
    lab.central_eventually("the server ends in good order", || ended_well(&server));
    lab.eventually("and so does the client", || ended_well(&client));
    lab.done()
}

/// Whether there is such a process, and it has not ended: proc_pid_stat(5).
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may contain anything.
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}
