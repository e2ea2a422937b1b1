//! Floor 1: the configuration, from the JSON that was typed to values that are right.
//!
//! [`file`] mirrors the JSON, [`plan`] holds what the program needs, and [`error`]
//! says what is wrong and where. Nothing above this floor looks at the JSON again.

pub mod plan;
