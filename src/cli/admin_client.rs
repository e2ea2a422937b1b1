//! A client for the admin listener of a running ropewalk, whose errors say what to do.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ropewalk::config::ConfigErrors;
use ropewalk::internal::config::plan::AdminPlan;
use ureq::http::Response;
use ureq::{Agent, Body, Error};

use super::document;
use super::exit::Exit;

/// How to reach the admin listener.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminOptions {
    /// Take the address and token of the admin listener from this configuration file
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of the admin listener [default: ROPEWALK_ADMIN, or else 127.0.0.1:9900]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// File with the token of the admin listener
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// The token itself. Every user of this machine can see it in the process list: prefer --token-file
    /// or ROPEWALK_ADMIN_TOKEN
    #[arg(long)]
    token: Option<String>,
}

/// The address to connect to, and the token.
struct Target {
    address: String,
    token: Option<String>,
}

impl AdminOptions {
    /// A flag with the value takes precedence, then the file of `--config`, then the environment.
    fn target(self) -> Result<Target, Unanswered> {
        let file = self.config.as_deref().map(admin_of).transpose()?;
        let (file_address, file_token) =
            file.map(|(address, token)| (Some(address), token)).unwrap_or_default();
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let address = self.admin.or(file_address).or_else(|| variable(ADDRESS_VARIABLE));
        let token = match self.token_file {
            Some(path) => Some(token_in(&path)?),
            None => self.token.or(file_token).or_else(|| variable(TOKEN_VARIABLE)),
        };
        Ok(Target { address: address.unwrap_or_else(|| USUAL_ADDRESS.to_owned()), token })
    }
}

const ADDRESS_VARIABLE: &str = "ROPEWALK_ADMIN";
const TOKEN_VARIABLE: &str = "ROPEWALK_ADMIN_TOKEN";

/// The default address.
const USUAL_ADDRESS: &str = "127.0.0.1:9900";

/// LIMIT: bytes of a token file.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// The admin listener in a configuration file: its address and token.
fn admin_of(path: &Path) -> Result<(String, Option<String>), Unanswered> {
    let refused = |errors: ConfigErrors| Unanswered::Refused(errors.to_string());
    let admin = document::read(path).and_then(|document| document.admin()).map_err(refused)?;
    let Some(AdminPlan { mut address, token }) = admin else {
        return Err(Unanswered::Refused(format!(
            "{} has no admin listener; give it \"admin\": \"{USUAL_ADDRESS}\" and restart ropewalk, or give the \
             address with --admin",
            path.display()
        )));
    };
    // It listens on all addresses of this machine; connect to loopback.
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok((address.to_string(), token))
}

/// The token in a file: its text without the line end.
fn token_in(path: &Path) -> Result<String, Unanswered> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text));
    let name = path.display();
    match read {
        Err(error) => Err(Unanswered::Refused(format!("cannot read the token file {name}: {error}"))),
        Ok(_) if text.trim().is_empty() => {
            Err(Unanswered::Refused(format!("the token file {name} is empty")))
        }
        Ok(_) => Ok(text.trim().to_owned()),
    }
}

/// A client of one admin listener.
pub(crate) struct AdminClient {
    agent: Agent,
    address: String,
    token: Option<String>,
}

/// Why a request did not succeed.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// No response, or not from an admin listener.
    Lost(String),
    /// The request was refused. The text is the listener's, if it came from there.
    Refused(String),
}

/// LIMIT: how long one request may take. A reload reads a file and resolves names.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(30);

/// LIMIT: bytes of a response. The longest list of requests in flight takes a tenth.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How the `Server` field of an admin listener starts.
const SERVER: &str = "ropewalk-admin/";

/// Characters to escape in a path segment or a parameter.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'/')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?');

impl AdminClient {
    /// A client for these options. Fails if a file they name cannot be used.
    pub(crate) fn new(options: AdminOptions) -> Result<Self, Unanswered> {
        let Target { address, token } = options.target()?;
        let config = Agent::config_builder()
            .timeout_global(Some(QUESTION_TIME_MAX))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ropewalk/", env!("CARGO_PKG_VERSION")))
            // Ignore proxies from the environment: they are not for local administration.
            .proxy(None)
            .build();
        let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Ok(Self { agent: config.new_agent(), address, token })
    }

    /// Fetches a view.
    pub(crate) fn get(&self, path: &str) -> Result<String, Unanswered> {
        let mut request = self.agent.get(self.url(path)?);
        if let Some(bearer) = self.bearer() {
            request = request.header("Authorization", bearer);
        }
        self.read(request.call())
    }

    /// Requests a change.
    pub(crate) fn post(&self, path: &str) -> Result<String, Unanswered> {
        let mut request = self.agent.post(self.url(path)?);
        if let Some(bearer) = self.bearer() {
            request = request.header("Authorization", bearer);
        }
        self.read(request.send_empty())
    }

    /// The URL to request. Refuses an address without a port, which would lead to port 80.
    fn url(&self, path: &str) -> Result<String, Unanswered> {
        let address = &self.address;
        if !has_host_and_port(address) {
            return Err(Unanswered::Refused(format!(
                "{address:?} is not an address and a port; write it like --admin 127.0.0.1:9900"
            )));
        }
        Ok(format!("http://{address}{path}"))
    }

    fn bearer(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }

    fn read(&self, answer: Result<Response<Body>, Error>) -> Result<String, Unanswered> {
        let address = &self.address;
        let mut answer = answer.map_err(|error| self.lost(&error))?;
        let server = answer.headers().get("server").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !server.starts_with(SERVER) {
            return Err(Unanswered::Lost(format!(
                "the server on {address} is not a ropewalk admin listener; give the right address with --admin ADDRESS or \
                 --config FILE"
            )));
        }
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| self.lost(&error))?;
        match answer.status().as_u16() {
            200..=299 => Ok(text),
            401 => Err(Unanswered::Refused(format!(
                "{address} requires a token, and {}; give it with --config FILE, --token-file FILE or \
                 ROPEWALK_ADMIN_TOKEN",
                if self.token.is_some() { "the one given is wrong" } else { "none was given" }
            ))),
            400..=499 => Err(Unanswered::Refused(text.trim_end().to_owned())),
            _ => Err(Unanswered::Lost(text.trim_end().to_owned())),
        }
    }

    fn lost(&self, error: &Error) -> Unanswered {
        let address = &self.address;
        Unanswered::Lost(match error {
            Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => format!(
                "nothing listens on {address}. The admin listener is off unless the configuration has \
                 \"admin\": \"127.0.0.1:9900\", or ropewalk runs with --admin 127.0.0.1:9900; \
                 if it is elsewhere, give the address with --admin ADDRESS or --config FILE"
            ),
            Error::ConnectionFailed => format!("cannot connect to {address}"),
            Error::HostNotFound => format!("there is no host {address}"),
            Error::BadUri(_) | Error::Http(_) => {
                format!("{address:?} is not an address; write --admin 127.0.0.1:9900")
            }
            error => format!("{address} does not answer: {error}"),
        })
    }
}

/// Whether an address has a host and a port.
fn has_host_and_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// A name, escaped for a path or a parameter.
pub(crate) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

impl Unanswered {
    /// Prints the error and returns the exit status.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Lost(text) => {
                super::exit::complain(text);
                Exit::Failed
            }
            Self::Refused(text) => {
                super::exit::complain(text);
                Exit::Refused
            }
        }
    }
}
