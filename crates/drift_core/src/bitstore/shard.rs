//! One shard: an open-addressing table of 12-byte slots, ordered within their probe sequences.
//!
//! Layer 4. A slot is 20 bits of hash and 44 of seq in a u64 (0 = empty), and the bucket in a u32. Its home is its hash
//! bits scaled to the capacity, so a slot can be re-homed from what it holds and a shard grows by any factor: 1.12 keeps
//! the load above 0.8 and a row at 15 bytes. Linear probing without wrap-around (spare slots stand behind the
//! last home) keeps slots sorted by hash bits, so a search ends at the first greater one.

use crate::types::{BucketId, Seq};

/// Bits of a seq.
pub const SEQ_BITS: u32 = 44;

/// Bits of the hash that a slot keeps.
const HASH_BITS: u32 = 20;

/// Largest share of slots in use.
const LOAD_MAX: f64 = 0.9;

/// Growth factor.
const GROWTH: f64 = 1.12;

/// Slots behind the last home, beside a 64th of the homes.
const SPARE_MIN: usize = 4;

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its bucket.
    pub bucket: BucketId,
    /// Its seq.
    pub seq: Seq,
}

/// A part of the bitstore.
#[derive(Default)]
pub struct Shard {
    words: Vec<u64>,
    buckets: Vec<u32>,
    homes: usize,
    len: usize,
}

fn bits(hash: u64) -> u64 {
    hash >> 36 & ((1 << HASH_BITS) - 1)
}

fn bits_of(word: u64) -> u64 {
    word >> SEQ_BITS
}

fn seq_of(word: u64) -> Seq {
    word & ((1 << SEQ_BITS) - 1)
}

impl Shard {
    /// Entries in use.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        8 * self.words.capacity() + 4 * self.buckets.capacity()
    }

    fn with_homes(homes: usize) -> Shard {
        let slots = homes + SPARE_MIN + homes / 64;
        Shard { words: vec![0; slots], buckets: vec![0; slots], homes, len: 0 }
    }

    fn home(&self, bits: u64) -> usize {
        (bits as usize * self.homes) >> HASH_BITS
    }

    /// Offers the slots of `hash` until `accept` takes one; whether it did.
    pub fn find(&self, hash: u64, accept: impl FnMut(Slot) -> bool) -> bool {
        self.place(hash, accept).is_some()
    }

    fn place(&self, hash: u64, mut accept: impl FnMut(Slot) -> bool) -> Option<usize> {
        let bits = bits(hash);
        let start = if self.homes == 0 { return None } else { self.home(bits) };
        for (at, &word) in self.words.iter().enumerate().skip(start) {
            if word == 0 || bits_of(word) > bits {
                return None;
            }
            if bits_of(word) == bits && accept(Slot { bucket: BucketId(self.buckets[at]), seq: seq_of(word) }) {
                return Some(at);
            }
        }
        None
    }

    /// Adds a slot.
    pub fn insert(&mut self, hash: u64, slot: Slot) {
        if (self.len + 1) as f64 > LOAD_MAX * self.homes as f64 {
            self.grow();
        }
        let word = bits(hash) << SEQ_BITS | slot.seq;
        while !self.try_insert(word, slot.bucket.0) {
            self.grow();
        }
    }

    /// Adds a slot in order; false when the run of used slots reaches the end of the table.
    fn try_insert(&mut self, word: u64, bucket: u32) -> bool {
        let mut at = self.home(bits_of(word));
        while at < self.words.len() && self.words[at] != 0 && bits_of(self.words[at]) <= bits_of(word) {
            at += 1;
        }
        let Some(free) = (at..self.words.len()).find(|&at| self.words[at] == 0) else { return false };
        self.words.copy_within(at..free, at + 1);
        self.buckets.copy_within(at..free, at + 1);
        (self.words[at], self.buckets[at]) = (word, bucket);
        self.len += 1;
        true
    }

    /// Points the slot of `hash` with `old` elsewhere.
    pub fn replace(&mut self, hash: u64, old: Seq, slot: Slot) -> bool {
        let Some(at) = self.place(hash, |found| found.seq == old) else { return false };
        self.words[at] = bits(hash) << SEQ_BITS | slot.seq;
        self.buckets[at] = slot.bucket.0;
        true
    }

    /// Removes the slot of `hash` with `seq`; those behind it move back towards their homes.
    pub fn remove(&mut self, hash: u64, seq: Seq) -> bool {
        let Some(mut at) = self.place(hash, |found| found.seq == seq) else { return false };
        while at + 1 < self.words.len() {
            let next = self.words[at + 1];
            if next == 0 || self.home(bits_of(next)) > at {
                break;
            }
            (self.words[at], self.buckets[at]) = (next, self.buckets[at + 1]);
            at += 1;
        }
        self.words[at] = 0;
        self.len -= 1;
        true
    }

    fn grow(&mut self) {
        let mut homes = ((self.homes as f64 * GROWTH) as usize).max(self.homes + 4).max(8);
        let old: Vec<(u64, u32)> = self.slots().collect();
        loop {
            // Exact capacities: a vector's own doubling would cost more than the table saves.
            *self = Shard::with_homes(homes);
            if old.iter().all(|&(word, bucket)| self.try_insert(word, bucket)) {
                return;
            }
            homes += homes / 8 + 1;
        }
    }

    /// Words and buckets of the slots in use.
    pub fn slots(&self) -> impl Iterator<Item = (u64, u32)> {
        self.words.iter().zip(&self.buckets).filter(|(word, _)| **word != 0).map(|(word, bucket)| (*word, *bucket))
    }

    /// A shard with these slots.
    pub fn from_slots(slots: &[(u64, u32)]) -> Shard {
        let homes = ((slots.len() as f64 / LOAD_MAX * 1.02) as usize).max(8);
        let mut shard = Shard::with_homes(homes);
        for &(word, bucket) in slots {
            while !shard.try_insert(word, bucket) {
                shard.grow();
            }
        }
        shard
    }
}
