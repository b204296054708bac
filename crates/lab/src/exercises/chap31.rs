//! Exercises of chapter 31: inside epoll.

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use super::Exercise;
use super::pipe::SlowFile;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "31/handed-on",
    "a client that was handed on to another program is no business of the server's any more",
    10,
    handed_on,
    "What does an entry of epoll belong to, the number or the file behind it? Who has that file open when the server has closed its own \
     descriptor, and who has its number by then? /proc/PID/fdinfo lists what is watched.",
)];

fn handed_on(lab: &Lab) -> Outcome {
    let pipe = SlowFile::new(lab)?;
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let empty = server.descriptors()?;
    let connect = || -> Result<TcpStream, LabError> {
        let client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
        client.set_read_timeout(Some(Duration::from_secs(2)))?;
        server.says("client connected")?;
        Ok(client)
    };
    let asleep = || server.blocks_in(&["epoll_wait", "epoll_pwait"]);
    let open = |socket: &Socket| socket.local.port() == PORT && socket.remote.port() != 0;

    lab.notes("the first client asks for a pipe into which nobody writes yet");
    let mut first = connect()?;
    host.enter(|| first.write_all(b"pipe\n"))?;
    let writer = pipe.is_read(lab)?;
    lab.eventually("cat reads the pipe, and the server sleeps", asleep);
    lab.notes("a second client comes, and asks for nothing yet");
    let second = connect()?;
    let port = second.local_addr()?.port();
    lab.notes("the first one goes away, with a reset");
    resets(first)?;
    lab.until("its connection is gone", || {
        !host.has(TcpState::Established, |socket| {
            open(socket) && socket.remote.port() != port
        })
    })?;
    lab.central_eventually(
        "the server sleeps again, though cat still works for a client that is gone",
        asleep,
    );
    lab.notes("the second client asks for a text, in two pieces");
    // Where the server has closed the connection, this fails, and what is heard says so.
    let says = |text: &[u8]| host.enter(|| (&second).write_all(text)).is_ok();
    says(b"te");
    lab.eventually("the server reads the first piece", || {
        host.has(TcpState::Established, |socket| {
            socket.remote.port() == port && socket.receive_queue == 0
        })
    });
    says(b"xt\n");
    let mut heard = String::new();
    let end = (&second).read_to_string(&mut heard);
    lab.central("and gets the text, and the end", {
        let seen = end
            .as_ref()
            .map_or_else(ToString::to_string, |_| "the end".into());
        Check::new(
            end.is_ok() && heard == "a text\n",
            format_args!("{heard:?}, then: {seen}"),
        )
    });
    drop(second);
    if let Some(mut writer) = writer {
        writer.write_all(b"for the first one\n")?;
    }
    lab.eventually("nothing is left of either in the server", || {
        equal(server.descriptors().ok(), Some(empty))
    });
    lab.claim("the server goes on", equal(server.ended(), None));
    lab.done()
}

/// Ends a connection with a reset: SO_LINGER with no time, socket(7).
fn resets(client: TcpStream) -> Result<(), LabError> {
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&client, sockopt::Linger, &at_once).map_err(std::io::Error::from)?;
    Ok(()) // the client is dropped
}
