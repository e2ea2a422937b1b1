//! A response that is not ready yet: the result of a reload.
//!
//! A reload may take as long as a slow file system does, and the admin thread has other clients to
//! serve. So the connection that asked for it waits, with a deadline, and the thread is woken when the
//! reload ends.

use std::sync::Arc;

use parking_lot::Mutex;

use super::operations::Operations;
use super::response::Response;
use crate::base::limits::RELOAD_WAIT;

/// Wakes the admin thread to check its connections.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// The outcome of a request.
pub(super) enum Answer {
    /// Answer now.
    Now(Response),
    /// Answer with the result of a reload, once there is one.
    Later(Pending),
}

/// A running reload.
pub(super) struct Pending {
    operations: Arc<dyn Operations>,
    /// LOCK: guards the outcome, held to store it or take it.
    outcome: Arc<Mutex<Option<Outcome>>>,
}

/// The changes made, or the reason there were none.
type Outcome = Result<Vec<String>, String>;

impl Pending {
    /// Starts a reload.
    pub(super) fn begin(operations: &Arc<dyn Operations>, wake: &Wake) -> Self {
        let outcome = Arc::new(Mutex::new(None));
        let (put, wake) = (Arc::clone(&outcome), Arc::clone(wake));
        operations.reload(Box::new(move |what| {
            *put.lock() = Some(what);
            wake();
        }));
        Self { operations: Arc::clone(operations), outcome }
    }

    /// The response, once the reload has ended.
    pub(super) fn take(&self) -> Option<Response> {
        let outcome = self.outcome.lock().take()?;
        Some(match outcome {
            Ok(changes) if changes.is_empty() => Response::text(200, "nothing has changed"),
            Ok(changes) => Response::text(200, changes.join("\n")),
            Err(errors) => Response::text(422, errors),
        })
    }

    /// The response for a client that has waited long enough.
    pub(super) fn give_up(&self) -> Response {
        let progress = self.operations.reload_progress();
        let text = format!(
            "504: the reload is still running after {} s: {progress}. It continues, and the log will have its \
             result; until then the old configuration stays in use",
            RELOAD_WAIT.as_secs()
        );
        Response::text(504, text)
    }
}
