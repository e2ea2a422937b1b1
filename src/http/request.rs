//! A request head: parsed once, checked whole, then only read.
//!
//! Whoever holds a [`RequestHead`] need not ask again whether its host is one
//! host, its body has one length or its target one reading. It knows nothing of
//! routes, trust or rewriting.

use super::authority::Authority;
use super::connection::{ConnectionOptions, UpgradeField, lists};
use super::error::HeadError;
use super::field::{Field, Known};
use super::framing::{BodyLength, Framing, Repeats};
use super::message::{Method, Version};
use super::storage::HeadStorage;
use super::target::Target;
use super::tokenise;

/// A request head that is fit to be forwarded.
///
/// `'b` is the buffer that holds the head, `'s` the [`HeadStorage`] with its fields.
#[derive(Clone, Debug)]
pub struct RequestHead<'b, 's> {
    /// The method, as far as it makes a difference here.
    pub method: Method,
    /// The method as sent.
    pub method_token: &'b str,
    /// The client's version.
    pub version: Version,
    /// What to put before `target` when forwarding: `/` for an absolute target
    /// with a query but no path, otherwise empty.
    pub target_prefix: &'static str,
    /// The target to forward: `/path?query`, `*`, or for CONNECT `host:port`.
    /// Of an absolute target only the part after the authority is left.
    pub target: &'b str,
    /// The host that is asked for: that of the target if it names one, or else
    /// the Host field. `None` only on HTTP/1.0.
    pub host: Option<&'b str>,
    /// All fields in the order sent.
    pub fields: &'s [Field<'b>],
    /// How long the body is; never [`BodyLength::UntilClose`].
    pub body: BodyLength,
    /// Whether the client means to keep the connection.
    pub keep_alive: bool,
    /// The Upgrade field, if the request may be passed on as an upgrade.
    pub upgrade: Option<&'b [u8]>,
    /// Whether the client takes trailers (`TE: trailers`).
    pub te_trailers: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects_continue: bool,
    options: ConnectionOptions,
}

impl RequestHead<'_, '_> {
    /// Whether a Connection field names this field, so that it must not be
    /// forwarded (RFC 9110, 7.6.1).
    ///
    /// The fields that frame, route or vouch for the message (Host,
    /// Content-Length, Transfer-Encoding, Forwarded, X-Forwarded-*, X-Real-IP,
    /// Via, X-Request-Id) cannot be removed in this way.
    #[inline]
    pub fn connection_names(&self, field: &str) -> bool {
        self.options.name(field, self.fields)
    }
}

/// Parses a request head. `head` is exactly the bytes up to [`super::head_end`].
///
/// # Errors
///
/// Whatever could be read in two ways is refused; see [`HeadError`].
pub fn parse_request<'b, 's>(
    head: &'b [u8],
    storage: &'s mut HeadStorage<'b>,
) -> Result<RequestHead<'b, 's>, HeadError> {
    let mut tokens = tokenise::no_tokens();
    let line = tokenise::request(head, &mut tokens)?;
    let method = Method::from_token(line.method);
    let target = Target::parse(method, line.target)?;
    let fields: &'s [Field<'b>] = storage.keep(line.fields);

    let mut host_field = None;
    let mut framing = Framing::new();
    let mut options = ConnectionOptions::default();
    let mut upgrade = UpgradeField::Absent;
    let mut te_trailers = false;
    let mut expects_continue = false;
    for field in fields {
        match field.known {
            Known::Host if host_field.is_some() => return Err(HeadError::HostRepeated),
            Known::Host => host_field = Some(field.value),
            Known::ContentLength => framing.content_length(field.value, Repeats::Refuse)?,
            Known::TransferEncoding => framing.transfer_encoding(field.value),
            Known::Connection => options.note(field.value),
            Known::Upgrade => upgrade = upgrade.and(field.value),
            Known::Te => te_trailers |= lists(field.value, b"trailers"),
            Known::Expect => expects_continue |= lists(field.value, b"100-continue"),
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
        // RFC 9110, 10.1.1: from an HTTP/1.0 client it is to be ignored.
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
        // CONNECT is answered with 405 whatever the two say; its clients differ
        // in whether Host repeats the port.
        (Some(named), Some(field))
            if method != Method::Connect && !named.agrees(&field, target.default_port) =>
        {
            Err(HeadError::HostDisagrees)
        }
        (named, field) => Ok(named.or(field).map(|authority| authority.text)),
    }
}
