//! The files of floor 6 that have models.

#[path = "../../../src/server/ready/wakes.rs"]
pub mod wakes;
