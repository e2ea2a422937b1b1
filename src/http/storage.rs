//! Where the fields of one head live: an array on the caller's stack.
//!
//! It begins uninitialised, because clearing four kilobytes would cost as much
//! as reading a small head. Without unsafe code an array has to be written
//! whole before it can be read, so there are two: a small one that holds nearly
//! every head that is ever sent, and one as large as the usual limit for the rest.
//! Only a head with more than that, which the configuration has to allow, takes
//! memory from the heap.

use std::mem::MaybeUninit;

use super::field::{Field, Known};
use super::head_limits::HeadLimits;
use crate::base::limits::HEAD_FIELDS_DEFAULT;

/// What browsers send with some room; API clients send half of it.
const USUAL_FIELDS_MAX: usize = 24;

/// Room for the fields of one head. [`HeadStorage::new`] costs nothing, so make
/// a new one for every head.
pub struct HeadStorage<'b> {
    usual: MaybeUninit<[Field<'b>; USUAL_FIELDS_MAX]>,
    every: MaybeUninit<[Field<'b>; HEAD_FIELDS_DEFAULT]>,
    many: Vec<Field<'b>>,
    pub(super) limits: HeadLimits,
}

impl<'b> HeadStorage<'b> {
    /// Empty room for a head within the default limits, not yet written to.
    #[inline]
    pub fn new() -> HeadStorage<'b> {
        HeadStorage::within(HeadLimits::of_bytes(usize::MAX))
    }

    /// Empty room for a head within these limits. How many bytes it has is for the caller to check.
    #[inline]
    pub fn within(limits: HeadLimits) -> HeadStorage<'b> {
        // Not `Vec::new()`: a constant beside the arrays made the compiler write all of it, and clear
        // five kilobytes for every head.
        HeadStorage {
            usual: MaybeUninit::uninit(),
            every: MaybeUninit::uninit(),
            many: Vec::with_capacity(0),
            limits,
        }
    }

    /// Keeps the tokens as fields, each with what its name means.
    pub(super) fn keep(&mut self, tokens: &[httparse::Header<'b>]) -> &[Field<'b>] {
        let slots: &mut [Field<'b>] = if tokens.len() <= USUAL_FIELDS_MAX {
            self.usual.write([Field::EMPTY; USUAL_FIELDS_MAX])
        } else if tokens.len() <= HEAD_FIELDS_DEFAULT {
            self.every.write([Field::EMPTY; HEAD_FIELDS_DEFAULT])
        } else {
            self.many.resize(tokens.len(), Field::EMPTY);
            &mut self.many
        };
        for (slot, token) in slots.iter_mut().zip(tokens) {
            *slot = Field { name: token.name, value: token.value, known: Known::of(token.name) };
        }
        slots.get(..tokens.len()).unwrap_or_default()
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
        for count in [0, 1, USUAL_FIELDS_MAX, USUAL_FIELDS_MAX + 1, HEAD_FIELDS_DEFAULT, HEAD_FIELDS_MAX] {
            let mut storage = HeadStorage::new();
            let kept = storage.keep(&tokens[..count]);
            assert!(kept.iter().map(|field| field.name).eq(names[..count].iter()), "{count}");
        }
    }
}
