//! The changes that an operator can make to a running balancer.

use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{DURATION_SECS_MAX, WEIGHT_MAX};

use super::operations::{Operations, WeightChange};
use super::pending::{Answer, Pending, Wake};
use super::request::Query;
use super::response::{Response, bad_request};

/// A change, with the name of the backend it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb<'a> {
    Reload,
    Drain(&'a str),
    Enable(&'a str),
    Weight(&'a str),
}

/// Makes the change.
///
/// # Errors
/// The error response. Nothing has changed.
pub(super) fn run(
    verb: Verb<'_>,
    query: &Query,
    operations: &Arc<dyn Operations>,
    wake: &Wake,
) -> Result<Answer, Response> {
    let (backend, change) = match verb {
        Verb::Reload => {
            query.allow(&[], &[]).map_err(bad_request)?;
            return Ok(Answer::Later(Pending::begin(operations, wake)));
        }
        Verb::Drain(backend) => {
            query.allow(&["for"], &[]).map_err(bad_request)?;
            (backend, WeightChange::Drain(period(query).map_err(bad_request)?))
        }
        Verb::Enable(backend) => {
            query.allow(&[], &[]).map_err(bad_request)?;
            (backend, WeightChange::Enable)
        }
        Verb::Weight(backend) => {
            query.allow(&["value", "for"], &[]).map_err(bad_request)?;
            let weight = weight(query).map_err(bad_request)?;
            (backend, WeightChange::Weight(weight, period(query).map_err(bad_request)?))
        }
    };
    match operations.set_weight(backend, change) {
        Ok(text) => Ok(Answer::Now(Response::text(200, text))),
        Err(text) => Err(Response::text(404, text)),
    }
}

fn weight(query: &Query) -> Result<u32, String> {
    let typed = query.one("value").ok_or("missing parameter: write weight?value=3")?;
    match typed.parse::<u32>() {
        Ok(weight) if weight <= WEIGHT_MAX => Ok(weight),
        _ => Err(format!("{typed:?} is not a weight: expected a whole number from 0 to {WEIGHT_MAX}")),
    }
}

fn period(query: &Query) -> Result<Option<Duration>, String> {
    let Some(typed) = query.one("for") else { return Ok(None) };
    match humantime::parse_duration(typed) {
        Ok(period) if period.is_zero() => {
            Err("for=0s would have no effect; omit it for no time limit".to_owned())
        }
        Ok(period) if period.as_secs() <= DURATION_SECS_MAX => Ok(Some(period)),
        Ok(_) => Err(format!("{typed:?} is longer than 30 days; omit `for` for no time limit")),
        Err(_) => {
            Err(format!("{typed:?} is not a duration; write a number and a unit, like \"90s\" or \"5m\""))
        }
    }
}
