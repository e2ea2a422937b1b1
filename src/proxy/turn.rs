//! One turn of a task: how much of a worker's time it may take before the next task runs.
//!
//! A turn is charged for the bytes that the task touches, not for its output: a chunk with one byte
//! of data and 250 of extensions is 258 bytes of work. Framing costs more per byte than data does,
//! so each chunk is charged a little on top. The clock bounds everything else; it is read once per
//! `CLOCK_EVERY_BYTES`, so a small request never pays for it.

use crate::base::clock::{self, Moment};
use crate::base::limits::{BULK_BYTES, TURN_BYTES, TURN_TIME};

/// What is left of the present turn.
#[derive(Debug)]
pub struct Turn {
    charged: usize,
    /// The charge at which the clock is read next.
    look_at: usize,
    /// When the clock was first read in this turn.
    began: Moment,
    is_late: bool,
}

/// What a chunk costs on top of its bytes. Decoding and reframing one takes 20 to 30 ns, as long
/// as moving some hundred bytes of a large chunk.
const CHUNK_CHARGE: usize = 64;

/// How many bytes are touched between two looks at the clock.
const CLOCK_EVERY_BYTES: usize = 64 * 1024;

impl Turn {
    /// A turn that begins now.
    pub fn new() -> Self {
        Self { charged: 0, look_at: CLOCK_EVERY_BYTES / 2, began: Moment::ZERO, is_late: false }
    }

    /// Charges for bytes that were read, decoded or moved.
    pub fn charge(&mut self, bytes: usize) {
        self.charged = self.charged.saturating_add(bytes);
        if self.charged >= self.look_at {
            self.look(clock::now());
        }
    }

    /// Charges for chunks, beside their bytes.
    pub fn charge_chunks(&mut self, chunks: usize) {
        self.charge(chunks.saturating_mul(CHUNK_CHARGE));
    }

    fn look(&mut self, now: Moment) {
        self.look_at = self.charged.saturating_add(CLOCK_EVERY_BYTES);
        if self.began == Moment::ZERO {
            self.began = now;
        }
        self.is_late = now.since(self.began) >= TURN_TIME;
    }

    /// Whether the task must yield.
    pub fn is_over(&self) -> bool {
        self.charged >= TURN_BYTES || self.is_late
    }

    /// What it has been charged so far, in bytes.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// Whether it was so long that the task's next turn waits behind short ones.
    pub fn is_bulk(&self) -> bool {
        self.charged >= BULK_BYTES || self.is_late
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_after_so_many_bytes_whatever_they_are_charged_for() {
        let mut turn = Turn::new();
        turn.charge(TURN_BYTES - 1);
        assert!(!turn.is_over() && turn.is_bulk());
        turn.charge(1);
        assert!(turn.is_over());

        let mut turn = Turn::new();
        turn.charge_chunks(TURN_BYTES / CHUNK_CHARGE);
        assert!(turn.is_over());
    }

    #[test]
    fn a_turn_ends_after_some_time_however_little_was_charged() {
        let mut turn = Turn::new();
        let begin = Moment::from_nanos(1 << 40);
        turn.look(begin);
        assert!(!turn.is_over());
        turn.look(begin + TURN_TIME);
        assert!(turn.is_over() && turn.is_bulk());
    }

    #[test]
    fn a_small_request_does_not_read_the_clock() {
        let mut turn = Turn::new();
        turn.charge(CLOCK_EVERY_BYTES / 2 - 1);
        assert_eq!(turn.began, Moment::ZERO);
        assert!(!turn.is_bulk());
    }
}
