//! Who may ask, and how often: `basic_auth` and `rate_limit`.

use std::time::Duration;

use serde_json::Value;

use super::super::document::{Entry, Json, Node};
use super::super::plan::{BasicAuth, RateLimit, RateLimitKey};
use super::super::reader::{self, Fields, Problems, Zero, quoted};
use super::bounds;
use crate::base::limits::CRYPT_ROUNDS_MAX;

/// Names and password hashes. `None` only after an error was reported.
pub(super) fn basic_auth(node: &Node, problems: &mut Problems) -> Option<BasicAuth> {
    if reader::text_of(node).is_some() {
        // It may be a password, so it is not repeated.
        let message = "expected an object, found a string; write {\"users\": {\"name\": \"$6$...\"}}, with a \
                       hash for each user";
        problems.error(&node.at, message);
        return None;
    }
    let mut fields = Fields::open(node, problems)?;
    let realm = match fields.take("realm") {
        Some(node) => realm(node, problems),
        None => Some("ropewalk".to_owned()),
    };
    let users = fields.take("users");
    if users.is_none() && !fields.misspelt("users") {
        problems.error(&node.at, r#""users" is missing; write "users": {"name": "$6$..."}"#);
    }
    fields.close(problems);
    let entries = reader::entries(users?, problems)?;
    if entries.is_empty() {
        let message = "the list of users is empty, so no one could log in; write {\"name\": \"$6$...\"}";
        problems.error(&users?.at, message);
    }
    let remedy = "let something in front authenticate so many";
    bounds::places(&users?.at, entries.len(), "users", remedy, problems)?;
    let read: Vec<_> = entries.iter().map(|entry| user(entry, problems)).collect();
    Some(BasicAuth { realm: realm?, users: read.into_iter().collect::<Option<_>>()? })
}

fn realm(node: &Node, problems: &mut Problems) -> Option<String> {
    let realm = reader::line(node, problems)?;
    if realm.contains(['"', '\\']) || !realm.is_ascii() {
        let message = format!(
            "{} contains a quote, a backslash or a character outside ASCII, which a realm cannot",
            reader::shown(node)
        );
        problems.error(&node.at, message);
        return None;
    }
    Some(realm.to_owned())
}

/// A name and a hash. The hash is never repeated in a message: it may be a password.
fn user(entry: &Entry, problems: &mut Problems) -> Option<(String, String)> {
    // RFC 7617, section 2: the name ends at the first colon.
    if entry.name.is_empty() || entry.name.contains(|c: char| c == ':' || c.is_control()) {
        let message = format!(
            "{} is not a user name: it is empty, or contains a colon or a control character",
            quoted(&entry.name)
        );
        problems.error(&entry.at, message);
        return None;
    }
    let hash = reader::text(&entry.node, problems)?.trim();
    let why = match crypt_form(hash) {
        Ok(()) => return Some((entry.name.clone(), hash.to_owned())),
        Err(why) => why,
    };
    problems.error(&entry.node.at, format!("{why}; make a hash with: openssl passwd -6"));
    None
}

/// Whether a text is a hash in one of the two forms that are checked: SHA-256 and SHA-512
/// crypt, `$6$[rounds=N$]salt$hash`.
fn crypt_form(text: &str) -> Result<(), String> {
    let (kind, rest) = match text.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
        Some(found) => found,
        None => return Err("is not a password hash".to_owned()),
    };
    let hash_length = match kind {
        "5" => 43,
        "6" => 86,
        "1" | "apr1" => return Err(format!("is an MD5 hash (${kind}$), which is too weak")),
        "2" | "2a" | "2b" | "2y" => {
            return Err("is a bcrypt hash, which this version does not support".to_owned());
        }
        _ => return Err("is a kind of hash that this version does not support".to_owned()),
    };
    let rest = match rest.strip_prefix("rounds=").and_then(|rest| rest.split_once('$')) {
        None => rest,
        Some((rounds, rest)) => match rounds.parse::<u32>() {
            Ok(1_000..=CRYPT_ROUNDS_MAX) => rest,
            _ => return Err(format!("has a number of rounds outside 1000 to {CRYPT_ROUNDS_MAX}")),
        },
    };
    let (salt, hash) = rest.split_once('$').ok_or("is not a whole password hash")?;
    let is_of_crypt = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    let salt_is_good = salt.len() <= 16 && salt.bytes().all(|byte| byte.is_ascii_graphic());
    if !salt_is_good || hash.len() != hash_length || !hash.bytes().all(is_of_crypt) {
        return Err("is not a whole password hash".to_owned());
    }
    Ok(())
}

