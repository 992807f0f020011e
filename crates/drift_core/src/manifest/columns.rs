//! Small files of plain columns that a manifest names: bucket files and tombstone files.
//!
//! Layer 4. A bucket file holds the buckets that one commit defined: ids, spreads, rotated centroids. A tombstone file
//! holds the deletes of one flush: ids and seqs.

use crate::error::Result;
use crate::format::{ByteReader, ByteWriter, FileKind, Header, frame, unframe};
use crate::storage::{Backend, names};
use crate::types::{BucketId, IdType, Ids, Seq};

/// Writes bucket file `number`: `centroids` has one row of equal length per id.
pub fn write_buckets(
    backend: &dyn Backend,
    number: u64,
    owner: u128,
    ids: &[BucketId],
    spread: &[f32],
    centroids: &[f32],
) -> Result<()> {
    let mut writer = ByteWriter::new();
    writer.u64(ids.len() as u64);
    writer.u64((centroids.len() / ids.len().max(1)) as u64);
    ids.iter().for_each(|id| writer.u32(id.0));
    writer.raw(bytemuck::cast_slice(spread));
    writer.raw(bytemuck::cast_slice(centroids));
    put(backend, FileKind::Buckets, names::BUCKETS, number, owner, writer)
}

/// Ids, spreads and centroids of bucket file `number`.
pub fn read_buckets(
    backend: &dyn Backend,
    number: u64,
    owner: u128,
    dim: usize,
) -> Result<(Vec<BucketId>, Vec<f32>, Vec<f32>)> {
    get(backend, FileKind::Buckets, names::BUCKETS, number, owner, |reader| {
        let (count, width) = (reader.u64()? as usize, reader.u64()? as usize);
        if count > 0 && width != dim {
            return Err(reader.corrupt(format!("centroids of dimension {width} in a collection of {dim}")));
        }
        let ids = reader.array_of::<u32>(count)?.into_iter().map(BucketId).collect();
        let spread = reader.array_of(count)?;
        let values = count.checked_mul(dim).ok_or_else(|| reader.corrupt("impossible bucket count"))?;
        Ok((ids, spread, reader.array_of(values)?))
    })
}

/// Writes tombstone file `number`.
pub fn write_tombstones(backend: &dyn Backend, number: u64, owner: u128, ids: &Ids, seqs: &[Seq]) -> Result<()> {
    let mut writer = ByteWriter::new();
    writer.u64(seqs.len() as u64);
    writer.raw(bytemuck::cast_slice(seqs));
    writer.ids(ids);
    put(backend, FileKind::Tombstones, names::TOMBSTONES, number, owner, writer)
}

/// Ids and seqs of tombstone file `number`.
pub fn read_tombstones(backend: &dyn Backend, number: u64, owner: u128, id_type: IdType) -> Result<(Ids, Vec<Seq>)> {
    get(backend, FileKind::Tombstones, names::TOMBSTONES, number, owner, |reader| {
        let count = reader.u64()? as usize;
        let seqs = reader.array_of(count)?;
        Ok((reader.ids(id_type, count)?, seqs))
    })
}

fn put(backend: &dyn Backend, kind: FileKind, folder: &str, number: u64, owner: u128, body: ByteWriter) -> Result<()> {
    let header = Header { kind, owner, file: u128::from(number) };
    backend.put_if_absent(&names::numbered(folder, number), &frame(&header, &body.into_bytes()))
}

fn get<T>(
    backend: &dyn Backend,
    kind: FileKind,
    folder: &str,
    number: u64,
    owner: u128,
    parse: impl FnOnce(&mut ByteReader<'_>) -> Result<T>,
) -> Result<T> {
    let header = Header { kind, owner, file: u128::from(number) };
    let name = names::numbered(folder, number);
    let bytes = backend.read(&name)?;
    let name = format!("{}/{name}", backend.describe());
    let mut reader = ByteReader::new(unframe(&header, &bytes, &name)?, &name, 72);
    let value = parse(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryBackend;
    use crate::types::StrIds;

    #[test]
    fn columns_come_back_and_damage_is_found() {
        let backend = MemoryBackend::named("");
        write_buckets(&backend, 1, 9, &[BucketId(3), BucketId(5)], &[0.5, 0.25], &[1.0, 2.0, 3.0, 4.0]).expect("write");
        let (ids, spread, centroids) = read_buckets(&backend, 1, 9, 2).expect("read");
        assert_eq!((ids, spread), (vec![BucketId(3), BucketId(5)], vec![0.5, 0.25]));
        assert_eq!(centroids, [1.0, 2.0, 3.0, 4.0]);
        assert!(read_buckets(&backend, 1, 9, 3).is_err(), "another dimension");
        assert!(read_buckets(&backend, 1, 8, 2).is_err(), "another collection");

        let mut names = StrIds::default();
        ["a", "ö"].iter().for_each(|name| names.push(name));
        let ids = Ids::Str(names);
        write_tombstones(&backend, 2, 9, &ids, &[7, 8]).expect("write");
        assert_eq!(read_tombstones(&backend, 2, 9, IdType::Str).expect("read"), (ids, vec![7, 8]));
    }
}
