//! Whose request it is: the peer's, or whoever a trusted proxy in front of us says.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::http::{Field, Known};

/// The client's address, for what is decided by it: who is served, and how often.
///
/// X-Forwarded-For is read from its end, where the nearest proxy wrote: each address is
/// believed as far as the one that vouches for it is trusted. What is not an address ends the
/// search, and the last one that was believed counts.
pub(super) fn client_address(peer: SocketAddr, trusted: &[IpNet], fields: &[Field<'_>]) -> IpAddr {
    let mut client = peer.ip().to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&client) {
        return client;
    }
    let lists = fields.iter().rev().filter(|field| field.known == Known::XForwardedFor);
    for entry in lists.flat_map(|field| field.value.rsplit(|&byte| byte == b',')) {
        let named = std::str::from_utf8(entry.trim_ascii()).ok().and_then(|text| text.parse::<IpAddr>().ok());
        let Some(named) = named else { return client };
        client = named.to_canonical();
        if !is_trusted(&client) {
            return client;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let of = |peer: &str, lists: &[&'static str]| {
            let fields: Vec<_> = lists
                .iter()
                .map(|list| Field {
                    name: "X-Forwarded-For",
                    value: list.as_bytes(),
                    known: Known::XForwardedFor,
                })
                .collect();
            client_address(SocketAddr::new(peer.parse().unwrap(), 1), &trusted, &fields).to_string()
        };
        assert_eq!(of("1.1.1.1", &["2.2.2.2"]), "1.1.1.1");
        assert_eq!(of("::ffff:1.1.1.1", &[]), "1.1.1.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["2.2.2.2"]), "2.2.2.2");
        assert_eq!(of("::ffff:10.0.0.1", &["2.2.2.2"]), "2.2.2.2");
        assert_eq!(of("10.0.0.1", &["3.3.3.3, 2.2.2.2, 10.0.0.2"]), "2.2.2.2");
        assert_eq!(of("10.0.0.1", &["2.2.2.2", "10.0.0.2"]), "2.2.2.2");
        assert_eq!(of("10.0.0.1", &["2.2.2.2, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(of("10.0.0.1", &[""]), "10.0.0.1");
    }
}
