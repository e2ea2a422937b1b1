//! The address of a client or proxy, as written in an `X-Forwarded-For` entry.
//!
//! The field has no specification. Most proxies write a bare address; Azure's gateway writes
//! `address:port`, others put IPv6 in brackets, and some use the full node syntax of RFC 7239, section
//! 6, with quotes, `unknown` and obfuscated names. All of these are accepted; any other entry is
//! treated as naming no client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address in one list entry, or `None` if it has none.
///
/// A port or an IPv6 zone is dropped: a zone is meaningful only on the machine that wrote it.
///
/// ```
/// use ropewalk::internal::http::node_address;
///
/// assert_eq!(node_address(b"192.0.2.7:51234"), Some("192.0.2.7".parse().unwrap()));
/// assert_eq!(node_address(b"\"[2001:db8::7]:443\""), Some("2001:db8::7".parse().unwrap()));
/// assert_eq!(node_address(b"unknown"), None);
/// ```
pub fn node_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let text = match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => text,
    };
    if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, port) = bracketed.split_once(']')?;
        let is_well_formed = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return ipv6(inside).filter(|_| is_well_formed);
    }
    if let Some(address) = ipv6(text) {
        return Some(address);
    }
    let name = match text.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => text,
    };
    name.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// An IPv6 address, with or without a zone (`fe80::1%eth0`, RFC 4007, section 11).
fn ipv6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => address,
        Some(_) => return None,
        None => text,
    };
    address.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

/// A port number, or an obfuscated one (RFC 7239, section 6.2).
fn is_port(text: &str) -> bool {
    let is_hidden = text.strip_prefix('_').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    });
    is_hidden || (matches!(text.len(), 1..=5) && text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(entry: &str) -> Option<String> {
        node_address(entry.as_bytes()).map(|address| address.to_string())
    }

    #[test]
    fn addresses_are_read_with_ports_brackets_quotes_and_zones() {
        for (entry, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            (" 203.0.113.9\t", "203.0.113.9"),
            ("203.0.113.9:51234", "203.0.113.9"),
            ("203.0.113.9:_hidden", "203.0.113.9"),
            ("\"203.0.113.9:51234\"", "203.0.113.9"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:DB8::7]", "2001:db8::7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("\"[2001:db8::7]:443\"", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ] {
            assert_eq!(address(entry).as_deref(), Some(expected), "{entry}");
        }
    }

    #[test]
    fn everything_else_names_no_client() {
        for entry in [
            "",
            "unknown",
            "_hidden",
            "localhost",
            "203.0.113",
            "203.0.113.09",
            "203.0.113.9:",
            "203.0.113.9:123456",
            "203.0.113.9:80:80",
            "203.0.113.9 evil",
            "[203.0.113.9]",
            "[2001:db8::7",
            "[2001:db8::7]443",
            "[2001:db8::7]:",
            "[2001:db8::7%]",
            "\"203.0.113.9",
            "203.0.113.9\"",
            "for=203.0.113.9",
            "203.0.113.9\u{a0}",
        ] {
            assert_eq!(address(entry), None, "{entry}");
        }
    }

    proptest! {
        #[test]
        fn every_spelling_of_an_address_is_that_address(v6 in any::<u128>(), v4 in any::<u32>(), port in any::<u16>()) {
            let (v6, v4) = (Ipv6Addr::from_bits(v6), Ipv4Addr::from_bits(v4));
            let expected = Some(IpAddr::V6(v6).to_canonical());
            for entry in [format!("{v6}"), format!("[{v6}]"), format!("[{v6}]:{port}"), format!("\"[{v6}%x]:{port}\"")] {
                prop_assert_eq!(node_address(entry.as_bytes()), expected);
            }
            for entry in [format!("{v4}"), format!("{v4}:{port}"), format!(" \"{v4}:{port}\" ")] {
                prop_assert_eq!(node_address(entry.as_bytes()), Some(IpAddr::V4(v4)));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(entry in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = node_address(&entry);
        }
    }
}
