//! Choosing a backend: one small trait, one file per strategy.
//!
//! A strategy is pure: it sees the backends through [`Candidates`] and keeps only its own
//! place in the rotation. The pool holds it behind a lock.

/// What a strategy may know of the backends of a pool, by index in listed order.
pub trait Candidates {
    /// How many backends there are, usable or not.
    fn len(&self) -> usize;
    /// Whether the backend may be given this request. A drained backend (weight 0) never is.
    fn is_usable(&self, index: usize) -> bool;
    /// Its weight; at least 1 when it is usable.
    fn weight(&self, index: usize) -> u32;
    /// Requests it has in flight, queued ones and tunnels included.
    fn active(&self, index: usize) -> u32;
    /// Whether there are no backends.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A strategy.
pub trait Selector: Send {
    /// The index of the backend for the next request, or `None` when none is usable.
    /// Looks at each backend at most a constant number of times.
    fn pick(&mut self, candidates: &dyn Candidates) -> Option<usize>;
}
