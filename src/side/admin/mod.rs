//! The admin listener: what an operator sees of a running balancer and may ask of it.

pub mod operations;
