//! What comes next: for one direction of an exchange, for its stage, and for the worker.

use crate::net::wait::Wait;
use crate::proxy::exchange::Stage;
use crate::proxy::failure::Failure;

/// What a worker does with a task that has been advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Keep it until what it waits for has happened.
    Wait(Wait),
    /// It has had its turn: put it behind the others.
    Yield,
    /// It is done with.
    Close,
}

/// What follows one step of a stage.
pub(super) enum Step {
    /// On to another stage, at once.
    Go(Stage),
    /// A socket is not ready.
    Wait(Wait),
    /// Its turn is over.
    Yield,
    /// Something went wrong.
    Fail(Failure),
    /// The connection is done with.
    Close,
}

/// How far moving bytes in one direction got.
pub(super) enum Flow {
    /// Nothing is left to move in this direction.
    Done,
    /// A socket is not ready.
    Wait(Wait),
    /// The turn is over.
    Yield,
    /// Something went wrong.
    Fail(Failure),
}

impl Flow {
    /// The step of a stage that moves bytes in one direction only, and does `after` when they are moved.
    pub(super) fn then(self, after: impl FnOnce() -> Step) -> Step {
        match self {
            Self::Done => after(),
            Self::Wait(wait) => Step::Wait(wait),
            Self::Yield => Step::Yield,
            Self::Fail(failure) => Step::Fail(failure),
        }
    }
}
