//! Byte queues and the worker's stock of them.
//!
//! A connection that waits for nothing but its next request holds no buffer: a
//! [`Buffer`] takes its memory from the worker's [`BufferPool`] when bytes are about to
//! arrive and gives it back when it is empty. After warm-up no request allocates.

use crate::base::limits::{BUFFER_LARGE_BYTES, BUFFER_SMALL_BYTES, BUFFERS_KEPT_MAX};

/// How much room a buffer is given when it takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Enough for nearly every head.
    Small,
    /// For bodies on their way through.
    Large,
}

/// A queue of bytes: written at the end, read from the front.
///
/// ```
/// use ropewalk::base::buffer::Buffer;
///
/// let mut buffer = Buffer::default();
/// buffer.extend(b"hello");
/// buffer.consume(2);
/// assert_eq!(buffer.bytes(), b"llo");
/// ```
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// What is in the queue, front first.
    pub fn bytes(&self) -> &[u8] {
        // INVARIANT: `start` never passes the end of `bytes`.
        &self.bytes[self.start..]
    }

    /// How many bytes are in the queue.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether there is nothing in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds pieces at the end, one after the other.
    pub fn extend_all<P: AsRef<[u8]>, const N: usize>(&mut self, parts: [P; N]) {
        for part in parts {
            self.extend(part.as_ref());
        }
    }

    /// Drops up to `count` bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.clear();
        }
    }

    /// Drops everything but keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// The memory behind the queue with at least one spare byte, to read into:
    /// taken from `pool` if there is none yet, the queue moved to its front if there is
    /// room before it, and grown only if it is full.
    pub fn space(&mut self, pool: &mut BufferPool, size: Size) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take(size);
        }
        if self.bytes.len() == self.bytes.capacity() {
            if self.start > 0 {
                self.bytes.drain(..self.start);
                self.start = 0;
            } else {
                self.bytes.reserve(self.bytes.len());
            }
        }
        &mut self.bytes
    }

    /// Takes memory from `pool`, if there is none yet, so that what is added need not allocate.
    pub fn prepare(&mut self, pool: &mut BufferPool, size: Size) -> &mut Self {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take(size);
        }
        self
    }

    /// Empties the queue and gives its memory back.
    pub fn release(&mut self, pool: &mut BufferPool) {
        self.start = 0;
        if self.bytes.capacity() > 0 {
            pool.put(std::mem::take(&mut self.bytes));
        }
    }

    /// Gives the memory back if the queue is empty.
    pub fn release_if_empty(&mut self, pool: &mut BufferPool) {
        if self.is_empty() {
            self.release(pool);
        }
    }

    /// Moves a short queue out of large memory, for a task that is about to wait:
    /// a thousand slow peers must not pin a thousand large buffers.
    pub fn shrink(&mut self, pool: &mut BufferPool) {
        if self.is_empty() {
            self.release(pool);
        } else if self.bytes.capacity() > BUFFER_SMALL_BYTES && self.len() <= BUFFER_SMALL_BYTES {
            let mut small = pool.take(Size::Small);
            small.extend_from_slice(self.bytes());
            pool.put(std::mem::replace(&mut self.bytes, small));
            self.start = 0;
        }
    }
}

/// One worker's stock of unused buffer memory.
#[derive(Debug, Default)]
pub struct BufferPool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl BufferPool {
    /// An empty stock, which fills as buffers come back.
    pub fn new() -> Self {
        Self::default()
    }

    fn take(&mut self, size: Size) -> Vec<u8> {
        let (stock, bytes) = match size {
            Size::Small => (&mut self.small, BUFFER_SMALL_BYTES),
            Size::Large => (&mut self.large, BUFFER_LARGE_BYTES),
        };
        // The one that came back last is the one still in the processor's cache.
        stock.pop().unwrap_or_else(|| Vec::with_capacity(bytes))
    }

    fn put(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        let (stock, kept_max) = match bytes.capacity() {
            BUFFER_SMALL_BYTES => (&mut self.small, BUFFERS_KEPT_MAX),
            // A large buffer comes back within the same turn unless a peer is slow.
            BUFFER_LARGE_BYTES => (&mut self.large, 4),
            // Grown past its size by an unusual head: not worth keeping.
            _ => return,
        };
        if stock.len() < kept_max {
            stock.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_to_the_stock_and_is_used_again() {
        let mut pool = BufferPool::new();
        let mut buffer = Buffer::default();
        let first = buffer.space(&mut pool, Size::Small).as_ptr();
        buffer.extend(b"abc");
        buffer.consume(3);
        buffer.release_if_empty(&mut pool);
        assert_eq!(buffer.bytes.capacity(), 0);
        assert_eq!(Buffer::default().space(&mut pool, Size::Small).as_ptr(), first);
    }

    #[test]
    fn a_full_queue_moves_to_the_front_before_it_grows() {
        let mut pool = BufferPool::new();
        let mut buffer = Buffer::default();
        buffer.space(&mut pool, Size::Small);
        buffer.extend(&[7; BUFFER_SMALL_BYTES]);
        buffer.consume(BUFFER_SMALL_BYTES - 2);
        assert_eq!(buffer.space(&mut pool, Size::Small).capacity(), BUFFER_SMALL_BYTES);
        assert_eq!(buffer.bytes(), [7, 7]);
        buffer.extend(&[8; BUFFER_SMALL_BYTES - 2]);
        assert!(buffer.space(&mut pool, Size::Small).capacity() > BUFFER_SMALL_BYTES);
    }

    #[test]
    fn a_short_queue_leaves_large_memory_when_it_must_wait() {
        let mut pool = BufferPool::new();
        let mut buffer = Buffer::default();
        buffer.space(&mut pool, Size::Large);
        buffer.extend(b"xyz");
        buffer.consume(1);
        buffer.shrink(&mut pool);
        assert_eq!((buffer.bytes(), buffer.bytes.capacity()), (&b"yz"[..], BUFFER_SMALL_BYTES));
    }
}
