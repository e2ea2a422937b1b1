//! Talks to the admin listener of a running ropewalk, and says what to do when it cannot.

use std::time::Duration;

use clap::Args;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ureq::http::Response;
use ureq::{Agent, Body, Error};

use super::exit::Exit;

/// Which ropewalk is meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminOptions {
    /// Where its admin listener is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    admin: String,
    /// The token that it asks for
    #[arg(long, env = "ROPEWALK_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// A ropewalk that can be asked.
pub(crate) struct AdminClient {
    agent: Agent,
    address: String,
    token: Option<String>,
}

/// Why a question was not answered as hoped.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nobody answered, or not as an admin listener does.
    Lost(String),
    /// It was refused: the question was wrong. The text is the listener's own.
    Refused(String),
}

/// LIMIT: how long one question may take. A reload reads a file and resolves names.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(30);

/// LIMIT: bytes of an answer. The longest list of requests in flight takes a tenth.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What an admin listener calls itself.
const SERVER: &str = "ropewalk-admin/";

/// What cannot stand for itself in a path segment or a parameter.
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
    /// A client for what was typed.
    pub(crate) fn new(options: AdminOptions) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(QUESTION_TIME_MAX))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ropewalk/", env!("CARGO_PKG_VERSION")))
            // A proxy from the environment is for other places than this.
            .proxy(None)
            .build();
        let address = options.admin.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { agent: config.new_agent(), address, token: options.token }
    }

    /// Asks for a view.
    pub(crate) fn get(&self, path: &str) -> Result<String, Unanswered> {
        let mut request = self.agent.get(self.url(path)?);
        if let Some(bearer) = self.bearer() {
            request = request.header("Authorization", bearer);
        }
        self.read(request.call())
    }

    /// Asks for a change.
    pub(crate) fn post(&self, path: &str) -> Result<String, Unanswered> {
        let mut request = self.agent.post(self.url(path)?);
        if let Some(bearer) = self.bearer() {
            request = request.header("Authorization", bearer);
        }
        self.read(request.send_empty())
    }

    /// Where to ask. Refuses an address that would lead to another port than what was meant.
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
                "what listens on {address} is no admin listener of ropewalk; name it with --admin"
            )));
        }
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| self.lost(&error))?;
        match answer.status().as_u16() {
            200..=299 => Ok(text),
            401 => Err(Unanswered::Refused(format!(
                "{address} asks for its token, and {}: give it as --token or in ROPEWALK_ADMIN_TOKEN",
                if self.token.is_some() { "this is not it" } else { "none was given" }
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
                 if it is elsewhere, name it with --admin"
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

/// Whether an address says where to connect: one without a port would lead to port 80.
fn has_host_and_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// A name as it stands in a path or a parameter.
pub(crate) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

impl Unanswered {
    /// What is said, and how the command ends.
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
