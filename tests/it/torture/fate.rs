//! What is to become of a request, as it follows from the seed and the request's id.
//!
//! Client and origin work it out for themselves, so that neither believes what the balancer
//! says of the other, and a run with the same seed makes the same requests.

use std::time::Duration;

/// The longest body.
const BODY_MAX: usize = 900_000;

/// What a client does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// Sends it and reads the response.
    Ask,
    /// Sends so many at once, and reads the responses one after the other.
    Pipeline(u64),
    /// Ends its own sending behind the request, and reads the response.
    HalfClose,
    /// Leaves in the middle of its own request.
    LeaveWhileSending,
    /// Leaves without waiting for the response.
    LeaveWhileWaiting,
    /// Leaves in the middle of the response.
    LeaveWhileReading,
    /// Asks for a tunnel, and sends bytes both ways through it.
    Tunnel,
}

/// What an origin does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Answers with 200.
    Answer,
    /// The same, and closes the connection a little later without having said so.
    AnswerAndClose(Duration),
    /// The same, after a while.
    AnswerLate(Duration),
    /// One of the origins answers with 503; the others with 200.
    Busy(usize),
    /// Resets the connection in the middle of the response.
    Reset,
    /// Closes the connection in the middle of the response.
    Close,
    /// Resets the connection before it has answered.
    ResetUnanswered,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// With a Content-Length.
    Fixed,
    /// In chunks of this size.
    Chunked(usize),
}

/// Everything about one request.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Its number; no other request of the run has it.
    pub id: u64,
    /// What its client does.
    pub manner: Manner,
    /// Its method.
    pub method: &'static str,
    /// Bytes of its body, and their framing.
    pub upload: (usize, Framing),
    /// What an origin does.
    pub deed: Deed,
    /// Bytes of the response's body, and their framing.
    pub download: (usize, Framing),
}

impl Fate {
    /// What becomes of the request with this id.
    pub fn of(seed: u64, id: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let manner = match rng.u8(..20) {
            0..=7 => Manner::Ask,
            8..=12 => Manner::Pipeline(rng.u64(2..=6)),
            13 => Manner::HalfClose,
            14 => Manner::LeaveWhileSending,
            15 => Manner::LeaveWhileWaiting,
            16 => Manner::LeaveWhileReading,
            17 => Manner::Ask,
            _ => Manner::Tunnel,
        };
        let method = if manner == Manner::Tunnel {
            "GET"
        } else {
            ["GET", "GET", "HEAD", "PUT", "POST", "POST"][rng.usize(..6)]
        };
        let deed = match rng.u8(..40) {
            0 => Deed::Reset,
            1 => Deed::Close,
            2 => Deed::ResetUnanswered,
            3..=5 => Deed::AnswerAndClose(Duration::from_millis(rng.u64(..20))),
            6..=10 => Deed::AnswerLate(Duration::from_millis(rng.u64(..60))),
            11..=13 => Deed::Busy(rng.usize(..super::ORIGINS)),
            _ => Deed::Answer,
        };
        let has_body = matches!(method, "PUT" | "POST") || manner == Manner::Tunnel;
        let upload_len = if has_body { length(&mut rng) } else { 0 };
        let upload = (upload_len, framing(&mut rng));
        let download = (length(&mut rng), framing(&mut rng));
        Self { id, manner, method, upload, deed, download }
    }

    /// The same as one of several that are sent at once: with a body that fits into any socket's
    /// buffer, so that the client may send all of them before it reads.
    pub fn pipelined(mut self, count: u64) -> Self {
        self.manner = Manner::Pipeline(count);
        self.upload.0 = if matches!(self.method, "PUT" | "POST") { self.upload.0.min(1_000) } else { 0 };
        self
    }

    /// The body of the request.
    pub fn upload(&self) -> Vec<u8> {
        noise(self.id, self.upload.0)
    }

    /// The body of the response.
    pub fn download(&self) -> Vec<u8> {
        noise(!self.id, self.download.0)
    }

    /// Whether repeating it may do harm.
    pub fn is_unrepeatable(&self) -> bool {
        self.method == "POST"
    }

    /// The request's bytes.
    pub fn request(&self) -> Vec<u8> {
        let (id, method) = (self.id, self.method);
        let mut bytes = format!("{method} /{id} HTTP/1.1\r\nHost: test.example\r\n").into_bytes();
        if self.manner == Manner::Tunnel {
            bytes.extend(b"Connection: Upgrade\r\nUpgrade: torture\r\n\r\n");
        } else if matches!(method, "PUT" | "POST") {
            append_body(&mut bytes, &self.upload(), self.upload.1);
        } else {
            bytes.extend(b"\r\n");
        }
        bytes
    }
}

/// Ends a head with the framing of its body, and appends that.
pub fn append_body(bytes: &mut Vec<u8>, body: &[u8], framing: Framing) {
    match framing {
        Framing::Fixed => {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
            bytes.extend(body);
        }
        Framing::Chunked(size) => {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(size) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
}

/// Bytes that no other seed gives.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// Small as a rule, and sometimes as long as can be.
fn length(rng: &mut fastrand::Rng) -> usize {
    let most = match rng.u8(..100) {
        0..=59 => 2_000,
        60..=84 => 40_000,
        85..=96 => 200_000,
        _ => BODY_MAX,
    };
    rng.usize(1..=most)
}

fn framing(rng: &mut fastrand::Rng) -> Framing {
    match rng.u8(..4) {
        0 => Framing::Chunked(rng.usize(1..=64).max(16)),
        1 => Framing::Chunked(rng.usize(1_000..=100_000)),
        _ => Framing::Fixed,
    }
}
