//! A second reader of HTTP/1.1 messages: slow, strict, and independent of `src/http`.
//!
//! It splits where `src/http` scans, allocates where that borrows, and knows one way to read
//! a message. It must not use anything of the crate that it judges.

/// LIMIT: bytes of extensions behind one chunk size, `;` included, as the product states it.
const EXTENSION_BYTES_MAX: usize = 256;

/// LIMIT: bytes of a trailer section, as the product states it.
const TRAILER_BYTES_MAX: usize = 4096;

/// How a reading ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// All of it is there, and it took so many bytes.
    Whole(T, usize),
    /// What is there is right, and not all.
    Unfinished,
    /// It breaks the grammar; the text says where.
    Broken(&'static str),
}

/// A name and a value without white space around it.
pub type Field = (String, Vec<u8>);

/// A start line, cut at its first two spaces, and the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Method or version.
    pub first: String,
    /// Target or status.
    pub second: String,
    /// Version or reason phrase.
    pub third: Vec<u8>,
    /// The fields in order.
    pub fields: Vec<Field>,
}

/// How a message says that its body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither field.
    Unsaid,
    /// One Content-Length.
    Length(u64),
    /// One Transfer-Encoding, `chunked`.
    Chunked,
}

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its head.
    pub head: Head,
    /// How its body was framed.
    pub framing: Framing,
    /// Its body without framing.
    pub body: Vec<u8>,
    /// The fields after it.
    pub trailers: Vec<Field>,
}

/// A chunked body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunked {
    /// The data of all chunks.
    pub data: Vec<u8>,
    /// The trailer section, with the empty line that ends it.
    pub trailers: Vec<u8>,
    /// Bytes of chunk extensions.
    pub extension_bytes: usize,
}

impl Head {
    /// The values of all fields of this name.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// How the body is framed; `None` if that can be read in two ways.
    pub fn framing(&self) -> Option<Framing> {
        match (self.all("content-length").as_slice(), self.all("transfer-encoding").as_slice()) {
            ([], []) => Some(Framing::Unsaid),
            ([length], []) => {
                let digits = std::str::from_utf8(length).ok()?;
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                digits.parse().ok().filter(|_| plain).map(Framing::Length)
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Some(Framing::Chunked),
            _ => None,
        }
    }
}

/// Reads a request as a backend would that refuses whatever is unclear.
pub fn request(bytes: &[u8]) -> Reading<Request> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Reading::Unfinished };
    let Some(head) = head(&bytes[..end + 4]) else { return Reading::Broken("the head") };
    if !is_token(head.first.as_bytes()) {
        return Reading::Broken("the method");
    }
    if head.second.is_empty() || !head.second.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return Reading::Broken("the target");
    }
    if head.third != b"HTTP/1.1" && head.third != b"HTTP/1.0" {
        return Reading::Broken("the version");
    }
    let rest = &bytes[end + 4..];
    let Some(framing) = head.framing() else { return Reading::Broken("the framing") };
    let (body, trailers, taken) = match framing {
        Framing::Unsaid => (Vec::new(), Vec::new(), 0),
        Framing::Length(length) => match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
            Some(body) => (body.to_vec(), Vec::new(), body.len()),
            None => return Reading::Unfinished,
        },
        Framing::Chunked => match chunked(rest) {
            Reading::Whole(body, _) if body.extension_bytes > 0 => return Reading::Broken("an extension"),
            Reading::Whole(body, taken) => match fields(&body.trailers) {
                Some(trailers) => (body.data, trailers, taken),
                None => return Reading::Broken("the trailers"),
            },
            Reading::Unfinished => return Reading::Unfinished,
            Reading::Broken(what) => return Reading::Broken(what),
        },
    };
    Reading::Whole(Request { head, framing, body, trailers }, end + 4 + taken)
}

/// Cuts a head: exactly the bytes up to the empty line that ends it.
pub fn head(bytes: &[u8]) -> Option<Head> {
    let line_end = find(bytes, b"\r\n")?;
    let (line, rest) = (&bytes[..line_end], &bytes[line_end + 2..]);
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return None;
    }
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (first, second) = (words.next()?, words.next()?);
    let text = |word: &[u8]| String::from_utf8(word.to_vec()).ok();
    Some(Head {
        first: text(first)?,
        second: text(second)?,
        third: words.next().unwrap_or_default().to_vec(),
        fields: fields(rest)?,
    })
}

/// Cuts field lines up to and with the empty line, which must end the bytes.
pub fn fields(bytes: &[u8]) -> Option<Vec<Field>> {
    let mut rest = bytes;
    let mut fields = Vec::new();
    while rest != b"\r\n" {
        let end = find(rest, b"\r\n").filter(|end| *end > 0)?;
        let line = &rest[..end];
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if !is_token(name) || value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return None;
        }
        fields.push((String::from_utf8(name.to_vec()).ok()?, value.to_vec()));
        rest = &rest[end + 2..];
    }
    Some(fields)
}

