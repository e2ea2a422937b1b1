//! Whether a client may take a route: `allow`, `deny`, `rate_limit` and `basic_auth`.
//!
//! A request may have to pass several guards (see [`Routes::find`](super::Routes::find)). They are
//! asked kind by kind, the cheap ones first, so that a password is hashed for a client only once
//! everything else has let it pass.

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

/// What one route asks of clients, and what is remembered of them.
pub(super) struct Guard {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    rate_limit: Option<Arc<RateLimiter>>,
    basic_auth: Option<Arc<Authenticator>>,
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The client's address; of one that is not known, that of the last proxy that was believed.
    pub address: IpAddr,
    /// False if a trusted proxy named no address for its client. It is then unknown which networks
    /// the client belongs to.
    pub known: bool,
}

/// A user whom a guard has let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The place of the route that guards.
    pub guard: u16,
    /// The user's place among those of the guard.
    pub number: u16,
}

/// The state of a request that no guard has refused.
pub enum Clearance {
    /// It has passed all of them, as this user if one of them wanted to know.
    Granted(Option<User>),
    /// These credentials are to be hashed, and then the guards are to be asked again.
    Pending(Arc<Authenticator>, Credentials),
}

/// Why a request may not take its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its client's network is not served.
    Network,
    /// Its client has asked too often; after this time it may ask again.
    TooMany(Duration),
    /// It is not authenticated for the route at this place.
    Credentials(u16),
}

impl Routes {
    /// Lets a request pass all guards on its way, and says which user it is if one of them wants
    /// to know: the route's own, if that asks. A request that is back with a `hashed` password has
    /// been charged already.
    ///
    /// # Errors
    /// The client's network is not served, it has asked too often, or it does not prove who
    /// it is; in this order, so that a wrong password is not cheaper than a request.
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

    /// Whether a client's network is served. An unknown client is in no network that `allow` lists,
    /// and might be in every one that `deny` lists.
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

    /// The name of a user that was admitted.
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

/// The guards of a plan's routes. They go on with what those `before` know of clients.
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

/// By what a route is known again after a reload.
#[derive(PartialEq, Eq, Hash)]
enum Alike<'r> {
    Requests(&'r Matcher),
    Name(&'r str),
}

/// The buckets of the routes that limit: those of the route before that was for the same requests,
/// or else of the one that had the same name, if it limited in the same way. No two routes share
/// any.
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
