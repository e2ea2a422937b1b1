//! Parking without the system calls.

#[path = "../../../../src/net/parking/shards.rs"]
pub mod shards;
#[path = "../../../../src/net/parking/token.rs"]
pub mod token;

pub use token::{ParkToken, Unpark};
