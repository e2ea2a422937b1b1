//! A request head: parsed and checked once, then only read.
//!
//! Code that has a [`RequestHead`] need not check again that it names one host, has one body length, or
//! has a target that can be forwarded. Knows nothing of routes, trust or rewriting.

use super::authentication;
use super::authority::Authority;
use super::connection::{ConnectionOptions, UpgradeField, lists, offers_websocket};
use super::error::HeadError;
use super::field::{Field, Known};
use super::framing::{BodyLength, Framing, Repeats};
use super::message::{Method, Version};
use super::storage::HeadStorage;
use super::target::Target;
use super::tokenise;

/// A request head that may be forwarded.
///
/// `'b` is the buffer that holds the head, `'s` the [`HeadStorage`] with its fields.
#[derive(Clone, Debug)]
pub struct RequestHead<'b, 's> {
    /// The method, if it is one that makes a difference here.
    pub method: Method,
    /// The method as sent.
    pub method_token: &'b str,
    /// The client's version.
    pub version: Version,
    /// What to put before `target` when forwarding: `/` for an absolute target with a query but no
    /// path, otherwise empty.
    pub target_prefix: &'static str,
    /// The target to forward: `/path?query`, `*`, or for CONNECT `host:port`. An absolute target is
    /// reduced to the part after its authority.
    pub target: &'b str,
    /// The requested host: from the target if it names one, otherwise from the Host field. `None` only
    /// on HTTP/1.0.
    pub host: Option<&'b str>,
    /// All fields in the order sent.
    pub fields: &'s [Field<'b>],
    /// How long the body is; never [`BodyLength::UntilClose`].
    pub body: BodyLength,
    /// Whether the client wants to keep the connection open.
    pub keep_alive: bool,
    /// The Upgrade field, if the request may be forwarded as an upgrade.
    pub upgrade: Option<&'b [u8]>,
    /// Whether the client accepts trailers (`TE: trailers`).
    pub te_trailers: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects_continue: bool,
    /// Whether the client logs in with a scheme that authenticates the connection: NTLM or Negotiate.
    pub binds_connection: bool,
    options: ConnectionOptions,
}

impl RequestHead<'_, '_> {
    /// Whether this is an upgrade to WebSocket. A client that asks for one can do nothing with another
    /// answer, while most other upgrade offers are optional.
    pub fn offers_websocket(&self) -> bool {
        self.upgrade.is_some_and(offers_websocket)
    }

    /// Whether a Connection field names this field, which must then not be forwarded (RFC 9110, 7.6.1).
    ///
    /// The fields that frame, route or vouch for the message (Host, Content-Length, Transfer-Encoding,
    /// Forwarded, X-Forwarded-*, X-Real-IP, Via, X-Request-Id) cannot be removed this way.
    #[inline]
    pub fn connection_names(&self, field: &str) -> bool {
        self.options.name(field, self.fields)
    }
}

/// Parses a request head. `head` is exactly the bytes up to `super::head_end`.
///
/// # Errors
///
/// Refuses anything that could be read in two ways; see [`HeadError`].
pub fn parse_request<'b, 's>(
    head: &'b [u8],
    storage: &'s mut HeadStorage<'b>,
) -> Result<RequestHead<'b, 's>, HeadError> {
    let mut tokens = tokenise::no_tokens();
    let line = tokenise::request(head, &mut tokens, storage.limits.fields)?;
    if line.fields.len() > storage.limits.fields {
        return Err(HeadError::TooManyFields);
    }
    let method = Method::from_token(line.method);
    let target = Target::parse(method, line.target, storage.limits.target)?;
    let fields: &'s [Field<'b>] = storage.keep(line.fields);

    let mut host_field = None;
    let mut framing = Framing::new();
    let mut options = ConnectionOptions::default();
    let mut upgrade = UpgradeField::Absent;
    let mut te_trailers = false;
    let mut expects_continue = false;
    let mut binds_connection = false;
    for field in fields {
        match field.known {
            Known::Host if host_field.is_some() => return Err(HeadError::HostRepeated),
            Known::Host => host_field = Some(field.value),
            Known::ContentLength => framing.content_length(field.value, Repeats::Refuse)?,
            Known::TransferEncoding => framing.transfer_encoding(field.value),
            Known::Connection => options.note(field.value)?,
            Known::Upgrade => upgrade = upgrade.and(field.value),
            Known::Te => te_trailers |= lists(field.value, b"trailers"),
            Known::Expect => expects_continue |= lists(field.value, b"100-continue"),
            Known::Authorization | Known::WwwAuthenticate | Known::ProxyAuthenticate => {
                binds_connection |= authentication::binds_connection(field);
            }
            _ => {}
        }
    }

    Ok(RequestHead {
        method,
        method_token: line.method,
        version: line.version,
        target_prefix: target.prefix,
        target: target.text,
        host: effective_host(method, line.version, &target, host_field)?,
        fields,
        body: framing.declared(line.version)?,
        keep_alive: options.persist(line.version),
        upgrade: options.upgrade(line.version, upgrade),
        te_trailers,
        binds_connection,
        // RFC 9110, 10.1.1: ignored from an HTTP/1.0 client.
        expects_continue: expects_continue && line.version == Version::Http11,
        options,
    })
}

