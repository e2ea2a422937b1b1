//! Where operators connect, and what they must know to be let in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::super::document::{Host, Json, Node};
use super::super::plan::{AdminPlan, ListenerPlan};
use super::super::reader::{self, Fields, Problems};
use super::attached::Folder;
use super::listener;
use crate::base::counted::Counted;

/// The port that suggestions name, as the documentation does.
const USUAL_PORT: u16 = 9900;

/// Characters below which a token is short enough to be guessed.
const TOKEN_SHORT: usize = 16;

/// The admin listener; an address alone, or an object with a token.
pub(super) fn read(
    node: &Node,
    listeners: &[ListenerPlan],
    folder: &Folder<'_>,
    problems: &mut Problems,
) -> Option<AdminPlan> {
    let (typed, token) = match &node.json {
        Json::Object(_) => {
            let mut fields = Fields::open(node, problems)?;
            let typed = fields.take("address");
            if typed.is_none() && !fields.misspelt("address") {
                problems
                    .error(&node.at, r#""address" is missing; write it like "address": "127.0.0.1:9900""#);
            }
            let token = token(&mut fields, folder, problems);
            fields.close(problems);
            (typed?, token)
        }
        _ => (node, Token::None),
    };
    let address = address(typed, problems)?;
    if token == Token::None && !is_loopback(address.ip()) {
        let message = format!(
            "{address} can be reached from other machines and asks for no token; write \
             \"127.0.0.1:{}\", or {{\"address\": \"{address}\", \"token_file\": \"token\"}}",
            address.port()
        );
        problems.error(&typed.at, message);
    }
    if let Some(other) = listeners.iter().find(|other| listener::clash(other.address, address)) {
        let message = format!(
            "port {} is used twice: clients connect to {}, and the admin listener needs an address of its own",
            address.port(),
            other.address
        );
        problems.error(&typed.at, message);
    }
    let token = match token {
        Token::Some(token) => Some(token),
        Token::None | Token::Wrong | Token::Unread => None,
    };
    Some(AdminPlan { address, token })
}

/// An address; a port alone means this machine only, and not every address as it does for
/// clients.
fn address(node: &Node, problems: &mut Problems) -> Option<SocketAddr> {
    if let Json::Leaf(Value::Number(number)) = &node.json {
        let message =
            format!("{number} is not an IP address and a port; did you mean \"127.0.0.1:{number}\"?");
        problems.error(&node.at, message);
        return None;
    }
    listener::address(node, USUAL_PORT, problems)
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        // `::ffff:127.0.0.1` is the same place.
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.to_ipv4_mapped().is_some_and(|address: Ipv4Addr| address.is_loopback())
        }
    }
}

/// What was said about a token.
#[derive(PartialEq, Eq)]
enum Token {
    None,
    /// Something wrong, which has been reported.
    Wrong,
    /// It is in a file on another host.
    Unread,
    Some(String),
}

fn token(fields: &mut Fields<'_>, folder: &Folder<'_>, problems: &mut Problems) -> Token {
    let (node, typed) = match (fields.take("token"), fields.take("token_file")) {
        (None, None) => return Token::None,
        (Some(token), Some(file)) => {
            let message = format!(
                r#""token" and "token_file" ({}) cannot both be given; keep one of them"#,
                file.at.pointer
            );
            problems.error(&token.at, message);
            return Token::Wrong;
        }
        (Some(node), None) => (node, reader::text(node, problems).map(str::to_owned)),
        (None, Some(node)) => (node, folder.text(node, problems)),
    };
    let Some(token) = typed else { return Token::Wrong };
    if folder.host == Host::Another && fields.take("token_file").is_some() {
        return Token::Unread;
    }
    // Nothing of a token is ever repeated in a message.
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "is not a token; use one word of visible characters, for example what this prints: openssl rand -hex 32";
        problems.error(&node.at, message);
        return Token::Wrong;
    }
    if token.len() < TOKEN_SHORT {
        let message = format!(
            "the token has only {} and can be guessed; make a longer one with: openssl rand -hex 32",
            Counted(token.len(), "character")
        );
        problems.warn(&node.at, message);
    }
    Token::Some(token.to_owned())
}
