//! How many connections the process's descriptors are enough for.
//!
//! Every client connection may need two descriptors, its own and one to a backend. What else needs
//! some is counted first: in full where there are plenty, in proportion where there are few, so that
//! a small limit still leaves most of them to clients.

use std::fmt;

use rustix::process::{Resource, getrlimit};

use crate::base::limits::{ADMIN_CONNECTIONS_MAX, PIPES_MAX};
use crate::config::plan::Plan;

/// What the descriptors are enough for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Client connections.
    pub(super) connections: usize,
    /// Pipes for large bodies.
    pub(super) pipes: usize,
    /// Probes in flight.
    pub(super) probes: usize,
}

/// The process may have too few descriptors to serve any client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewDescriptors {
    /// How many it may have.
    pub allowed: usize,
    /// How many it needs at least.
    pub needed: usize,
}

/// The outcome of fitting a plan to the descriptors.
#[derive(Debug)]
pub(super) struct Fitted {
    /// How many pipes there may be.
    pub(super) pipes: usize,
    /// How many probes may be in flight at once.
    pub(super) probes: usize,
    asked: usize,
    given: usize,
    allowed: usize,
}

/// Lowers `limits.connections` to what the descriptors are enough for.
///
/// # Errors
/// There are too few for even a handful of connections.
pub(super) fn fit(plan: &mut Plan) -> Result<Fitted, TooFewDescriptors> {
    let asked = plan.limits.connections;
    let Some(allowed) = getrlimit(Resource::Nofile).current else {
        let probes = plan.probes_in_flight_max();
        return Ok(Fitted { pipes: PIPES_MAX, probes, asked, given: asked, allowed: usize::MAX });
    };
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    let Share { connections, pipes, probes } = share(plan, allowed)?;
    if connections < asked {
        // In proportion, so that requests keep the intended share.
        let tunnels = plan.limits.tunnels.saturating_mul(connections).div_ceil(asked);
        plan.lower_limits(connections, tunnels);
    }
    Ok(Fitted { pipes, probes, asked, given: connections, allowed })
}

impl Fitted {
    /// Logs the lowered limit on connections. It is a warning only if fewer than half are left: the
    /// default limit is more than many healthy machines ever see.
    pub(super) fn log(&self) {
        let Self { asked, given, allowed, .. } = *self;
        if given >= asked {
            return;
        }
        let level = if given < asked / 2 { log::Level::Warn } else { log::Level::Debug };
        log::log!(
            level,
            "at most {given} client connections at once, not the {asked} of limits.connections: the process \
             may have {allowed} descriptors and needs {} for all of them (ulimit -n, LimitNOFILE=)",
            allowed + 2 * (asked - given)
        );
    }
}

/// How many connections and pipes this number of descriptors is enough for.
fn share(plan: &Plan, allowed: usize) -> Result<Share, TooFewDescriptors> {
    let logs = plan.log.access.iter().len();
    let admin = plan.admin.iter().len();
    // Open as long as the process is: each worker has an eventfd.
    let fixed = DESCRIPTORS_OF_PROCESS + plan.workers + plan.listeners.len() + logs + 2 * admin;
    let least = CONNECTIONS_MIN.min(plan.limits.connections);
    let needed = fixed + (2 * least) * PART / (PART - 1) + 1;
    if allowed < needed {
        return Err(TooFewDescriptors { allowed, needed });
    }
    // Short-lived descriptors get all that they can use, up to a fixed part of what is left.
    let left = allowed - fixed;
    let (clients, probes) = (admin * ADMIN_CONNECTIONS_MAX, plan.probes_in_flight_max());
    let others = clients + probes;
    let passing = (others + 2 * PIPES_MAX).min(left / PART);
    // A pipe has two ends. Half of a small share is left for probes and admin clients.
    let pipes = ((passing - others.min(passing / 2)) / 2).min(PIPES_MAX);
    let others = passing - 2 * pipes;
    // Likewise, half of what they get is for probes. They take turns with it.
    let probes = probes.min(others - clients.min(others / 2));
    let connections = ((left - passing) / 2).min(plan.limits.connections);
    Ok(Share { connections, pipes, probes })
}

/// Descriptors of every process: standard streams, the two epolls, those of signals, of the service
/// manager, and files that are being read.
const DESCRIPTORS_OF_PROCESS: usize = 16;

/// Short-lived descriptors get at most one in this many.
const PART: usize = 4;

/// With fewer connections than this a balancer is of no use.
const CONNECTIONS_MIN: usize = 4;

impl fmt::Display for TooFewDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allowed, needed } = self;
        write!(
            f,
            "the process may have {allowed} descriptors and needs at least {needed}; each connection takes \
             two: raise ulimit -n, or LimitNOFILE= of the unit"
        )
    }
}

impl std::error::Error for TooFewDescriptors {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn plan() -> Plan {
        Config::new().workers(2).backend("http://127.0.0.1:1").check().unwrap().plan
    }

    #[test]
    fn most_descriptors_are_for_connections_however_few_there_are() {
        for (allowed, least) in [(64, 16), (128, 40), (200, 60), (1024, 460), (4096, 1950), (20_000, 9_900)] {
            let Share { connections, pipes, .. } = share(&plan(), allowed).unwrap();
            assert!(connections >= least, "{connections} of {allowed}");
            let fixed = DESCRIPTORS_OF_PROCESS + 2 + 1;
            assert!(2 * connections + 2 * pipes + fixed <= allowed, "{connections}, {pipes} of {allowed}");
        }
        let most = Share { connections: 10_000, pipes: PIPES_MAX, probes: 1 };
        assert_eq!(share(&plan(), 1 << 20).unwrap(), most);
    }

    #[test]
    fn probes_get_a_part_of_few_descriptors_and_one_for_each_backend_of_many() {
        let many = (0..951)
            .fold(Config::new(), |config, port| config.backend(&format!("http://127.0.0.1:{}", 1000 + port)));
        let plan = many.check().unwrap().plan;
        let few = share(&plan, 1024).unwrap();
        assert!((100..=256).contains(&few.probes) && few.connections > 350, "{few:?}");
        let fixed = DESCRIPTORS_OF_PROCESS + plan.workers + 1;
        assert!(2 * few.connections + 2 * few.pipes + few.probes + fixed <= 1024, "{few:?}");
        assert_eq!(share(&plan, 20_000).unwrap().probes, 951);
    }

    #[test]
    fn with_too_few_the_remedy_is_named() {
        let error = share(&plan(), 24).unwrap_err();
        assert!(error.needed > 24 && error.to_string().contains("ulimit -n"), "{error}");
        let enough = share(&plan(), error.needed).unwrap();
        assert!(enough.connections >= CONNECTIONS_MIN, "{enough:?}");
        assert!(share(&plan(), error.needed - 1).is_err());
    }
}
