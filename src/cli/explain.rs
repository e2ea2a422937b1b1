//! `ropewalk explain` and `ropewalk plan`: what would happen, without making it happen.

use ropewalk::config::changes::changes;
use ropewalk::explain_plan;
use ropewalk::side::admin::operations::Question;

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
    })
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
