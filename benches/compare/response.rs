//! Where one response ends, and whether it is the one that was asked for.
//!
//! The load generator feeds it bytes as they come. It is stricter than a browser:
//! every origin here states a Content-Length, so a proxy that answers without one,
//! with another one, or with a status that is not 2xx has made an error, and the
//! table must show it. It must not know sockets or time.

use crate::faults::Fault;

/// LIMIT: bytes of a response head. The origins' heads are near 100 bytes; a proxy
/// that adds more than this to them is broken.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const FIELDS_MAX: usize = 64;

/// What to do after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same connection takes another request.
    Reuse,
    /// The peer said `Connection: close`.
    Close,
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are to come.
    Unfinished,
    /// The last byte was read.
    Finished(Next),
}

/// Reads responses one after another.
pub struct Reader {
    body_bytes: u64,
    /// A head of which only a part has come; empty almost always.
    partial: Vec<u8>,
    /// Body bytes still to come, once the head has been read.
    body_left: Option<u64>,
    next: Next,
}

impl Reader {
    /// Expects bodies of `body_bytes`.
    pub fn new(body_bytes: u64) -> Self {
        Self { body_bytes, partial: Vec::new(), body_left: None, next: Next::Reuse }
    }

    /// Forgets a response that will not be finished.
    pub fn reset(&mut self) {
        self.partial.clear();
        self.body_left = None;
    }

    /// Whether the head has been read and the bytes to come are all of the body.
    pub fn is_in_body(&self) -> bool {
        self.body_left.is_some()
    }

    /// Takes the bytes that came next.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Progress, Fault> {
        if self.is_in_body() {
            return self.take_body(bytes.len() as u64);
        }
        if self.partial.is_empty() {
            return self.take_head(bytes);
        }
        self.partial.extend_from_slice(bytes);
        let head = std::mem::take(&mut self.partial);
        self.take_head(&head)
    }

    /// Takes `count` bytes of the body, which nobody looked at.
    pub fn take_body(&mut self, count: u64) -> Result<Progress, Fault> {
        let expected = self.body_left.unwrap_or(0);
        let body_left = expected.checked_sub(count).ok_or(Fault::Excess)?;
        if body_left > 0 {
            self.body_left = Some(body_left);
            return Ok(Progress::Unfinished);
        }
        self.body_left = None;
        Ok(Progress::Finished(self.next))
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<Progress, Fault> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut fields);
        let head_bytes = match head.parse(bytes).map_err(|_| Fault::Head)? {
            httparse::Status::Complete(head_bytes) => head_bytes,
            httparse::Status::Partial if bytes.len() >= HEAD_BYTES_MAX => return Err(Fault::Head),
            httparse::Status::Partial => {
                self.partial.extend_from_slice(bytes);
                return Ok(Progress::Unfinished);
            }
        };
        if !matches!(head.code, Some(200..=299)) {
            return Err(Fault::Status);
        }
        let mut length = None;
        self.next = Next::Reuse;
        for field in head.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                length = std::str::from_utf8(field.value).ok().and_then(|digits| digits.parse().ok());
            } else if field.name.eq_ignore_ascii_case("connection")
                && field.value.eq_ignore_ascii_case(b"close")
            {
                self.next = Next::Close;
            }
        }
        if length != Some(self.body_bytes) {
            return Err(Fault::Length);
        }
        self.body_left = length;
        self.take_body((bytes.len() - head_bytes) as u64)
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 x\r\n\r\nhello";

    #[test]
    fn a_good_response_leaves_the_connection_reusable() {
        let mut reader = Reader::new(5);
        assert_eq!(reader.take(GOOD), Ok(Progress::Finished(Next::Reuse)));
        assert_eq!(reader.take(GOOD), Ok(Progress::Finished(Next::Reuse)));
    }

    #[test]
    fn connection_close_is_noticed() {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: Close\r\n\r\n";
        assert_eq!(Reader::new(0).take(response), Ok(Progress::Finished(Next::Close)));
    }

    #[test]
    fn each_fault_has_its_name() {
        let fault = |body_bytes, bytes: &[u8]| Reader::new(body_bytes).take(bytes).expect_err("a fault");
        assert_eq!(fault(5, b"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nhello"), Fault::Status);
        assert_eq!(fault(6, GOOD), Fault::Length);
        assert_eq!(fault(5, b"HTTP/1.1 200 OK\r\n\r\nhello"), Fault::Length);
        assert_eq!(fault(5, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!"), Fault::Excess);
        assert_eq!(fault(5, b"SMTP"), Fault::Head);
        assert_eq!(
            fault(5, &[b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; HEAD_BYTES_MAX]].concat()),
            Fault::Head
        );
    }

    proptest! {
        #[test]
        fn the_end_is_found_however_the_bytes_are_cut(cuts in prop::collection::vec(0..GOOD.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.extend([0, GOOD.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let mut reader = Reader::new(5);
            for pair in cuts.windows(2) {
                let progress = reader.take(&GOOD[pair[0]..pair[1]]).expect("a good response");
                prop_assert_eq!(matches!(progress, Progress::Finished(_)), pair[1] == GOOD.len());
            }
        }
    }
}
