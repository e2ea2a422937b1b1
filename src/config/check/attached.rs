//! Files that a configuration names: error pages, fixed answers, tokens.
//!
//! They are read while the configuration is checked, so that a file that is missing is found
//! then and not by a client, and a running balancer never touches the disk for an answer.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::document::{Host, Node};
use super::super::reader::{self, Fields, Problems, quoted};
use crate::base::limits::ATTACHED_BYTES_MAX;
use crate::base::regular_file::open_regular;

/// Where relative file names start from.
#[derive(Clone, Copy)]
pub(super) struct Folder<'a> {
    pub(super) path: &'a Path,
    /// Whether files are there to be read.
    pub(super) host: Host,
}

impl Folder<'_> {
    /// The path that a string names.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The text of a file that a string names.
    pub(super) fn text(&self, node: &Node, problems: &mut Problems) -> Option<String> {
        let bytes = self.bytes(node, problems)?;
        let text = String::from_utf8(bytes);
        text.map_err(|_| problems.error(&node.at, format!("{} is not UTF-8 text", reader::shown(node)))).ok()
    }

    /// The bytes of a file that a string names.
    pub(super) fn bytes(&self, node: &Node, problems: &mut Problems) -> Option<Vec<u8>> {
        let name = reader::text(node, problems)?;
        if self.host == Host::Another {
            return Some(Vec::new());
        }
        let path = self.path(name);
        let read = read(&path).map_err(|why| {
            // The whole path only where it says more than what was typed.
            let place =
                if path == Path::new(name) { String::new() } else { format!(" ({})", path.display()) };
            problems.error(&node.at, format!("the file {}{place} {why}", quoted(name)));
        });
        read.ok()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => "is not a regular file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let mut bytes = Vec::new();
    let file = open_regular(path).map_err(unreadable)?;
    file.take(ATTACHED_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > ATTACHED_BYTES_MAX {
        return Err(format!("is larger than {} KiB", ATTACHED_BYTES_MAX / 1024));
    }
    Ok(bytes)
}

/// A body and its media type.
pub(super) struct Content {
    pub(super) content_type: String,
    pub(super) body: Arc<[u8]>,
}

/// Which of `body` and `file` must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// One of them.
    Body,
    /// Neither; the body is empty then.
    Nothing,
}

/// `body` or `file`, and `content_type`. `None` only after an error was reported.
pub(super) fn content(
    fields: &mut Fields<'_>,
    need: Need,
    usual_type: &str,
    folder: &Folder<'_>,
    problems: &mut Problems,
) -> Option<Content> {
    let typed = fields.take("content_type").map(|node| media_type(node, problems));
    let (body, file) = (fields.take("body"), fields.take("file"));
    let mut usual_type = usual_type;
    let body = match (body, file) {
        (Some(body), Some(file)) => {
            let message =
                format!(r#""body" and "file" ({}) cannot both be given; keep one of them"#, file.at.pointer);
            problems.error(&body.at, message);
            None
        }
        (Some(body), None) => short_text(body, problems),
        (None, Some(file)) => {
            if let Some(known) = reader::text_of(file).and_then(type_of) {
                usual_type = known;
            }
            folder.bytes(file, problems)
        }
        (None, None) if need == Need::Body && !fields.misspelt("body") && !fields.misspelt("file") => {
            problems.error(fields.at, r#""body" or "file" is missing; add one of the two"#);
            None
        }
        (None, None) => Some(Vec::new()),
    };
    let content_type = match typed {
        Some(typed) => typed?,
        None => usual_type.to_owned(),
    };
    Some(Content { content_type, body: body?.into() })
}

/// A body in the configuration itself.
fn short_text(node: &Node, problems: &mut Problems) -> Option<Vec<u8>> {
    let text = reader::string(node, problems)?;
    if text.len() as u64 > ATTACHED_BYTES_MAX {
        problems.error(&node.at, format!("the body is larger than {} KiB", ATTACHED_BYTES_MAX / 1024));
        return None;
    }
    Some(text.as_bytes().to_vec())
}

/// Media types of the files that people name here, by extension.
const TYPES: [(&str, &str); 12] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("gif", "image/gif"),
    ("ico", "image/x-icon"),
];

fn type_of(file: &str) -> Option<&'static str> {
    let (_, extension) = file.rsplit_once('.')?;
    TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension)).map(|(_, media)| *media)
}

fn media_type(node: &Node, problems: &mut Problems) -> Option<String> {
    let typed = reader::line(node, problems)?;
    let essence = typed.split(';').next().unwrap_or_default().trim_end();
    let parts = essence.split_once('/');
    let good = typed.is_ascii()
        && parts.is_some_and(|(kind, subtype)| reader::is_token(kind) && reader::is_token(subtype));
    if !good {
        let message = format!(
            "{} is not a media type; write it like \"text/html; charset=utf-8\"",
            reader::shown(node)
        );
        problems.error(&node.at, message);
        return None;
    }
    Some(typed.to_owned())
}
