//! An answer that is not ready yet: the result of a reload.
//!
//! A reload may take as long as a slow file system, and the admin thread has other clients to
//! serve. So a connection that asked for one waits, with a deadline, and the thread is woken when
//! the reload ends.

use std::sync::Arc;

use parking_lot::Mutex;

use super::operations::Operations;
use super::response::Response;
use crate::base::limits::RELOAD_WAIT;

/// Makes the admin thread look at its connections.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// The outcome of a request.
pub(super) enum Answer {
    /// This.
    Now(Response),
    /// The result of a reload.
    Later(Pending),
}

/// A reload that has not ended.
pub(super) struct Pending {
    operations: Arc<dyn Operations>,
    /// LOCK: guards the outcome, for putting it in or taking it out.
    outcome: Arc<Mutex<Option<Outcome>>>,
}

/// What has changed, or why nothing has.
type Outcome = Result<Vec<String>, String>;

impl Pending {
    /// Asks for a reload.
    pub(super) fn begin(operations: &Arc<dyn Operations>, wake: &Wake) -> Self {
        let outcome = Arc::new(Mutex::new(None));
        let (put, wake) = (Arc::clone(&outcome), Arc::clone(wake));
        operations.reload(Box::new(move |what| {
            *put.lock() = Some(what);
            wake();
        }));
        Self { operations: Arc::clone(operations), outcome }
    }

    /// The answer, once there is one.
    pub(super) fn take(&self) -> Option<Response> {
        let outcome = self.outcome.lock().take()?;
        Some(match outcome {
            Ok(changes) if changes.is_empty() => Response::text(200, "nothing has changed"),
            Ok(changes) => Response::text(200, changes.join("\n")),
            Err(errors) => Response::text(422, errors),
        })
    }

    /// The answer for a client that has waited long enough.
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
