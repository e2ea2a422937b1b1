//! `/ws` of a sample origin: every message comes back.
//!
//! The protocol is tungstenite's. The balancer carries WebSockets as bytes, so nothing else here
//! knows their frames.

use std::io;
use std::net::TcpStream;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, WebSocket};

use crate::base::limits::{ORIGIN_IDLE_MAX, ORIGIN_MESSAGE_BYTES_MAX};
use crate::http::{Method, RequestHead};

/// What proves to a client that its offer of a WebSocket was understood, if it made a good one.
pub(super) fn accept_key(head: &RequestHead<'_, '_>) -> Option<String> {
    let key = head.fields.iter().find(|field| field.name.eq_ignore_ascii_case("sec-websocket-key"))?;
    (head.method == Method::Get && head.offers_websocket()).then(|| derive_accept_key(key.value))
}

/// The answer that begins a WebSocket.
pub(super) fn switching(accept_key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept_key}\r\n\r\n"
    )
}

/// Sends every message back until the client closes. `rest` came behind its request.
pub(super) fn echo(stream: &TcpStream, rest: Vec<u8>) -> io::Result<()> {
    stream.set_read_timeout(Some(ORIGIN_IDLE_MAX))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .max_message_size(Some(ORIGIN_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(ORIGIN_MESSAGE_BYTES_MAX));
    let mut socket = WebSocket::from_partially_read(stream, rest, Role::Server, Some(config));
    loop {
        // Pings are answered, and a close is completed, by reading on.
        let done = socket.read().and_then(|message| match message.is_text() || message.is_binary() {
            true => socket.send(message),
            false => Ok(()),
        });
        match done {
            Ok(()) => {}
            Err(Error::Io(error)) => return Err(error),
            Err(_) => return Ok(()),
        }
    }
}
