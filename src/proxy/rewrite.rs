//! What a head becomes on its way through: RFC 9110, section 7.6, and the fields that tell
//! the backend about the client.
//!
//! Names, values and order of all other fields stay as they are, byte for byte. What comes
//! out is canonical: one space, CRLF, one framing field.

use std::net::SocketAddr;

use crate::base::buffer::Buffer;
use crate::base::limits::VIA_LOOPS_MAX;
use crate::config::plan::{HeaderOps, HeaderPlan, Underscores};
use crate::http::{BodyLength, Field, Known, RequestHead, ResponseHead, Version};
use crate::proxy::exchange::{Asked, Download, DownloadState, Framing};
use crate::proxy::failure::Failure;
use crate::proxy::forwarded::{self, Sender, Told};
use crate::proxy::max_forwards;
use crate::proxy::text::Text;

/// The configured changes to a request.
pub(super) struct Changes<'r> {
    /// The target that is forwarded instead of the client's own.
    pub(super) target: Option<&'r str>,
    /// What becomes of its fields.
    pub(super) ops: &'r HeaderOps,
    /// Which fields are added to every message, and which names are let through.
    pub(super) headers: &'r HeaderPlan,
}

/// Fields that were dropped, which the sender may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Fields with `_` in their name.
    pub(super) underscored: u32,
}

/// Writes the request that is forwarded to `exchange.upload.outbound`.
pub(super) fn request(
    head: &RequestHead<'_, '_>,
    sender: &Sender,
    changes: &Changes<'_>,
    id: &Text<64>,
    out: &mut Buffer,
) -> Result<Dropped, Failure> {
    let Changes { ops, headers, .. } = changes;
    let (prefix, target) = match changes.target {
        Some(target) => ("", target),
        None => (head.target_prefix, head.target),
    };
    out.extend_all([head.method_token, " ", prefix, target, " HTTP/1.1\r\n"]);
    // HTTP/1.1 wants a Host even where HTTP/1.0 did not send it (RFC 9112, section 3.2); an
    // absolute target names one all the same, and of that only the path goes on.
    match head.host {
        _ if ops.sets("host") => {}
        None => push_address_field(out, b"Host: ", sender.listener),
        Some(host) if !head.fields.iter().any(|field| field.known == Known::Host) => {
            out.extend_all(["Host: ", host, "\r\n"]);
        }
        Some(_) => {}
    }

    let mut via_ours = 0;
    let mut told = Told::default();
    let mut has_id = false;
    let mut dropped = Dropped { underscored: 0 };
    for field in head.fields {
        let passes = match field.known {
            // These are written below.
            Known::ContentLength | Known::XForwardedFor | Known::XRealIp | Known::Forwarded => false,
            known if known.is_hop_by_hop() => false,
            // A trusted proxy in front of us knows more about the client's connection than we do.
            Known::XForwardedProto | Known::XForwardedHost | Known::XForwardedPort => {
                sender.origin.trusted && told.note(field)
            }
            Known::XForwardedOther => sender.origin.trusted,
            // One id per request: an empty one is ignored, and of several the first counts.
            Known::XRequestId => !field.value.is_empty() && !std::mem::replace(&mut has_id, true),
            _ if head.connection_names(field.name) => false,
            Known::Via => {
                via_ours += count_ours(field.value);
                true
            }
            Known::MaxForwards => {
                if let Some(left) = max_forwards::left(head.method, field.value) {
                    push_number(out, field.name, left);
                    continue;
                }
                true
            }
            Known::Other if field.name.contains('_') => {
                let passes = headers.underscores == Underscores::Allow && !has_protected_twin(field.name);
                dropped.underscored += u32::from(!passes);
                passes
            }
            _ => true,
        };
        if passes && !ops.drops(field.name) {
            push_field(out, field);
        }
    }
    if via_ours >= VIA_LOOPS_MAX {
        return Err(Failure::Loop);
    }

    match head.body {
        BodyLength::None => {}
        BodyLength::Fixed(length) => push_length(out, length),
        BodyLength::Chunked | BodyLength::UntilClose => out.extend(b"Transfer-Encoding: chunked\r\n"),
    }
    forwarded::push(out, head, sender, &told, ops);
    if headers.forwarded && !ops.drops("forwarded") {
        forwarded::push_rfc7239(out, head, sender, &told);
    }
    if headers.via {
        push_via(out, head.version);
    }
    if !has_id && !ops.drops("x-request-id") {
        push_id(out, id.as_bytes());
    }
    push_ops(out, ops);
    match head.upgrade {
        Some(protocols) => {
            out.extend_all([&b"Connection: Upgrade\r\nUpgrade: "[..], protocols, b"\r\n"]);
        }
        None if head.te_trailers => out.extend(b"Connection: TE\r\nTE: trailers\r\n"),
        None => {}
    }
    out.extend(b"\r\n");
    Ok(dropped)
}

