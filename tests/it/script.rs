//! Parses exchange scripts: from the text of a `.exchange` file to a list of steps.
//!
//! Knows the grammar but no sockets. See `tests/exchanges/README.md` for the format.

use std::time::Duration;

use serde_json::{Map, Value};

use super::text::{Names, Text};

/// A script.
#[derive(Debug, Default)]
pub struct Script {
    /// Top-level configuration keys that differ from the runner's defaults.
    pub config: Map<String, Value>,
    /// The backends, in listed order.
    pub backends: Vec<Standing>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One backend of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A listening origin, to be played by the script.
    Origin,
    /// A port where every connection is refused.
    Refused,
    /// A port where no connection is ever answered.
    Deaf,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Its line in the file, from 1.
    pub line: usize,
    /// Who acts.
    pub actor: Actor,
    /// What it does, or what must happen to it.
    pub act: Act,
}

/// Who acts, numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A client connection.
    Client(usize),
    /// A listening backend and its newest connection.
    Origin(usize),
    /// The program between them.
    Balancer,
}

/// What happens in a step.
#[derive(Debug)]
pub enum Act {
    /// Sends these bytes in one write.
    Sends(Vec<u8>),
    /// Sends these bytes, each in a write of its own.
    SendsBytewise(Vec<u8>),
    /// A whole message comes, and its body ends cleanly.
    Sees { head: HeadPattern, body: Text, trailers: Vec<Text> },
    /// A head comes.
    SeesHead(HeadPattern),
    /// A head comes for a message that has no body, whatever the head says.
    SeesHeadOnly(HeadPattern),
    /// A whole response with this status comes.
    SeesStatus(u16),
    /// The next bytes of the body.
    SeesBody(Vec<u8>),
    /// The body ends cleanly here.
    SeesEnd,
    /// The next bytes of the connection.
    SeesBytes(Vec<u8>),
    /// The connection ends inside a message.
    SeesCut,
    /// The connection ends between messages.
    SeesClose,
    /// The other side ends its sending; this side may still talk.
    SeesHalfClose,
    /// A line with this text is in the log, or comes.
    Logs(String),
    /// No byte comes for this long.
    SeesNothing(Duration),
    /// The next request comes over a new connection.
    Accepts,
    /// Closes the connection.
    Closes,
    /// Closes its sending side alone.
    HalfCloses,
    /// Resets the connection.
    Resets,
}

/// An expected head.
#[derive(Debug, Default)]
pub struct HeadPattern {
    /// The request line or status line.
    pub start: Text,
    /// Expected fields, names in their own case, in order.
    pub fields: Vec<(String, Text)>,
    /// Fields that must not be there.
    pub absent: Vec<String>,
    /// Whether fields that are not listed may be there: `...`.
    pub others: Others,
}

/// What a head may hold beside what is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// Nothing but the balancer's own additions.
    #[default]
    Refused,
    /// Anything.
    Allowed,
}

/// A mistake in a script.
#[derive(Debug)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Script {
    /// The `backends` line of a script, which is needed before `names` can be known.
    pub fn backends_of(source: &str) -> Vec<Standing> {
        let listed = source.lines().find_map(|line| line.strip_prefix("backends "));
        listed.map_or(vec![Standing::Origin], |listed| {
            let standing = |word| match word {
                "refused" => Standing::Refused,
                "deaf" => Standing::Deaf,
                _ => Standing::Origin,
            };
            listed.split_whitespace().map(standing).collect()
        })
    }

    /// Reads a script.
    pub fn parse(source: &str, names: &Names) -> Result<Self, Mistake> {
        let mut script = Self { backends: Self::backends_of(source), ..Self::default() };
        let mut lines = source.lines().enumerate().map(|(index, line)| (index + 1, line)).peekable();
        while let Some((line, text)) = lines.next() {
            let at_line = |what: String| Mistake { line, what };
            if text.is_empty() || text.starts_with('#') || text.starts_with("backends ") {
                continue;
            }
            let mut block = Vec::new();
            while let Some((_, content)) = lines.next_if(|(_, next)| next.starts_with('|')) {
                block.push(content[1..].strip_prefix(' ').unwrap_or(&content[1..]));
            }
            if text == "config" {
                script.config =
                    serde_json::from_str(&block.join("\n")).map_err(|e| at_line(e.to_string()))?;
                continue;
            }
            if let Some(of) = text.strip_suffix(" sees trailers") {
                script.add_trailers(of, &block, names).map_err(at_line)?;
                continue;
            }
            let (who, what) = text.split_once(' ').ok_or_else(|| at_line(format!("not a step: {text}")))?;
            let actor = parse_actor(who).ok_or_else(|| at_line(format!("nobody is called {who}")))?;
            let act = parse_act(what, &block, names).map_err(at_line)?;
            script.steps.push(Step { line, actor, act });
        }
        Ok(script)
    }

    fn add_trailers(&mut self, of: &str, block: &[&str], names: &Names) -> Result<(), String> {
        let actor = parse_actor(of).ok_or_else(|| format!("nobody is called {of}"))?;
        match self.steps.last_mut() {
            Some(Step { actor: before, act: Act::Sees { trailers, .. }, .. }) if *before == actor => {
                *trailers = block.iter().map(|line| Text::parse(line, names)).collect::<Result<_, _>>()?;
                Ok(())
            }
            _ => Err("trailers follow the message they belong to".into()),
        }
    }
}

