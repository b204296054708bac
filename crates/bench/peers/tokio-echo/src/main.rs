//! An echo server on tokio, in one thread: a task for each connection, and one buffer for all of them, as a task that waits
//! needs none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arguments::Arguments;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::from_std(Arguments::parse().listen()?)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            while let Ok(Some(unsent)) = poll_fn(|context| echo(&mut stream, context)).await {
                if stream.write_all(&unsent).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Reads what comes next and sends it back. What the kernel does not take is returned; nothing at the client's end.
fn echo(stream: &mut TcpStream, context: &mut Context) -> Poll<io::Result<Option<Vec<u8>>>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
        let data = read.filled();
        if data.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let sent = match stream.try_write(data) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            sent => sent?,
        };
        Poll::Ready(Ok(Some(data[sent..].to_vec())))
    })
}