/// Whether a backend that reads `_` as `-` would take a name for that of a field that we write, or
/// that belongs to the connection.
fn has_protected_twin(name: &str) -> bool {
    let twin = Known::of_twin(name);
    twin.is_hop_by_hop() || !twin.is_removable_by_connection()
}

/// What every response gets, whatever its backend sent.
pub(super) struct Additions<'a> {
    /// What its route changes.
    pub(super) ops: &'a HeaderOps,
    /// Which fields are added to every message.
    pub(super) headers: &'a HeaderPlan,
    /// The date, if the clock is right.
    pub(super) date: Option<&'a [u8]>,
}

/// Writes the final response head that is relayed.
pub(super) fn response(
    head: &ResponseHead<'_, '_>,
    asked: &Asked,
    download: &Download,
    additions: &Additions<'_>,
    out: &mut Buffer,
) {
    let Additions { ops, headers, date } = additions;
    push_status(head, out);
    // A response without a body may still tell how long that body would be; 204 may not
    // (RFC 9110, section 8.6).
    let length = match head.body {
        BodyLength::None if head.status != 204 => Length::Keep,
        _ => Length::Drop,
    };
    push_response_fields(head, ops, out, length);
    match &download.state {
        DownloadState::Fixed(length) => push_length(out, *length),
        DownloadState::Done if matches!(head.body, BodyLength::Fixed(_)) => push_length(out, 0),
        DownloadState::Chunked(_, Framing::Chunked) | DownloadState::UntilClose(Framing::Chunked) => {
            out.extend(b"Transfer-Encoding: chunked\r\n");
        }
        _ => {}
    }
    if headers.via {
        push_via(out, head.version);
    }
    if !head.fields.iter().any(|field| field.known == Known::Date) {
        push_date(out, *date, ops);
    }
    if !ops.drops("x-request-id") {
        push_id(out, asked.id.as_bytes());
    }
    push_ops(out, ops);
    // RFC 9110, section 15.5.22: a 426 names the protocol that it asks for.
    match demanded_upgrade(head, asked) {
        Some(protocols) => {
            let close = if download.keep_client { "" } else { ", close" };
            out.extend_all([b"Connection: Upgrade", close.as_bytes(), b"\r\nUpgrade: ", protocols, b"\r\n"]);
        }
        None => out.extend(connection_field(asked, download)),
    }
    out.extend(b"\r\n");
}

/// The protocols that a 426 demands of a client that can upgrade to them.
fn demanded_upgrade<'b>(head: &ResponseHead<'b, '_>, asked: &Asked) -> Option<&'b [u8]> {
    let demands = head.status == 426 && asked.version == Version::Http11;
    head.upgrade.filter(|_| demands)
}

/// Writes the interim response head that is relayed, but no fields of the route's into 100 and 102: they say nothing about the response to come.
pub(super) fn interim(head: &ResponseHead<'_, '_>, additions: &Additions<'_>, out: &mut Buffer) {
    push_status(head, out);
    push_response_fields(head, additions.ops, out, Length::Drop);
    if additions.headers.via {
        push_via(out, head.version);
    }
    if !matches!(head.status, 100 | 102) {
        push_ops(out, additions.ops);
    }
    out.extend(b"\r\n");
}

/// Writes the head that agrees to another protocol.
pub(super) fn switching(
    head: &ResponseHead<'_, '_>,
    asked: &Asked,
    additions: &Additions<'_>,
    out: &mut Buffer,
) {
    push_status(head, out);
    push_response_fields(head, additions.ops, out, Length::Drop);
    if additions.headers.via {
        push_via(out, head.version);
    }
    if !additions.ops.drops("x-request-id") {
        push_id(out, asked.id.as_bytes());
    }
    push_ops(out, additions.ops);
    let protocols = head.upgrade.unwrap_or_default();
    out.extend_all([&b"Connection: Upgrade\r\nUpgrade: "[..], protocols, b"\r\n\r\n"]);
}

/// The Connection field of a response, empty where the version's default is what is meant.
pub(super) fn connection_field(asked: &Asked, download: &Download) -> &'static [u8] {
    match (asked.version, download.keep_client) {
        (Version::Http11, true) => b"",
        (Version::Http10, true) => b"Connection: keep-alive\r\n",
        (_, false) => b"Connection: close\r\n",
    }
}

fn push_status(head: &ResponseHead<'_, '_>, out: &mut Buffer) {
    out.extend(b"HTTP/1.1 ");
    push_decimal(out, u64::from(head.status));
    out.extend(b" ");
    out.extend(head.reason);
    out.extend(b"\r\n");
}

