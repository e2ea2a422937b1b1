//! The configuration as people meet it: the text of every message, and the schema.

mod examples;
mod keys;
mod lints;
mod messages;
mod mirror;
mod transcripts;
