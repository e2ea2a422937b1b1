//! Which route a request takes, and which guards it must pass on the way.
//!
//! The data path and `explain` use the same function, `Matches::mismatch`: the former for the first
//! route without a mismatch, the latter for every mismatch before it. What a route checks in a request
//! is in `matches.rs`; whether a client may use it, in `admission.rs`; how the route is found among
//! thousands, in `index.rs`.

use std::borrow::Cow;
use std::fmt;

use crate::base::limits::PLACES_MAX;
use crate::config::plan::RoutePlan;
use crate::http;
use crate::route::guard::{self, Asker, Route, User};
use crate::route::index::Index;
use crate::route::matches::{Fit, Matches, Mismatch, Request};

/// The routes of one configuration, in listed order.
pub struct Routes {
    pub(super) routes: Vec<Route>,
    pub(super) index: Index,
    /// The first route matches every request and there are no guards: no lookup is needed.
    first_takes_all: bool,
    /// Some route matches on the path, so normalising it is worthwhile.
    look_at_path: bool,
    /// Some route has a guard, and not all routes have the same path: then it matters how else a
    /// backend may read a path.
    guards_by_path: bool,
    /// Bytes of a reading to compare at most: slightly more than the longest path of a route.
    path_bytes_max: usize,
}

/// The route of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The index of the first route that matches the normal form of its path.
    pub place: u16,
    /// Whether that route has a guard.
    guarded: bool,
    /// The indices of other guarded routes that some reading of its path leads to: in listed order,
    /// each once. Empty for nearly all requests, and then without an allocation.
    others: Vec<u16>,
}

impl Found {
    /// The indices of all routes whose guards the request must pass, its own last.
    pub fn guards(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        self.others.iter().copied().chain(self.guarded.then_some(self.place))
    }

    /// The guards that it must pass although it takes another route.
    pub fn guards_of_other_readings(&self) -> &[u16] {
        &self.others
    }
}

/// Why a request has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// No route matches it.
    NoRoute,
    /// Something is guarded, and the path can be read in too many ways to tell whether it leads there:
    /// it has dot segments next to `%2F`, `%5C`, `%3B`, `\`, `;` or an empty segment.
    Ambiguous,
}

impl Routes {
    /// The routes of a plan. Rate limits and authentication take over the state of `before` if they are
    /// unchanged.
    pub fn new(plans: &[RoutePlan], before: Option<&Self>) -> Self {
        // INVARIANT: `check` refuses more routes than an index can hold.
        debug_assert!(plans.len() <= PLACES_MAX);
        let before = before.map_or(&[][..], |before| &before.routes);
        let matches: Vec<_> = plans.iter().map(Matches::new).collect();
        let guards = guard::guards(plans, &matches, before);
        let routes: Vec<_> =
            matches.into_iter().zip(guards).map(|(matches, guard)| Route { matches, guard }).collect();
        let longest = routes.iter().map(|route| route.matches.path_bytes()).max().unwrap_or(0);
        let look_at_path = routes.iter().any(|route| route.matches.path().is_some());
        let guarded = routes.iter().any(|route| !route.guard.is_open());
        Self {
            index: Index::new(routes.iter().map(|route| &route.matches)),
            first_takes_all: !guarded && routes.first().is_some_and(|route| route.matches.takes_all()),
            routes,
            look_at_path,
            guards_by_path: look_at_path && guarded,
            path_bytes_max: longest + 2,
        }
    }

    /// The route of a request, and the guards that it must pass.
    ///
    /// Without guards, a path is looked up only in normal form. With guards, a backend may read it
    /// differently from us, so the request must also pass the guards of every route that one of the
    /// other readings leads to.
    ///
    /// # Errors
    /// No route matches, or it is unclear where the path leads.
    pub fn find(&self, request: &Request<'_>) -> Result<Found, NotFound> {
        if self.first_takes_all {
            return Ok(Found { place: 0, guarded: false, others: Vec::new() });
        }
        let path = http::split_query(request.target).0;
        let mut others = Vec::new();
        if self.guards_by_path {
            let mut note = |reading: &[u8]| {
                let led = self.lead(request, reading);
                others.extend(led.route.filter(|&place| self.is_guarded(place)));
                others.extend(led.guard_of_other_slash);
            };
            http::other_readings(path, self.path_bytes_max, &mut note)
                .map_err(|http::Ambiguous| NotFound::Ambiguous)?;
        }
        let led = self.lead(request, &self.normal(path));
        let place = led.route.ok_or(NotFound::NoRoute)?;
        others.extend(led.guard_of_other_slash);
        others.retain(|&other| other != place);
        others.sort_unstable();
        others.dedup();
        Ok(Found { place, guarded: self.is_guarded(place), others })
    }

    /// Why each route before the one that is found does not match.
    pub fn mismatches(&self, request: &Request<'_>) -> Vec<Mismatch<'_>> {
        let path = self.normal(http::split_query(request.target).0);
        self.routes.iter().map_while(|route| route.matches.mismatch(request, &path)).collect()
    }

    /// Whether `allow` and `deny` of the route with this index admit this address.
    pub fn serves(&self, place: u16, client: Asker) -> bool {
        self.routes.get(usize::from(place)).is_some_and(|route| route.guard.serves(client))
    }

    /// The name of an authenticated user.
    pub fn user(&self, user: User) -> Option<&str> {
        self.routes.get(usize::from(user.guard))?.guard.user(user.number)
    }

    /// The normal form of a path, if any route checks it.
    fn normal<'p>(&self, path: &'p str) -> Cow<'p, [u8]> {
        if self.look_at_path { http::normalise(path) } else { Cow::Borrowed(b"") }
    }

    fn is_guarded(&self, place: u16) -> bool {
        self.routes.get(usize::from(place)).is_some_and(|route| !route.guard.is_open())
    }

    /// Where one reading of a request's path leads: one pass over the routes that can match.
    fn lead(&self, request: &Request<'_>, path: &[u8]) -> Led {
        let mut led = Led { route: None, guard_of_other_slash: None };
        let mut other_slash_is_decided = !self.guards_by_path;
        for place in self.index.candidates(request.host, path) {
            if led.route.is_some() && other_slash_is_decided {
                break;
            }
            let Some(route) = self.routes.get(usize::from(place)) else { continue };
            let fit = route.matches.fit(path);
            if fit == Fit::None || route.matches.mismatch_but_path(request).is_some() {
                continue;
            }
            if matches!(fit, Fit::Both | Fit::AsItIs) && led.route.is_none() {
                led.route = Some(place);
            }
            if matches!(fit, Fit::Both | Fit::WithOtherSlash) && !other_slash_is_decided {
                other_slash_is_decided = true;
                // Only a guard on exactly this path counts: otherwise an open `/health` could not come
                // before a guard on everything.
                let names_it = fit == Fit::WithOtherSlash && !route.guard.is_open();
                led.guard_of_other_slash = names_it.then_some(place);
            }
        }
        led
    }
}

/// Where a path leads.
struct Led {
    /// The first route that matches it.
    route: Option<u16>,
    /// The guarded route for the path that differs in a trailing slash, if it names exactly that path.
    /// Express, Django and Flask treat the two as the same.
    guard_of_other_slash: Option<u16>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoute => "no route matches",
            Self::Ambiguous => "the path can be read in several ways",
        })
    }
}

#[cfg(test)]
mod tests;
