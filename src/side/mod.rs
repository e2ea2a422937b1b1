//! Floor 5: the threads that carry no requests.

pub mod access_log;
mod addresses;
pub mod admin;
mod agenda;
mod answer;
mod attempt;
mod fault;
pub mod health_thread;
mod log_sink;
mod places;
mod prober;
mod resolver;
mod schedule;
mod watched;
