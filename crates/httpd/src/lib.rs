//! A strict HTTP/1.1 server on the reactor.
