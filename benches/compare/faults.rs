//! Everything that can go wrong with one request, and how often it did.
//!
//! A benchmark that hides its errors measures how fast a proxy fails. So the list
//! is closed, each kind has its word in the report, and a fault is never retried.

use std::fmt;

/// Why a request was not counted as answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection could not be made.
    Connect,
    /// The connection ended or failed before the response did.
    Broken,
    /// The status is not 2xx.
    Status,
    /// The head cannot be read, or is too long.
    Head,
    /// The length is absent or is not the one that the origin sent.
    Length,
    /// Bytes came after the end, although nothing more was asked for.
    Excess,
    /// No answer, or no close after `Connection: close`, came in time.
    Unanswered,
}

impl Fault {
    const ALL: [Self; 7] =
        [Self::Connect, Self::Broken, Self::Status, Self::Head, Self::Length, Self::Excess, Self::Unanswered];

    fn word(self) -> &'static str {
        match self {
            Self::Connect => "not connected",
            Self::Broken => "broken off",
            Self::Status => "not 2xx",
            Self::Head => "bad head",
            Self::Length => "wrong length",
            Self::Excess => "bytes too many",
            Self::Unanswered => "unanswered",
        }
    }
}

/// A count of faults by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults([u64; Fault::ALL.len()]);

impl Faults {
    /// Counts `fault`.
    pub fn record(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// All kinds together.
    pub fn total(self) -> u64 {
        self.0.iter().sum()
    }
}

impl fmt::Display for Faults {
    /// Like `3 not 2xx, 1 broken off`; nothing when there were none.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for fault in Fault::ALL {
            let count = self.0[fault as usize];
            if count > 0 {
                write!(out, "{separator}{count} {}", fault.word())?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_under_its_own_word() {
        let mut faults = Faults::default();
        Fault::ALL.into_iter().for_each(|fault| faults.record(fault));
        assert_eq!(faults.total(), 7);
        for fault in Fault::ALL {
            assert!(faults.to_string().contains(&format!("1 {}", fault.word())));
        }
    }

    #[test]
    fn merging_adds() {
        let (mut first, mut second) = (Faults::default(), Faults::default());
        first.record(Fault::Status);
        second.record(Fault::Status);
        second.record(Fault::Broken);
        first.merge(second);
        assert_eq!(first.to_string(), "1 broken off, 2 not 2xx");
    }
}
