//! Whether a client may use a route: `allow`, `deny`, `rate_limit` and `basic_auth`.
//!
//! A request may have to pass several guards (see [`Routes::find`](super::Routes::find)). They are
//! checked kind by kind, cheapest first, so that a password is hashed only after everything else has
//! let the client pass.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::matches::Matches;
use super::table::{Found, Route, Routes};
use crate::base::clock::Moment;
use crate::config::plan::{BasicAuth, Matcher, RoutePlan};
use crate::http::Field;
use crate::route::basic_auth::{Authenticator, Credentials, Proof};
use crate::route::password_queue::Ticket;
use crate::route::rate_limit::RateLimiter;

/// What one route demands of clients, and its state about them.
pub(super) struct Guard {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    rate_limit: Option<Arc<RateLimiter>>,
    basic_auth: Option<Arc<Authenticator>>,
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

/// The state of a request that no guard has refused.
pub enum Clearance {
    /// It has passed all guards, as this user if one of them authenticates.
    Granted(Option<User>),
    /// These credentials must be hashed, and then the guards checked again.
    Pending(Arc<Authenticator>, Credentials),
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

impl Routes {
    /// Checks a request against all guards on its way. Returns the user if one of them authenticates:
    /// the route's own guard, if that does. A request that comes back with a `hashed` password has
    /// already been charged.
    ///
    /// # Errors
    /// The client's network is not allowed, it has sent too many requests, or it is not authenticated.
    /// They are checked in this order, so that a wrong password is not cheaper than a request.
    pub fn admit(
        &self,
        found: &Found,
        asker: Asker,
        fields: &[Field<'_>],
        now: Moment,
        hashed: Option<&Ticket>,
    ) -> Result<Clearance, Refusal> {
        let client = asker.address;
        let guards =
            || found.guards().filter_map(|place| Some((place, &self.routes.get(usize::from(place))?.guard)));
        for (_, guard) in guards() {
            guard.check_network(asker)?;
        }
        if hashed.is_none() {
            for (_, guard) in guards() {
                guard.charge(client, now)?;
            }
        }
        let mut user = None;
        for (place, guard) in guards() {
            let Some(authenticator) = &guard.basic_auth else { continue };
            let refused = Refusal::Credentials(place);
            let number = match authenticator.look_up(authorization(fields).ok_or(refused)?) {
                Proof::User(number) => Some(number),
                Proof::None => None,
                Proof::Unverified(credentials) => {
                    let ticket = hashed.filter(|ticket| ticket.is_for(authenticator, &credentials));
                    match ticket.and_then(Ticket::outcome) {
                        Some(outcome) => outcome,
                        None => {
                            authenticator.may_hash(client, now).map_err(Refusal::TooMany)?;
                            return Ok(Clearance::Pending(Arc::clone(authenticator), credentials));
                        }
                    }
                }
            };
            user = Some(User { guard: place, number: number.ok_or(refused)? }).or(user);
        }
        Ok(Clearance::Granted(user))
    }
}

impl Guard {
    /// Whether this route has no guard.
    pub(super) fn is_open(&self) -> bool {
        self.allow.is_empty()
            && self.deny.is_empty()
            && self.rate_limit.is_none()
            && self.basic_auth.is_none()
    }

    fn check_network(&self, asker: Asker) -> Result<(), Refusal> {
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

    fn charge(&self, client: IpAddr, now: Moment) -> Result<(), Refusal> {
        let Some(limiter) = &self.rate_limit else { return Ok(()) };
        limiter.take(client, now).map_err(Refusal::TooMany)
    }

    /// The name of an authenticated user.
    pub(super) fn user(&self, number: u16) -> Option<&str> {
        self.basic_auth.as_ref()?.name(number)
    }
}

/// The value of the only Authorization field; `None` if there is none, or several.
fn authorization<'h>(fields: &'h [Field<'_>]) -> Option<&'h [u8]> {
    let mut named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("authorization"));
    let only = named.next()?;
    named.next().is_none().then_some(only.value)
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
