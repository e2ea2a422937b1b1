//! Who is compared, and how each is started with the same work to do.
//!
//! Every proxy balances by rotation over the same three origins, keeps connections to
//! them, writes no access log, has the same number of workers, and does the same to a
//! head as far as it can: X-Forwarded-For, -Proto, -Host and -Port, X-Real-IP,
//! X-Request-Id, and Via both ways. Where a setting helps a peer, it has it; what is
//! not said here is the peer's own default.
//!
//! It must not know how load is offered or what is measured.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;

use crate::process::{Process, Usage, find_program, free_address};
use crate::{async_variant, may_variant, ureq_variant};

/// One row of the table.
///
/// In the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// An origin without a proxy: the ceiling of origin and generator.
    Direct,
    Ropewalk,
    /// Another build of ropewalk, from before a change.
    Baseline,
    Nginx,
    Haproxy,
    /// The same features on hyper and tokio.
    Async,
    /// A thread pool that forwards through ureq.
    Ureq,
    /// may_minihttp towards clients and ureq towards origins, on coroutines.
    May,
}

/// What every peer is started with.
pub struct Setting<'a> {
    pub workers: usize,
    /// The most connections that clients will have open at once.
    pub connections: usize,
    pub origins: &'a [SocketAddrV4],
    /// The program of [`Peer::Baseline`].
    pub baseline: Option<&'a Path>,
    /// For configuration files and output.
    pub folder: &'a Path,
}

/// A peer that answers.
pub struct Running {
    pub peer: Peer,
    pub address: SocketAddrV4,
    /// How long it took from its start to its first answer.
    pub start: Duration,
    /// `None` for the origin without a proxy, which belongs to all.
    process: Option<Process>,
}

impl Peer {
    /// Its name in options and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ropewalk => "ropewalk",
            Self::Baseline => "baseline",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Async => "async",
            Self::Ureq => "ureq",
            Self::May => "may",
        }
    }

    /// What is measured under the name, or `None` where it is not installed.
    pub fn version(self, baseline: Option<&Path>) -> Option<String> {
        match self {
            Self::Baseline => Some(baseline?.display().to_string()),
            Self::Direct => Some("an origin without a proxy".to_owned()),
            Self::Ropewalk => Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Nginx => first_line_of("nginx", "-v"),
            Self::Haproxy => first_line_of("haproxy", "-v"),
            Self::Async => {
                Some(format!("hyper {}, tokio {}", locked_version("hyper"), locked_version("tokio")))
            }
            Self::Ureq => Some(format!("ureq {}, {} threads", locked_version("ureq"), ureq_variant::THREADS)),
            Self::May => Some(format!(
                "may {}, may_minihttp {}, ureq {}",
                locked_version("may"),
                locked_version("may_minihttp"),
                locked_version("ureq")
            )),
        }
    }

    /// Starts it and waits until it answers.
    pub fn start(self, setting: &Setting) -> Result<Running, String> {
        if self == Self::Direct {
            let address = setting.origins[0];
            return Ok(Running { peer: self, address, start: Duration::ZERO, process: None });
        }
        let address = free_address().map_err(|error| error.to_string())?;
        let (program, arguments) = self.command(setting, address)?;
        let mut process = Process::start(self.name(), setting.folder, &program, &arguments)
            .map_err(|error| format!("does not start: {error}"))?;
        let start = process.wait_until_ready(address)?;
        Ok(Running { peer: self, address, start, process: Some(process) })
    }

    /// The file that is run, where that holds nothing but the proxy.
    pub fn program(self, baseline: Option<&Path>) -> Option<PathBuf> {
        match self {
            Self::Ropewalk => Some(PathBuf::from(env!("CARGO_BIN_EXE_ropewalk"))),
            Self::Baseline => baseline.map(Path::to_owned),
            Self::Nginx | Self::Haproxy => find_program(self.name()),
            Self::Direct | Self::Async | Self::Ureq | Self::May => None,
        }
    }

    fn command(self, setting: &Setting, address: SocketAddrV4) -> Result<(PathBuf, Vec<String>), String> {
        let installed = |name| find_program(name).ok_or_else(|| format!("{name} is not on PATH"));
        let write = |name: &str, text: String| {
            let file = setting.folder.join(name);
            fs::write(&file, text).map_err(|error| error.to_string())?;
            Ok::<_, String>(file.display().to_string())
        };
        let folder = setting.folder.display().to_string();
        let variant = |command: &str| {
            let origins = setting.origins.iter().map(ToString::to_string);
            let own = [command.to_owned(), address.to_string(), setting.workers.to_string()];
            let program = std::env::current_exe().map_err(|error| error.to_string())?;
            Ok((program, own.into_iter().chain(origins).collect()))
        };
        Ok(match self {
            Self::Direct => return Err("the origin runs already".to_owned()),
            Self::Ropewalk | Self::Baseline => {
                let config = write("config.json", ropewalk_config(setting, address))?;
                let program = self.program(setting.baseline).ok_or("no --baseline is given")?;
                (program, vec!["--config".to_owned(), config])
            }
            Self::Nginx => {
                let config = write("nginx.conf", nginx_config(setting, address))?;
                let arguments = ["-p", &folder, "-e", "stderr", "-c", &config];
                (installed("nginx")?, arguments.map(str::to_owned).to_vec())
            }
            Self::Haproxy => {
                let config = write("haproxy.cfg", haproxy_config(setting, address))?;
                // Without master and without going into the background.
                (installed("haproxy")?, ["-db", "-f", &config].map(str::to_owned).to_vec())
            }
            Self::Async => return variant(async_variant::COMMAND),
            Self::Ureq => return variant(ureq_variant::COMMAND),
            Self::May => return variant(may_variant::COMMAND),
        })
    }
}

