//! Bucket files: centroid and spread of the buckets that one commit defines.
//!
//! Layer 4. Sealed (`format::seal`), written once, read at open. Ids ascend, so that two files can be merged and a
//! bucket found by bisection; centroids live in rotated space.
//!
//! ```text
//!  0  count      4         8 + 4 count                  centroids   4 dim count
//!  4  dim        4         8 + 4 count (1 + dim)        spreads     4 count
//!  8  ids        4 count   (offsets within the body)
//! ```

use crate::error::Result;
use crate::format::{ByteWriter, FileId, Header, magic, open_sealed, seal};
use crate::storage::{Backend, names};
use crate::types::BucketId;

/// Buckets that one commit defines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BucketFile {
    /// Ids, ascending.
    pub ids: Vec<BucketId>,
    /// Rotated centroids, `ids.len() * dim`.
    pub centroids: Vec<f32>,
    /// Mean squared residual of each bucket.
    pub spread: Vec<f32>,
}

impl BucketFile {
    /// Writes the buckets as file `number` of the collection `identity`, durable on return; tells the bytes written.
    pub fn write(&self, backend: &dyn Backend, number: u64, identity: u128, dim: usize) -> Result<u64> {
        let bytes = self.encode(number, identity, dim);
        backend.put_if_absent(&names::buckets(number), &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Reads bucket file `number`.
    pub fn read(backend: &dyn Backend, number: u64, identity: u128, dim: usize) -> Result<BucketFile> {
        let name = names::buckets(number);
        BucketFile::decode(&name, &backend.read_sealed(&name)?, number, identity, dim)
    }

    fn encode(&self, number: u64, identity: u128, dim: usize) -> Vec<u8> {
        let count = self.ids.len();
        assert!(
            self.centroids.len() == count * dim
                && self.spread.len() == count
                && self.ids.is_sorted_by(|before, after| before < after),
            "invariant: whoever defines buckets gives each an id above the last, a centroid and a spread"
        );
        let mut body = ByteWriter::with_capacity(8 + 4 * count * (dim + 2));
        body.u32(count as u32);
        body.u32(dim as u32);
        self.ids.iter().for_each(|id| body.u32(id.0));
        body.column(&self.centroids);
        body.column(&self.spread);
        let file = FileId::numbered(&magic::BUCKETS, identity, number);
        seal(&Header::new(magic::BUCKETS, identity, file), body.as_slice())
    }

    pub(super) fn decode(name: &str, bytes: &[u8], number: u64, identity: u128, dim: usize) -> Result<BucketFile> {
        let file = FileId::numbered(&magic::BUCKETS, identity, number);
        let (_, mut body) = open_sealed(name, bytes, &magic::BUCKETS, Some((identity, file)))?;
        let start = body.clone();
        let (count, found_dim) = (body.u32()? as usize, body.u32()? as usize);
        if found_dim != dim {
            return Err(start.corrupt(format_args!("the buckets have dimension {found_dim}, not {dim}")));
        }
        let ids: Vec<u32> = body.column(count)?;
        let centroids: Vec<f32> = body.column(count.saturating_mul(dim))?;
        let spread: Vec<f32> = body.column(count)?;
        body.finish()?;
        if !ids.is_sorted_by(|before, after| before < after) {
            return Err(start.corrupt("bucket ids do not ascend"));
        }
        if !centroids.iter().chain(&spread).all(|value| value.is_finite()) {
            return Err(start.corrupt("a centroid or spread is not finite"));
        }
        Ok(BucketFile { ids: ids.into_iter().map(BucketId).collect(), centroids, spread })
    }
}
