//! The black-box tests: the real binary, real sockets, real signals, in one test program.
//!
//! The behaviour itself is in `tests/exchanges/*.exchange`, which [`exchanges`] runs. The modules here
//! test what a script cannot express: many clients at once, time, memory, dying processes. Each is
//! named after the behaviour it shows.

#![allow(unreachable_pub, reason = "`pub` here says what a module offers its siblings")]
#![allow(clippy::disallowed_methods, reason = "these tests wait and measure by the real clock")]

// The harness: the two peers, the program between them, and how to wait.
mod balancer;
mod client;
mod operator;
mod origin;
mod troupe;
mod wait;
mod wire;

// Scripted exchanges.
mod exchanges;
mod expect;
mod script;
mod text;

// Behaviour.
mod access_log_sink;
mod bodies;
mod causes;
mod chaos;
mod cut;
#[cfg(feature = "demo")]
mod demo;
mod displacement;
mod early_answers;
mod ejection;
mod embedding;
mod explaining;
mod failover;
mod health;
mod holding;
mod hostile;
mod memory;
mod operating;
mod pinning;
mod probing;
mod queueing;
mod recorded;
mod reloading;
mod reloads_under_load;
mod stalled;
mod stopping;
mod strategies;
mod supervised;
mod torture;
mod waiting;
mod watching;
