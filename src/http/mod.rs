//! Floor 1: HTTP/1.1 as bytes. No sockets, no clock, no configuration.
//!
//! Everything a peer says about a message is checked here, once, and handed on as types that cannot be
//! wrong: where a head ends ([`head_end`]), what it says ([`parse_request`], [`parse_response`]), how
//! long its body is ([`BodyLength`]) and where a chunk starts ([`ChunkDecoder`]). RFC 9112 is applied
//! strictly: anything that two implementations could read differently is refused, because guessing is
//! how a load balancer lets requests be smuggled.
//!
//! Ordinary heads are parsed without allocating. Nothing here may panic on what a peer sent.

// Bytes from a peer and races must not panic: where one of these is right, its reason says why.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod authentication;
mod authority;
mod chunked;
mod connection;
mod error;
mod field;
mod framing;
mod head_end;
mod head_limits;
mod message;
mod node;
mod octets;
mod path;
#[cfg(test)]
mod properties;
mod readings;
mod reason;
mod request;
mod response;
mod storage;
mod target;
mod tokenise;
mod trailers;

pub use chunked::{ChunkDecoder, ChunkError, ChunkPart, ChunkSizeLine, chunk_size_line};
pub use error::HeadError;
pub use field::{Field, Known};
pub use framing::BodyLength;
pub use head_end::{check_partial_request, head_end};
pub use head_limits::HeadLimits;
pub use message::{Method, Version};
pub use node::node_address;
pub use octets::is_token;
pub use path::{Ambiguous, is_below, is_plain, normalise, split_query, without_dots, without_prefix};
pub use readings::other_readings;
pub use reason::reason_phrase;
pub use request::{RequestHead, parse_request};
pub use response::{ResponseHead, parse_response};
pub use storage::HeadStorage;
pub use trailers::parse_trailers;
