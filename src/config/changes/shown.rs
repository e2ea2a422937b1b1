//! A value of a plan as an operator would write it.

use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use log::LevelFilter;

use crate::config::plan::{
    AccessLogFormat, AccessLogSink, HostMatch, PathMatch, Probe, RateLimitKey, Strategy, Template,
    TemplatePart, Underscores, ValueMatch,
};

/// A value that a line about a change can show.
pub(super) trait Shown: PartialEq {
    /// In the words of the configuration.
    fn shown(&self) -> String;
}

macro_rules! shown_as {
    ($($type:ty: $value:ident => $text:expr;)*) => {
        $(impl Shown for $type {
            fn shown(&self) -> String {
                let $value = self;
                $text
            }
        })*
    };
}

shown_as! {
    u16: value => value.to_string();
    u32: value => value.to_string();
    u64: value => value.to_string();
    usize: value => value.to_string();
    bool: value => value.to_string();
    String: value => format!("{value:?}");
    Duration: value => humantime::format_duration(*value).to_string();
    IpNet: value => value.to_string();
    Underscores: value => match value {
        Underscores::Drop => "\"drop\"".to_owned(),
        Underscores::Allow => "\"allow\"".to_owned(),
    };
    LevelFilter: value => value.to_string().to_lowercase();
    RangeInclusive<u16>: value => match value.start() == value.end() {
        true => value.start().to_string(),
        false => format!("{}-{}", value.start(), value.end()),
    };
    Strategy: value => value.name().to_owned();
    HostMatch: value => match value {
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Suffix(end) => format!("*{end}"),
    };
    PathMatch: value => match value {
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(path) => format!("{path} and below"),
    };
    ValueMatch: value => match &value.value {
        Some(text) => format!("{}: {text:?}", value.name),
        None => value.name.clone(),
    };
    Template: value => value.0.iter().map(Shown::shown).collect();
    TemplatePart: value => match value {
        TemplatePart::Text(text) => text.clone(),
        TemplatePart::Host => "{host}".to_owned(),
        TemplatePart::Path => "{path}".to_owned(),
        TemplatePart::Query => "{query}".to_owned(),
    };
    RateLimitKey: value => match value {
        RateLimitKey::Client => "client".to_owned(),
        RateLimitKey::Route => "route".to_owned(),
    };
    AccessLogSink: value => match value {
        AccessLogSink::Stdout => "stdout".to_owned(),
        AccessLogSink::File(path) => path.display().to_string(),
    };
    AccessLogFormat: value => match value {
        AccessLogFormat::Json => "json".to_owned(),
        AccessLogFormat::Combined => "combined".to_owned(),
    };
    Probe: value => match value {
        Probe::Tcp => "tcp".to_owned(),
        Probe::Http { path, host, expect_status } => {
            let host = host.iter().map(|host| format!(" at host {host}")).collect::<String>();
            format!("http {path}{host}, healthy with {}", expect_status.shown())
        }
    };
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> String {
        match self.as_slice() {
            [] => "none".to_owned(),
            values => values.iter().map(Shown::shown).collect::<Vec<_>>().join(", "),
        }
    }
}

/// A number of bytes, in the largest unit that is exact.
#[derive(PartialEq)]
pub(super) struct Bytes(pub(super) u64);

impl Shown for Bytes {
    fn shown(&self) -> String {
        match self.0 {
            0 => "0".to_owned(),
            bytes if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
            bytes if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
            bytes if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
            bytes => format!("{bytes}B"),
        }
    }
}
