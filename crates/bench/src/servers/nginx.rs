//! nginx: one worker, with what its documentation recommends for speed, and nothing outside its own directory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use super::{Launch, Place, Ready, find};

const MISSING: &str = "nginx is not installed: apt-get install nginx-light, or dnf install nginx; its own service need not run";

pub fn program() -> Result<PathBuf, String> {
    find("nginx").ok_or(MISSING.into())
}

/// Writes its configuration, and starts it on a port that is free now. It does not tell which one it got, so it has to be
/// told which one to take.
pub fn launch(place: &Place) -> Result<Launch, String> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = free.and_then(|socket| socket.local_addr());
    let address = address.map_err(|error| format!("a free port: {error}"))?;
    let file = place.own.join("nginx.conf");
    fs::write(&file, configuration(place.files, address))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let mut command = Command::new(program()?);
    command.arg("-p").arg(place.own).arg("-c").arg(file);
    command.args(["-e", "stderr"]);
    Ok(Launch {
        command,
        ready: Ready::Connects(address),
    })
}

/// <https://nginx.org/en/docs/>. As root its worker would be somebody else, who may not see our directory.
fn configuration(files: &Path, address: SocketAddr) -> String {
    let user = if geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let files = files.display();
    format!(
        r#"{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 65536;
events {{
    worker_connections 32768;
}}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    open_file_cache max=16;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {address} backlog=4096;
        root "{files}";
        location = / {{
            default_type text/plain;
            return 200 "hello, network programming";
        }}
    }}
}}
"#
    )
}