impl Running {
    /// The accounts of the proxy, if there is one.
    pub fn usage(&self) -> Result<Option<Usage>, String> {
        let usage = self.process.as_ref().map(Process::usage).transpose();
        usage.map_err(|error| format!("ended while it was measured: {error}"))
    }
}

fn ropewalk_config(setting: &Setting, address: SocketAddrV4) -> String {
    let backends: Vec<_> = setting
        .origins
        .iter()
        .enumerate()
        .map(|(number, origin)| {
            serde_json::json!({ "name": format!("origin-{number}"), "url": format!("http://{origin}") })
        })
        .collect();
    serde_json::json!({
        "listen": [address.to_string()],
        "workers": setting.workers,
        "strategy": "round-robin",
        "backends": backends,
    })
    .to_string()
}

fn nginx_config(setting: &Setting, address: SocketAddrV4) -> String {
    let Setting { workers, connections, origins, folder, .. } = setting;
    let folder = folder.display();
    // One worker may come to hold all connections, each with one to an origin.
    let worker_connections = connections * 2 + 256;
    let servers: String = origins.iter().map(|origin| format!("    server {origin};\n")).collect();
    // The addresses of temporary files, because the defaults are not ours to write to.
    format!(
        "daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections {worker_connections}; multi_accept on; }}
http {{
  access_log off;
  # Bodies go through as they come, as they do elsewhere; by default they are stored first.
  client_max_body_size 0;
  client_body_buffer_size 64k;
  proxy_request_buffering off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  tcp_nodelay on;
  keepalive_timeout 60s;
  keepalive_requests 1000000000;
  upstream origins {{
{servers}    keepalive {connections};
    keepalive_requests 1000000000;
  }}
  server {{
    # With reuseport the workers share the connections evenly: 55 000 requests/s
    # instead of 40 000 with 64 clients and two workers.
    listen {address} backlog=4096 reuseport;
    location / {{
      proxy_pass http://origins;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header Via \"1.1 nginx\";
      add_header Via \"1.1 nginx\";
      # Half the processor time for large bodies; small ones fit into the first buffer.
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;
      # Without it nginx writes bodies over its few small buffers to disk.
      proxy_max_temp_file_size 0;
    }}
  }}
}}
"
    )
}

fn haproxy_config(setting: &Setting, address: SocketAddrV4) -> String {
    let Setting { workers, connections, origins, .. } = setting;
    let maxconn = connections + 256;
    // Without the pool ratios below HAProxy closes its connections to the origins after each
    // request once a fifth of the descriptors that `maxconn` promises are in use:
    // three times nginx's processor time per request with 256 clients, instead of
    // about the same. Splicing through larger pipes takes it from 560 to 170 ms of processor
    // time per GiB; `splice-auto` does not make up its mind to. A pipe for every fourth connection,
    // as it would like, is more descriptors than a herd leaves.
    let servers: String =
        origins.iter().enumerate().map(|(number, origin)| format!("  server o{number} {origin}\n")).collect();
    format!(
        "global
  nbthread {workers}
  maxconn {maxconn}
  tune.pool-low-fd-ratio 100
  tune.pool-high-fd-ratio 100
  tune.pipesize 524288
  maxpipes 256
defaults
  mode http
  maxconn {maxconn}
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout http-keep-alive 30s
  option http-keep-alive
  http-reuse always
  option splice-request
  option splice-response
frontend clients
  bind {address} backlog 4096
  option forwardfor
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Request-Id %[uuid()] unless {{ req.hdr(x-request-id) -m found }}
  http-request add-header Via \"1.1 haproxy\"
  http-response add-header Via \"1.1 haproxy\"
  default_backend origins
backend origins
  balance roundrobin
{servers}"
    )
}

fn first_line_of(program: &str, option: &str) -> Option<String> {
    let output = Command::new(find_program(program)?).arg(option).output().ok()?;
    // nginx tells its version on stderr, HAProxy on stdout.
    let text = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&text).lines().next()?.to_owned();
    Some(line.trim_start_matches("nginx version: ").split(" - ").next()?.to_owned())
}

/// The version that Cargo.lock held when this was built.
fn locked_version(package: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    lock.split_once(&format!("name = \"{package}\"\nversion = \""))
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or("?")
}
