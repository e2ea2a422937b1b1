//! The Connection field: what it asks of the connection, and which fields it names.
//!
//! Also the three other fields about the connection rather than the message: Upgrade, TE and
//! Keep-Alive.

use super::error::HeadError;
use super::field::{Field, Known};
use super::framing::parse_decimal;
use super::message::Version;
use crate::base::limits::CONNECTION_BYTES_MAX;

/// The options listed so far by the Connection fields of one head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    names_fields: bool,
    /// Total bytes of those fields.
    bytes: usize,
}

impl ConnectionOptions {
    /// Records a Connection field. Several of them form one list, whose length is limited.
    pub(super) fn note(&mut self, value: &[u8]) -> Result<(), HeadError> {
        self.bytes += value.len();
        if self.bytes > CONNECTION_BYTES_MAX {
            return Err(HeadError::ConnectionTooLong);
        }
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else {
                self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                self.names_fields = true;
            }
        }
        Ok(())
    }

    /// Whether the peer wants to keep the connection open (RFC 9112, 9.3).
    pub(super) fn persist(self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }

    /// Whether an option names this field and is allowed to.
    ///
    /// `close` and `keep-alive` are options and name no field, so a typical Connection field is never
    /// scanned a second time.
    #[inline]
    pub(super) fn name(self, field: &str, fields: &[Field<'_>]) -> bool {
        self.names_fields && is_listed(field, fields)
    }

    /// The protocol to switch to, if the request may be forwarded as an upgrade: Connection must name
    /// Upgrade, the version must be HTTP/1.1 (RFC 9110, 7.8), and the protocol must not be `h2c`, which
    /// would carry requests past every check made here.
    pub(super) fn upgrade<'b>(self, version: Version, field: UpgradeField<'b>) -> Option<&'b [u8]> {
        match field {
            UpgradeField::One(protocol)
                if self.upgrade
                    && version == Version::Http11
                    && !elements(protocol).any(|name| name.eq_ignore_ascii_case(b"h2c")) =>
            {
                Some(protocol)
            }
            UpgradeField::Absent | UpgradeField::One(_) | UpgradeField::Unclear => None,
        }
    }
}

/// The Upgrade fields of one head, as read so far.
#[derive(Clone, Copy)]
pub(super) enum UpgradeField<'b> {
    Absent,
    One(&'b [u8]),
    /// An empty field, or several of them: there is no telling which one a backend obeys.
    Unclear,
}

impl<'b> UpgradeField<'b> {
    /// The state after one more Upgrade field.
    pub(super) fn and(self, value: &'b [u8]) -> UpgradeField<'b> {
        match self {
            UpgradeField::Absent if !value.is_empty() => UpgradeField::One(value),
            UpgradeField::Absent | UpgradeField::One(_) | UpgradeField::Unclear => UpgradeField::Unclear,
        }
    }
}

/// Whether a comma-separated value contains this element, ignoring case.
pub(super) fn lists(value: &[u8], element: &[u8]) -> bool {
    elements(value).any(|candidate| candidate.eq_ignore_ascii_case(element))
}

/// Whether an Upgrade field lists WebSocket, in any version (RFC 9110, 7.8).
pub(super) fn offers_websocket(protocols: &[u8]) -> bool {
    elements(protocols).any(|protocol| {
        let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"websocket")
    })
}

/// The `timeout` of a Keep-Alive field, in seconds.
pub(super) fn keep_alive_timeout_s(value: &[u8]) -> Option<u64> {
    elements(value).find_map(|parameter| {
        let equals = memchr::memchr(b'=', parameter)?;
        let (name, number) = parameter.split_at_checked(equals)?;
        if name.trim_ascii().eq_ignore_ascii_case(b"timeout") {
            parse_decimal(number.get(1..)?.trim_ascii())
        } else {
            None
        }
    })
}

#[cold]
fn is_listed(field: &str, fields: &[Field<'_>]) -> bool {
    Known::of(field).is_removable_by_connection()
        && fields
            .iter()
            .filter(|candidate| candidate.known == Known::Connection)
            .any(|connection| lists(connection.value, field.as_bytes()))
}

/// The elements of a comma-separated value, without the empty ones.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websocket_is_found_in_an_offer() {
        for offer in ["websocket", "WebSocket", "TLS/1.2, websocket", "websocket/13"] {
            assert!(offers_websocket(offer.as_bytes()), "{offer}");
        }
        for offer in ["", "TLS/1.2", "tcp", "xwebsocket", "websockets", "a/websocket"] {
            assert!(!offers_websocket(offer.as_bytes()), "{offer}");
        }
    }

    fn options(values: &[&str]) -> ConnectionOptions {
        let mut options = ConnectionOptions::default();
        for value in values {
            options.note(value.as_bytes()).unwrap();
        }
        options
    }

    #[test]
    fn persistence_follows_the_version_and_close_wins() {
        assert!(options(&[]).persist(Version::Http11));
        assert!(!options(&[]).persist(Version::Http10));
        assert!(options(&["Keep-Alive"]).persist(Version::Http10));
        assert!(!options(&["CLOSE"]).persist(Version::Http11));
        assert!(!options(&["keep-alive", "x , close"]).persist(Version::Http10));
        assert!(!options(&["keep-alive", "close"]).persist(Version::Http11));
    }

    #[test]
    fn the_limit_counts_all_fields_together_and_is_exact() {
        let half = vec![b','; CONNECTION_BYTES_MAX / 2];
        let mut options = ConnectionOptions::default();
        assert_eq!(options.note(&half), Ok(()));
        assert_eq!(options.note(&half), Ok(()));
        assert_eq!(options.note(b"x"), Err(HeadError::ConnectionTooLong));
    }

    #[test]
    fn an_upgrade_needs_its_connection_option_and_http11() {
        let websocket = UpgradeField::One(b"websocket");
        let named = options(&["keep-alive, Upgrade"]);
        assert_eq!(named.upgrade(Version::Http11, websocket), Some(&b"websocket"[..]));
        assert_eq!(named.upgrade(Version::Http10, websocket), None);
        assert_eq!(options(&["keep-alive"]).upgrade(Version::Http11, websocket), None);
        assert_eq!(named.upgrade(Version::Http11, UpgradeField::Absent), None);
    }

    #[test]
    fn h2c_is_never_an_upgrade() {
        let named = options(&["upgrade, http2-settings"]);
        for protocol in ["h2c", "H2C", "websocket, h2c"] {
            let field = UpgradeField::One(protocol.as_bytes());
            assert_eq!(named.upgrade(Version::Http11, field), None, "{protocol}");
        }
    }

    #[test]
    fn empty_or_repeated_upgrade_fields_are_no_upgrade() {
        let named = options(&["upgrade"]);
        let empty = UpgradeField::Absent.and(b"");
        let twice = UpgradeField::Absent.and(b"websocket").and(b"websocket");
        assert_eq!(named.upgrade(Version::Http11, empty), None);
        assert_eq!(named.upgrade(Version::Http11, twice), None);
    }

    #[test]
    fn the_keep_alive_timeout_is_found_among_its_parameters() {
        assert_eq!(keep_alive_timeout_s(b"timeout=5, max=100"), Some(5));
        assert_eq!(keep_alive_timeout_s(b"max=100,Timeout = 60"), Some(60));
        for none in ["", "max=1", "timeout", "timeout=", "timeout=x", "timeout=-1", "xtimeout=5"] {
            assert_eq!(keep_alive_timeout_s(none.as_bytes()), None, "{none}");
        }
    }
}
