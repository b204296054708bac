//! An HTTP server on xitca-web, with one worker.

use std::io;
use std::time::Duration;

use arguments::{Arguments, FILE, TEXT};
use xitca_web::App;
use xitca_web::bytes::Bytes;
use xitca_web::handler::handler_service;
use xitca_web::route::get;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let file = Bytes::from(arguments.file()?);
    let large = move || {
        let file = file.clone();
        async { file }
    };
    App::new()
        .at("/", get(handler_service(async || TEXT)))
        .at(FILE, get(handler_service(large)))
        .serve()
        .worker_threads(1)
        // By default an idle connection has five seconds, and here some are to be idle.
        .keep_alive_timeout(Duration::from_secs(3600))
        // SIGTERM ends it at once, without thirty seconds of patience for connections that are open.
        .disable_signal()
        // As its documentation advises for small bodies.
        .disable_vectored_write()
        .listen(arguments.listen()?)?
        .run()
        .wait()
}
