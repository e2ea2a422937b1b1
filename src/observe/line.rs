//! Formats a request as one line of text: a JSON object or Combined Log Format.
//!
//! Whatever the peers sent, a line is printable ASCII and has one line end, at its end. So it cannot
//! forge another line, move a terminal's cursor, or reverse text on the reader's screen. A JSON parser
//! recovers what was sent; docs/access-log.md defines each key.
//!
//! A line is written for every request, so nothing here allocates except to grow `out`.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::record::{Attempt, Record};
use crate::base::limits::{LOG_TARGET_BYTES_MAX, LOG_TEXT_BYTES_MAX};

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`write_json`].
    Json,
    /// [`write_combined`].
    Combined,
}

impl Format {
    /// Appends the line of a request to `out`.
    pub fn write(self, record: &Record<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => write_json(record, out),
            Self::Combined => write_combined(record, out),
        }
    }
}

/// Appends a request as one JSON object (RFC 8259) and a line end. Unknown or empty values are omitted,
/// with their keys.
pub fn write_json(record: &Record<'_>, out: &mut Vec<u8>) {
    let decided = record.attempts.last();
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(&rfc3339(record.time));
    out.push(b'"');
    json_text(out, ",\"request_id\":", record.id, LOG_TEXT_BYTES_MAX);
    out.extend_from_slice(b",\"client\":\"");
    ip(out, record.client);
    out.push(b'"');
    if record.client.to_canonical() == record.peer.ip().to_canonical() {
        json_number(out, ",\"client_port\":", record.peer.port().into());
    } else {
        out.extend_from_slice(b",\"peer\":\"");
        ip(out, record.peer.ip());
        out.push(b'"');
        json_number(out, ",\"peer_port\":", record.peer.port().into());
    }
    json_name(out, ",\"listener\":", Some(record.listener));
    json_name(out, ",\"user\":", record.user);
    json_name(out, ",\"method\":", Some(record.method));
    json_name(out, ",\"host\":", Some(record.host));
    json_text(out, ",\"target\":", record.target.as_bytes(), LOG_TARGET_BYTES_MAX);
    json_name(out, ",\"version\":", Some(record.version));
    json_number(out, ",\"status\":", record.status.into());
    json_number(out, ",\"bytes_in\":", record.bytes_in);
    json_number(out, ",\"bytes_out\":", record.bytes_out);
    json_name(out, ",\"route\":", record.route);
    json_name(out, ",\"pool\":", record.pool);
    json_name(out, ",\"backend\":", decided.map(|attempt| attempt.backend));
    json_attempts(out, record.attempts);
    json_ms(out, ",\"queue_ms\":", Some(record.queue));
    json_ms(out, ",\"connect_ms\":", decided.and_then(|attempt| attempt.connect));
    json_ms(out, ",\"first_byte_ms\":", decided.and_then(|attempt| attempt.first_byte));
    json_ms(out, ",\"total_ms\":", Some(record.total));
    json_text(out, ",\"referer\":", record.referer, LOG_TEXT_BYTES_MAX);
    json_text(out, ",\"user_agent\":", record.user_agent, LOG_TEXT_BYTES_MAX);
    json_name(out, ",\"end\":", Some(record.end));
    json_name(out, ",\"reason\":", record.reason);
    out.extend_from_slice(b"}\n");
}

