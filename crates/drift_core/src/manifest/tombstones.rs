//! Tombstone files: deleted ids with the seq of their deletion.
//!
//! Layer 4. Sealed (`format::seal`), written by a flush, read at open. A tombstone hides every version of its id with a
//! lower seq; the file is dropped once no such version can exist any more.
//!
//! ```text
//!  0  count      4          8            seqs   8 count   (offsets within the body)
//!  4  id type    1          8 + 8 count  ids    int: i64 each; string: u32 end offset each, then the text
//!  5  zero       3
//! ```

use crate::error::{Error, Result};
use crate::format::{ByteWriter, FileId, Header, id_type_code, magic, open_sealed, read_ids, seal, write_ids};
use crate::storage::{Backend, names};
use crate::types::{IdType, Ids, Seq};

/// Deleted ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TombstoneFile {
    /// The ids.
    pub ids: Ids,
    /// Seq of each deletion.
    pub seqs: Vec<Seq>,
}

impl TombstoneFile {
    /// Writes the tombstones as file `number` of the collection `identity`; durable on return.
    pub fn write(&self, backend: &dyn Backend, number: u64, identity: u128) -> Result<()> {
        if self.ids.len() != self.seqs.len() || u32::try_from(self.ids.len()).is_err() {
            return Err(Error::internal(format!("{} tombstones with {} seqs", self.ids.len(), self.seqs.len())));
        }
        backend.put_if_absent(&names::tombstones(number), &self.encode(number, identity))
    }

    /// Reads tombstone file `number`.
    pub fn read(backend: &dyn Backend, number: u64, identity: u128, id_type: IdType) -> Result<TombstoneFile> {
        let name = names::tombstones(number);
        TombstoneFile::decode(&name, &backend.read_sealed(&name)?, number, identity, id_type)
    }

    fn encode(&self, number: u64, identity: u128) -> Vec<u8> {
        let mut body = ByteWriter::new();
        body.u32(self.ids.len() as u32);
        body.u8(id_type_code(self.ids.id_type()));
        body.zeros(3);
        body.column(&self.seqs);
        write_ids(&mut body, &self.ids);
        let file = FileId::numbered(&magic::TOMBSTONES, identity, number);
        seal(&Header::new(magic::TOMBSTONES, identity, file), body.as_slice())
    }

    pub(super) fn decode(
        name: &str,
        bytes: &[u8],
        number: u64,
        identity: u128,
        id_type: IdType,
    ) -> Result<TombstoneFile> {
        let file = FileId::numbered(&magic::TOMBSTONES, identity, number);
        let (_, mut body) = open_sealed(name, bytes, &magic::TOMBSTONES, Some((identity, file)))?;
        let start = body.clone();
        let count = body.u32()? as usize;
        if body.u8()? != id_type_code(id_type) {
            return Err(start.corrupt("the tombstones have another id type than the collection"));
        }
        body.zeros(3)?;
        let seqs: Vec<Seq> = body.column(count)?;
        let ids = read_ids(&mut body, count, id_type)?;
        body.finish()?;
        if seqs.contains(&0) {
            return Err(start.corrupt("a tombstone has seq 0"));
        }
        Ok(TombstoneFile { ids, seqs })
    }
}
