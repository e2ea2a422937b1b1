//! A response head: parsed once, checked as strictly as a request's.
//!
//! A backend is trusted more than a client but not to be consistent: a response
//! that two readers could cut differently poisons the kept connection it came
//! on, and with it the next client's answer.

use super::connection::{ConnectionOptions, UpgradeField, keep_alive_timeout_s};
use super::error::HeadError;
use super::field::{Field, Known};
use super::framing::{BodyLength, Framing, Repeats};
use super::message::{Method, Version};
use super::storage::HeadStorage;
use super::tokenise;

/// A response head that is fit to be relayed.
///
/// `'b` is the buffer that holds the head, `'s` the [`HeadStorage`] with its fields.
#[derive(Clone, Debug)]
pub struct ResponseHead<'b, 's> {
    /// The backend's version.
    pub version: Version,
    /// 100 to 999. Those over 599 are in no RFC, but are sent and relayed.
    pub status: u16,
    /// The reason phrase as sent, which may hold bytes outside ASCII or be empty.
    pub reason: &'b [u8],
    /// All fields in the order sent. An identical Content-Length may be in
    /// there twice; pass one of them on.
    pub fields: &'s [Field<'b>],
    /// How long the body is. [`BodyLength::None`] for HEAD, 1xx, 204 and 304,
    /// whatever the fields say.
    pub body: BodyLength,
    /// Whether the connection can carry another request after this response.
    pub keep_alive: bool,
    /// The `timeout` of the Keep-Alive field, in seconds.
    pub keep_alive_timeout_s: Option<u64>,
    /// The Upgrade field, if Connection names it.
    pub upgrade: Option<&'b [u8]>,
    options: ConnectionOptions,
}

impl ResponseHead<'_, '_> {
    /// Whether a Connection field names this field, so that it must not be
    /// relayed; see [`super::RequestHead::connection_names`].
    #[inline]
    pub fn connection_names(&self, field: &str) -> bool {
        self.options.name(field, self.fields)
    }
}

/// Parses a response head. `head` is exactly the bytes up to [`super::head_end`],
/// `request` the method that it answers.
///
/// # Errors
///
/// Whatever could be read in two ways is refused; see [`HeadError`].
pub fn parse_response<'b, 's>(
    head: &'b [u8],
    request: Method,
    storage: &'s mut HeadStorage<'b>,
) -> Result<ResponseHead<'b, 's>, HeadError> {
    let mut tokens = tokenise::no_tokens();
    let line = tokenise::response(head, &mut tokens)?;
    let fields: &'s [Field<'b>] = storage.keep(line.fields);

    let mut framing = Framing::new();
    let mut options = ConnectionOptions::default();
    let mut upgrade = UpgradeField::Absent;
    let mut keep_alive_timeout = None;
    for field in fields {
        match field.known {
            Known::ContentLength => framing.content_length(field.value, Repeats::BearIdentical)?,
            Known::TransferEncoding => framing.transfer_encoding(field.value),
            Known::Connection => options.note(field.value),
            Known::Upgrade => upgrade = upgrade.and(field.value),
            Known::KeepAlive => keep_alive_timeout = keep_alive_timeout_s(field.value),
            _ => {}
        }
    }

    // Bad framing is refused even where there is no body to be framed: it says
    // that the backend's idea of this connection is not ours.
    let body = match framing.declared(line.version)? {
        _ if has_no_body(request, line.status) => BodyLength::None,
        BodyLength::None => BodyLength::UntilClose,
        declared => declared,
    };
    Ok(ResponseHead {
        version: line.version,
        status: line.status,
        reason: line.reason,
        fields,
        body,
        keep_alive: options.persist(line.version) && body != BodyLength::UntilClose,
        keep_alive_timeout_s: keep_alive_timeout,
        upgrade: options.upgrade(line.version, upgrade),
        options,
    })
}

/// RFC 9112, 6.3, rules 1 and 2.
fn has_no_body(request: Method, status: u16) -> bool {
    request == Method::Head || matches!(status, 100..=199 | 204 | 304)
}
