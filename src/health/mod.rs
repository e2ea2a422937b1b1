//! Floor 6: the health thread, which probes backends and has their names resolved.

mod addresses;
mod agenda;
mod answer;
mod attempt;
mod fault;
mod hand_over;
mod places;
mod prober;
mod resolver;
mod schedule;
pub mod thread;
mod watched;
