//! A header field, and the field names that matter to a load balancer.
//!
//! Each name is looked up once, during parsing; everything above uses [`Field::known`] and never
//! compares strings again.

/// One field line, in the peer's own spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'b> {
    /// The name as sent; its case is kept when it is forwarded.
    pub name: &'b str,
    /// The value without surrounding white space. It may contain bytes outside ASCII (obs-text), but no
    /// control bytes other than tab.
    pub value: &'b [u8],
    /// Which known field this is.
    pub known: Known,
}

/// The field names that parsing or forwarding treats differently from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Host
    Host,
    /// Content-Length
    ContentLength,
    /// Transfer-Encoding
    TransferEncoding,
    /// Connection
    Connection,
    /// Keep-Alive
    KeepAlive,
    /// Proxy-Connection, which was never standard but is still sent
    ProxyConnection,
    /// Proxy-Authenticate
    ProxyAuthenticate,
    /// Proxy-Authorization
    ProxyAuthorization,
    /// TE
    Te,
    /// Trailer
    Trailer,
    /// Upgrade
    Upgrade,
    /// Expect
    Expect,
    /// Forwarded (RFC 7239)
    Forwarded,
    /// X-Forwarded-For
    XForwardedFor,
    /// X-Forwarded-Proto
    XForwardedProto,
    /// X-Forwarded-Host
    XForwardedHost,
    /// X-Forwarded-Port
    XForwardedPort,
    /// Every other field whose name begins with X-Forwarded
    XForwardedOther,
    /// X-Real-IP
    XRealIp,
    /// Via
    Via,
    /// X-Request-Id
    XRequestId,
    /// Max-Forwards
    MaxForwards,
    /// Authorization
    Authorization,
    /// WWW-Authenticate
    WwwAuthenticate,
    /// Accept
    Accept,
    /// Date
    Date,
    /// Server
    Server,
    /// Cookie
    Cookie,
    /// Every other name
    Other,
}

impl Known {
    /// Looks up a field name, ignoring case.
    ///
    /// The length alone rules out nearly everything, so a name is compared with at most four others.
    pub fn of(name: &str) -> Known {
        let candidates: &[(&str, Known)] = match name.len() {
            2 => &[("te", Known::Te)],
            3 => &[("via", Known::Via)],
            4 => &[("host", Known::Host), ("date", Known::Date)],
            6 => &[
                ("accept", Known::Accept),
                ("cookie", Known::Cookie),
                ("server", Known::Server),
                ("expect", Known::Expect),
            ],
            7 => &[("upgrade", Known::Upgrade), ("trailer", Known::Trailer)],
            9 => &[("x-real-ip", Known::XRealIp), ("forwarded", Known::Forwarded)],
            10 => &[("connection", Known::Connection), ("keep-alive", Known::KeepAlive)],
            12 => &[("x-request-id", Known::XRequestId), ("max-forwards", Known::MaxForwards)],
            13 => &[("authorization", Known::Authorization)],
            14 => &[("content-length", Known::ContentLength)],
            15 => &[("x-forwarded-for", Known::XForwardedFor)],
            16 => &[
                ("x-forwarded-host", Known::XForwardedHost),
                ("x-forwarded-port", Known::XForwardedPort),
                ("proxy-connection", Known::ProxyConnection),
                ("www-authenticate", Known::WwwAuthenticate),
            ],
            17 => &[
                ("transfer-encoding", Known::TransferEncoding),
                ("x-forwarded-proto", Known::XForwardedProto),
            ],
            18 => &[("proxy-authenticate", Known::ProxyAuthenticate)],
            19 => &[("proxy-authorization", Known::ProxyAuthorization)],
            _ => &[],
        };
        for (lower, known) in candidates {
            if is_same(name.as_bytes(), lower.as_bytes()) {
                return *known;
            }
        }
        if begins_with_x_forwarded(name) { Known::XForwardedOther } else { Known::Other }
    }

    /// Looks up a field name as a backend does that treats `_` as `-`. Gateways that pass fields on as
    /// variables do so (RFC 3875, section 4.1.18).
    pub fn of_twin(name: &str) -> Known {
        let mut twin = [0_u8; LONGEST_NAME_BYTES];
        let length = name.len().min(twin.len());
        for (place, byte) in twin.iter_mut().zip(name.bytes()) {
            *place = if byte == b'_' { b'-' } else { byte };
        }
        let twin = twin.get(..length).and_then(|twin| std::str::from_utf8(twin).ok()).unwrap_or_default();
        match Known::of(twin) {
            // Only the start of a longer name was compared.
            known if length == name.len() || known == Known::XForwardedOther => known,
            _ => Known::Other,
        }
    }

