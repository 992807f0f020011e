//! The bitstore: where the newest flushed row of an id is, as bucket and seq, in O(1) and at most 16 bytes a row.
//!
//! Layer 4. Derived data: rebuilt from the segments when it is missing, checkpointed so that opening need not. An id is
//! known here by 28 bits of its hash, so an answer is a candidate that the caller checks against the row: at a million rows
//! one lookup in 300 meets a false one, at a hundred million one in three. Written under the collection's write lock, read by anyone.

mod file;
mod shard;

use crate::sync::RwLock;
use crate::types::{BucketId, Seq};
use shard::{Shard, Slot};

/// Shards, by the top eight bits of the hash. A shard grows on its own, so growth never stalls for more than a 256th of
/// the rows.
const SHARDS: usize = 256;

/// Largest seq that fits a slot's 44 bits: at a hundred thousand writes a second, five and a half years.
pub const SEQ_MAX: Seq = (1 << shard::SEQ_BITS) - 1;

/// Map from id hash to bucket and seq.
pub struct Bitstore {
    shards: Vec<RwLock<Shard>>,
}

impl Default for Bitstore {
    fn default() -> Bitstore {
        Bitstore { shards: (0..SHARDS).map(|_| RwLock::new(Shard::default())).collect() }
    }
}

impl Bitstore {
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.shards[(hash >> 56) as usize]
    }

    /// Offers each entry that `hash` may stand for, until `accept` takes one.
    pub fn candidates(&self, hash: u64, mut accept: impl FnMut(BucketId, Seq) -> bool) {
        self.shard(hash).read().find(hash, |slot| accept(slot.bucket, slot.seq));
    }

    /// Adds an entry. There must be none for the same row.
    pub fn insert(&self, hash: u64, bucket: BucketId, seq: Seq) {
        self.shard(hash).write().insert(hash, Slot { bucket, seq });
    }

    /// Makes the entry of `hash` with `old` point elsewhere; false if there is none.
    pub fn replace(&self, hash: u64, old: Seq, bucket: BucketId, seq: Seq) -> bool {
        self.shard(hash).write().replace(hash, old, Slot { bucket, seq })
    }

    /// Removes the entry of `hash` with `seq`; false if there is none.
    pub fn remove(&self, hash: u64, seq: Seq) -> bool {
        self.shard(hash).write().remove(hash, seq)
    }

    /// Whether the entry of `hash` with `seq` is there.
    pub fn contains(&self, hash: u64, seq: Seq) -> bool {
        self.shard(hash).read().find(hash, |slot| slot.seq == seq)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::IdRef;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn found(store: &Bitstore, hash: u64, seq: Seq) -> Option<BucketId> {
        let mut bucket = None;
        store.candidates(hash, |candidate, at| {
            if at == seq {
                bucket = Some(candidate);
            }
            at == seq
        });
        bucket
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map(steps in prop::collection::vec((0u64..60, 0u8..3, any::<bool>()), 1..600)) {
            let store = Bitstore::default();
            let mut model: HashMap<u64, (u64, u32)> = HashMap::new();
            for (step, (key, action, collide)) in steps.into_iter().enumerate() {
                // Hashes that share shard, place and tag with many others, and hashes that do not.
                let hash = if collide { key / 20 } else { IdRef::Int(key as i64).hash64() };
                let (id, seq) = (key * 2 + u64::from(collide), step as u64 + 1);
                match (action, model.get(&id).copied()) {
                    (0, Some((old, _))) => {
                        prop_assert!(store.remove(hash, old));
                        model.remove(&id);
                    }
                    (_, Some((old, _))) => {
                        prop_assert!(store.replace(hash, old, BucketId(seq as u32), seq));
                        model.insert(id, (seq, seq as u32));
                    }
                    (_, None) => {
                        store.insert(hash, BucketId(seq as u32), seq);
                        model.insert(id, (seq, seq as u32));
                    }
                }
                prop_assert!(!store.remove(hash, 1 << 40));
            }
            prop_assert_eq!(store.len(), model.len());
            for (id, (seq, bucket)) in model {
                let key = id / 2;
                let hash = if id % 2 == 1 { key / 20 } else { IdRef::Int(key as i64).hash64() };
                prop_assert_eq!(found(&store, hash, seq), Some(BucketId(bucket)));
            }
        }
    }

    #[test]
    fn a_row_costs_at_most_sixteen_bytes() {
        let store = Bitstore::default();
        for row in 0..400_000i64 {
            store.insert(IdRef::Int(row).hash64(), BucketId(row as u32), row as u64 + 1);
            if row > 50_000 && row % 10_000 == 0 {
                let each = store.bytes() as f64 / row as f64;
                assert!(each <= 16.0, "{each} bytes at {row} rows");
            }
        }
        let probes: usize = (0..1_000i64)
            .map(|row| {
                let mut probes = 0;
                store.candidates(IdRef::Int(row).hash64(), |_, seq| {
                    probes += 1;
                    seq == row as u64 + 1
                });
                probes
            })
            .sum();
        assert!(probes < 1_020, "{probes} candidates for 1,000 ids");
    }
}
