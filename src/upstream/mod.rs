//! Floor 3: backends, their health, and how one is chosen.

pub mod backend;
pub mod basic_auth;
pub mod ejection;
pub mod health;
pub mod idle_connections;
pub mod lease;
pub mod password_queue;
pub mod pool;
pub mod probe_requests;
pub mod queue;
pub mod rate_limit;
pub mod recent;
pub mod redial;
pub mod retry_budget;
pub mod route;
pub mod selector;
pub mod snapshot;
pub mod ward;
