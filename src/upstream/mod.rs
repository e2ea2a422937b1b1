//! Floor 3: backends, their health, and how one is chosen.

pub mod backend;
pub mod health;
pub mod idle_connections;
pub mod pool;
pub mod retry_budget;
pub mod selector;
pub mod snapshot;
