//! Which backends a request may be given.

use crate::base::limits::RETRIES_MAX;
use crate::upstream::backend::Backend;

/// What decides which backends a request may be given.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The backends that it has tried. It is never given one of them again.
    pub tried: Tried,
    /// Whether it may be sent twice without harm.
    pub idempotent: bool,
    /// The number of the one backend that it may be given: its client is logged in there.
    pub only: Option<u32>,
}

impl Ask {
    /// Whether this backend may be given the request, as soon as it has room.
    pub(super) fn suits(&self, backend: &Backend) -> bool {
        backend.serves()
            && backend.seat().admits(self.idempotent)
            && !self.tried.contains(backend.id())
            && self.only.is_none_or(|only| only == backend.id())
    }
}

/// Which backends a request has tried, by their numbers: one that waited in the queue may have been
/// given a place at a backend of a newer configuration, whose place in the pool is another.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    ids: [u32; RETRIES_MAX as usize + 1],
    count: u8,
}

impl Tried {
    /// Notes that the backend with this number was tried.
    pub fn insert(&mut self, id: u32) {
        if self.contains(id) {
            return;
        }
        if let Some(place) = self.ids.get_mut(usize::from(self.count)) {
            *place = id;
            self.count += 1;
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    fn contains(&self, id: u32) -> bool {
        self.ids.iter().take(usize::from(self.count)).any(|&tried| tried == id)
    }
}
