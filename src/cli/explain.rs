//! `ropewalk explain` and `ropewalk plan`: dry runs.

use std::net::{IpAddr, SocketAddr};

use ropewalk::internal::admin::operations::Question;
use ropewalk::internal::config::changes::changes;
use ropewalk::internal::explain_plan;

use super::args::{QuestionOptions, Settings};
use super::check;
use super::exit::{Exit, complain, say};

/// Explains what a configuration would do with a request.
pub(crate) fn explain(settings: &Settings, options: &QuestionOptions) -> Exit {
    let question = match question(options) {
        Ok(question) => question,
        Err(message) => {
            complain(message);
            return Exit::Refused;
        }
    };
    let checked = match check::load(settings) {
        Ok(checked) => checked,
        Err(unusable) => {
            complain(format_args!("{unusable:#}"));
            return Exit::Refused;
        }
    };
    match explain_plan(&checked.plan, &question) {
        Ok(text) => {
            say(text.trim_end());
            Exit::Fine
        }
        Err(message) => {
            complain(message);
            Exit::Refused
        }
    }
}

fn question(options: &QuestionOptions) -> Result<Question, String> {
    let header = |typed: &String| match typed.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err(format!("{typed:?} is not a field; write it like -H 'Name: value'")),
    };
    Ok(Question {
        method: options.method.clone(),
        url: options.url.clone(),
        headers: options.header.iter().map(header).collect::<Result<_, _>>()?,
        down: options.down.clone(),
        client: options.client.as_deref().map(address).transpose()?,
    })
}

/// An IP address as people write it: bare, in brackets, or with a port.
fn address(typed: &str) -> Result<IpAddr, String> {
    let bare = typed.trim_start_matches('[').trim_end_matches(']');
    let with_port = || typed.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse()
        .ok()
        .or_else(with_port)
        .ok_or_else(|| format!("{typed:?} is not an IP address; write it like --client 192.0.2.1"))
}

/// Prints what a reload from one file to the other would change.
pub(crate) fn plan(before: &Settings, after: &Settings) -> Exit {
    let mut plans = Vec::new();
    for settings in [before, after] {
        match check::load(settings) {
            Ok(checked) => plans.push(checked.plan),
            Err(unusable) => {
                complain(format_args!("{}:", settings.name()));
                complain(format_args!("{unusable:#}"));
                return Exit::Refused;
            }
        }
    }
    if let [before, after] = plans.as_slice() {
        let lines = changes(before, after);
        if lines.is_empty() {
            say("nothing would change");
        }
        lines.iter().for_each(say);
    }
    Exit::Fine
}
