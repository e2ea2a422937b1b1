//! loom models of what threads do to each other: the workers' wake-up, parking, and the queue for
//! places at backends.
//!
//! The models run the program's own files, compiled here a second time by path: they name
//! `crate::base::sync`, which in this crate is made of loom's types. So a model cannot drift from
//! the code, and the program knows nothing of loom. loom runs each model once for every order of
//! events that the memory model allows.
//!
//! By default a thread is preempted twice at most, which takes seconds and finds nearly everything.
//! `ROPEWALK_LONG_TESTS=1` allows three, for ten minutes a model (`just release`).

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "the program's files, of which a model uses a part"
)]

mod base;
mod net;
mod parking;
mod server;
mod upstream;
mod wakes;

use std::time::Duration;

use loom::model::Builder;

/// Runs a model under every order of events within the bound.
#[track_caller]
pub fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    let long = std::env::var_os("ROPEWALK_LONG_TESTS").is_some();
    builder.preemption_bound = Some(if long { 3 } else { 2 });
    builder.max_duration = long.then_some(Duration::from_secs(600));
    builder.check(model);
}