const KEYS: &[(&str, RateLimitKey)] = &[("client", RateLimitKey::Client), ("route", RateLimitKey::Route)];

/// A token bucket. `None` only after an error was reported.
pub(super) fn rate_limit(node: &Node, problems: &mut Problems) -> Option<RateLimit> {
    if let Json::Leaf(Value::String(_) | Value::Number(_)) = node.json {
        let found = rate(&reader::shown(node));
        let advice = if found.is_some() { "write" } else { "write it like" };
        let (requests, per) = found.unwrap_or((5, "1s"));
        let message = format!(
            "expected an object, found {}; {advice} {{\"requests\": {requests}, \"per\": {per:?}}}",
            reader::shown(node)
        );
        problems.error(&node.at, message);
        return None;
    }
    let mut fields = Fields::open(node, problems)?;
    let mut count = |name, problems: &mut Problems| {
        let node = fields.take(name)?;
        Some(reader::number(node, 1..=1_000_000, problems).map(|count| count as u32))
    };
    let (requests, burst) = (count("requests", problems), count("burst", problems));
    if requests.is_none() && !fields.misspelt("requests") {
        problems.error(
            &node.at,
            r#""requests" is missing; write how many are allowed in each "per", like "requests": 10"#,
        );
    }
    let per = match fields.take("per") {
        Some(node) => reader::duration(node, Zero::Refused, problems),
        None => Some(Duration::from_secs(1)),
    };
    let key = match fields.take("key") {
        Some(node) => reader::word(node, KEYS, problems),
        None => Some(RateLimitKey::Client),
    };
    fields.close(problems);
    let requests = requests??;
    let burst = match burst {
        Some(burst) => burst?,
        None => requests,
    };
    Some(RateLimit { requests, per: per?, burst, key: key? })
}

/// A rate as nginx and others write it, `5r/s`, as a number and a time. The quotes around it do
/// not matter.
fn rate(shown: &str) -> Option<(u32, &'static str)> {
    let typed = shown.trim_matches('"').trim();
    let (count, unit) = typed.split_once('/').unwrap_or((typed, "s"));
    let per = match unit.trim() {
        "s" | "sec" | "second" => "1s",
        "m" | "min" | "minute" => "1m",
        "h" | "hour" => "1h",
        _ => return None,
    };
    let count = count.trim().trim_end_matches(['r', ' ']).parse().ok()?;
    (1..=1_000_000).contains(&count).then_some((count, per))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crypt_forms() {
        let (short, long) = ("a".repeat(43), "a".repeat(86));
        for good in [
            format!("$5$salt${short}"),
            format!("$6$salt${long}"),
            format!("$6$rounds=5000$0123456789abcdef${long}"),
            format!("$6$${long}"),
        ] {
            assert_eq!(crypt_form(&good), Ok(()), "{good}");
        }
        for bad in [
            "".to_owned(),
            "secret".to_owned(),
            "$6$".to_owned(),
            format!("$6${long}"),
            format!("$6$salt${short}"),
            format!("$5$salt${long}"),
            format!("$6$0123456789abcdefg${long}"),
            format!("$6$rounds=100001$salt${long}"),
            format!("$6$rounds=$salt${long}"),
            format!("$6$salt${long}$"),
            format!("$1$salt${short}"),
            format!("$y$salt${short}"),
        ] {
            assert!(crypt_form(&bad).is_err(), "{bad}");
        }
    }
}
