//! The fields that tell a backend where a request came from: X-Forwarded-For, -Proto, -Host and
//! -Port, X-Real-IP, and Forwarded (RFC 7239) if the configuration asks for it.
//!
//! They are consistent with each other. What a trusted proxy said is kept, and the fields that it
//! left out are derived from the others: a request that reached it by https came to port 443,
//! regardless of the port that we listen on. `Forwarded` is never read. It is written from the same
//! data, so it cannot contradict the other fields.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::base::buffer::Buffer;
use crate::base::limits::FORWARDED_HOPS_MAX;
use crate::config::plan::HeaderOps;
use crate::http::{Field, Known, RequestHead, node_address};
use crate::proxy::client_address::Origin;
use crate::proxy::rewrite::push_decimal;
use crate::proxy::text::Text;

/// Where a request came from.
pub(super) struct Sender {
    /// The client, and whether the peer is trusted.
    pub(super) origin: Origin,
    /// The peer's address.
    pub(super) peer: IpAddr,
    /// The address that the peer connected to.
    pub(super) listener: SocketAddr,
}

/// What a trusted proxy said about the client's connection to it.
#[derive(Default)]
pub(super) struct Told<'b> {
    proto: Option<&'b [u8]>,
    host: Option<&'b [u8]>,
    port: Option<&'b [u8]>,
}

impl<'b> Told<'b> {
    /// Records an X-Forwarded-Proto, -Host or -Port of a trusted proxy. Returns whether to forward
    /// it: an empty one is ignored, and of several the first counts.
    pub(super) fn note(&mut self, field: &Field<'b>) -> bool {
        let told = match field.known {
            Known::XForwardedProto => &mut self.proto,
            Known::XForwardedHost => &mut self.host,
            Known::XForwardedPort => &mut self.port,
            _ => return false,
        };
        let is_first = told.is_none() && !field.value.is_empty();
        if is_first {
            *told = Some(field.value);
        }
        is_first
    }
}

/// Writes the fields that were not kept as the peer sent them.
pub(super) fn push(
    out: &mut Buffer,
    head: &RequestHead<'_, '_>,
    sender: &Sender,
    told: &Told<'_>,
    ops: &HeaderOps,
) {
    let set = |name| ops.value_of(name).map(str::as_bytes);
    let proto = set("x-forwarded-proto").or(told.proto).unwrap_or(b"http");
    let host = set("x-forwarded-host").or(told.host).or(head.host.map(str::as_bytes));
    let peer = text_of(sender.peer);
    if !ops.drops("x-forwarded-for") {
        push_for(head, sender, &peer, out);
    }
    if told.proto.is_none() && !ops.drops("x-forwarded-proto") {
        out.extend_all([b"X-Forwarded-Proto: ", proto, b"\r\n"]);
    }
    if let (None, Some(host)) = (told.host, host)
        && !ops.drops("x-forwarded-host")
    {
        out.extend_all([b"X-Forwarded-Host: ", host, b"\r\n"]);
    }
    if told.port.is_none() && !ops.drops("x-forwarded-port") {
        out.extend(b"X-Forwarded-Port: ");
        match host.map(|host| port(proto, host)) {
            Some(Port::Named(port)) => out.extend(port),
            Some(Port::Default(port)) => push_decimal(out, port),
            // HTTP/1.0 without Host: the backend gets the listener's address as Host.
            None => push_decimal(out, u64::from(sender.listener.port())),
        }
        out.extend(b"\r\n");
    }
    if !ops.drops("x-real-ip") {
        let client = sender.origin.asker.address;
        let text = if client == sender.peer { peer } else { text_of(client) };
        out.extend_all([b"X-Real-IP: ", text.as_bytes(), b"\r\n"]);
    }
}

/// Writes Forwarded: one element for each proxy on the way, as far as X-Forwarded-For names them.
/// The first one names the host and the protocol of the client's request.
pub(super) fn push_rfc7239(out: &mut Buffer, head: &RequestHead<'_, '_>, sender: &Sender, told: &Told<'_>) {
    out.extend(b"Forwarded: ");
    let mut earlier = [None; FORWARDED_HOPS_MAX];
    let mut count = 0;
    if sender.origin.trusted {
        let lists = head.fields.iter().rev().filter(|field| field.known == Known::XForwardedFor);
        let entries = lists.flat_map(|field| field.value.rsplit(|&byte| byte == b','));
        let entries = entries.filter(|entry| !entry.trim_ascii().is_empty());
        for (place, entry) in earlier.iter_mut().zip(entries) {
            *place = node_address(entry);
            count += 1;
        }
    }
    let mut rest = told_host_and_proto(head, told);
    for hop in earlier.iter().take(count).rev() {
        push_node(out, *hop);
        out.extend(rest.take().unwrap_or_default().as_bytes());
        out.extend(b", ");
    }
    push_node(out, Some(sender.peer));
    out.extend(rest.take().unwrap_or_default().as_bytes());
    out.extend(b"\r\n");
}

