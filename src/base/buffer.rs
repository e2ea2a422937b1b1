//! Byte queues, and each worker's pool of memory for them.
//!
//! An idle connection holds no buffer: a [`Buffer`] takes its memory from the worker's [`BufferPool`]
//! just before bytes arrive and returns it when it is empty. After warm-up no request allocates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::limits::{BUFFER_LARGE_BYTES, BUFFER_SMALL_BYTES, BUFFERS_KEPT_MAX, BUFFERS_LARGE_KEPT_MAX};

/// How much memory a buffer starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Enough for nearly every head.
    Small,
    /// For relaying bodies.
    Large,
}

/// A queue of bytes: written at the end, read from the front.
///
/// ```
/// use ropewalk::internal::base::buffer::Buffer;
///
/// let mut buffer = Buffer::default();
/// buffer.extend(b"hello");
/// buffer.consume(2);
/// assert_eq!(buffer.bytes(), b"llo");
/// ```
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: u32,
    /// The memory was taken as a large buffer and still counts as one, even if it has grown.
    large: bool,
}

impl Buffer {
    /// The bytes in the queue, front first.
    #[expect(clippy::indexing_slicing, reason = "INVARIANT: `start` never passes the end of `bytes`")]
    pub fn bytes(&self) -> &[u8] {
        debug_assert!(self.start as usize <= self.bytes.len());
        &self.bytes[self.start as usize..]
    }

    /// How many bytes are in the queue.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start as usize
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds several slices at the end, in order.
    #[inline]
    pub fn extend_all<P: AsRef<[u8]>, const N: usize>(&mut self, parts: [P; N]) {
        for part in parts {
            self.extend(part.as_ref());
        }
    }

    /// Drops up to `count` bytes from the front.
    pub fn consume(&mut self, count: usize) {
        let start = (self.start as usize + count).min(self.bytes.len());
        // INVARIANT: no buffer comes near 4 GiB.
        debug_assert!(u32::try_from(start).is_ok());
        self.start = start as u32;
        if start == self.bytes.len() {
            self.clear();
        }
    }

    /// Drops everything but keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// The underlying memory with at least one spare byte at its end, to read into. Takes memory from
    /// `pool` if the buffer has none, moves the queue to the front if there is room before it, and
    /// grows only if it is full. `None` if no more memory is allowed.
    pub fn space(&mut self, pool: &mut BufferPool, size: Size) -> Option<&mut Vec<u8>> {
        self.prepare(pool, size);
        if self.room() == 0 && !self.make_room(pool, 1) {
            return None;
        }
        Some(&mut self.bytes)
    }

    /// Takes memory from `pool` if the buffer has none, so that adding bytes need not allocate. Falls
    /// back to small memory if no more large buffers are allowed.
    pub fn prepare(&mut self, pool: &mut BufferPool, size: Size) -> &mut Self {
        if self.bytes.capacity() == 0 {
            (self.bytes, self.large) = pool.take(size);
        }
        self
    }

    /// How many bytes can be added without more memory.
    pub fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Makes room for `count` more bytes. Returns false if that needs more memory than is allowed;
    /// there may be less room then.
    pub fn make_room(&mut self, pool: &mut BufferPool, count: usize) -> bool {
        if self.bytes.capacity() == 0 {
            self.prepare(pool, if count > BUFFER_SMALL_BYTES { Size::Large } else { Size::Small });
        }
        if self.room() < count && self.start > 0 {
            self.bytes.drain(..self.start as usize);
            self.start = 0;
        }
        if self.room() >= count {
            return true;
        }
        if !self.large {
            match pool.take(Size::Large) {
                (mut large, true) => {
                    large.extend_from_slice(&self.bytes);
                    pool.put(std::mem::replace(&mut self.bytes, large), false);
                    self.large = true;
                }
                (small, false) => {
                    pool.put(small, false);
                    return false;
                }
            }
        }
        // Heads may be configured to exceed a large buffer.
        self.bytes.reserve(count);
        true
    }

    /// Empties the queue and returns its memory.
    pub fn release(&mut self, pool: &mut BufferPool) {
        self.start = 0;
        if self.bytes.capacity() > 0 {
            pool.put(std::mem::take(&mut self.bytes), std::mem::take(&mut self.large));
        }
    }

    /// Returns the memory if the queue is empty.
    pub fn release_if_empty(&mut self, pool: &mut BufferPool) {
        if self.is_empty() {
            self.release(pool);
        }
    }

    /// Moves a short queue out of large memory before its task waits: a thousand slow peers must not
    /// pin a thousand large buffers.
    pub fn shrink(&mut self, pool: &mut BufferPool) {
        if self.is_empty() {
            self.release(pool);
        } else if self.bytes.capacity() > BUFFER_SMALL_BYTES && self.len() <= BUFFER_SMALL_BYTES {
            let (mut small, _) = pool.take(Size::Small);
            small.extend_from_slice(self.bytes());
            pool.put(std::mem::replace(&mut self.bytes, small), std::mem::take(&mut self.large));
            self.start = 0;
        }
    }
}

