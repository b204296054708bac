//! Lesson 34: an HTTP server.

mod http_server01;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 34. A browser speaks to our event loops. A request arrives in any pieces, and several may arrive in one: where does it
/// end, and what is to be done with one that nobody can understand?
#[derive(Parser)]
#[command(name = "chap-34", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    #[command(name = "http-server01")]
    HttpServer01(http_server01::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-34 -- http-server01
In another:
  curl -v http://127.0.0.1:43211/
Then open http://127.0.0.1:43211/status in two tabs of a browser, and http://127.0.0.1:43211/photo in a third.
A directory of files: cargo run -p chap-34 -- http-server01 --root docs/pictures --log
  curl -I http://127.0.0.1:43211/11-close.svg";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::HttpServer01(args) => http_server01::run(&args),
    })
}