/// Appends a request as Apache and nginx write it, and a line end: `client - user [time] "request"
/// status bytes "referer" "user-agent"`, with `-` for unknown or empty values.
pub fn write_combined(record: &Record<'_>, out: &mut Vec<u8>) {
    ip(out, record.client);
    out.extend_from_slice(b" - ");
    match record.user {
        Some(user) if !user.is_empty() => combined_user(out, user),
        _ => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    out.extend_from_slice(&common_log_time(record.time));
    out.extend_from_slice(b"] \"");
    if record.method.is_empty() {
        out.push(b'-');
    } else {
        escaped(out, record.method.as_bytes(), LOG_TEXT_BYTES_MAX, hex_escape);
        out.push(b' ');
        escaped(out, record.target.as_bytes(), LOG_TARGET_BYTES_MAX, hex_escape);
        out.push(b' ');
        escaped(out, record.version.as_bytes(), LOG_TEXT_BYTES_MAX, hex_escape);
    }
    out.extend_from_slice(b"\" ");
    number(out, record.status.into());
    out.push(b' ');
    number(out, record.bytes_out);
    for text in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        if text.is_empty() {
            out.push(b'-');
        } else {
            escaped(out, text, LOG_TEXT_BYTES_MAX, hex_escape);
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// `key` includes its comma, quotes and colon, here and below: it is known at compile time, so it is
/// copied instead of assembled.
fn json_name(out: &mut Vec<u8>, key: &'static str, name: Option<&str>) {
    json_text(out, key, name.unwrap_or_default().as_bytes(), LOG_TEXT_BYTES_MAX);
}

fn json_text(out: &mut Vec<u8>, key: &'static str, text: &[u8], bytes_max: usize) {
    if text.is_empty() {
        return;
    }
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    escaped(out, text, bytes_max, json_escape);
    out.push(b'"');
}

fn json_number(out: &mut Vec<u8>, key: &'static str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    number(out, value);
}

/// In milliseconds, with three decimals.
fn json_ms(out: &mut Vec<u8>, key: &'static str, duration: Option<Duration>) {
    let Some(duration) = duration else { return };
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    out.extend_from_slice(key.as_bytes());
    number(out, us / 1_000);
    let digit = |value: u64| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(us / 100), digit(us / 10), digit(us)]);
}

fn json_attempts(out: &mut Vec<u8>, attempts: &[Attempt<'_>]) {
    out.extend_from_slice(b",\"attempts\":[");
    for (index, attempt) in attempts.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"backend\":\"" } else { b",{\"backend\":\"" });
        escaped(out, attempt.backend.as_bytes(), LOG_TEXT_BYTES_MAX, json_escape);
        let reused: &[u8] = if attempt.reused { b"\",\"reused\":true" } else { b"\",\"reused\":false" };
        out.extend_from_slice(reused);
        json_ms(out, ",\"connect_ms\":", attempt.connect);
        json_ms(out, ",\"first_byte_ms\":", attempt.first_byte);
        json_name(out, ",\"outcome\":", Some(attempt.outcome));
        out.push(b'}');
    }
    out.push(b']');
}

/// The user is the only unquoted text in Combined Log Format, so spaces in it are escaped too.
fn combined_user(out: &mut Vec<u8>, user: &str) {
    for (index, word) in user.split(' ').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\\x20");
        }
        escaped(out, word.as_bytes(), LOG_TEXT_BYTES_MAX, hex_escape);
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The address as in `X-Forwarded-For`: an IPv4 client of a dual-stack socket is written as IPv4.
fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            number(out, a.into());
            for octet in [b, c, d] {
                out.push(b'.');
                number(out, octet.into());
            }
        }
        // Writing to memory cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// `2026-11-21T06:40:51.123Z`.
fn rfc3339(time: SystemTime) -> [u8; 24] {
    // A year without four digits, or before 1970, means that the clock was never set.
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH + since_1970.min(Duration::from_secs(END_OF_9999 - 1));
    let mut text = *b"0000-00-00T00:00:00.000Z";
    // The text has exactly this many bytes.
    let _ = write!(&mut text[..], "{}", humantime::format_rfc3339_millis(time));
    text
}

/// The first second of the year 10000, counted from 1970.
const END_OF_9999: u64 = 253_402_300_800;

