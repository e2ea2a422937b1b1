//! Limits on the size of a head and on what it contains.

use crate::base::limits::{HEAD_FIELDS_DEFAULT, TARGET_BYTES_DEFAULT};

/// Configurable limits on one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Field lines.
    pub fields: usize,
    /// Bytes of a request's target.
    pub target: usize,
}

impl HeadLimits {
    /// A limit of this many bytes, with defaults for everything else.
    pub const fn of_bytes(bytes: usize) -> Self {
        Self { bytes, fields: HEAD_FIELDS_DEFAULT, target: TARGET_BYTES_DEFAULT }
    }
}