    /// Whether the field applies to a single connection and must not be forwarded (RFC 9110, section
    /// 7.6.1). This includes credentials for a proxy, since we are the proxy.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::ProxyAuthenticate
                | Known::ProxyAuthorization
                | Known::Te
                | Known::Upgrade
                | Known::TransferEncoding
        )
    }

    /// Whether a Connection field that names this field may remove it.
    ///
    /// If a client could remove the fields that frame, route or vouch for its own request, it could
    /// hide from the backend who it is or what it sent.
    pub fn is_removable_by_connection(self) -> bool {
        match self {
            Known::Host
            | Known::ContentLength
            | Known::TransferEncoding
            | Known::Forwarded
            | Known::XForwardedFor
            | Known::XForwardedProto
            | Known::XForwardedHost
            | Known::XForwardedPort
            | Known::XForwardedOther
            | Known::XRealIp
            | Known::Via
            | Known::XRequestId => false,
            Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::ProxyAuthenticate
            | Known::ProxyAuthorization
            | Known::Te
            | Known::Trailer
            | Known::Upgrade
            | Known::Expect
            | Known::MaxForwards
            | Known::Authorization
            | Known::WwwAuthenticate
            | Known::Accept
            | Known::Date
            | Known::Server
            | Known::Cookie
            | Known::Other => true,
        }
    }
}

/// One byte more than the longest name that [`Known::of`] compares.
const LONGEST_NAME_BYTES: usize = "proxy-authorization".len() + 1;

/// Whether a name equals a lower-case one of the same length, ignoring case.
///
/// Every field of every head goes through this, so it compares up to eight bytes at once. The last
/// eight may overlap the ones before.
fn is_same(name: &[u8], lower: &[u8]) -> bool {
    let (Some(ends), Some(lower_ends)) = (eights(name), eights(lower)) else {
        return name.eq_ignore_ascii_case(lower);
    };
    let middle = |bytes| <[u8]>::get(bytes, 8..bytes.len().saturating_sub(8)).unwrap_or_default();
    ends.into_iter().zip(lower_ends).all(|(name, lower)| {
        // Bit 0x40 is set in letters and clear in `-`. Bit 0x20 is the case of a letter.
        let letters = lower & 0x4040_4040_4040_4040;
        name | letters >> 1 == lower
    }) && middle(name).eq_ignore_ascii_case(middle(lower))
}

/// The first and last eight bytes, or four of each if the name is short.
fn eights(name: &[u8]) -> Option<[u64; 2]> {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return Some([u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)]);
    }
    let (first, last) = (name.first_chunk()?, name.last_chunk()?);
    Some([u32::from_ne_bytes(*first).into(), u32::from_ne_bytes(*last).into()])
}

#[inline]
fn begins_with_x_forwarded(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded";
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        for (name, known) in [
            ("Host", Known::Host),
            ("CONTENT-LENGTH", Known::ContentLength),
            ("transfer-encoding", Known::TransferEncoding),
            ("Connection", Known::Connection),
            ("Keep-Alive", Known::KeepAlive),
            ("Proxy-Connection", Known::ProxyConnection),
            ("Proxy-Authenticate", Known::ProxyAuthenticate),
            ("Proxy-Authorization", Known::ProxyAuthorization),
            ("TE", Known::Te),
            ("Trailer", Known::Trailer),
            ("Upgrade", Known::Upgrade),
            ("Expect", Known::Expect),
            ("Forwarded", Known::Forwarded),
            ("X-Forwarded-For", Known::XForwardedFor),
            ("X-Forwarded-Proto", Known::XForwardedProto),
            ("X-Forwarded-Host", Known::XForwardedHost),
            ("X-Forwarded-Port", Known::XForwardedPort),
            ("X-Forwarded", Known::XForwardedOther),
            ("x-forwarded-prefix", Known::XForwardedOther),
            ("X-FORWARDED-CLIENT-CERT-CHAIN", Known::XForwardedOther),
            ("X-Forwarde", Known::Other),
            ("X-Real-IP", Known::XRealIp),
            ("Via", Known::Via),
            ("X-Request-ID", Known::XRequestId),
            ("Date", Known::Date),
            ("Server", Known::Server),
            ("Cookie", Known::Cookie),
            ("Authorization", Known::Authorization),
            ("WWW-Authenticate", Known::WwwAuthenticate),
            ("Accept", Known::Accept),
            ("Max-Forwards", Known::MaxForwards),
            ("User-Agent", Known::Other),
            ("", Known::Other),
        ] {
            assert_eq!(Known::of(name), known, "{name}");
        }
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_another_name() {
        assert_eq!(Known::of("Content_Length"), Known::Other);
        assert_eq!(Known::of("X_Forwarded_For"), Known::Other);
        assert_eq!(Known::of("Hosts"), Known::Other);
    }

    #[test]
    fn comparing_eight_bytes_at_once_misses_no_difference() {
        for lower in ["te", "via", "host", "expect", "x-real-ip", "max-forwards", "transfer-encoding"] {
            for place in 0..lower.len() {
                for byte in 0..=u8::MAX {
                    let mut name = lower.to_ascii_uppercase().into_bytes();
                    name[place] = byte;
                    let expected = name.eq_ignore_ascii_case(lower.as_bytes());
                    assert_eq!(is_same(&name, lower.as_bytes()), expected, "{name:?} {lower}");
                }
            }
        }
    }

    #[test]
    fn a_twin_is_the_name_with_dashes() {
        for (name, known) in [
            ("X_Forwarded_For", Known::XForwardedFor),
            ("x-forwarded_client_cert_chain", Known::XForwardedOther),
            ("X_REAL_IP", Known::XRealIp),
            ("Proxy_Authorization", Known::ProxyAuthorization),
            ("proxy_authorization_", Known::Other),
            ("proxy_authorization_of_mine", Known::Other),
            ("api_key", Known::Other),
        ] {
            assert_eq!(Known::of_twin(name), known, "{name}");
        }
    }
}
