//! Chunked bodies: how the network cuts one makes no difference, and what is found in it is
//! what [`super::strict`] finds.
//!
//! The first four bytes of the input say in which pieces the rest arrives.

use ropewalk::internal::http::{ChunkDecoder, ChunkError, ChunkPart};

use super::strict::{self, Reading};

/// What a chunked body came to: data, then the trailer section and the length of it all, if
/// it was whole.
type Outcome = Result<(Vec<u8>, Option<(Vec<u8>, usize)>), ChunkError>;

/// Decodes `data` in pieces and at once.
pub fn run(data: &[u8]) {
    let Some((sizes, body)) = data.split_first_chunk::<4>() else { return };
    let at_once = decode(body, &[body.len()]);
    let pieces = sizes.map(|size| usize::from(size % 23) + 1);
    assert_eq!(decode(body, &pieces), at_once, "cut into pieces of {pieces:?}");
    assert_eq!(decode(body, &[1]), at_once, "cut into single bytes");
    match (&at_once, strict::chunked(body)) {
        (Ok((data, Some((trailers, taken)))), Reading::Whole(chunked, length)) => {
            assert_eq!((data, trailers, *taken), (&chunked.data, &chunked.trailers, length));
        }
        (Ok((_, None)), Reading::Unfinished) | (Err(_), Reading::Broken(_)) => {}
        (ours, theirs) => panic!("read as {ours:?} here and as {theirs:?} there"),
    }
}

/// Feeds a decoder pieces of these sizes, in turn, as a connection would.
fn decode(body: &[u8], sizes: &[usize]) -> Outcome {
    let mut decoder = ChunkDecoder::new();
    let (mut data, mut start, mut arrived) = (Vec::new(), 0, 0);
    let mut sizes = sizes.iter().cycle();
    loop {
        let input = &body[start..arrived];
        match decoder.next(input)? {
            ChunkPart::Data { skip, len } => {
                assert!(len > 0, "no progress");
                data.extend(&input[skip..skip + len]);
                start += skip + len;
            }
            ChunkPart::End { skip, len } => {
                let trailers = input[skip..skip + len].to_vec();
                return Ok((data, Some((trailers, start + skip + len))));
            }
            ChunkPart::More { skip } => {
                start += skip;
                if arrived == body.len() {
                    return Ok((data, None));
                }
                arrived = body.len().min(arrived + sizes.next().copied().unwrap_or(1).max(1));
            }
        }
    }
}
