//! `ropewalk --config FILE`: run the balancer until a signal stops it.

use std::net::SocketAddr;

use ropewalk::config::plan::Plan;

use super::args::Settings;
use super::exit::{Exit, complain};
use super::{check, logging};

/// Checks the settings, as `ropewalk check` does, and runs what they describe.
pub(crate) fn run(settings: &Settings) -> Exit {
    let checked = match check::load(settings) {
        Ok(checked) => checked,
        Err(unusable) => {
            complain(unusable);
            return Exit::Refused;
        }
    };
    logging::start(checked.plan.log_level);
    for warning in &checked.warnings {
        log::warn!("{warning}");
    }
    balance(checked.plan, |addresses| {
        for address in addresses {
            log::info!("listening on http://{address}");
        }
    })
}

/// Starts the balancer, tells `started` the addresses it listens on, and waits for its end.
pub(crate) fn balance(plan: Plan, started: impl FnOnce(&[SocketAddr])) -> Exit {
    // The seam to the engine: `Balancer::start(plan)`, `started(balancer.addresses())`,
    // signals to `balancer.handle()`, `balancer.join()`.
    let _ = (plan, started);
    complain("the engine is not linked into this build");
    Exit::Failed
}
