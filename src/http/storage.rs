//! Storage for the fields of one head, on the caller's stack.
//!
//! There is inline room for the default limit on fields. Only a longer head, which the configuration
//! must allow, uses the heap. The room is not cleared first: clearing four kilobytes would cost as much
//! as reading a small head.

use smallvec::SmallVec;

use super::field::{Field, Known};
use super::head_limits::HeadLimits;
use crate::base::limits::HEAD_FIELDS_DEFAULT;

/// Room for the fields of one head. [`HeadStorage::new`] costs nothing, so make
/// a new one for every head.
pub struct HeadStorage<'b> {
    fields: SmallVec<[Field<'b>; HEAD_FIELDS_DEFAULT]>,
    pub(super) limits: HeadLimits,
}

impl<'b> HeadStorage<'b> {
    /// Empty room for a head within the default limits.
    #[inline]
    pub fn new() -> HeadStorage<'b> {
        HeadStorage::within(HeadLimits::of_bytes(usize::MAX))
    }

    /// Empty room for a head within these limits. The caller checks the head's size in bytes.
    #[inline]
    pub fn within(limits: HeadLimits) -> HeadStorage<'b> {
        HeadStorage { fields: SmallVec::new(), limits }
    }

    /// Stores the tokens as fields and looks up each name.
    pub(super) fn keep(&mut self, tokens: &[httparse::Header<'b>]) -> &[Field<'b>] {
        self.fields.clear();
        self.fields.extend(tokens.iter().map(|token| Field {
            name: token.name,
            value: token.value,
            known: Known::of(token.name),
        }));
        &self.fields
    }
}

impl Default for HeadStorage<'_> {
    fn default() -> Self {
        HeadStorage::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::HEAD_FIELDS_MAX;

    #[test]
    fn fields_are_kept_in_order_however_many_there_are() {
        let names: Vec<String> = (0..HEAD_FIELDS_MAX).map(|number| format!("name-{number}")).collect();
        let tokens: Vec<_> =
            names.iter().map(|name| httparse::Header { name, value: name.as_bytes() }).collect();
        for count in [0, 1, HEAD_FIELDS_DEFAULT, HEAD_FIELDS_DEFAULT + 1, HEAD_FIELDS_MAX] {
            let mut storage = HeadStorage::new();
            let kept = storage.keep(&tokens[..count]);
            assert!(kept.iter().map(|field| field.name).eq(names[..count].iter()), "{count}");
        }
    }
}
