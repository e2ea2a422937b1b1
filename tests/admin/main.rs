//! The admin listener and the commands that talk to it, in front of a fake balancer ([`fake`]).
//! `tests/it` covers what a real one shows.

#![allow(unreachable_pub, reason = "`pub` here says what a module offers its siblings")]
#![allow(clippy::disallowed_methods, reason = "these tests wait and measure by the real clock")]

mod exposition;
mod fake;
mod wire;

mod access;
mod changes;
mod commands;
mod documentation;
mod hostile;
mod metrics;
mod page;
mod views;
