//! An HTTP server: what it answers stands here, how it does that in the crate `httpd`.

use std::io::stdout;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use common::address::{Listen, seconds};
use common::descriptors::raise_limit;
use common::say;
use httpd::{
    AccessLog, DispatcherKind, Files, Limits, Options, Request, Response, Routes, Server,
    Statistics,
};

/// Answers HTTP requests: a page, a text, a picture, and a page that shows what the server does
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Serve the files of this directory as well; / is its index.html then
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<PathBuf>,
    /// How many loops beside the main one; with 0 the main thread does everything
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u16).range(..=256))]
    threads: u16,
    /// How the loops wait
    #[arg(long, default_value = "epoll")]
    dispatcher: Wait,
    /// How long the head of a request may take to arrive
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    deadline: Duration,
    /// How long a connection may be silent between two requests
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    idle: Duration,
    /// Write a line for each answer, in the common log format
    #[arg(long)]
    log: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wait {
    Select,
    Poll,
    Epoll,
}

const PAGE: &str = "<html><head><title>This is network programming</title></head>\
    <body><h1>Hello, network programming</h1></body></html>";

/// The ladder of experiment 11/close, made from docs/pictures/11-close.svg:
/// `chromium --headless --hide-scrollbars --window-size=882,592 --screenshot=photo.png 11-close.svg`
const PHOTO: &[u8] = include_bytes!("photo.png");

// ANCHOR: routes
/// Who asks for what gets what. Everything else is 404, or a file.
fn routes(
    root: Option<&PathBuf>,
    statistics: &Arc<Statistics>,
) -> anyhow::Result<impl Fn(&Request, &mut Response) + use<>> {
    let routes = Routes::new()
        .get("/network", |_, response| {
            response.text("hello, network programming");
        })
        .get("/photo", |_, response| {
            response.content_type("image/png").static_body(PHOTO);
        })
        .live("/status", statistics);
    let routes = match root {
        Some(root) => {
            let files = Files::new(root).with_context(|| format!("open {}", root.display()))?;
            routes.files(files.precompressed())
        }
        None => routes.get("/", |_, response| {
            response.html(PAGE);
        }),
    };
    Ok(routes.handler())
}
// ANCHOR_END: routes

// ANCHOR: run
pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let statistics = Arc::new(Statistics::default());
    let options = Options {
        threads: args.threads.into(),
        dispatcher: match args.dispatcher {
            Wait::Select => DispatcherKind::Select,
            Wait::Poll => DispatcherKind::Poll,
            Wait::Epoll => DispatcherKind::default(),
        },
        limits: Limits {
            header_time: args.deadline,
            idle: args.idle,
            ..Default::default()
        },
        announce_keep_alive: true,
        stop_on_signals: true,
        log: args.log.then(|| AccessLog::new(stdout())),
        statistics: Arc::clone(&statistics),
        ..Default::default()
    };
    let answer = routes(args.root.as_ref(), &statistics)?;
    let server = Server::bind(&args.listen.address(), options, answer)?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}
// ANCHOR_END: run
