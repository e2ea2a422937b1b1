//! The commands for a running ropewalk: `status`, `requests`, `reload`, `drain`, `enable`, `weight`.
//! Each sends a request to the admin listener and prints the response.

use std::time::Duration;

use clap::{Args, Subcommand};
use ropewalk::internal::base::clock;
use serde::Deserialize;

use super::admin_client::{AdminClient, AdminOptions, Unanswered, encoded};
use super::exit::{Exit, complain, say};
use super::format::Format;

/// A command for a running ropewalk.
#[derive(Debug, Subcommand)]
pub(crate) enum Operation {
    /// Show the status of a running ropewalk; fails if a pool has no usable backend
    Status(ViewOptions),
    /// List the requests in flight, oldest first
    Requests(ViewOptions),
    /// Reload the configuration file
    Reload {
        #[command(flatten)]
        admin: AdminOptions,
    },
    /// Stop sending new requests to a backend
    Drain(DrainOptions),
    /// Restore a backend's configured weight
    Enable {
        /// The backend's name
        name: String,
        #[command(flatten)]
        admin: AdminOptions,
    },
    /// Change a backend's share of requests
    Weight(WeightOptions),
}

/// Options for views.
#[derive(Debug, Args)]
pub(crate) struct ViewOptions {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    admin: AdminOptions,
}

/// Options of `drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainOptions {
    /// The backend's name
    name: String,
    /// For this long, such as 5m; otherwise until it is enabled
    #[arg(long = "for", value_name = "DURATION")]
    period: Option<String>,
    /// Wait until no requests are in flight there, for at most this long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m",
          value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    admin: AdminOptions,
}

/// Options of `weight`.
#[derive(Debug, Args)]
pub(crate) struct WeightOptions {
    /// The backend's name
    name: String,
    /// Its weight relative to the other backends; 0 drains it
    weight: String,
    /// For this long, such as 5m; otherwise until it is enabled
    #[arg(long = "for", value_name = "DURATION")]
    period: Option<String>,
    #[command(flatten)]
    admin: AdminOptions,
}

/// Runs the command and prints the response.
pub(crate) fn operate(operation: Operation) -> Exit {
    let end = match operation {
        Operation::Status(options) => status(options),
        Operation::Requests(ViewOptions { format, admin }) => {
            AdminClient::new(admin).and_then(|client| view(&client, "/requests", format))
        }
        Operation::Reload { admin } => change(admin, "/reload"),
        Operation::Drain(options) => drain(options),
        Operation::Enable { name, admin } => change(admin, &format!("/backends/{}/enable", encoded(&name))),
        Operation::Weight(WeightOptions { name, weight, period, admin }) => {
            let period = for_parameter('&', period.as_deref());
            let path = format!("/backends/{}/weight?value={}{period}", encoded(&name), encoded(&weight));
            change(admin, &path)
        }
    };
    end.unwrap_or_else(Unanswered::exit)
}

fn change(admin: AdminOptions, path: &str) -> Result<Exit, Unanswered> {
    say(AdminClient::new(admin)?.post(path)?.trim_end());
    Ok(Exit::Fine)
}

fn view(client: &AdminClient, path: &str, format: Format) -> Result<Exit, Unanswered> {
    let format = match format {
        Format::Text => "text",
        Format::Json => "json",
    };
    say(client.get(&format!("{path}?format={format}"))?.trim_end());
    Ok(Exit::Fine)
}

/// Shows the status. Fails if a pool cannot serve requests, so that this command can be the health
/// check of a container.
fn status(ViewOptions { format, admin }: ViewOptions) -> Result<Exit, Unanswered> {
    let client = AdminClient::new(admin)?;
    let text = client.get("/status?format=json")?;
    let status: Status = read_status(&text)?;
    match format {
        Format::Json => say(text.trim_end()),
        Format::Text => _ = view(&client, "/status", format)?,
    }
    let unusable: Vec<_> =
        status.pools.iter().filter(|pool| !pool.is_usable()).map(|pool| &*pool.name).collect();
    if unusable.is_empty() {
        return Ok(Exit::Fine);
    }
    complain(format_args!("no backend takes requests in {}", unusable.join(", ")));
    Ok(Exit::Failed)
}

fn drain(DrainOptions { name, period, wait, admin }: DrainOptions) -> Result<Exit, Unanswered> {
    let client = AdminClient::new(admin)?;
    let period = for_parameter('?', period.as_deref());
    say(client.post(&format!("/backends/{}/drain{period}", encoded(&name)))?.trim_end());
    match wait {
        Some(bound) => wait_until_drained(&client, &name, bound),
        None => Ok(Exit::Fine),
    }
}

/// Polls until the backend has no requests in flight, and prints their number whenever it changes.
fn wait_until_drained(client: &AdminClient, name: &str, bound: Duration) -> Result<Exit, Unanswered> {
    let give_up = clock::now() + bound;
    let mut said = None;
    loop {
        let active = active(client, name)?;
        if said.replace(active) != Some(active) {
            say(format_args!("{name}: {active} in flight"));
        }
        if active == 0 {
            return Ok(Exit::Fine);
        }
        if clock::now() >= give_up {
            complain(format_args!(
                "{name} still has {active} in flight after {}",
                humantime::format_duration(bound)
            ));
            return Ok(Exit::Failed);
        }
        // Nothing unparks this thread. If it wakes up early, it just checks once more.
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// How often to check on a drain.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Requests in flight at all backends of this name, in all pools.
fn active(client: &AdminClient, name: &str) -> Result<u64, Unanswered> {
    let status = read_status(&client.get("/status?format=json")?)?;
    let backends = status.pools.iter().flat_map(|pool| &pool.backends);
    Ok(backends.filter(|backend| backend.name == name).map(|backend| backend.active).sum())
}

fn read_status(text: &str) -> Result<Status, Unanswered> {
    serde_json::from_str(text).map_err(|error| Unanswered::Lost(format!("cannot parse the status: {error}")))
}

/// The part of `/status` that the commands read.
#[derive(Deserialize)]
struct Status {
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Pool {
    name: String,
    backends: Vec<Backend>,
}

impl Pool {
    /// Whether a backend takes requests: it is up and not drained.
    fn is_usable(&self) -> bool {
        self.backends.iter().any(|backend| backend.up && backend.weight > 0)
    }
}

#[derive(Deserialize)]
struct Backend {
    name: String,
    up: bool,
    weight: u32,
    active: u64,
}

fn for_parameter(lead: char, period: Option<&str>) -> String {
    period.map(|period| format!("{lead}for={}", encoded(period))).unwrap_or_default()
}
