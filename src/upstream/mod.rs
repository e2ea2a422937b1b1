//! Floor 3: backends, their health, and how one is chosen.

pub mod backend;
pub mod health;
pub mod selector;
