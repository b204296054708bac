//! With the framework's loop, which knows its channels by tokens.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use common::io::set_nonblocking;
use common::signal::StopSignal;
use common::{complain, say, tcp};
use reactor::{
    DispatcherKind, End, EventLoop, Handler, Input, Interest, Limits, Next, TcpConnection, Token,
};

use super::{Wish, wish};

type Members = Rc<RefCell<Vec<Token>>>;

struct Member(Members);

// ANCHOR: kick
impl Handler for Member {
    fn connected(&mut self, connection: &mut TcpConnection<Self>) {
        let _ = say!(
            "client connected: descriptor {}",
            connection.as_fd().as_raw_fd()
        );
        self.0.borrow_mut().push(connection.token());
    }

    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        match wish(input.take()) {
            Ok(Wish::Answer(answer)) => connection.send(&answer),
            Ok(Wish::Kick) => {
                let (own, all) = (connection.token(), self.0.borrow().clone());
                for other in all.into_iter().filter(|&token| token != own) {
                    // One that is gone by now is not found: nothing happens.
                    connection
                        .event_loop()
                        .with(other, |_, other| other.close());
                }
            }
            Err(_) => connection.close(),
        }
    }

    fn closed(&mut self, connection: &mut TcpConnection<Self>, _: End) {
        let _ = say!(
            "client closed: descriptor {}",
            connection.as_fd().as_raw_fd()
        );
        let own = connection.token();
        self.0.borrow_mut().retain(|&token| token != own);
    }
}
// ANCHOR_END: kick

pub fn serve(address: &SocketAddr) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let listener = tcp::listen(address)?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let dispatcher = DispatcherKind::default().open()?;
    let mut event_loop = EventLoop::new("main thread", dispatcher, Limits::default())?;
    event_loop.watch(stop, Interest::READ, |event_loop, stop, _| {
        if let Ok(Some(_)) = stop.received() {
            event_loop.stop(Duration::ZERO);
        }
        Next::Keep
    })?;
    let members = Members::default();
    let acceptor = event_loop.watch(listener, Interest::READ, move |event_loop, listener, _| {
        match tcp::accept_ready(&*listener) {
            Ok(Some((connection, peer))) => {
                let member = Member(Rc::clone(&members));
                if let Err(error) = event_loop.adopt(connection, Some(peer), member) {
                    complain!("Error: {:#}", anyhow::Error::new(error));
                }
            }
            Ok(None) => {}
            Err(error) => {
                complain!("Error: {:#}", anyhow::Error::new(error));
                sleep(Duration::from_millis(100)); // there is no descriptor: it would fail again at once
            }
        }
        Next::Keep
    });
    acceptor?;
    Ok(event_loop.run()?)
}
