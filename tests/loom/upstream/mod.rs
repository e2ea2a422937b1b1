//! The files of floor 4 that have models, and their model, which needs what only that floor sees.

mod hand_over;
#[path = "../../../src/upstream/places.rs"]
pub mod places;
#[path = "../../../src/upstream/waiting_line.rs"]
pub mod waiting_line;
