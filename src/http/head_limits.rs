//! How long a head may be, and how much may be in it.

use crate::base::limits::{HEAD_FIELDS_DEFAULT, TARGET_BYTES_DEFAULT};

/// The limits on one head, which the configuration sets.
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
    /// This many bytes, and all else at its default.
    pub const fn of_bytes(bytes: usize) -> Self {
        Self { bytes, fields: HEAD_FIELDS_DEFAULT, target: TARGET_BYTES_DEFAULT }
    }
}