/// `;host="…";proto=…`. Off by default, so it may allocate. A host that cannot be quoted, or an
/// invalid protocol name, is left out.
fn told_host_and_proto(head: &RequestHead<'_, '_>, told: &Told<'_>) -> Option<String> {
    let mut text = String::new();
    let host = told.host.map(first_element).or(head.host.map(str::as_bytes));
    let is_quotable = |byte: &u8| (b' '..=b'~').contains(byte) && !b"\"\\".contains(byte);
    if let Some(host) = host.filter(|host| host.iter().all(is_quotable)) {
        // Writing to memory does not fail.
        let _ = write!(text, ";host=\"{}\"", String::from_utf8_lossy(host));
    }
    let proto = told.proto.map_or(&b"http"[..], first_element);
    if !proto.is_empty() && proto.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
        let _ = write!(text, ";proto={}", String::from_utf8_lossy(proto));
    }
    Some(text)
}

/// RFC 7239, section 6: colons and brackets stand in quotes.
fn push_node(out: &mut Buffer, address: Option<IpAddr>) {
    match address {
        None => out.extend(b"for=unknown"),
        Some(address @ IpAddr::V4(_)) => {
            out.extend_all([b"for=", text_of(address).as_bytes()]);
        }
        Some(address) => {
            out.extend_all([b"for=\"[", text_of(address).as_bytes(), b"]\""]);
        }
    }
}

/// Writes X-Forwarded-For: what trusted proxies wrote, and then the peer.
fn push_for(head: &RequestHead<'_, '_>, sender: &Sender, peer: &AddressText, out: &mut Buffer) {
    out.extend(b"X-Forwarded-For: ");
    if sender.origin.trusted {
        // The list may stand in several lines (RFC 9110, section 5.3).
        let earlier = head.fields.iter().filter(|field| field.known == Known::XForwardedFor);
        for field in earlier.filter(|field| !field.value.is_empty()) {
            out.extend(field.value);
            out.extend(b", ");
        }
    }
    out.extend_all([peer.as_bytes(), b"\r\n"]);
}

enum Port<'a> {
    /// It stands in the host.
    Named(&'a [u8]),
    /// The host has none, so it is that of the protocol.
    Default(u64),
}

/// The port that the client connected to.
fn port<'a>(proto: &[u8], host: &'a [u8]) -> Port<'a> {
    let host = first_element(host);
    // The colons of an IPv6 address stand in brackets.
    let after_colon = host.rsplit(|&byte| byte == b':').next().unwrap_or_default();
    let is_port = after_colon.len() < host.len()
        && matches!(after_colon.len(), 1..=5)
        && after_colon.iter().all(u8::is_ascii_digit);
    if is_port {
        return Port::Named(after_colon);
    }
    let proto = first_element(proto);
    let is_secure = proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss");
    Port::Default(if is_secure { 443 } else { 80 })
}

/// In a list from several proxies, the first entry is about the client.
fn first_element(list: &[u8]) -> &[u8] {
    list.split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii()
}

/// INVARIANT: the longest IPv6 address has 45 characters.
type AddressText = Text<45>;

fn text_of(address: IpAddr) -> AddressText {
    let mut text = AddressText::default();
    match address {
        // Nearly all are IPv4, and this runs for every request: several times faster than `write!`.
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push(b'.');
                }
                if octet >= 100 {
                    text.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    text.push(b'0' + octet / 10 % 10);
                }
                text.push(b'0' + octet % 10);
            }
        }
        IpAddr::V6(address) => {
            let _ = write!(text, "{address}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        let octets = (0..=255).map(|octet| IpAddr::from([octet, 255 - octet, octet / 2, octet]));
        let longest = "1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap();
        for address in octets.chain([longest, "::ffff:192.0.2.7".parse().unwrap()]) {
            assert_eq!(text_of(address).as_bytes(), address.to_string().as_bytes());
        }
    }

    #[test]
    fn the_port_is_that_of_the_host_or_of_the_protocol() {
        for (proto, host, expected) in [
            ("http", "example.com", "80"),
            ("http", "example.com:8080", "8080"),
            ("https", "example.com", "443"),
            ("HTTPS", "example.com", "443"),
            ("wss", "example.com", "443"),
            ("https, http", "a.example:8443, b.example", "8443"),
            ("http, https", "a.example", "80"),
            ("https", "[2001:db8::7]", "443"),
            ("https", "[2001:db8::7]:8443", "8443"),
            ("http", "example.com:", "80"),
            ("http", "example.com:x", "80"),
            ("http", "", "80"),
            ("", "8080", "80"),
        ] {
            let seen = match port(proto.as_bytes(), host.as_bytes()) {
                Port::Named(port) => String::from_utf8_lossy(port).into_owned(),
                Port::Default(port) => port.to_string(),
            };
            assert_eq!(seen, expected, "{proto} {host}");
        }
    }
}
