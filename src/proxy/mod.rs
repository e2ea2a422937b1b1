//! Floor 4: one request's way through. Start reading at [`advance`].
//!
//! Nothing here starts a thread, blocks or sleeps: a task is advanced with plain calls until
//! a socket is not ready, and then says what it waits for.

pub mod advance;
mod client_address;
mod connect;
pub mod context;
pub mod direction;
mod evidence;
mod failure;
pub mod inspection;
pub mod record;
mod relay;
mod reply;
mod request;
mod response;
mod retry;
mod rewrite;
mod splice;
mod target;
pub mod task;
mod tunnel;
pub mod turn;
mod upload;
mod uptake;
