//! What a head becomes on its way through: RFC 9110, section 7.6, and the fields that tell
//! the backend about the client.
//!
//! Names, values and order of all other fields stay as they are, byte for byte. What comes
//! out is canonical: one space, CRLF, one framing field.

use std::net::SocketAddr;

use crate::base::buffer::Buffer;
use crate::base::limits::VIA_LOOPS_MAX;
use crate::config::plan::HeaderOps;
use crate::http::{BodyLength, Field, Known, RequestHead, ResponseHead, Version};
use crate::proxy::failure::Failure;
use crate::proxy::task::{Download, Framing, Request, Text};

/// Where a request came from.
pub(super) struct From<'t> {
    /// The client's address.
    pub(super) peer: &'t [u8],
    /// The address it connected to.
    pub(super) listener: SocketAddr,
    /// Whether what it says about others is believed.
    pub(super) trusted: bool,
}

/// What its route changes about a request.
pub(super) struct Changes<'r> {
    /// The target that is forwarded instead of the client's own.
    pub(super) target: Option<&'r str>,
    /// What becomes of its fields.
    pub(super) headers: &'r HeaderOps,
}

/// Writes the request that is forwarded to `request.outbound`, and notes what of it is needed
/// later.
pub(super) fn request(
    head: &RequestHead<'_, '_>,
    from: &From<'_>,
    changes: &Changes<'_>,
    request: &mut Request,
    rng: &mut fastrand::Rng,
) -> Result<(), Failure> {
    let Request { outbound: out, id, prefers_json, .. } = request;
    let ops = changes.headers;
    let (prefix, target) = match changes.target {
        Some(target) => ("", target),
        None => (head.target_prefix, head.target),
    };
    out.extend_all([head.method_token, " ", prefix, target, " HTTP/1.1\r\n"]);
    // HTTP/1.1 wants a Host even where HTTP/1.0 did not send it (RFC 9112, section 3.2); an
    // absolute target names one all the same, and of that only the path goes on.
    match head.host {
        _ if ops.sets("host") => {}
        None => push_address_field(out, b"Host: ", from.listener),
        Some(host) if !head.fields.iter().any(|field| field.known == Known::Host) => {
            out.extend_all(["Host: ", host, "\r\n"]);
        }
        Some(_) => {}
    }

    let mut via_ours = 0;
    // What is set is written last, whatever came before it.
    let mut has_proto = ops.sets("x-forwarded-proto");
    let mut has_host = ops.sets("x-forwarded-host");
    let mut has_port = ops.sets("x-forwarded-port");
    let mut has_real_ip = ops.sets("x-real-ip");
    for field in head.fields {
        if ops.drops(field.name) {
            continue;
        }
        let seen = match field.known {
            // Both are written anew below.
            Known::ContentLength | Known::XForwardedFor => continue,
            known if known.is_hop_by_hop() => continue,
            Known::XForwardedProto => &mut has_proto,
            Known::XForwardedHost => &mut has_host,
            Known::XForwardedPort => &mut has_port,
            Known::XRealIp => &mut has_real_ip,
            Known::Forwarded if !from.trusted => continue,
            Known::XRequestId => {
                // One request, one id: an empty one is none, and of several the first counts.
                if id.as_bytes().is_empty() && !field.value.is_empty() {
                    id.set(field.value);
                    push_field(out, field);
                }
                continue;
            }
            known => {
                if head.connection_names(field.name) || field.name.contains('_') {
                    continue;
                }
                if known == Known::Via {
                    via_ours += count_ours(field.value);
                } else if field.name.eq_ignore_ascii_case("accept") {
                    *prefers_json = field.value.starts_with(b"application/json");
                }
                push_field(out, field);
                continue;
            }
        };
        // These say what the connection to us was like: only a proxy in front of us knows
        // better than we do.
        if from.trusted && !*seen {
            *seen = true;
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
    if !ops.sets("x-forwarded-for") {
        push_forwarded_for(head, from, out);
    }
    if !has_proto {
        out.extend(b"X-Forwarded-Proto: http\r\n");
    }
    if let (false, Some(host)) = (has_host, head.host) {
        out.extend_all(["X-Forwarded-Host: ", host, "\r\n"]);
    }
    if !has_port {
        out.extend(b"X-Forwarded-Port: ");
        push_decimal(out, u64::from(from.listener.port()));
        out.extend(b"\r\n");
    }
    if !has_real_ip {
        out.extend_all([&b"X-Real-IP: "[..], from.peer, b"\r\n"]);
    }
    push_via(out, head.version);
    if id.as_bytes().is_empty() {
        make_id(id, rng);
        if !ops.sets("x-request-id") {
            out.extend_all([&b"X-Request-Id: "[..], id.as_bytes(), b"\r\n"]);
        }
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
    Ok(())
}

/// Writes X-Forwarded-For: what trusted proxies wrote, and then the peer.
fn push_forwarded_for(head: &RequestHead<'_, '_>, from: &From<'_>, out: &mut Buffer) {
    out.extend(b"X-Forwarded-For: ");
    if from.trusted {
        // The list may stand in several lines (RFC 9110, section 5.3).
        let earlier = head.fields.iter().filter(|field| field.known == Known::XForwardedFor);
        for field in earlier.filter(|field| !field.value.is_empty()) {
            out.extend(field.value);
            out.extend(b", ");
        }
    }
    out.extend_all([from.peer, b"\r\n"]);
}

/// Writes the final response head that is relayed.
pub(super) fn response(head: &ResponseHead<'_, '_>, request: &Request, ops: &HeaderOps, out: &mut Buffer) {
    push_status(head, out);
    // A response without a body may still tell how long that body would be; 204 may not
    // (RFC 9110, section 8.6).
    let length = match head.body {
        BodyLength::None if head.status != 204 => Length::Keep,
        _ => Length::Drop,
    };
    push_response_fields(head, ops, out, length);
    match &request.download {
        Download::Fixed(length) => push_length(out, *length),
        Download::Done if matches!(head.body, BodyLength::Fixed(_)) => push_length(out, 0),
        Download::Chunked(_, Framing::Chunked) | Download::UntilClose(Framing::Chunked) => {
            out.extend(b"Transfer-Encoding: chunked\r\n");
        }
        _ => {}
    }
    push_via(out, head.version);
    push_ops(out, ops);
    out.extend(connection_field(request));
    out.extend(b"\r\n");
}

/// Writes the interim response head that is relayed.
/// Writes no fields of the route's into 100 and 102: they say nothing about the response to come.
pub(super) fn interim(head: &ResponseHead<'_, '_>, ops: &HeaderOps, out: &mut Buffer) {
    push_status(head, out);
    push_response_fields(head, ops, out, Length::Drop);
    push_via(out, head.version);
    if !matches!(head.status, 100 | 102) {
        push_ops(out, ops);
    }
    out.extend(b"\r\n");
}

/// Writes the head that agrees to another protocol.
pub(super) fn switching(head: &ResponseHead<'_, '_>, ops: &HeaderOps, out: &mut Buffer) {
    push_status(head, out);
    push_response_fields(head, ops, out, Length::Drop);
    push_via(out, head.version);
    push_ops(out, ops);
    let protocols = head.upgrade.unwrap_or_default();
    out.extend_all([&b"Connection: Upgrade\r\nUpgrade: "[..], protocols, b"\r\n\r\n"]);
}

/// The Connection field of a response, empty where the version's default is what is meant.
pub(super) fn connection_field(request: &Request) -> &'static [u8] {
    match (request.version, request.keep_client) {
        (Version::Http11, true) => b"",
        (Version::Http10, true) => b"Connection: keep-alive\r\n",
        (_, false) => b"Connection: close\r\n",
    }
}

/// Makes a request id: 128 bits of chance as 32 hexadecimal digits.
pub(super) fn make_id(id: &mut Text<64>, rng: &mut fastrand::Rng) {
    let mut digits = [0_u8; 32];
    let mut bits = rng.u128(..);
    for digit in &mut digits {
        *digit = b"0123456789abcdef"[(bits & 15) as usize];
        bits >>= 4;
    }
    id.set(&digits);
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

fn push_length(out: &mut Buffer, length: u64) {
    out.extend(b"Content-Length: ");
    push_decimal(out, length);
    out.extend(b"\r\n");
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

fn push_decimal(out: &mut Buffer, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend(digits.get(start..).unwrap_or_default());
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
