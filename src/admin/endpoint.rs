//! Maps paths to endpoints and answers requests for them.

use std::sync::Arc;

use crate::base::clock::Moment;

use super::access::Access;
use super::history::History;
use super::operations::{Operations, Question};
use super::pending::{Answer, Wake};
use super::request::{Method, Request};
use super::response::{Response, bad_request};
use super::verbs::{self, Verb};
use super::{metrics, page, process, text};

/// All endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint<'a> {
    Page,
    Stylesheet,
    Status,
    Metrics,
    Requests,
    Explain,
    Health,
    Readiness,
    Change(Verb<'a>),
}

impl<'a> Endpoint<'a> {
    fn of(path: &'a [String]) -> Option<Self> {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        Some(match parts.as_slice() {
            [] => Self::Page,
            ["style.css"] => Self::Stylesheet,
            ["status"] => Self::Status,
            ["metrics"] => Self::Metrics,
            ["requests"] => Self::Requests,
            ["explain"] => Self::Explain,
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Readiness,
            ["reload"] => Self::Change(Verb::Reload),
            ["backends", name, "drain"] => Self::Change(Verb::Drain(name)),
            ["backends", name, "enable"] => Self::Change(Verb::Enable(name)),
            ["backends", name, "weight"] => Self::Change(Verb::Weight(name)),
            _ => return None,
        })
    }

    /// Whether it needs no token. Health probes come from systems that have none, and reveal one word.
    fn is_public(&self) -> bool {
        matches!(self, Self::Health | Self::Readiness)
    }
}

/// Answers requests.
pub(super) struct Router {
    access: Access,
    operations: Arc<dyn Operations>,
    history: History,
    started_unix_s: u64,
    wake: Wake,
}

impl Router {
    pub(super) fn new(token: Option<String>, operations: Arc<dyn Operations>, wake: Wake) -> Self {
        Self {
            access: Access::new(token),
            operations,
            history: History::default(),
            // Read once: the clocks drift apart, and a start time that moves looks like a restart.
            started_unix_s: process::started_unix_s(),
            wake,
        }
    }

    /// Samples the counters.
    pub(super) fn sample(&mut self, now: Moment) {
        self.history.note(&self.operations.status(), now);
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        self.admitted(request).unwrap_or_else(Answer::Now)
    }

    /// The answer, or an error response.
    fn admitted(&self, request: &Request) -> Result<Answer, Response> {
        let endpoint = Endpoint::of(&request.path);
        if !endpoint.as_ref().is_some_and(Endpoint::is_public) {
            self.access.admit(request)?;
        }
        let endpoint = endpoint.ok_or_else(|| Response::text(404, NOT_FOUND))?;
        if let Endpoint::Change(verb) = endpoint {
            if request.method != Method::Post {
                return Err(
                    Response::text(405, "405: this endpoint makes a change; use POST").with("Allow", "POST")
                );
            }
            Access::admit_change(request)?;
            return verbs::run(verb, &request.query, &self.operations, &self.wake);
        }
        if !matches!(request.method, Method::Get | Method::Head) {
            return Err(
                Response::text(405, "405: this endpoint is read-only; use GET").with("Allow", "GET, HEAD")
            );
        }
        self.view(&endpoint, request).map(Answer::Now)
    }

    /// Renders a view.
    fn view(&self, endpoint: &Endpoint<'_>, request: &Request) -> Result<Response, Response> {
        let allowed = |once: &[&str], often: &[&str]| request.query.allow(once, often).map_err(bad_request);
        match endpoint {
            Endpoint::Page => {
                allowed(&["refresh"], &[])?;
                let refresh = page::Refresh::parse(request.query.one("refresh")).map_err(bad_request)?;
                let status = self.operations.status();
                Ok(page::page(&status, &self.history.recent(&status), refresh))
            }
            Endpoint::Stylesheet => Ok(page::stylesheet()),
            Endpoint::Status => {
                allowed(&["format"], &[])?;
                let format = Format::wanted(request)?;
                let status = self.operations.status();
                let recent = self.history.recent(&status);
                Ok(match format {
                    Format::Json => {
                        Response::json(&text::StatusDocument { status: &status, recent: &recent })
                    }
                    Format::Text => Response::text(200, text::status(&status, &recent)),
                })
            }
            Endpoint::Metrics => {
                allowed(&[], &[])?;
                Ok(metrics::scrape(self.operations.status(), self.started_unix_s, &request.accept))
            }
            Endpoint::Requests => {
                allowed(&["format"], &[])?;
                let format = Format::wanted(request)?;
                let list = text::RequestsDocument::new(self.operations.requests());
                Ok(match format {
                    Format::Json => Response::json(&list),
                    Format::Text => Response::text(200, list.text()),
                })
            }
            Endpoint::Explain => {
                allowed(&["method", "url", "client"], &["header", "down"])?;
                let question = question(request).map_err(bad_request)?;
                self.operations.explain(&question).map(|text| Response::text(200, text)).map_err(bad_request)
            }
            Endpoint::Health => Ok(Response::text(200, "alive")),
            Endpoint::Readiness => Ok(self.readiness()),
            // Answered above; it is not a view.
            Endpoint::Change(_) => Err(Response::text(404, NOT_FOUND)),
        }
    }

    fn readiness(&self) -> Response {
        let status = self.operations.status();
        if status.draining {
            Response::text(503, "not ready: stopping; requests in flight are finishing")
        } else if !status.ready {
            Response::text(503, "not ready: no usable backend")
        } else {
            Response::text(200, "ready")
        }
    }
}

const NOT_FOUND: &str = "404: not found. Endpoints: GET / /status /metrics /requests /explain /healthz \
                         /readyz; POST /reload /backends/NAME/drain /backends/NAME/enable /backends/NAME/weight";

/// The format of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Text,
}

impl Format {
    /// The format that `format=` names, or else that Accept prefers: text if it names text but not
    /// JSON.
    fn wanted(request: &Request) -> Result<Self, Response> {
        match request.query.one("format") {
            Some("json") => Ok(Self::Json),
            Some("text") => Ok(Self::Text),
            Some(other) => Err(bad_request(format!("unknown format {other:?}; allowed: json, text"))),
            None if request.accept.contains("text/plain") && !request.accept.contains("json") => {
                Ok(Self::Text)
            }
            None => Ok(Self::Json),
        }
    }
}

fn question(request: &Request) -> Result<Question, String> {
    let headers = request.query.every("header").map(|typed| match typed.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("{typed:?} is not a field; write header=Name:value")),
    });
    let client = request.query.one("client").map(|typed| {
        typed.parse().map_err(|_| format!("{typed:?} is not an IP address; write client=192.0.2.1"))
    });
    Ok(Question {
        method: request.query.one("method").unwrap_or("GET").to_owned(),
        url: request
            .query
            .one("url")
            .ok_or("missing parameter: write /explain?url=http://host/path")?
            .to_owned(),
        headers: headers.collect::<Result<_, _>>()?,
        down: request.query.every("down").map(str::to_owned).collect(),
        client: client.transpose()?,
    })
}
