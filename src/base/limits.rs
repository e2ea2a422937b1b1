//! Every bound that the configuration does not set, with its reason.

/// LIMIT: fields in one head. More than any browser or API client sends; the
/// array for them lives on the stack.
pub const HEAD_FIELDS_MAX: usize = 100;

/// LIMIT: bytes of a request target. What most origins accept.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// LIMIT: extra tries that `retries` may ask for. Keeps the list of tried backends inline.
pub const RETRIES_MAX: u32 = 10;

/// LIMIT: worker threads that `workers` may ask for.
pub const WORKERS_MAX: usize = 256;

/// LIMIT: bytes of chunk extensions after one chunk size. Nobody uses them; without
/// a bound, a peer could send megabytes of them for each byte of data.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;

/// LIMIT: bytes of a trailer section. It is kept whole until it is complete, so
/// it must fit into the smallest buffer that a body is relayed through.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// LIMIT: fields in a trailer section. A checksum, a status and a few timings are usual.
pub const TRAILER_FIELDS_MAX: usize = 32;
