//! What the poller and all workers share, and nothing else in the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use parking_lot::{Condvar, Mutex};

use crate::net::parking::lot::Parking;
use crate::net::parking::{ParkToken, Unpark};
use crate::proxy::connection::Connection;
use crate::proxy::context::Shared;
use crate::server::listeners::Change;
use crate::server::ready::Ready;
use crate::server::task_dump::TaskDump;

/// What the poller and all workers share.
pub struct ServerState {
    /// Tasks that can go on.
    pub ready: Ready,
    /// Tasks that wait.
    pub parking: Parking<Connection>,
    /// What requests need.
    pub shared: Arc<Shared>,
    /// LOCK: guards a change of the listeners on its way from a reload to the poller, which holds
    /// it while it makes the change; nobody else but a reload asks for it.
    pub listeners: Mutex<Option<Change>>,
    /// Rung when the poller has made it.
    pub listeners_changed: Condvar,
    /// Where workers are asked what they are doing.
    pub task_dump: TaskDump,
    /// How many tasks each worker keeps warm. Ordering: Relaxed; shown and no more.
    pub warm: Box<[AtomicUsize]>,
    /// Everything is to end, finished or not.
    pub stop: AtomicBool,
    /// Panics that workers survived.
    pub panics: AtomicU64,
}

impl Unpark for ServerState {
    fn unpark(&self, spot: ParkToken) {
        if let Some(task) = self.parking.unpark(spot) {
            self.ready.put(task);
            self.ready.announce();
        }
    }
}