/// `21/Nov/2026:06:40:51 +0000`.
fn common_log_time(time: SystemTime) -> [u8; 26] {
    let [y0, y1, y2, y3, _, m0, m1, _, d0, d1, _, h0, h1, _, i0, i1, _, s0, s1, ..] = rfc3339(time);
    let month = usize::from(m0 - b'0') * 10 + usize::from(m1 - b'0');
    let [a, b, c] = *MONTHS.get(month.wrapping_sub(1)).copied().unwrap_or(b"---");
    [
        d0, d1, b'/', a, b, c, b'/', y0, y1, y2, y3, b':', h0, h1, b':', i0, i1, b':', s0, s1, b' ', b'+',
        b'0', b'0', b'0', b'0',
    ]
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Appends `text`, escaping everything that is not plain. If the result would exceed `bytes_max`, it is
/// cut and ends in `...`.
fn escaped(out: &mut Vec<u8>, text: &[u8], bytes_max: usize, escape: Escape) {
    let end = out.len() + bytes_max;
    let mut rest = text;
    loop {
        let (plain, after) = rest.split_at(plain_run(rest));
        let room = end.saturating_sub(out.len());
        out.extend_from_slice(plain.get(..room).unwrap_or(plain));
        if plain.len() > room {
            break;
        }
        if after.is_empty() {
            return;
        }
        let special = after.iter().position(is_plain).unwrap_or(after.len());
        let (special, after) = after.split_at(special);
        if escape(out, special, end) == Fits::No {
            break;
        }
        rest = after;
    }
    out.extend_from_slice(b"...");
}

/// Appends escaped bytes until `out` would become longer than the given length.
type Escape = fn(&mut Vec<u8>, &[u8], usize) -> Fits;

#[derive(PartialEq, Eq)]
enum Fits {
    Yes,
    No,
}

/// Escapes by character; those outside ASCII in UTF-16 (RFC 8259, section 7). Invalid UTF-8 becomes
/// U+FFFD, as often as in `String::from_utf8_lossy`.
fn json_escape(out: &mut Vec<u8>, special: &[u8], end: usize) -> Fits {
    for chunk in special.utf8_chunks() {
        let bad = if chunk.invalid().is_empty() { None } else { Some(char::REPLACEMENT_CHARACTER) };
        for character in chunk.valid().chars().chain(bad) {
            if out.len() + JSON_ESCAPE_BYTES_MAX > end {
                return Fits::No;
            }
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        let [high, low] = unit.to_be_bytes();
                        let ([a, b], [c, d]) = (hex(high), hex(low));
                        out.extend_from_slice(&[b'\\', b'u', a, b, c, d]);
                    }
                }
            }
        }
    }
    Fits::Yes
}

/// The length of a character outside the Basic Multilingual Plane.
const JSON_ESCAPE_BYTES_MAX: usize = "\\ud83e\\udd80".len();

/// Escapes byte by byte as `\xHH`, like nginx.
fn hex_escape(out: &mut Vec<u8>, special: &[u8], end: usize) -> Fits {
    for byte in special {
        if out.len() + "\\xHH".len() > end {
            return Fits::No;
        }
        let [a, b] = hex(*byte);
        out.extend_from_slice(&[b'\\', b'x', a, b]);
    }
    Fits::Yes
}

fn hex(byte: u8) -> [u8; 2] {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

/// Whether a byte needs no escape in either format.
fn is_plain(byte: &u8) -> bool {
    // Branch-free, so that the compiler can check sixteen at a time.
    (*byte >= b' ') & (*byte <= b'~') & (*byte != b'"') & (*byte != b'\\')
}

/// How many bytes at the start are plain.
fn plain_run(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<16>();
    let is_plain_block = |block: &&[u8; 16]| block.iter().fold(true, |plain, byte| plain & is_plain(byte));
    let run = blocks.iter().take_while(is_plain_block).count() * 16;
    let rest = bytes.get(run..).unwrap_or_default();
    run + rest.iter().take_while(|byte| is_plain(byte)).count()
}
