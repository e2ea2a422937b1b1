//! Why a head is refused: one variant per reason, with the status to answer and a sentence for people.
//!
//! The status is what a *client* gets for a bad request. If a response is refused for the same reason,
//! that is the backend's fault, and the proxy answers 502 regardless of [`HeadError::status`].

use std::fmt;

/// Why a request head, a response head or a trailer section is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The first byte cannot start a method: TLS, another protocol, or noise.
    NotHttp,
    /// More than one empty line before the request line, or any before a status line.
    EmptyLines,
    /// A CR without LF, or an LF without CR.
    BareLineEnd,
    /// There are bytes after the head, or its end is missing.
    NotOneHead,
    /// The request line is not a method, a target and a version separated by single spaces.
    RequestLine,
    /// The method is longer than [`crate::base::limits::METHOD_BYTES_MAX`].
    MethodTooLong,
    /// The target is longer than the configured limit.
    TargetTooLong,
    /// The head is longer than the configured limit.
    HeadTooLarge,
    /// More fields than the configured limit, or
    /// [`crate::base::limits::TRAILER_FIELDS_MAX`] in trailers.
    TooManyFields,
    /// More than [`crate::base::limits::CONNECTION_BYTES_MAX`] in Connection fields.
    ConnectionTooLong,
    /// The target has a control byte, a `#` or a byte outside ASCII.
    TargetBytes,
    /// The target is in no form that its method allows.
    TargetForm,
    /// The version is not of the form `HTTP/d.d`.
    VersionMalformed,
    /// A well-formed version whose major number is not 1.
    VersionUnsupported,
    /// The status line is malformed, or its status is under 100.
    StatusLine,
    /// A field name is empty or contains a byte that is not allowed in names.
    FieldName,
    /// White space between a field name and its colon.
    SpaceBeforeColon,
    /// A line that continues the field before it (obs-fold).
    LineFolding,
    /// A control byte in a field value.
    FieldValue,
    /// HTTP/1.1 without a Host field.
    HostMissing,
    /// More than one Host field.
    HostRepeated,
    /// A Host field without a value.
    HostEmpty,
    /// A Host field, or the authority of a target, that is not `host[:port]`.
    HostMalformed,
    /// The authority of an absolute target differs from the Host field.
    HostDisagrees,
    /// A Content-Length that is not a decimal number below 2^63.
    ContentLengthMalformed,
    /// More than one Content-Length; in responses, only when they differ.
    ContentLengthRepeated,
    /// Both Content-Length and Transfer-Encoding.
    TwoFramings,
    /// A Transfer-Encoding that is not exactly one `chunked`.
    TransferEncodingMalformed,
    /// A well-formed Transfer-Encoding with codings that are not implemented.
    TransferEncodingUnsupported,
    /// A Transfer-Encoding on HTTP/1.0, which does not define it.
    TransferEncodingOnHttp10,
}

impl HeadError {
    /// The status to answer such a request with.
    pub fn status(self) -> u16 {
        match self {
            HeadError::TargetTooLong => 414,
            HeadError::HeadTooLarge | HeadError::TooManyFields | HeadError::ConnectionTooLong => 431,
            HeadError::MethodTooLong | HeadError::TransferEncodingUnsupported => 501,
            HeadError::VersionUnsupported => 505,
            HeadError::NotHttp
            | HeadError::EmptyLines
            | HeadError::BareLineEnd
            | HeadError::NotOneHead
            | HeadError::RequestLine
            | HeadError::TargetBytes
            | HeadError::TargetForm
            | HeadError::VersionMalformed
            | HeadError::StatusLine
            | HeadError::FieldName
            | HeadError::SpaceBeforeColon
            | HeadError::LineFolding
            | HeadError::FieldValue
            | HeadError::HostMissing
            | HeadError::HostRepeated
            | HeadError::HostEmpty
            | HeadError::HostMalformed
            | HeadError::HostDisagrees
            | HeadError::ContentLengthMalformed
            | HeadError::ContentLengthRepeated
            | HeadError::TwoFramings
            | HeadError::TransferEncodingMalformed
            | HeadError::TransferEncodingOnHttp10 => 400,
        }
    }

    /// One sentence for debugging, without a full stop.
    pub fn explain(self) -> &'static str {
        match self {
            HeadError::NotHttp => {
                "the first byte cannot begin an HTTP/1 message (is this TLS on a plain port?)"
            }
            HeadError::EmptyLines => "there are empty lines before the first line",
            HeadError::BareLineEnd => "a line ends in a lone CR or LF instead of CRLF",
            HeadError::NotOneHead => "the bytes are not exactly one complete head",
            HeadError::RequestLine => {
                "the request line is not a method, a target and a version, one space apart"
            }
            HeadError::MethodTooLong => "the method is longer than 64 bytes",
            HeadError::TargetTooLong => "the request target is longer than the limit",
            HeadError::HeadTooLarge => "the head is larger than the limit",
            HeadError::TooManyFields => "there are too many fields",
            HeadError::ConnectionTooLong => "the Connection fields are longer than 1 KiB",
            HeadError::TargetBytes => "the request target has a control byte, a '#' or a byte outside ASCII",
            HeadError::TargetForm => "the request target does not have a form that its method allows",
            HeadError::VersionMalformed => "the version is not of the form HTTP/1.1",
            HeadError::VersionUnsupported => "only HTTP/1 is supported",
            HeadError::StatusLine => "the status line is malformed",
            HeadError::FieldName => "a field name is empty or has a byte that names cannot have",
            HeadError::SpaceBeforeColon => "there is white space between a field name and its colon",
            HeadError::LineFolding => "a field is folded onto a second line, which is obsolete",
            HeadError::FieldValue => "a field value has a control byte",
            HeadError::HostMissing => "the Host field is missing",
            HeadError::HostRepeated => "there is more than one Host field",
            HeadError::HostEmpty => "the Host field is empty",
            HeadError::HostMalformed => "the host is not of the form host or host:port",
            HeadError::HostDisagrees => "the Host field and the request target name different hosts",
            HeadError::ContentLengthMalformed => {
                "the Content-Length is not a plain decimal number below 2^63"
            }
            HeadError::ContentLengthRepeated => "there is more than one Content-Length",
            HeadError::TwoFramings => "there are both a Content-Length and a Transfer-Encoding",
            HeadError::TransferEncodingMalformed => "the Transfer-Encoding is not exactly one chunked",
            HeadError::TransferEncodingUnsupported => "no transfer coding but chunked is implemented",
            HeadError::TransferEncodingOnHttp10 => "HTTP/1.0 has no Transfer-Encoding",
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.explain())
    }
}

impl std::error::Error for HeadError {}