fn parse_actor(who: &str) -> Option<Actor> {
    let at = who.find(|c: char| c.is_ascii_digit()).unwrap_or(who.len());
    let (kind, number) = who.split_at(at);
    let number = if number.is_empty() { 1 } else { number.parse().ok()? };
    match kind {
        "client" => Some(Actor::Client(number)),
        "origin" => Some(Actor::Origin(number)),
        "balancer" => Some(Actor::Balancer),
        _ => None,
    }
}

fn parse_act(what: &str, block: &[&str], names: &Names) -> Result<Act, String> {
    let bytes = || -> Result<Vec<u8>, String> {
        joined(block, names)?.exact().ok_or_else(|| "{any} is for what is seen, not for what is sent".into())
    };
    let takes_block = matches!(
        what,
        "sends" | "sends bytewise" | "sees" | "sees head" | "sees head only" | "sees body" | "sees bytes"
    );
    if takes_block == block.is_empty() {
        return Err(format!("`{what}` {}", if takes_block { "needs lines" } else { "takes no lines" }));
    }
    let act = match what {
        "sends" => Act::Sends(bytes()?),
        "sends bytewise" => Act::SendsBytewise(bytes()?),
        "sees" => {
            let end =
                block.iter().position(|line| line.is_empty()).ok_or("a head ends with an empty line")?;
            let head = parse_head(&block[..end], names)?;
            Act::Sees { head, body: joined(&block[end + 1..], names)?, trailers: Vec::new() }
        }
        "sees head" => Act::SeesHead(parse_head(block, names)?),
        "sees head only" => Act::SeesHeadOnly(parse_head(block, names)?),
        "sees body" => Act::SeesBody(bytes()?),
        "sees bytes" => Act::SeesBytes(bytes()?),
        "sees end" => Act::SeesEnd,
        "sees cut" => Act::SeesCut,
        "sees close" => Act::SeesClose,
        "sees half-close" => Act::SeesHalfClose,
        "accepts" => Act::Accepts,
        "closes" => Act::Closes,
        "half-closes" => Act::HalfCloses,
        "resets" => Act::Resets,
        other => parse_valued(other).ok_or_else(|| format!("no such step: {other}"))?,
    };
    Ok(act)
}

/// Steps with a value in them.
fn parse_valued(what: &str) -> Option<Act> {
    if let Some(text) = what.strip_prefix("logs ") {
        return Some(Act::Logs(text.to_owned()));
    }
    if let Some(status) = what.strip_prefix("sees status ") {
        return status.parse().ok().map(Act::SeesStatus);
    }
    let duration = what.strip_prefix("sees nothing for ")?;
    humantime::parse_duration(duration).ok().map(Act::SeesNothing)
}

fn parse_head(block: &[&str], names: &Names) -> Result<HeadPattern, String> {
    let mut lines = block.iter().take_while(|line| !line.is_empty());
    let start = lines.next().ok_or("a head begins with its first line")?;
    let mut head = HeadPattern { start: Text::parse(start, names)?, ..HeadPattern::default() };
    for line in lines {
        if *line == "..." {
            head.others = Others::Allowed;
        } else if let Some(name) = line.strip_prefix("! ") {
            head.absent.push(name.to_owned());
        } else {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("not a field: {line}"))?;
            head.fields.push((name.to_owned(), Text::parse(value.trim_start(), names)?));
        }
    }
    Ok(head)
}

/// Lines with their CRLF; a line that ends in a lone backslash has none.
fn joined(block: &[&str], names: &Names) -> Result<Text, String> {
    let mut text = Text::default();
    for line in block {
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            text.append(&Text::parse(&line[..line.len() - 1], names)?);
        } else {
            text.append(&Text::parse(line, names)?);
            text.push(b"\r\n");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str) -> Result<Script, Mistake> {
        Script::parse(source, &Names::new())
    }

    #[test]
    fn a_script_is_read_into_steps_with_their_lines() {
        let source = "# Why.\nconfig\n| { \"retries\": 0 }\n\nclient sends\n| GET / HTTP/1.1\n|\n| x\\\n\norigin2 closes\n";
        let script = parse(source).expect("a script");
        assert_eq!(script.config["retries"], 0);
        assert_eq!(script.backends, [Standing::Origin]);
        let [first, second] = script.steps.as_slice() else { panic!("{:?}", script.steps) };
        assert!(matches!(&first.act, Act::Sends(bytes) if bytes == b"GET / HTTP/1.1\r\n\r\nx"));
        assert_eq!((second.line, second.actor), (10, Actor::Origin(2)));
    }

    #[test]
    fn an_expected_head_knows_what_must_be_absent_and_what_may_be_there() {
        let script = parse("client sees head\n| HTTP/1.1 200 OK\n| Via: 1.1 ropewalk\n| ! Server\n| ...\n")
            .expect("a script");
        let Act::SeesHead(head) = &script.steps[0].act else { panic!("{:?}", script.steps) };
        assert_eq!((head.absent.as_slice(), head.others), (&["Server".to_owned()][..], Others::Allowed));
        assert_eq!(head.fields[0].0, "Via");
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for (source, line) in [
            ("\nnobody sends\n| x\n", 2),
            ("client dances\n", 1),
            ("client sends\n", 1),
            ("client closes\n| x\n", 1),
            ("client sends\n| {any}\n", 1),
            ("client sees trailers\n| A: b\n", 1),
            ("config\n| {\n", 1),
        ] {
            assert_eq!(parse(source).expect_err(source).line, line, "{source}");
        }
    }
}
