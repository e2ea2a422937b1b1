//! The files of floor 2 that have models.

pub mod parking;
#[path = "../../../src/net/wheel.rs"]
pub mod wheel;
