//! A request to the admin listener, parsed from its head.
//!
//! Queries are strict: misspelt, repeated or undecodable parameters are refused. `drain?fro=5m` must
//! not drain for ever.

use percent_encoding::percent_decode_str;

use crate::http::{self, Known, RequestHead};

/// The methods that are distinguished here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// A request that owns its data.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The decoded path segments; empty for `/`.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    /// The requested authority; only HTTP/1.0 may omit it.
    pub(super) host: Option<String>,
    pub(super) origin: Option<Vec<u8>>,
    pub(super) authorization: Option<Vec<u8>>,
    /// All Accept fields, in lower case.
    pub(super) accept: String,
}

impl Request {
    /// Extracts what is needed from a head.
    ///
    /// # Errors
    /// The target cannot be decoded; the text says where.
    pub(super) fn new(head: &RequestHead<'_, '_>) -> Result<Self, String> {
        let method = match head.method {
            http::Method::Get => Method::Get,
            http::Method::Head => Method::Head,
            http::Method::Post => Method::Post,
            _ => Method::Other,
        };
        let target = format!("{}{}", head.target_prefix, head.target);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = if path.is_empty() { Vec::new() } else { path.split('/').map(decoded).collect() };
        let path = path.into_iter().collect::<Result<Vec<_>, _>>()?;
        // If a field is repeated, it is unclear which one counts. Joined together they match no valid
        // value, so the request is refused.
        let value = |name: &str| {
            let fields = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let values: Vec<_> = fields.map(|field| field.value).collect();
            (!values.is_empty()).then(|| values.join(&b", "[..]))
        };
        let accept = head.fields.iter().filter(|field| field.known == Known::Accept);
        let accept: Vec<_> = accept.map(|field| String::from_utf8_lossy(field.value)).collect();
        Ok(Self {
            method,
            path,
            query: Query::parse(query)?,
            host: head.host.map(str::to_owned),
            origin: value("origin"),
            authorization: value("authorization"),
            accept: accept.join(",").to_ascii_lowercase(),
        })
    }
}

/// The parameters of a request, each name with a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses `a=b&c=d`, where `+` is a space. Refuses what is not UTF-8, which form_urlencoded would
    /// replace with U+FFFD.
    fn parse(text: &str) -> Result<Self, String> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
        });
        Ok(Self(pairs.collect::<Result<_, String>>()?))
    }

    /// Refuses parameters other than these. Those in `once` must not be repeated.
    ///
    /// # Errors
    /// There is such a parameter; the text names it and lists the allowed ones.
    pub(super) fn allow(&self, once: &[&str], often: &[&str]) -> Result<(), String> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            let is = |allowed: &&str| allowed == name;
            if often.iter().any(is) {
                continue;
            }
            if !once.iter().any(is) {
                let allowed = [once, often].concat();
                return Err(match allowed.as_slice() {
                    [] => format!("unknown parameter {name:?}; this endpoint takes none"),
                    _ => format!("unknown parameter {name:?}; allowed: {}", allowed.join(", ")),
                });
            }
            if self.0.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(format!("the parameter {name:?} is given twice"));
            }
        }
        Ok(())
    }

    /// The value of a parameter.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.every(name).next()
    }

    /// Every value of a parameter.
    pub(super) fn every(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn decoded(text: &str) -> Result<String, String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(format!("{text:?} does not decode to UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadStorage, parse_request};

    fn request(target: &str) -> Result<Request, String> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\nAccept: A/b\r\nAccept: c/D\r\n\r\n");
        Request::new(&parse_request(head.as_bytes(), &mut HeadStorage::new()).unwrap())
    }

    #[test]
    fn a_name_may_hold_any_character() {
        let asked = request("/backends/a%2Fb%20%C3%A9/drain?for=1m+30s").unwrap();
        assert_eq!(asked.path, ["backends", "a/b é", "drain"]);
        assert_eq!(asked.query.one("for"), Some("1m 30s"));
        assert_eq!(asked.accept, "a/b,c/d");
        assert_eq!(request("/").unwrap().path, [""; 0]);
        assert_eq!(request("http://h?a").unwrap().path, [""; 0]);
    }

    #[test]
    fn what_is_not_text_is_refused() {
        assert!(request("/%ff").unwrap_err().contains("UTF-8"));
        assert!(request("/?a=%ff").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        let query = |text| Query::parse(text).unwrap();
        assert_eq!(query("for=5m").allow(&["for"], &[]), Ok(()));
        assert_eq!(query("down=a&down=b").allow(&[], &["down"]), Ok(()));
        assert!(query("fro=5m").allow(&["for"], &[]).unwrap_err().contains("allowed: for"));
        assert!(query("x").allow(&[], &[]).unwrap_err().contains("takes none"));
        assert!(query("for=5m&for=6m").allow(&["for"], &[]).unwrap_err().contains("twice"));
    }
}