/// The budget of large buffers, shared by all workers of a balancer.
///
/// Ordering: Relaxed, since it is only a count and publishes nothing.
#[derive(Debug)]
pub struct LargeBuffers {
    left: AtomicUsize,
}

impl LargeBuffers {
    /// A budget of `count` large buffers.
    pub fn new(count: usize) -> Self {
        Self { left: AtomicUsize::new(count) }
    }

    fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    fn give_back(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }
}

/// One worker's pool of unused buffers.
#[derive(Debug, Default)]
pub struct BufferPool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    /// Used only if the pool has no large buffer left; `None` means no limit.
    bound: Option<Arc<LargeBuffers>>,
}

impl BufferPool {
    /// An empty pool, which fills as buffers come back.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty pool that draws its large buffers from a shared budget.
    pub fn bounded(bound: Option<Arc<LargeBuffers>>) -> Self {
        Self { bound, ..Self::default() }
    }

    /// Memory of this size, or small memory if no more large buffers are allowed. Also returns whether
    /// the memory is large.
    fn take(&mut self, size: Size) -> (Vec<u8>, bool) {
        // The most recently returned buffer is still in the processor's cache.
        if size == Size::Large {
            if let Some(bytes) = self.large.pop() {
                return (bytes, true);
            }
            if self.bound.as_ref().is_none_or(|bound| bound.take()) {
                return (Vec::with_capacity(BUFFER_LARGE_BYTES), true);
            }
        }
        (self.small.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_SMALL_BYTES)), false)
    }

    fn put(&mut self, mut bytes: Vec<u8>, large: bool) {
        bytes.clear();
        let (size, stock, kept_max) = match large {
            false => (BUFFER_SMALL_BYTES, &mut self.small, BUFFERS_KEPT_MAX),
            true => (BUFFER_LARGE_BYTES, &mut self.large, BUFFERS_LARGE_KEPT_MAX),
        };
        // A buffer that an unusual head made grow is not worth keeping.
        if bytes.capacity() == size && stock.len() < kept_max {
            stock.push(bytes);
            return;
        }
        drop(bytes);
        if let (true, Some(bound)) = (large, &self.bound) {
            bound.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_to_the_pool_and_is_reused() {
        let mut pool = BufferPool::new();
        let mut buffer = Buffer::default();
        let first = buffer.space(&mut pool, Size::Small).unwrap().as_ptr();
        buffer.extend(b"abc");
        buffer.consume(3);
        buffer.release_if_empty(&mut pool);
        assert_eq!(buffer.bytes.capacity(), 0);
        assert_eq!(Buffer::default().space(&mut pool, Size::Small).unwrap().as_ptr(), first);
    }

    #[test]
    fn a_full_queue_moves_to_the_front_before_it_grows() {
        let mut pool = BufferPool::new();
        let mut buffer = Buffer::default();
        buffer.space(&mut pool, Size::Small);
        buffer.extend(&[7; BUFFER_SMALL_BYTES]);
        buffer.consume(BUFFER_SMALL_BYTES - 2);
        assert_eq!(buffer.space(&mut pool, Size::Small).unwrap().capacity(), BUFFER_SMALL_BYTES);
        assert_eq!(buffer.bytes(), [7, 7]);
        buffer.extend(&[8; BUFFER_SMALL_BYTES - 2]);
        assert_eq!(buffer.space(&mut pool, Size::Small).unwrap().capacity(), BUFFER_LARGE_BYTES);
        assert_eq!(buffer.len(), BUFFER_SMALL_BYTES);
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
    #[test]
    fn the_budget_of_large_buffers_is_never_exceeded() {
        let bound = Arc::new(LargeBuffers::new(1));
        let mut pools = [(); 2].map(|()| BufferPool::bounded(Some(Arc::clone(&bound))));
        let [one, other] = &mut pools;
        let (mut first, mut second) = (Buffer::default(), Buffer::default());
        assert_eq!(first.space(one, Size::Large).unwrap().capacity(), BUFFER_LARGE_BYTES);
        assert_eq!(second.space(other, Size::Large).unwrap().capacity(), BUFFER_SMALL_BYTES);
        second.extend(&[7; BUFFER_SMALL_BYTES]);
        assert!(second.space(other, Size::Large).is_none());
        assert!(!second.make_room(other, 100));

        // A large buffer in the worker's pool still counts. The small one in use does not.
        first.extend(b"x");
        first.shrink(one);
        assert!(second.space(other, Size::Large).is_none());
        one.large.drain(..).for_each(|_| bound.give_back());
        assert_eq!(second.space(other, Size::Large).unwrap().capacity(), BUFFER_LARGE_BYTES);
        assert_eq!(second.bytes(), [7; BUFFER_SMALL_BYTES]);
    }
}
