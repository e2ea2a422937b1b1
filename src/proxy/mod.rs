//! Floor 5: one request's way through. Start reading at [`advance`].
//!
//! Nothing here starts a thread, blocks or sleeps: a task is advanced with plain calls until
//! a socket is not ready, and then says what it waits for.

mod accept;
pub mod advance;
mod answer_page;
mod client;
mod client_address;
mod connect;
pub mod connection;
pub mod context;
pub mod counted;
mod date;
pub mod dispatch;
mod end;
mod evidence;
pub mod exchange;
mod failure;
#[cfg(test)]
mod faults;
mod forwarded;
pub mod inspection;
mod link;
mod max_forwards;
mod pinned;
pub mod record;
mod relay;
mod reply;
mod request;
mod request_id;
mod response;
mod retry;
mod rewrite;
#[cfg(test)]
mod scene;
mod send_progress;
mod splice;
pub mod step;
mod target;
mod text;
mod tunnel;
pub mod turn;
mod upload;
