//! The unit tests of the benchmark's parts, which a benchmark cannot run itself.
#![allow(dead_code, reason = "only what the tests reach is used here")]
#![allow(clippy::disallowed_methods, reason = "a benchmark waits and measures by the real clock")]
#![allow(unreachable_pub, reason = "`pub` here says what a module offers its siblings")]

mod arguments;
mod async_variant;
mod faults;
mod latency;
mod may_variant;
mod origin;
mod peers;
mod picture;
mod process;
mod report;
mod response;
mod sheet;
mod ureq_variant;