/// How a response's own Content-Length is treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    /// Passed on: it tells of a body that is not sent, as for HEAD.
    Keep,
    /// Dropped: the body is framed anew.
    Drop,
}

fn push_response_fields(head: &ResponseHead<'_, '_>, ops: &HeaderOps, out: &mut Buffer, mut length: Length) {
    for field in head.fields {
        match field.known {
            known if known.is_hop_by_hop() => {}
            Known::ContentLength => {
                // Sent twice with the same value, it is passed on once.
                if std::mem::replace(&mut length, Length::Drop) == Length::Keep {
                    push_field(out, field);
                }
            }
            // One id per request: it is written once, and the backend's own is dropped.
            Known::XRequestId => {}
            _ if head.connection_names(field.name) || ops.drops(field.name) => {}
            _ => push_field(out, field),
        }
    }
}

/// Writes the fields that a route sets and adds.
pub(super) fn push_ops(out: &mut Buffer, ops: &HeaderOps) {
    for (name, value) in ops.set.iter().chain(&ops.add) {
        out.extend_all([name.as_str(), ": ", value, "\r\n"]);
    }
}

fn push_field(out: &mut Buffer, field: &Field<'_>) {
    out.extend_all([field.name.as_bytes(), b": ", field.value, b"\r\n"]);
}

pub(super) fn push_length(out: &mut Buffer, length: u64) {
    push_number(out, "Content-Length", length);
}

fn push_number(out: &mut Buffer, name: &str, number: u64) {
    out.extend_all([name, ": "]);
    push_decimal(out, number);
    out.extend(b"\r\n");
}

/// Writes the date, unless the clock is wrong or the route sets it.
pub(super) fn push_date(out: &mut Buffer, date: Option<&[u8]>, ops: &HeaderOps) {
    if let Some(date) = date
        && !ops.drops("date")
    {
        out.extend_all([&b"Date: "[..], date, b"\r\n"]);
    }
}

/// Writes the request's id.
pub(super) fn push_id(out: &mut Buffer, id: &[u8]) {
    out.extend_all([&b"X-Request-Id: "[..], id, b"\r\n"]);
}

/// RFC 9110, section 7.6.3: the version is that of the message as it was received.
fn push_via(out: &mut Buffer, version: Version) {
    out.extend(match version {
        Version::Http10 => b"Via: 1.0 ropewalk\r\n",
        Version::Http11 => b"Via: 1.1 ropewalk\r\n",
    });
}

fn push_address_field(out: &mut Buffer, name: &[u8], address: SocketAddr) {
    // Rare enough to allocate.
    out.extend_all([name, address.to_string().as_bytes(), b"\r\n"]);
}

pub(super) fn push_decimal(out: &mut Buffer, number: u64) {
    out.extend(itoa::Buffer::new().format(number).as_bytes());
}

/// How often a Via value names us.
fn count_ours(value: &[u8]) -> usize {
    value
        .split(|&byte| byte == b',')
        .filter(|entry| {
            let mut words = entry.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
            words.nth(1) == Some(b"ropewalk")
        })
        .count()
}

#[cfg(test)]
mod tests {
    use crate::proxy::scene::{OK, Scene};

    #[test]
    fn a_backend_gets_no_field_that_concerns_the_connection() {
        let mut scene = Scene::new();
        scene.client_sends(
            "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close, x-own\r\nX-Own: 1\r\nKeep-Alive: 5\r\nX-Kept: 2\r\n\r\n",
        );
        let request = scene.dialled().1.received();
        assert!(request.contains("\r\nX-Kept: 2\r\n"), "{request}");
        for gone in ["X-Own", "Keep-Alive", "close"] {
            assert!(!request.contains(gone), "{gone} in {request}");
        }
    }

    #[test]
    fn a_backend_is_told_who_asked_and_a_client_cannot_say_so_itself() {
        let mut scene = Scene::new();
        scene.client_sends("GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
        let request = scene.dialled().1.received();
        assert!(request.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"), "{request}");
        assert!(!request.contains("9.9.9.9"), "{request}");
    }

    #[test]
    fn a_response_says_whether_its_client_connection_is_kept() {
        for (asks, said) in [("", false), ("Connection: close\r\n", true)] {
            let mut scene = Scene::new();
            scene.client_sends(&format!("GET /x HTTP/1.1\r\nHost: a\r\n{asks}\r\n"));
            let (_, backend) = scene.dialled();
            scene.backend_sends(&backend, OK);
            let response = scene.client.received();
            assert_eq!(response.contains("\r\nConnection: close\r\n"), said, "{response}");
        }
    }
}
