//! The body of an error from us, in the form that the client prefers: what went wrong, in one
//! sentence, and the id by which an operator finds the request.

use std::fmt::Write as _;

use serde_json::json;

use crate::proxy::accept::MediaType;

/// What the body says.
pub(super) struct Said<'a> {
    pub(super) status: u16,
    pub(super) phrase: &'a str,
    pub(super) reason: &'a str,
    pub(super) id: &'a str,
}

/// The media type and the body.
pub(super) fn body(form: MediaType, said: &Said<'_>) -> (&'static str, String) {
    let Said { status, phrase, reason, id } = said;
    match form {
        MediaType::Text => {
            ("text/plain; charset=utf-8", format!("{status} {phrase}: {reason}\nRequest id: {id}\n"))
        }
        MediaType::Json => {
            let body = json!({ "status": status, "error": phrase, "reason": reason, "request_id": id });
            ("application/json", format!("{body}\n"))
        }
        MediaType::Html => ("text/html; charset=utf-8", page(said)),
    }
}

/// A page that loads nothing and runs nothing.
fn page(said: &Said<'_>) -> String {
    let Said { status, phrase, reason, id } = said;
    let mut page = String::with_capacity(HTML_BEGIN.len() + HTML_STYLE.len() + 512);
    // Writing to memory does not fail.
    let _ = write!(
        page,
        "{HTML_BEGIN}<title>{status} {phrase}</title>\n{HTML_STYLE}<main>\n<h1>{status} <span>{phrase}</span></h1>\n\
         <p>{}.</p>\n<p class=\"id\">Request id: <code>{}</code></p>\n</main>\n",
        escaped(&capitalised(reason)),
        escaped(id),
    );
    page
}

const HTML_BEGIN: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n";

const HTML_STYLE: &str = "<style>
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 1rem/1.5 system-ui, sans-serif;
  background: light-dark(#fafafa, #16181c); color: light-dark(#222, #e6e6e6) }
main { max-width: 34rem; padding: 2rem }
h1 { margin: 0 0 .5rem; font-size: 1.6rem; line-height: 1.2 }
h1 span { font-weight: 400 }
p { margin: 0 0 1rem; overflow-wrap: anywhere }
.id { font-size: .85rem; color: light-dark(#666, #9a9a9a) }
</style>
";

/// Text as it may stand in HTML, in an attribute too.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

fn capitalised(sentence: &str) -> String {
    let mut characters = sentence.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: &str) -> Said<'_> {
        Said { status: 502, phrase: "Bad Gateway", reason: "the backend refused the connection", id }
    }

    #[test]
    fn every_form_names_the_status_the_reason_and_the_id() {
        for form in [MediaType::Text, MediaType::Json, MediaType::Html] {
            let (_, body) = body(form, &said("7f3a"));
            for part in ["502", "Bad Gateway", "he backend refused the connection", "7f3a"] {
                assert!(body.contains(part), "{form:?}: {body}");
            }
        }
    }

    #[test]
    fn an_id_that_a_client_chose_cannot_leave_its_place() {
        let id = r#"</code><script>alert("1")</script>'&"#;
        let (_, html) = body(MediaType::Html, &said(id));
        assert!(!html.contains("<script"), "{html}");
        assert!(
            html.contains("&lt;/code&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;"),
            "{html}"
        );
        let (_, json) = body(MediaType::Json, &said(id));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["request_id"], id);
    }
}
