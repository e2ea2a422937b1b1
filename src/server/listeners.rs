//! The listening sockets as data, and what a reload changes about them.

use std::sync::Arc;

use crate::net::listen::Listener;
use crate::proxy::context::ListenerInfo;

/// A listening socket and what is known of it.
#[derive(Debug)]
pub struct BoundListener {
    /// The socket.
    pub listener: Listener,
    /// What connections through it are told of it.
    pub info: Arc<ListenerInfo>,
}

/// What a reload changes about the listeners. Those that are not kept are closed.
#[derive(Debug, Default)]
pub struct Change {
    /// What those that are kept are called from now on, by their numbers.
    pub keep: Vec<Arc<ListenerInfo>>,
    /// New ones.
    pub add: Vec<BoundListener>,
}

impl Change {
    /// Both changes in one, when the second was asked for before the first was made.
    #[must_use]
    pub fn and_then(self, next: Self) -> Self {
        let still_new = self.add.into_iter().filter_map(|bound| {
            let info = next.keep.iter().find(|info| info.id == bound.info.id)?;
            Some(BoundListener { listener: bound.listener, info: Arc::clone(info) })
        });
        let add = still_new.chain(next.add).collect();
        Self { keep: next.keep, add }
    }
}
