//! Collects differences: what is compared, under which name, and what to leave out because it was
//! already reported.

use std::collections::HashSet;
use std::fmt;

use super::shown::Shown;

/// One difference: `timeouts.connect: 2s -> 3s`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Change {
    /// Its keys in the configuration, as `timeouts.connect`.
    key: String,
    what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// The differences of one part of the configuration.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) list: Vec<Change>,
}

impl Changes {
    /// Compares a value.
    pub(super) fn value<T: Shown>(&mut self, key: &str, before: &T, after: &T) {
        if before != after {
            let (before, after) = (before.shown(), after.shown());
            self.say(
                key,
                if before == after {
                    format!("{after}, in another spelling")
                } else {
                    format!("{before} -> {after}")
                },
            );
        }
    }

    /// Compares a list whose order does not matter: what was added, and what was removed.
    pub(super) fn list<T: Shown>(&mut self, key: &str, before: &[T], after: &[T]) {
        if before == after {
            return;
        }
        let shown = |list: &[T]| list.iter().map(Shown::shown).collect::<Vec<_>>();
        let only_in = |list: &[String], other: &[String]| {
            let other: HashSet<_> = other.iter().collect();
            list.iter().filter(|value| !other.contains(value)).cloned().collect::<Vec<_>>()
        };
        let (before, after) = (shown(before), shown(after));
        let (removed, added) = (only_in(&before, &after), only_in(&after, &before));
        let parts: Vec<_> = [("removed", removed), ("added", added)]
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(verb, values)| format!("{verb} {}", values.join(", ")))
            .collect();
        if !parts.is_empty() {
            self.say(key, parts.join("; "));
        }
    }

    /// Compares values that must not be shown: passwords, tokens and the like.
    pub(super) fn secret<T: PartialEq>(&mut self, key: &str, before: Option<&T>, after: Option<&T>) {
        match (before, after) {
            (None, None) => {}
            (None, Some(_)) => self.say(key, "added"),
            (Some(_), None) => self.say(key, "removed"),
            (Some(before), Some(after)) if before == after => {}
            (Some(_), Some(_)) => self.say(key, "another one (not shown)"),
        }
    }

    pub(super) fn say(&mut self, key: &str, what: impl Into<String>) {
        self.list.push(Change { key: key.to_owned(), what: what.into() });
    }

    /// Leaves out what was reported elsewhere.
    pub(super) fn without(mut self, said: &Changes) -> Self {
        self.list.retain(|change| !said.list.contains(change));
        self
    }
}

/// Compares fields of two values of one type under their own names, and takes code for the others.
/// Every field is named, so the compiler finds one that was forgotten.
macro_rules! compare_fields {
    ($changes:expr, $prefix:literal, $type:ident { $($field:ident),* $(,)? } but { $($other:ident),* $(,)? }, $before:expr, $after:expr) => {{
        let $type { $($field: _,)* $($other: _,)* } = $before;
        $($changes.value(concat!($prefix, stringify!($field)), &$before.$field, &$after.$field);)*
    }};
}
pub(super) use compare_fields;
