//! Where clients connect: `port` or `listen`, and what an address looks like.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::super::document::{Json, Node};
use super::super::habits;
use super::super::plan::ListenerPlan;
use super::super::reader::{self, Fields, Problems, shown};

/// The port of a configuration that names none: the usual one that needs no privilege.
const DEFAULT_PORT: u16 = 8080;

/// The listeners, as far as they are right.
pub(super) struct Listeners {
    /// Those that were written, in order.
    pub(super) list: Vec<ListenerPlan>,
    /// Whether the list is complete, so that a name which is not in it is a mistake.
    pub(super) are_all: bool,
}

/// `port` (every IPv4 address of the machine) or `listen`, but not both.
pub(super) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Listeners {
    let mark = problems.mark();
    let list = read_list(fields, problems);
    Listeners { list, are_all: problems.clean_since(mark) }
}

fn read_list(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<ListenerPlan> {
    let any = |port| {
        let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        ListenerPlan { name: address.to_string(), address }
    };
    let nodes = match (fields.take("port"), fields.take("listen")) {
        (Some(port), Some(listen)) => {
            let message = r#""port" and "listen" cannot both be given; keep one of them"#;
            problems.error(&port.at, message);
            reader::one_or_many(listen)
        }
        (Some(port), None) => {
            let port = reader::number(port, 0..=u64::from(u16::MAX), problems);
            return port.map(|port| any(port as u16)).into_iter().collect();
        }
        (None, Some(listen)) => reader::one_or_many(listen),
        (None, None) => return vec![any(DEFAULT_PORT)],
    };
    if let (true, Some(listen)) = (nodes.is_empty(), fields.take("listen")) {
        problems.error(&listen.at, r#"the list is empty; write an address like "0.0.0.0:8080""#);
    }
    let mut listeners: Vec<ListenerPlan> = Vec::new();
    for node in nodes {
        let Some((listener, name)) = listener(node, problems) else { continue };
        let address = listener.address;
        if let Some(ListenerPlan { address: other, .. }) =
            listeners.iter().find(|other| clash(other.address, address))
        {
            let message = if *other == address {
                format!("{address} is listed twice")
            } else {
                format!("port {} is used twice: {other} and {address} overlap", address.port())
            };
            problems.error(&node.at, message);
            continue;
        }
        // Two unnamed listeners on port 0 are called the same, and a route means both.
        if let Some(name) = name
            && listeners.iter().any(|other| other.name == listener.name)
        {
            let message = format!("{:?} is already the name of a listener; names are unique", listener.name);
            problems.error(&name.at, message);
        }
        listeners.push(listener);
    }
    listeners
}

/// Whether the second of two listeners could not be bound.
pub(super) fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    // `[::]` takes no IPv4 (net/listen.rs), so that both can be listed.
    let overlap = a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified());
    overlap && a.port() == b.port() && a.port() != 0
}

/// A listener, and the node of its name if it was given one.
fn listener<'a>(node: &'a Node, problems: &mut Problems) -> Option<(ListenerPlan, Option<&'a Node>)> {
    if !matches!(node.json, Json::Object(_)) {
        let address = address(node, DEFAULT_PORT, problems)?;
        return Some((ListenerPlan { name: address.to_string(), address }, None));
    }
    let mut fields = Fields::open(node, problems)?;
    let name = fields.take("name");
    let name = name.and_then(|node| reader::name(node, problems).map(|name| (name, node)));
    let typed = fields.take("address");
    if typed.is_none() && !fields.misspelt("address") {
        problems.error(&node.at, r#""address" is missing; write it like "address": "0.0.0.0:8080""#);
    }
    fields.close(problems);
    let address = address(typed?, DEFAULT_PORT, problems)?;
    let (name, node) = match name {
        Some((name, node)) => (name, Some(node)),
        None => (address.to_string(), None),
    };
    Some((ListenerPlan { name, address }, node))
}

/// An IP address and a port. `usual_port` is what a suggestion adds where the port is missing.
pub(super) fn address(node: &Node, usual_port: u16, problems: &mut Problems) -> Option<SocketAddr> {
    if reader::is_variable(node, problems) {
        return None;
    }
    let typed = match &node.json {
        Json::Leaf(Value::String(text)) => text.trim().to_owned(),
        Json::Leaf(Value::Number(number)) => number.to_string(),
        _ => {
            let message =
                format!(r#"expected an address like "0.0.0.0:{usual_port}", found {}"#, shown(node));
            problems.error(&node.at, message);
            return None;
        }
    };
    // A number alone is never an address, so it always lands in the error below.
    if let Ok(address) = typed.parse() {
        return Some(address);
    }
    if typed.starts_with("unix:") || typed.starts_with('/') {
        problems.error(
            &node.at,
            format!("{}: listening on a unix socket is not supported by this version", shown(node)),
        );
        return None;
    }
    if typed.starts_with("https://") {
        problems
            .error(&node.at, format!("{}: TLS for clients is not supported by this version", shown(node)));
        return None;
    }
    let (typed, options) = match typed.split_once(char::is_whitespace) {
        Some((address, options)) => (address, Some(options)),
        None => (typed.as_str(), None),
    };
    let meant = match typed.rsplit_once(':') {
        _ if typed.parse::<SocketAddr>().is_ok() => typed.to_owned(),
        _ if typed.parse::<u16>().is_ok() => format!("0.0.0.0:{typed}"),
        _ if typed.parse::<Ipv4Addr>().is_ok() => format!("{typed}:{usual_port}"),
        Some(("" | "*", port)) => format!("0.0.0.0:{port}"),
        Some(("::", port)) => format!("[::]:{port}"),
        _ if typed.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{typed}]:{usual_port}"),
        _ if typed.starts_with('[') && typed.ends_with(']') => format!("{typed}:{usual_port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        _ if typed == "localhost" => format!("127.0.0.1:{usual_port}"),
        _ => match typed.strip_prefix("http://") {
            Some(rest) => rest.trim_end_matches('/').to_owned(),
            None => String::new(),
        },
    };
    let meant = meant.parse::<SocketAddr>();
    if let (Ok(meant), Some(options)) = (&meant, options) {
        let advice = habits::of_listen_options(options, &meant.to_string());
        problems.error(&node.at, format!("{}: {advice}", shown(node)));
        return None;
    }
    let advice = match meant {
        Ok(meant) => format!("did you mean \"{meant}\"?"),
        Err(_) => format!(r#"write it like "0.0.0.0:{usual_port}" or "[::]:{usual_port}""#),
    };
    problems.error(&node.at, format!("{} is not an IP address and a port; {advice}", shown(node)));
    None
}