/// The one host that a request is for (RFC 9112, 3.2 and 3.3).
fn effective_host<'b>(
    method: Method,
    version: Version,
    target: &Target<'b>,
    host_field: Option<&'b [u8]>,
) -> Result<Option<&'b str>, HeadError> {
    let field = match host_field {
        Some(b"") => return Err(HeadError::HostEmpty),
        Some(value) => Some(Authority::parse(value).ok_or(HeadError::HostMalformed)?),
        None if version == Version::Http11 => return Err(HeadError::HostMissing),
        None => None,
    };
    match (target.authority, field) {
        // CONNECT is answered with 405 in any case, and its clients differ on whether Host repeats the
        // port.
        (Some(named), Some(field))
            if method != Method::Connect && !named.agrees(&field, target.default_port) =>
        {
            Err(HeadError::HostDisagrees)
        }
        (named, field) => Ok(named.or(field).map(|authority| authority.text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{HEAD_FIELDS_DEFAULT, METHOD_BYTES_MAX};

    /// Parses a head with these lines and passes it to `read`.
    fn parse<T>(lines: &[&str], read: impl Fn(&RequestHead<'_, '_>) -> T) -> Result<T, HeadError> {
        parse_bytes(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes(), read)
    }

    fn parse_bytes<T>(head: &[u8], read: impl Fn(&RequestHead<'_, '_>) -> T) -> Result<T, HeadError> {
        parse_request(head, &mut HeadStorage::new()).map(|head| read(&head))
    }

    /// The error for a GET with a Host field and these additional fields.
    fn fault_of_fields(fields: &[&str]) -> Option<HeadError> {
        let mut lines = vec!["GET / HTTP/1.1", "Host: h"];
        lines.extend(fields);
        parse(&lines, |_| ()).err()
    }

    fn fault_of_line(line: &str) -> Option<HeadError> {
        parse(&[line, "Host: h"], |_| ()).err()
    }

    #[test]
    fn a_usual_request_is_read_in_full() {
        let head = b"POST /p?q HTTP/1.1\r\nhOST: h:80\r\nX-Empty:\r\nContent-Length:\t12 \r\nX: \xe9\r\n\r\n";
        let mut storage = HeadStorage::new();
        let head = parse_request(head, &mut storage).unwrap();
        assert_eq!((head.method, head.method_token), (Method::Post, "POST"));
        assert_eq!((head.version, head.target_prefix, head.target), (Version::Http11, "", "/p?q"));
        assert_eq!((head.host, head.body, head.keep_alive), (Some("h:80"), BodyLength::Fixed(12), true));
        assert_eq!((head.upgrade, head.te_trailers, head.expects_continue), (None, false, false));
        assert_eq!(
            head.fields,
            [
                Field { name: "hOST", value: b"h:80", known: Known::Host },
                Field { name: "X-Empty", value: b"", known: Known::Other },
                Field { name: "Content-Length", value: b"12", known: Known::ContentLength },
                Field { name: "X", value: b"\xe9", known: Known::Other },
            ]
        );
    }

    #[test]
    fn one_leading_empty_line_is_forgiven() {
        assert_eq!(parse(&["", "GET / HTTP/1.1", "Host: h"], |head| head.method), Ok(Method::Get));
        assert_eq!(parse(&["", "", "GET / HTTP/1.1", "Host: h"], |_| ()), Err(HeadError::EmptyLines));
        assert_eq!(parse_bytes(b"\r\n\r\n", |_| ()), Err(HeadError::EmptyLines));
    }

    #[test]
    fn bare_line_ends_are_refused() {
        for head in [
            "GET / HTTP/1.1\nHost: h\n\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
            "GET / HTTP/1.1\rHost: h\r\n\r\n",
        ] {
            assert_eq!(parse_bytes(head.as_bytes(), |_| ()), Err(HeadError::BareLineEnd), "{head:?}");
        }
    }

    #[test]
    fn anything_but_one_whole_head_is_refused() {
        for head in
            ["", "G", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1"]
        {
            assert_eq!(parse_bytes(head.as_bytes(), |_| ()), Err(HeadError::NotOneHead), "{head:?}");
        }
    }

    #[test]
    fn a_malformed_request_line_is_refused() {
        for line in [
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / x HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET /",
            "GET",
            "G(T / HTTP/1.1",
            "GET HTTP/1.1",
        ] {
            assert_eq!(fault_of_line(line), Some(HeadError::RequestLine), "{line:?}");
        }
        assert_eq!(fault_of_line(" GET / HTTP/1.1"), Some(HeadError::NotHttp));
        assert_eq!(fault_of_line("\x16\x03\x01"), Some(HeadError::NotHttp));
    }

    #[test]
    fn a_minor_version_above_1_is_served_as_1_1() {
        let fields = vec!["A: b"; HEAD_FIELDS_DEFAULT - 1];
        for (line, end) in [("GET /p HTTP/1.2", "C: d"), ("GET /p HTTP/1.9", "Connection: close")] {
            let mut lines = vec!["", line, "Host: h"];
            lines.extend(&fields[2..]);
            lines.push(end);
            let read = |head: &RequestHead<'_, '_>| {
                (head.method, head.target.to_owned(), head.version, head.fields.len(), head.keep_alive)
            };
            let expected =
                (Method::Get, "/p".into(), Version::Http11, HEAD_FIELDS_DEFAULT - 1, end == "C: d");
            assert_eq!(parse(&lines, read), Ok(expected), "{line}");
        }
        assert_eq!(parse(&["GET / HTTP/1.2"], |_| ()), Err(HeadError::HostMissing));
        assert_eq!(parse(&["GET x HTTP/1.2", "Host: h"], |_| ()), Err(HeadError::TargetForm));
        assert_eq!(parse(&["GET / HTTP/1.2", "Host : h"], |_| ()), Err(HeadError::SpaceBeforeColon));
        let mut lines = vec!["GET / HTTP/1.2", "Host: h"];
        lines.extend(&fields);
        lines.push("C: d");
        assert_eq!(parse(&lines, |_| ()), Err(HeadError::TooManyFields));
    }

    #[test]
    fn an_overlong_method_is_not_implemented() {
        let line = |bytes: usize| format!("{} / HTTP/1.1", "M".repeat(bytes));
        assert_eq!(fault_of_line(&line(METHOD_BYTES_MAX)), None);
        assert_eq!(fault_of_line(&line(METHOD_BYTES_MAX + 1)), Some(HeadError::MethodTooLong));
        assert_eq!(HeadError::MethodTooLong.status(), 501);
    }

    #[test]
    fn other_major_versions_are_told_from_nonsense() {
        for line in ["GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/3.1", "PRI * HTTP/2.0"] {
            assert_eq!(fault_of_line(line), Some(HeadError::VersionUnsupported), "{line}");
        }
        for line in ["GET / HTTP/2", "GET / http/1.1", "GET / HTTP/1.10", "GET / HTTP/1,1", "GET / HTT"] {
            assert_ne!(fault_of_line(line).map(HeadError::status), Some(505), "{line}");
            assert_eq!(fault_of_line(line).map(HeadError::status), Some(400), "{line}");
        }
    }

    #[test]
    fn bad_bytes_in_the_target_are_refused() {
        for line in [
            "GET /\t HTTP/1.1",
            "GET /\0 HTTP/1.1",
            "GET /\x7f HTTP/1.1",
            "GET /# HTTP/1.1",
            "GET /é HTTP/1.1",
        ] {
            assert_eq!(fault_of_line(line), Some(HeadError::TargetBytes), "{line:?}");
        }
        let invalid_utf8 = b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(parse_bytes(invalid_utf8, |_| ()), Err(HeadError::TargetBytes));
    }

    #[test]
    fn a_malformed_field_is_refused_by_its_fault() {
        for (field, fault) in [
            ("A : b", HeadError::SpaceBeforeColon),
            ("A\t: b", HeadError::SpaceBeforeColon),
            (" A: b", HeadError::LineFolding),
            ("\tb", HeadError::LineFolding),
            (": b", HeadError::FieldName),
            ("A", HeadError::FieldName),
            ("A b: c", HeadError::FieldName),
            ("A\0: b", HeadError::FieldName),
            ("Ä: b", HeadError::FieldName),
            ("A(: b", HeadError::FieldName),
            ("A: b\0", HeadError::FieldValue),
            ("A: \0", HeadError::FieldValue),
            ("A: b\x0bc", HeadError::FieldValue),
            ("A: b\x7f", HeadError::FieldValue),
        ] {
            assert_eq!(fault_of_fields(&[field, "Z: z"]), Some(fault), "{field:?}");
        }
        assert_eq!(parse(&["GET / HTTP/1.1", " Host: h"], |_| ()), Err(HeadError::LineFolding));
    }

    #[test]
    fn the_limit_on_fields_is_exact() {
        let fields = vec!["A: b"; HEAD_FIELDS_DEFAULT - 1];
        assert_eq!(fault_of_fields(&fields), None);
        let fields = vec!["A: b"; HEAD_FIELDS_DEFAULT];
        assert_eq!(fault_of_fields(&fields), Some(HeadError::TooManyFields));
    }

    #[test]
    fn a_request_has_exactly_one_good_host() {
        let of = |fields: &[&str]| {
            let mut lines = vec!["GET / HTTP/1.1"];
            lines.extend(fields);
            parse(&lines, |head| head.host.map(String::from))
        };
        assert_eq!(of(&["Host: h"]), Ok(Some("h".into())));
        assert_eq!(of(&[]), Err(HeadError::HostMissing));
        assert_eq!(of(&["Host:"]), Err(HeadError::HostEmpty));
        assert_eq!(of(&["Host: h", "host: h"]), Err(HeadError::HostRepeated));
        assert_eq!(of(&["Host:", "Host: h"]), Err(HeadError::HostRepeated));
        for bad in ["Host: a b", "Host: u@h", "Host: h/", "Host: a, b", "Host: h:x", "Host: h\u{e9}"] {
            assert_eq!(of(&[bad]), Err(HeadError::HostMalformed), "{bad}");
        }
    }

    #[test]
    fn http10_may_leave_the_host_out_but_not_empty() {
        assert_eq!(parse(&["GET / HTTP/1.0"], |head| head.host.is_some()), Ok(false));
        assert_eq!(parse(&["GET / HTTP/1.0", "Host:"], |_| ()), Err(HeadError::HostEmpty));
        let host = parse(&["GET http://h/ HTTP/1.0"], |head| head.host.map(String::from));
        assert_eq!(host, Ok(Some("h".into())));
    }

    #[test]
    fn an_absolute_target_must_agree_with_host() {
        let of = |target: &str, host: &str| {
            let line = format!("GET {target} HTTP/1.1");
            parse(&[&line, &format!("Host: {host}")], |head| {
                format!("{:?} {}{}", head.host, head.target_prefix, head.target)
            })
        };
        assert_eq!(of("http://A:80/p", "a"), Ok("Some(\"A:80\") /p".into()));
        assert_eq!(of("http://a?q", "a"), Ok("Some(\"a\") /?q".into()));
        assert_eq!(of("https://a/", "a:443"), Ok("Some(\"a\") /".into()));
        assert_eq!(of("http://a/", "b"), Err(HeadError::HostDisagrees));
        assert_eq!(of("http://a/", "a:81"), Err(HeadError::HostDisagrees));
        assert_eq!(parse(&["GET http://a/ HTTP/1.1"], |_| ()), Err(HeadError::HostMissing));
    }

    #[test]
    fn connect_is_parsed_so_that_it_can_be_refused_by_name() {
        let read = |head: &RequestHead<'_, '_>| (head.method, head.target.to_owned());
        let connect = parse(&["CONNECT h:443 HTTP/1.1", "Host: h"], read);
        assert_eq!(connect, Ok((Method::Connect, "h:443".into())));
    }

    #[test]
    fn framing_that_two_readers_could_read_differently_is_refused() {
        let chunked = "Transfer-Encoding: chunked";
        for (fields, fault) in [
            (vec!["Content-Length: 1", chunked], HeadError::TwoFramings),
            (vec![chunked, "Content-Length: 1"], HeadError::TwoFramings),
            (vec!["Content-Length: x", chunked], HeadError::TwoFramings),
            (vec!["Content-Length: 1", "Content-Length: 2"], HeadError::ContentLengthRepeated),
            (vec!["Content-Length: 1", "Content-Length: 1"], HeadError::ContentLengthRepeated),
            (vec!["Content-Length: 1, 1"], HeadError::ContentLengthMalformed),
            (vec!["Content-Length:"], HeadError::ContentLengthMalformed),
            (vec![chunked, chunked], HeadError::TransferEncodingMalformed),
            (vec!["Transfer-Encoding:"], HeadError::TransferEncodingMalformed),
            (vec!["Transfer-Encoding: gzip, chunked"], HeadError::TransferEncodingUnsupported),
        ] {
            assert_eq!(fault_of_fields(&fields), Some(fault), "{fields:?}");
        }
        assert_eq!(parse(&["GET / HTTP/1.0", chunked], |_| ()), Err(HeadError::TransferEncodingOnHttp10));
    }

    #[test]
    fn a_body_is_as_long_as_the_fields_say() {
        let of = |field: &str| parse(&["PUT / HTTP/1.1", "Host: h", field], |head| head.body);
        assert_eq!(of("A: b"), Ok(BodyLength::None));
        assert_eq!(of("Content-Length: 0"), Ok(BodyLength::Fixed(0)));
        assert_eq!(of("Transfer-Encoding: Chunked"), Ok(BodyLength::Chunked));
    }

    #[test]
    fn connection_names_fields_but_not_those_that_frame_or_vouch() {
        let fields = "Connection: close, X-Secret , host, content-length, transfer-encoding, x-forwarded-for, \
                      x-real-ip, via, x-request-id, forwarded";
        let named = |field: &str| {
            parse(&["GET / HTTP/1.1", "Host: h", "Connection: keep-alive", fields], |head| {
                head.connection_names(field)
            })
        };
        assert_eq!(named("x-secret"), Ok(true));
        assert_eq!(named("x-other"), Ok(false));
        assert_eq!(named("secret"), Ok(false));
        for protected in [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "X-Forwarded-For",
            "X-Real-IP",
            "Via",
            "X-Request-Id",
            "Forwarded",
        ] {
            assert_eq!(named(protected), Ok(false), "{protected}");
        }
    }

    #[test]
    fn upgrade_te_and_expect_are_read() {
        let lines = ["GET / HTTP/1.1", "Host: h", "Connection: Upgrade, TE", "Upgrade: websocket"];
        let upgrade = parse(&lines, |head| head.upgrade.map(<[u8]>::to_vec));
        assert_eq!(upgrade, Ok(Some(b"websocket".to_vec())));
        let te = parse(&["GET / HTTP/1.1", "Host: h", "TE: deflate, Trailers"], |head| head.te_trailers);
        assert_eq!(te, Ok(true));
        let expects = |version: &str| {
            parse(&[version, "Host: h", "Expect: 100-Continue"], |head| head.expects_continue)
        };
        assert_eq!(expects("PUT / HTTP/1.1"), Ok(true));
        assert_eq!(expects("PUT / HTTP/1.0"), Ok(false));
    }
}
