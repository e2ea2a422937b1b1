//! Floor 6: the thread that writes the access log, and the file, socket or stream it writes to.

mod sink;
mod writer;

pub use writer::AccessLog;
