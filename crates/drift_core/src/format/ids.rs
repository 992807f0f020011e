//! Columns of ids as bytes: the one layout that the log and tombstone files share.
//!
//! Layer 2. Integers are i64 each; strings are the u32 end offset of each, then the text of all.

use super::{ByteReader, ByteWriter};
use crate::error::Result;
use crate::types::{IdRef, IdType, Ids};

/// How an id type is stored: 1 int, 2 string.
pub fn id_type_code(id_type: IdType) -> u8 {
    match id_type {
        IdType::Int => 1,
        IdType::Str => 2,
    }
}

/// Bytes that [`write_ids`] appends.
pub fn ids_bytes(ids: &Ids) -> usize {
    match ids {
        Ids::Int(ids) => 8 * ids.len(),
        Ids::Str(ids) => (0..ids.len()).map(|row| 4 + ids.get(row).len()).sum(),
    }
}

/// Appends a column of ids.
pub fn write_ids(out: &mut ByteWriter, ids: &Ids) {
    match ids {
        Ids::Int(ids) => out.column(ids),
        Ids::Str(ids) => {
            let mut end = 0;
            for row in 0..ids.len() {
                end += ids.get(row).len() as u32;
                out.u32(end);
            }
            for row in 0..ids.len() {
                out.bytes(ids.get(row).as_bytes());
            }
        }
    }
}

/// Reads a column of `count` ids and checks each.
pub fn read_ids(reader: &mut ByteReader<'_>, count: usize, id_type: IdType) -> Result<Ids> {
    let start = reader.clone();
    let ids = match id_type {
        IdType::Int => Ids::Int(reader.column(count)?),
        IdType::Str => {
            let ends: Vec<u32> = reader.column(count)?;
            let text = reader.bytes(ends.last().map_or(0, |&end| end as usize))?;
            let text = std::str::from_utf8(text).map_err(|error| start.corrupt(error))?;
            let mut ids = Ids::empty(id_type);
            let mut from = 0;
            for end in ends {
                let id =
                    text.get(from..end as usize).ok_or_else(|| start.corrupt("ends of string ids do not ascend"))?;
                ids.push(IdRef::Str(id));
                from = end as usize;
            }
            ids
        }
    };
    ids.validate(id_type).map_err(|error| start.corrupt(error))?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn columns_come_back(
            texts in prop::collection::vec("\\PC{1,9}", 0..20),
            ints in prop::collection::vec(0i64.., 0..20),
        ) {
            let mut strings = Ids::empty(IdType::Str);
            texts.iter().for_each(|text| strings.push(IdRef::Str(text)));
            for ids in [strings, Ids::Int(ints)] {
                let mut out = ByteWriter::new();
                write_ids(&mut out, &ids);
                prop_assert_eq!(out.len(), ids_bytes(&ids));
                let mut reader = ByteReader::new("f", 0, out.as_slice());
                prop_assert_eq!(read_ids(&mut reader, ids.len(), ids.id_type()).unwrap(), ids);
                reader.finish().unwrap();
            }
        }

        #[test]
        fn garbage_never_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            count in 0usize..12,
            huge in any::<usize>(),
        ) {
            for id_type in [IdType::Int, IdType::Str] {
                for count in [count, huge] {
                    let _ = read_ids(&mut ByteReader::new("f", 0, &bytes), count, id_type);
                }
            }
        }
    }
}
