//! What a call on a stream moved, and what a stream is watched for until it can move more.

/// What a call on a stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// So many bytes were moved.
    Moved(usize),
    /// Nothing can be moved now: wait.
    Blocked,
    /// The peer has finished sending. Only reads return this.
    End,
}

/// What a socket is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Interest {
    /// Something to read, or the peer's end.
    pub read: bool,
    /// Room to write.
    pub write: bool,
    /// The peer's end, whether or not there is something to read before it.
    pub end: bool,
}

impl Interest {
    /// Nothing but that the connection breaks.
    pub const NONE: Self = Self { read: false, write: false, end: false };
    /// Whether the task goes on as soon as the socket is ready, so that it is worth a place
    /// in a warm set's `poll`. Ends are watched for only where it costs nothing.
    pub fn is_urgent(self) -> bool {
        self.read || self.write
    }
}
