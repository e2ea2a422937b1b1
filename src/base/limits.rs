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

/// LIMIT: a backend's weight. Enough to tell 1 from 256; a rotation stays short.
pub const WEIGHT_MAX: u32 = 256;

/// LIMIT: bytes of a configuration file. Thousands of backends fit; `/dev/zero` does not.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// LIMIT: any configured wait, in seconds: 30 days. Longer is a slip of the unit.
pub const DURATION_SECS_MAX: u64 = 30 * 24 * 60 * 60;
