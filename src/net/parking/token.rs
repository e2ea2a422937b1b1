//! What a parked task is known by: its shard, its slot there, and the slot's generation.
//!
//! A token outlives the parking that it names. The generation tells a later task in the same slot
//! from the one that was meant, so a stale token does nothing.

/// Names one parking of one task. The task may have left since.
#[derive(Clone, Copy, Debug)]
pub struct ParkToken(pub(super) Token);

#[cfg(test)]
impl ParkToken {
    /// A token that names no task.
    pub fn nowhere() -> Self {
        Self(Token { shard: 0, slot: 0, generation: 0 })
    }
}

/// Wakes tasks that wait for something other than a socket.
pub trait Unpark: Send + Sync {
    /// Lets the task that is parked there go on; nothing happens if it has left.
    fn unpark(&self, spot: ParkToken);
}

/// Which of a task's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamIndex(u8);

impl StreamIndex {
    /// The client's.
    pub const CLIENT: Self = Self(0);
    /// The one to a backend.
    pub const LINK: Self = Self(1);
}

/// What the kernel carries for each armed socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The shard's number.
    pub shard: u8,
    /// The slot's number in the shard, of [`SLOT_BITS`] bits.
    pub slot: u32,
    /// How often the slot has been used, of as many bits.
    pub generation: u32,
}

/// Bits of a slot's number, and of a generation. An event would have to be delayed by 16 million
/// parkings in the same slot to be mistaken for a newer one.
pub const SLOT_BITS: u32 = 24;

/// The bits that are set in a number of [`SLOT_BITS`] bits.
pub const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

/// What an event is for, as read from what the kernel carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Somebody wants the poller to look.
    Wake,
    /// Something that is watched, by the number that it was given.
    Watched(u32),
    /// One of a task's sockets.
    Task {
        /// The parking.
        token: Token,
        /// Which of its sockets.
        stream: StreamIndex,
    },
}

impl Token {
    /// What the kernel carries for the poller's waker.
    pub const WAKE: u64 = u64::MAX;
    /// Bits 56..64 tell what it is, or which of a task's sockets; a task's shard is in bits 48..56.
    const WATCHED: u64 = 0xF0 << 56;

    /// What the kernel carries for something that is watched.
    pub fn watched(number: u32) -> u64 {
        Self::WATCHED | u64::from(number)
    }

    /// What the kernel carries for one of a task's sockets.
    pub fn of(self, stream: StreamIndex) -> u64 {
        // INVARIANT: neither number has more bits than there is room for.
        debug_assert!(self.slot <= SLOT_MASK && self.generation <= SLOT_MASK, "{self:?}");
        u64::from(stream.0) << 56
            | u64::from(self.shard) << 48
            | u64::from(self.slot) << SLOT_BITS
            | u64::from(self.generation)
    }

    /// Reads what the kernel has carried.
    pub fn read(data: u64) -> Target {
        match data >> 56 {
            0xFF => Target::Wake,
            0xF0 => Target::Watched(data as u32),
            _ => Target::Task {
                token: Self {
                    shard: (data >> 48) as u8,
                    slot: (data >> SLOT_BITS) as u32 & SLOT_MASK,
                    generation: data as u32 & SLOT_MASK,
                },
                stream: StreamIndex((data >> 56) as u8),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gives_back_what_it_was_given() {
        let token = Token { shard: 255, slot: SLOT_MASK, generation: SLOT_MASK - 1 };
        for stream in [StreamIndex::CLIENT, StreamIndex::LINK] {
            assert_eq!(Token::read(token.of(stream)), Target::Task { token, stream });
        }
        assert_eq!(Token::read(Token::watched(u32::MAX)), Target::Watched(u32::MAX));
        assert_eq!(Token::read(Token::WAKE), Target::Wake);
    }
}
