//! Changes to the fields of messages.

/// Changes to the fields of a head: first `remove`, then `set`, then
/// `add`. None of them can touch what frames the message or belongs to the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOps {
    /// Names of fields that are dropped.
    pub remove: Vec<String>,
    /// Fields that replace those of the same name.
    pub set: Vec<(String, String)>,
    /// Fields that are added beside those of the same name.
    pub add: Vec<(String, String)>,
}

/// Operations that leave a head as it is.
pub static UNCHANGED: HeaderOps = HeaderOps { remove: Vec::new(), set: Vec::new(), add: Vec::new() };

impl HeaderOps {
    /// Whether a received field is dropped: it is removed or replaced.
    pub fn drops(&self, name: &str) -> bool {
        self.remove.iter().any(|removed| removed.eq_ignore_ascii_case(name)) || self.sets(name)
    }

    /// Whether a field is given a value.
    pub fn sets(&self, name: &str) -> bool {
        self.value_of(name).is_some()
    }

    /// The value that a field is given.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        self.set.iter().find(|(set, _)| set.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Which fields are added to every message, and which names are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderPlan {
    /// `Via` is added to requests and responses. True.
    pub via: bool,
    /// `Forwarded` (RFC 7239) is written beside X-Forwarded-*. False.
    pub forwarded: bool,
    /// What happens to request fields with `_` in their name. Dropped.
    pub underscores: Underscores,
}

impl Default for HeaderPlan {
    fn default() -> Self {
        Self { via: true, forwarded: false, underscores: Underscores::Drop }
    }
}

/// What happens to request fields with `_` in their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underscores {
    /// They are dropped and counted.
    Drop,
    /// They are forwarded, except those that a backend could mistake for a field that ropewalk
    /// writes, or that belongs to the connection.
    Allow,
}
