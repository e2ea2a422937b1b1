//! What must hold whatever bytes a peer sends, one module for each entry point.
//!
//! Each module has one function, `run`, that takes arbitrary bytes and panics when something
//! is broken. Two drivers share them: the binaries in `fuzz_targets/`, under libFuzzer for as
//! long as one likes, and `tests/fuzz_smoke.rs`, under a seeded generator for some seconds of
//! every `cargo test`.
//!
//! What the parsers say is held against [`strict`], a second reading of RFC 9112 that shares
//! no line and no idea of structure with `src/http`: two readers that disagree about a message
//! are what request smuggling is made of, so here a disagreement is a failure.
//!
//! ```text
//! cargo +nightly fuzz run exchange fuzz/corpus/exchange fuzz/seeds/exchange
//! ```

pub mod chunks;
pub mod config;
pub mod exchange;
pub mod request_head;
pub mod response;
pub mod response_head;
pub mod stage;
pub mod strict;
pub mod trailers;
