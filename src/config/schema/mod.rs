//! The JSON Schema of the configuration, for editors and for programs that write one.
//!
//! It is made of the mirror (`file`) and what its comments say, by a unit test: so it is never
//! out of date, and the program carries a text instead of the code that makes it. What a
//! schema cannot say, such as that a pool exists, only `check` finds.

#[cfg(test)]
mod generate;
#[cfg(test)]
mod notes;
#[cfg(test)]
mod reference;

/// The schema (JSON Schema, draft 2020-12), as `ropewalk schema` prints it.
pub const SCHEMA: &str = include_str!("../../../docs/config.schema.json");
