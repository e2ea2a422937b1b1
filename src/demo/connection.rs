//! One client of a sample origin, from its first request to its close.

use std::io::{self, ErrorKind};
use std::net::TcpStream;

use super::answer::{self, Next, Site};
use super::input::{HEAD_LIMITS, Input, NoHead};
use super::websocket;
use crate::base::limits::ORIGIN_STALL_MAX;
use crate::http::{HeadStorage, parse_request, reason_phrase};

/// Serves requests until one of the two sides ends the connection.
///
/// # Errors
/// The client has gone, or stopped reading.
pub(super) fn serve(stream: &TcpStream, site: &Site) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(ORIGIN_STALL_MAX))?;
    let mut input = Input::new(stream, site.patience);
    loop {
        let bytes = match input.head() {
            Ok(bytes) => bytes,
            Err(NoHead::Gone) => return Ok(()),
            Err(NoHead::Late) => return refuse(stream, input, 408, reason_phrase(408)),
            Err(NoHead::Bad(error)) => return refuse(stream, input, error.status(), error.explain()),
        };
        let mut storage = HeadStorage::within(HEAD_LIMITS);
        let head = match parse_request(&bytes, &mut storage) {
            Ok(head) => head,
            Err(error) => return refuse(stream, input, error.status(), error.explain()),
        };
        match answer::answer(stream, &mut input, &head, site) {
            Ok(Next::Request) => {}
            Ok(Next::Close) => {
                input.linger();
                return Ok(());
            }
            Ok(Next::Messages) => return websocket::echo(stream, input.into_rest()),
            Err(error) => {
                let status = match error.kind() {
                    ErrorKind::InvalidData => 400,
                    ErrorKind::TimedOut => 408,
                    ErrorKind::FileTooLarge => 413,
                    _ => return Err(error),
                };
                return refuse(stream, input, status, reason_phrase(status));
            }
        }
    }
}

/// Says what is wrong, and closes.
fn refuse(stream: &TcpStream, mut input: Input<'_>, status: u16, why: &str) -> io::Result<()> {
    answer::whole(stream, status, &format!("{why}\n"), Next::Close)?;
    input.linger();
    Ok(())
}
