//! An HTTP server on hyper and tokio, in one thread.

use std::convert::Infallible;
use std::future::ready;
use std::io;

use arguments::{Arguments, FILE, TEXT};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let file = Bytes::from(arguments.file()?);
    let listener = TcpListener::from_std(arguments.listen()?)?;
    let mut http = http1::Builder::new();
    // One write for the answers to requests that came together.
    http.pipeline_flush(true);
    loop {
        let (stream, _) = listener.accept().await?;
        let file = file.clone();
        let service =
            service_fn(move |request| ready(Ok::<_, Infallible>(answer(&request, &file))));
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // An error is a client that broke off.
            let _ = connection.await;
        });
    }
}

fn answer(request: &Request<Incoming>, file: &Bytes) -> Response<Full<Bytes>> {
    let (kind, body) = match request.uri().path() {
        "/" => ("text/plain", Bytes::from_static(TEXT.as_bytes())),
        FILE => ("application/octet-stream", file.clone()),
        _ => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    let mut response = Response::new(Full::new(body));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
