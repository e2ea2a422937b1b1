//! Networks of clients and proxies.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::document::Node;
use super::super::reader::{self, Problems, shown};

/// The networks of a list, or of one string.
pub(super) fn read(node: &Node, problems: &mut Problems) -> Vec<IpNet> {
    read_or_advise(node, r#"every address is in "0.0.0.0/0" or "::/0""#, problems)
}

/// As `read`, with advice for those who write `all`.
fn read_or_advise(node: &Node, about_all: &str, problems: &mut Problems) -> Vec<IpNet> {
    reader::one_or_many(node).iter().filter_map(|node| network(node, about_all, problems)).collect()
}

/// A network such as `10.0.0.0/8`, or one address.
fn network(node: &Node, about_all: &str, problems: &mut Problems) -> Option<IpNet> {
    let typed = reader::text(node, problems)?.trim();
    let network = typed.parse::<IpNet>().ok().or_else(|| typed.parse::<IpAddr>().ok().map(IpNet::from));
    match network {
        None if ["all", "any", "*"].iter().any(|word| typed.eq_ignore_ascii_case(word)) => {
            problems.error(&node.at, format!("{typed:?} is not a network; {about_all}"));
        }
        None => problems.error(
            &node.at,
            format!(r#"{} is not a network; write it like "10.0.0.0/8" or "192.168.1.7""#, shown(node)),
        ),
        Some(network) if network.trunc() != network => problems.warn(
            &node.at,
            format!("{typed:?} has host bits set, which are ignored; it is read as \"{}\"", network.trunc()),
        ),
        Some(_) => {}
    }
    network.map(|network| canonical(network.trunc()))
}

/// A network of IPv4 addresses that are written as IPv6 ones, as what it is: the addresses that it is
/// compared with are never written like that.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(MAPPED_BITS)) {
        (IpAddr::V4(address), Some(bits)) if matches!(network, IpNet::V6(_)) => {
            IpNet::new(IpAddr::V4(address), bits).unwrap_or(network)
        }
        _ => network,
    }
}

/// `allow` and `deny` of a route. What both name is denied, so an allowed network inside a
/// denied one is a mistake.
pub(super) fn allow_and_deny(
    allow: Option<&Node>,
    deny: Option<&Node>,
    problems: &mut Problems,
) -> (Vec<IpNet>, Vec<IpNet>) {
    /// nginx needs `deny all` behind `allow`. Here that would refuse every client.
    const ALLOW_IS_ENOUGH: &str = r#"remove it: "allow" alone already refuses every other client"#;
    let about_all = match allow {
        Some(_) => ALLOW_IS_ENOUGH,
        None => r#"write ["0.0.0.0/0", "::/0"] to refuse every client"#,
    };
    let denied = deny.map(|node| read_or_advise(node, about_all, problems)).unwrap_or_default();
    let Some(node) = allow else { return (Vec::new(), denied) };
    if let (Some(deny), Some(all)) = (deny, denied.iter().find(|denied| denied.prefix_len() == 0)) {
        let kind = if all.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        problems.warn(&deny.at, format!("{all} is every {kind} address; {ALLOW_IS_ENOUGH}"));
    }
    let nodes = reader::one_or_many(node);
    if nodes.is_empty() {
        // An empty list would serve every client, and the author meant none.
        let message = r#"the list is empty; remove it to serve every client, or write "deny": ["0.0.0.0/0", "::/0"] to serve none"#;
        problems.error(&node.at, message);
    }
    let mut allowed = Vec::new();
    for node in nodes {
        let about_all = r#"remove "allow": every client is served without it"#;
        let Some(network) = network(node, about_all, problems) else { continue };
        if let Some(denied) = denied.iter().find(|denied| denied.contains(&network)) {
            let message =
                format!("{network} is inside {denied}, which \"deny\" refuses, so it is never served");
            problems.warn(&node.at, message);
        }
        allowed.push(network);
    }
    (allowed, denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_network_written_as_ipv6_is_one_of_ipv4() {
        for (typed, expected) in [
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("::ffff:203.0.113.9/128", "203.0.113.9/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ] {
            let network = canonical(typed.parse::<IpNet>().unwrap().trunc());
            assert_eq!(network.to_string(), expected, "{typed}");
        }
    }
}
