//! The client of a request: the peer, or the client that a trusted proxy in front of us names.
//!
//! The address is determined once per request. The guards of a route, rate limits, ejection, the
//! access log and X-Real-IP all use it, so they cannot disagree.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::http::{Field, Known, node_address};
use crate::route::Asker;

/// What the peer is, and who it says is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The client.
    pub(super) asker: Asker,
    /// The peer is a trusted proxy, so what it says about the client is believed.
    pub(super) trusted: bool,
}

/// Determines the client of a request.
///
/// X-Forwarded-For is read from its end, where the nearest proxy wrote. Each entry is believed if
/// the address that vouches for it is trusted, and the first address that is not trusted is the
/// client. An entry that names no address ends the search: the client is then unknown, somewhere
/// behind the last believed proxy. X-Real-IP counts only if X-Forwarded-For has no entry.
pub(super) fn origin(peer: SocketAddr, trusted: &[IpNet], fields: &[Field<'_>]) -> Origin {
    let peer = peer.ip().to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return Origin { asker: Asker { address: peer, known: true }, trusted: false };
    }
    let mut asker = Asker { address: peer, known: true };
    let lists = fields.iter().rev().filter(|field| field.known == Known::XForwardedFor);
    // Empty list elements mean nothing (RFC 9110, section 5.6.1).
    let entries = lists.flat_map(|field| field.value.rsplit(|&byte| byte == b','));
    let mut entries = entries.filter(|entry| !entry.trim_ascii().is_empty()).peekable();
    if entries.peek().is_none() {
        return Origin { asker: by_real_ip(asker, fields), trusted: true };
    }
    for entry in entries {
        match node_address(entry) {
            Some(address) => asker.address = address,
            None => asker.known = false,
        }
        if !asker.known || !is_trusted(&asker.address) {
            break;
        }
    }
    Origin { asker, trusted: true }
}

/// The client as X-Real-IP names it; `proxy` if it says nothing. Two of them leave it unknown.
fn by_real_ip(proxy: Asker, fields: &[Field<'_>]) -> Asker {
    let mut named = fields.iter().filter(|field| field.known == Known::XRealIp && !field.value.is_empty());
    match (named.next().map(|field| node_address(field.value)), named.next()) {
        (None, _) => proxy,
        (Some(Some(address)), None) => Asker { address, known: true },
        (Some(_), _) => Asker { known: false, ..proxy },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who asks, with `?` behind it if the client is unknown; 10.0.0.0/8 is trusted.
    fn asker(peer: &str, fields: &[(&'static str, &'static str)]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| Field { name, value: value.as_bytes(), known: Known::of(name) })
            .collect();
        let asker = origin(SocketAddr::new(peer.parse().unwrap(), 1), &trusted, &fields).asker;
        format!("{}{}", asker.address, if asker.known { "" } else { "?" })
    }

    fn of(peer: &str, lists: &[&'static str]) -> String {
        asker(peer, &lists.iter().map(|list| ("X-Forwarded-For", *list)).collect::<Vec<_>>())
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(of("1.1.1.1", &["2.2.2.2"]), "1.1.1.1");
        assert_eq!(of("1.1.1.1", &["unknown"]), "1.1.1.1");
        assert_eq!(of("::ffff:1.1.1.1", &[]), "1.1.1.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["2.2.2.2"]), "2.2.2.2");
        assert_eq!(of("::ffff:10.0.0.1", &["2.2.2.2"]), "2.2.2.2");
        assert_eq!(of("10.0.0.1", &["3.3.3.3, 2.2.2.2, 10.0.0.2"]), "2.2.2.2");
        assert_eq!(of("10.0.0.1", &["2.2.2.2", "10.0.0.2"]), "2.2.2.2");
        assert_eq!(of("10.0.0.1", &["", " , "]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["2.2.2.2, ,"]), "2.2.2.2");
    }

    #[test]
    fn ports_and_brackets_belong_to_the_entry_and_not_to_the_address() {
        assert_eq!(of("10.0.0.1", &["2.2.2.2:51234"]), "2.2.2.2");
        assert_eq!(of("10.0.0.1", &["6.6.6.6, [2001:db8::7]:443, 10.0.0.2:80"]), "2001:db8::7");
    }

    #[test]
    fn an_entry_without_an_address_leaves_the_client_unknown() {
        assert_eq!(of("10.0.0.1", &["unknown"]), "10.0.0.1?");
        assert_eq!(of("10.0.0.1", &["2.2.2.2, unknown, 10.0.0.2"]), "10.0.0.2?");
        assert_eq!(of("10.0.0.1", &["2.2.2.2, 2.2.2"]), "10.0.0.1?");
        assert_eq!(of("10.0.0.1", &["unknown, 2.2.2.2"]), "2.2.2.2");
    }

    #[test]
    fn x_real_ip_counts_where_there_is_no_list() {
        let [list, real] = ["X-Forwarded-For", "X-Real-IP"];
        assert_eq!(asker("10.0.0.1", &[(real, "2.2.2.2:1")]), "2.2.2.2");
        assert_eq!(asker("10.0.0.1", &[(list, ""), (real, "2.2.2.2")]), "2.2.2.2");
        assert_eq!(asker("10.0.0.1", &[(real, "2.2.2.2"), (list, "3.3.3.3")]), "3.3.3.3");
        assert_eq!(asker("10.0.0.1", &[(real, "")]), "10.0.0.1");
        assert_eq!(asker("10.0.0.1", &[(real, "me")]), "10.0.0.1?");
        assert_eq!(asker("10.0.0.1", &[(real, "2.2.2.2"), (real, "3.3.3.3")]), "10.0.0.1?");
        assert_eq!(asker("1.1.1.1", &[(real, "2.2.2.2")]), "1.1.1.1");
    }
}
