//! The commands that talk to a running ropewalk: `status`, `requests`, `reload`, `drain`,
//! `enable`, `weight`. Each is a question to its admin listener, whose answer is printed.

use std::time::Duration;

use clap::{Args, Subcommand};
use ropewalk::base::clock;
use serde::Deserialize;

use super::admin_client::{AdminClient, AdminOptions, Unanswered, encoded};
use super::args::Format;
use super::exit::{Exit, complain, say};

/// A command for a running ropewalk.
#[derive(Debug, Subcommand)]
pub(crate) enum Operation {
    /// Show how a running ropewalk is
    Status(ViewOptions),
    /// List the requests that are in flight, the oldest first
    Requests(ViewOptions),
    /// Have it read its configuration file again
    Reload {
        #[command(flatten)]
        admin: AdminOptions,
    },
    /// Give a backend no new requests
    Drain(DrainOptions),
    /// Give a backend the weight of the configuration again
    Enable {
        /// The backend's name
        name: String,
        #[command(flatten)]
        admin: AdminOptions,
    },
    /// Give a backend another share of the requests
    Weight(WeightOptions),
}

/// What is to be shown.
#[derive(Debug, Args)]
pub(crate) struct ViewOptions {
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    admin: AdminOptions,
}

/// What is to be drained.
#[derive(Debug, Args)]
pub(crate) struct DrainOptions {
    /// The backend's name
    name: String,
    /// For this long, such as 5m; without it, until it is enabled
    #[arg(long = "for", value_name = "DURATION")]
    period: Option<String>,
    /// Wait until it has no request in flight, for at most this long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m",
          value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    admin: AdminOptions,
}

/// What is to be weighted.
#[derive(Debug, Args)]
pub(crate) struct WeightOptions {
    /// The backend's name
    name: String,
    /// Its share of the requests beside those of the others; 0 drains it
    weight: String,
    /// For this long, such as 5m; without it, until it is enabled
    #[arg(long = "for", value_name = "DURATION")]
    period: Option<String>,
    #[command(flatten)]
    admin: AdminOptions,
}

/// Asks, and prints the answer.
pub(crate) fn operate(operation: Operation) -> Exit {
    let answer = match operation {
        Operation::Status(options) => view("/status", options),
        Operation::Requests(options) => view("/requests", options),
        Operation::Reload { admin } => AdminClient::new(admin).post("/reload"),
        Operation::Drain(options) => return drain(options),
        Operation::Enable { name, admin } => {
            AdminClient::new(admin).post(&format!("/backends/{}/enable", encoded(&name)))
        }
        Operation::Weight(WeightOptions { name, weight, period, admin }) => {
            let period = for_parameter('&', period.as_deref());
            let path = format!("/backends/{}/weight?value={}{period}", encoded(&name), encoded(&weight));
            AdminClient::new(admin).post(&path)
        }
    };
    match answer {
        Ok(text) => {
            say(text.trim_end());
            Exit::Fine
        }
        Err(unanswered) => unanswered.exit(),
    }
}

fn view(path: &str, ViewOptions { format, admin }: ViewOptions) -> Result<String, Unanswered> {
    let format = match format {
        Format::Text => "text",
        Format::Json => "json",
    };
    AdminClient::new(admin).get(&format!("{path}?format={format}"))
}

fn drain(DrainOptions { name, period, wait, admin }: DrainOptions) -> Exit {
    let client = AdminClient::new(admin);
    let period = for_parameter('?', period.as_deref());
    match client.post(&format!("/backends/{}/drain{period}", encoded(&name))) {
        Ok(text) => say(text.trim_end()),
        Err(unanswered) => return unanswered.exit(),
    }
    match wait {
        Some(bound) => wait_until_drained(&client, &name, bound),
        None => Exit::Fine,
    }
}

/// Looks until the backend has no request in flight, and says each time that their number has
/// changed.
fn wait_until_drained(client: &AdminClient, name: &str, bound: Duration) -> Exit {
    let give_up = clock::now() + bound;
    let mut said = None;
    loop {
        let active = match active(client, name) {
            Ok(active) => active,
            Err(unanswered) => return unanswered.exit(),
        };
        if said.replace(active) != Some(active) {
            say(format_args!("{name}: {active} in flight"));
        }
        if active == 0 {
            return Exit::Fine;
        }
        if clock::now() >= give_up {
            complain(format_args!(
                "{name} still has {active} in flight after {}",
                humantime::format_duration(bound)
            ));
            return Exit::Failed;
        }
        // Nothing unparks this thread; should it wake early, it looks once more.
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// How often a drain is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Requests in flight at the backends of a name, in all pools.
fn active(client: &AdminClient, name: &str) -> Result<u64, Unanswered> {
    let text = client.get("/status?format=json")?;
    let status: Status = serde_json::from_str(&text)
        .map_err(|error| Unanswered::Lost(format!("the status cannot be read: {error}")))?;
    let backends = status.pools.iter().flat_map(|pool| &pool.backends);
    Ok(backends.filter(|backend| backend.name == name).map(|backend| backend.active).sum())
}

/// What a drain looks at of `/status`.
#[derive(Deserialize)]
struct Status {
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Pool {
    backends: Vec<Backend>,
}

#[derive(Deserialize)]
struct Backend {
    name: String,
    active: u64,
}

fn for_parameter(lead: char, period: Option<&str>) -> String {
    period.map(|period| format!("{lead}for={}", encoded(period))).unwrap_or_default()
}
