//! Whether a client may use a route: `allow`, `deny`, `rate_limit` and `basic_auth`.
//!
//! A request may have to pass several guards (see [`Routes::find`](super::Routes::find)). They are
//! checked kind by kind, cheapest first, so that a password is hashed only after everything else has
//! let the client pass.

use std::sync::Arc;

use super::guard::{Asker, Refusal, User};
use super::table::{Found, Routes};
use crate::base::clock::Moment;
use crate::http::Field;
use crate::route::basic_auth::{Authenticator, Credentials, Proof};
use crate::route::password_queue::Ticket;

/// The state of a request that no guard has refused.
pub enum Clearance {
    /// It has passed all guards, as this user if one of them authenticates.
    Granted(Option<User>),
    /// These credentials must be hashed, and then the guards checked again.
    Pending(Arc<Authenticator>, Credentials),
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

/// The value of the only Authorization field; `None` if there is none, or several.
fn authorization<'h>(fields: &'h [Field<'_>]) -> Option<&'h [u8]> {
    let mut named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("authorization"));
    let only = named.next()?;
    named.next().is_none().then_some(only.value)
}