/// Reads a chunked body.
pub fn chunked(bytes: &[u8]) -> Reading<Chunked> {
    let mut body = Chunked::default();
    let mut at = 0;
    loop {
        let Some((size, extension_bytes, taken)) = (match size_line(&bytes[at..]) {
            Reading::Whole((size, extension_bytes), taken) => Some((size, extension_bytes, taken)),
            Reading::Unfinished => None,
            Reading::Broken(what) => return Reading::Broken(what),
        }) else {
            return Reading::Unfinished;
        };
        at += taken;
        body.extension_bytes += extension_bytes;
        if size == 0 {
            break;
        }
        let left = &bytes[at..];
        let Some(after) = usize::try_from(size).ok().and_then(|size| left.get(size..)) else {
            return Reading::Unfinished;
        };
        if !b"\r\n".starts_with(&after[..after.len().min(2)]) {
            return Reading::Broken("the end of a chunk's data");
        }
        if after.len() < 2 {
            return Reading::Unfinished;
        }
        body.data.extend(&left[..left.len() - after.len()]);
        at += left.len() - after.len() + 2;
    }
    match trailer_section(&bytes[at..]) {
        Reading::Whole(section, taken) => {
            body.trailers = section;
            Reading::Whole(body, at + taken)
        }
        Reading::Unfinished => Reading::Unfinished,
        Reading::Broken(what) => Reading::Broken(what),
    }
}

/// Reads a chunk's size and the bytes of its extensions.
fn size_line(bytes: &[u8]) -> Reading<(u64, usize)> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > 16 {
        return Reading::Broken("a chunk size of more than 16 digits");
    }
    let mut at = digits;
    if bytes.get(at).is_some_and(|_| digits == 0) {
        return Reading::Broken("a chunk size without digits");
    }
    let rest = &bytes[at..];
    match extensions(&rest[..rest.len().min(EXTENSION_BYTES_MAX + 1)]) {
        Reading::Whole((), taken) => at += taken,
        Reading::Unfinished if rest.len() > EXTENSION_BYTES_MAX => {
            return Reading::Broken("extensions without end");
        }
        Reading::Unfinished => return Reading::Unfinished,
        Reading::Broken(what) => return Reading::Broken(what),
    }
    let end = &bytes[at..];
    if !b"\r\n".starts_with(&end[..end.len().min(2)]) {
        return Reading::Broken("the end of a size line");
    }
    if end.len() < 2 {
        return Reading::Unfinished;
    }
    let size = bytes[..digits]
        .iter()
        .fold(0, |size, digit| size * 16 + u64::from(char::from(*digit).to_digit(16).unwrap_or_default()));
    Reading::Whole((size, at - digits), at + 2)
}

/// Reads chunk extensions up to the CR that ends the line (RFC 9112, 7.1.1).
fn extensions(bytes: &[u8]) -> Reading<()> {
    let mut at = 0;
    loop {
        let before = at;
        at += count(&bytes[at..], is_blank);
        match bytes.get(at) {
            None => return Reading::Unfinished,
            Some(b'\r') if at == before => return Reading::Whole((), at),
            Some(b';') => at += 1,
            Some(_) => return Reading::Broken("an extension without `;`"),
        }
        at += count(&bytes[at..], is_blank);
        match word(&bytes[at..]) {
            Reading::Whole((), taken) => at += taken,
            other => return other,
        }
        let equals = at + count(&bytes[at..], is_blank);
        if bytes.get(equals) != Some(&b'=') {
            continue;
        }
        at = equals + 1;
        at += count(&bytes[at..], is_blank);
        let value = if bytes.get(at) == Some(&b'"') { quoted(&bytes[at..]) } else { word(&bytes[at..]) };
        match value {
            Reading::Whole((), taken) => at += taken,
            other => return other,
        }
    }
}

/// Reads a token of at least one byte.
fn word(bytes: &[u8]) -> Reading<()> {
    match (count(bytes, |byte| is_token(&[byte])), bytes) {
        (0, []) => Reading::Unfinished,
        (0, _) => Reading::Broken("a word that is no token"),
        (taken, _) => Reading::Whole((), taken),
    }
}

/// Reads a quoted string from its opening quote on.
fn quoted(bytes: &[u8]) -> Reading<()> {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            0..=8 | 10..=31 | 127 => return Reading::Broken("a control byte in quotes"),
            b'"' if !escaped => return Reading::Whole((), at + 1),
            byte => escaped = *byte == b'\\' && !escaped,
        }
    }
    Reading::Unfinished
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// How many bytes in front are of a kind.
fn count(bytes: &[u8], kind: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| kind(**byte)).count()
}

/// The highest version known here that a word stands for (RFC 9110, 2.5).
pub fn version(word: &[u8]) -> Option<&'static str> {
    match word {
        b"HTTP/1.0" => Some("HTTP/1.0"),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Some("HTTP/1.1"),
        _ => None,
    }
}

/// Reads up to the first empty line, all lines of which must end in CRLF.
fn trailer_section(bytes: &[u8]) -> Reading<Vec<u8>> {
    let mut at = 0;
    loop {
        let Some(line_end) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
            return match bytes.len() >= TRAILER_BYTES_MAX {
                true => Reading::Broken("trailers without end"),
                false => Reading::Unfinished,
            };
        };
        let line = &bytes[at..at + line_end];
        at += line_end + 1;
        if matches!(line, b"" | b"\r") {
            break;
        }
    }
    let section = &bytes[..at];
    let torn = |pair: &[u8]| (pair[0] == b'\r') != (pair[1] == b'\n');
    if section.len() > TRAILER_BYTES_MAX {
        Reading::Broken("trailers without end")
    } else if section[0] == b'\n' || section.windows(2).any(torn) {
        Reading::Broken("a line end in the trailers")
    } else {
        Reading::Whole(section.to_vec(), at)
    }
}

/// Whether the bytes are a token (RFC 9110, 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    let token_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(token_byte)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
