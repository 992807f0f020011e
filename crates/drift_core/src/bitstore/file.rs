//! Checkpoints of the bitstore.
//!
//! Layer 4. Slots of each shard as they are (docs/format.md); which segments they cover is said by the manifest.

use super::shard::{SEQ_BITS, Shard};
use super::{Bitstore, SHARDS};
use crate::error::Result;
use crate::format::{ByteWriter, FileId, Header, magic, open_sealed, seal};
use crate::storage::{Backend, names};
use crate::sync::RwLock;

impl Bitstore {
    /// Writes checkpoint `number`.
    pub fn write(&self, backend: &dyn Backend, number: u64, owner: u128) -> Result<()> {
        let mut writer = ByteWriter::new();
        for shard in &self.shards {
            let shard = shard.read();
            writer.u64(shard.len() as u64);
            shard.slots().for_each(|(word, _)| writer.u64(word));
            shard.slots().for_each(|(_, bucket)| writer.u32(bucket));
        }
        let header = Header::new(magic::BITSTORE, owner, FileId::numbered(&magic::BITSTORE, owner, number));
        backend.put_if_absent(&names::bitstore(number), &seal(&header, writer.as_slice()))
    }

    /// Reads checkpoint `number`.
    pub fn read(backend: &dyn Backend, number: u64, owner: u128) -> Result<Bitstore> {
        let name = names::bitstore(number);
        let bytes = backend.read_sealed(&name)?;
        let expected = Some((owner, FileId::numbered(&magic::BITSTORE, owner, number)));
        let (_, mut reader) = open_sealed(&name, &bytes, &magic::BITSTORE, expected)?;
        let mut shards = Vec::with_capacity(SHARDS);
        for _ in 0..SHARDS {
            let count = usize::try_from(reader.u64()?).map_err(|_| reader.corrupt("impossible entry count"))?;
            let words: Vec<u64> = reader.column(count)?;
            let buckets: Vec<u32> = reader.column(count)?;
            let ordered = words.windows(2).all(|pair| pair[0] >> SEQ_BITS <= pair[1] >> SEQ_BITS);
            if !ordered || words.iter().any(|word| *word << (64 - SEQ_BITS) == 0) {
                return Err(reader.corrupt("entries are out of order"));
            }
            let slots: Vec<(u64, u32)> = words.into_iter().zip(buckets).collect();
            shards.push(RwLock::new(Shard::from_slots(&slots)));
        }
        reader.finish()?;
        Ok(Bitstore { shards })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryBackend;
    use crate::types::{BucketId, IdRef};

    #[test]
    fn a_checkpoint_holds_every_entry() {
        let (store, backend) = (Bitstore::default(), MemoryBackend::open("", true, false).expect("a store"));
        (1..5_000).for_each(|row| store.insert(IdRef::Int(row).hash64(), BucketId(row as u32 / 7), row as u64));
        store.write(&backend, 3, 1).expect("write");
        let back = Bitstore::read(&backend, 3, 1).expect("read");
        assert_eq!(back.len(), 4_999);
        assert!((1..5_000).all(|row| back.contains(IdRef::Int(row).hash64(), row as u64)));
        assert!(Bitstore::read(&backend, 3, 2).is_err(), "another collection's");
    }
}
