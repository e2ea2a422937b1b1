//! What one route demands of clients, and what it remembers of them over reloads.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::matches::Matches;
use crate::base::clock::Moment;
use crate::config::plan::{BasicAuth, Matcher, RoutePlan};
use crate::route::basic_auth::Authenticator;
use crate::route::rate_limit::RateLimiter;

/// One route: which requests it matches, and who may use it.
pub(super) struct Route {
    pub(super) matches: Matches,
    pub(super) guard: Guard,
}

/// What one route demands of clients, and its state about them.
pub(super) struct Guard {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    rate_limit: Option<Arc<RateLimiter>>,
    pub(super) basic_auth: Option<Arc<Authenticator>>,
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The client's address; if unknown, that of the last trusted proxy.
    pub address: IpAddr,
    /// False if a trusted proxy named no address for its client. Then it is unknown which networks the
    /// client belongs to.
    pub known: bool,
}

/// A user authenticated by a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The index of the route with the guard.
    pub guard: u16,
    /// The index of the user among those of the guard.
    pub number: u16,
}

/// Why a request may not use its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client's network is not allowed.
    Network,
    /// The client has sent too many requests; it may try again after this time.
    TooMany(Duration),
    /// It is not authenticated for the route with this index.
    Credentials(u16),
}

impl Guard {
    /// Whether this route has no guard.
    pub(super) fn is_open(&self) -> bool {
        self.allow.is_empty()
            && self.deny.is_empty()
            && self.rate_limit.is_none()
            && self.basic_auth.is_none()
    }

    pub(super) fn check_network(&self, asker: Asker) -> Result<(), Refusal> {
        if self.serves(asker) { Ok(()) } else { Err(Refusal::Network) }
    }

    /// Whether a client's network is allowed. An unknown client is in no network that `allow` lists,
    /// and might be in any that `deny` lists.
    pub(super) fn serves(&self, asker: Asker) -> bool {
        let client = asker.address.to_canonical();
        let listed = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        match asker.known {
            true => !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow)),
            false => self.deny.is_empty() && self.allow.is_empty(),
        }
    }

    pub(super) fn charge(&self, client: IpAddr, now: Moment) -> Result<(), Refusal> {
        let Some(limiter) = &self.rate_limit else { return Ok(()) };
        limiter.take(client, now).map_err(Refusal::TooMany)
    }

    /// The name of an authenticated user.
    pub(super) fn user(&self, number: u16) -> Option<&str> {
        self.basic_auth.as_ref()?.name(number)
    }
}

/// The guards of a plan's routes, which take over the state of those `before`.
pub(super) fn guards(plans: &[RoutePlan], matches: &[Matches], before: &[Route]) -> Vec<Guard> {
    let known: HashMap<&BasicAuth, &Arc<Authenticator>> = before
        .iter()
        .filter_map(|route| route.guard.basic_auth.as_ref())
        .map(|authenticator| (authenticator.plan(), authenticator))
        .collect();
    let authenticator = |plan: &BasicAuth| match known.get(plan) {
        Some(&same) => Arc::clone(same),
        None => Arc::new(Authenticator::new(plan.clone())),
    };
    let limiters = limiters(plans, matches, before);
    let guard = |(plan, rate_limit): (&RoutePlan, _)| Guard {
        allow: plan.allow.clone(),
        deny: plan.deny.clone(),
        rate_limit,
        basic_auth: plan.basic_auth.as_ref().map(authenticator),
    };
    plans.iter().zip(limiters).map(guard).collect()
}

/// How a route is recognised after a reload.
#[derive(PartialEq, Eq, Hash)]
enum Alike<'r> {
    Requests(&'r Matcher),
    Name(&'r str),
}

/// The buckets of the rate-limited routes. Each takes over those of the earlier route with the same
/// matcher, or else with the same name, if its limit is the same. No two routes share buckets.
fn limiters(plans: &[RoutePlan], matches: &[Matches], before: &[Route]) -> Vec<Option<Arc<RateLimiter>>> {
    let mut limiters: Vec<Option<Arc<RateLimiter>>> = vec![None; plans.len()];
    let mut free: Vec<Option<&Arc<RateLimiter>>> =
        before.iter().map(|route| route.guard.rate_limit.as_ref()).collect();
    let alike: [fn(&Matches) -> Alike<'_>; 2] =
        [|matches| Alike::Requests(&matches.matcher), |matches| Alike::Name(&matches.name)];
    for alike in alike {
        let mut known = HashMap::new();
        for ((place, route), limiter) in before.iter().enumerate().zip(&free) {
            if let Some(limiter) = limiter {
                known.entry((alike(&route.matches), limiter.plan())).or_insert(place);
            }
        }
        for ((mine, plan), matches) in limiters.iter_mut().zip(plans).zip(matches) {
            let Some(wanted) = plan.rate_limit.as_ref().filter(|_| mine.is_none()) else { continue };
            let place = known.get(&(alike(matches), wanted));
            *mine = place.and_then(|&place| free.get_mut(place)?.take()).map(Arc::clone);
        }
    }
    for (mine, plan) in limiters.iter_mut().zip(plans) {
        if mine.is_none() {
            *mine = plan.rate_limit.clone().map(|plan| Arc::new(RateLimiter::new(plan)));
        }
    }
    limiters
}
