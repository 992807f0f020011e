//! New segments and bucket files of a commit under way.
//!
//! Layer 5. What flush, bulk load and optimize have in common between placing rows and committing a manifest.

use super::{BucketTable, CollectionState, LiveSegment};
use crate::config::ExactRows;
use crate::error::Result;
use crate::format::FileId;
use crate::manifest::{BucketFile, Manifest, SegmentEntry};
use crate::segment::{PayloadSource, SegmentWriter};
use crate::types::{Column, Columns, ElementType, Field};
use std::sync::atomic::Ordering;

impl CollectionState {
    /// Begins a segment with room for `rows`.
    pub fn begin_segment(&self, element_type: ElementType, rows: usize) -> Result<SegmentWriter> {
        let id = FileId(self.components.identities.draw());
        SegmentWriter::create(&*self.backend, self.identity, id, &self.schema, element_type, rows)
    }

    /// Makes a segment durable, with the payload of its rows; the entry is for the manifest under way. Tombstone files below `settled` say
    /// nothing of its rows.
    pub fn end_segment(
        &self,
        writer: SegmentWriter,
        payload: &dyn PayloadSource,
        settled: u64,
    ) -> Result<(SegmentEntry, LiveSegment)> {
        let mut segment = writer.finish(&*self.backend, payload)?;
        if self.config.exact_rows == ExactRows::Memory {
            segment.keep_rows()?;
        }
        let file = segment.file();
        self.counters.segment_bytes_written.fetch_add(file.length, Ordering::Relaxed);
        let entry = SegmentEntry { file: file.id, length: file.length, digest: file.digest, rows: file.rows, settled };
        Ok((entry, LiveSegment::new(segment)))
    }

    /// Writes the buckets of `table` as a file of the manifest under way; tells its bytes.
    pub fn add_bucket_file(&self, table: &BucketTable, manifest: &mut Manifest) -> Result<u64> {
        let number = manifest.take_file_number();
        let file =
            BucketFile { ids: table.ids.clone(), centroids: table.centroids.clone(), spread: table.spread.clone() };
        let bytes = file.write(&*self.backend, number, self.identity, self.schema.dim)?;
        manifest.bucket_files.push(number);
        if let Some(last) = table.ids.last() {
            manifest.next_bucket = manifest.next_bucket.max(last.0 + 1);
        }
        Ok(bytes)
    }
}

/// Payload of rows that are written in another order.
pub struct Ordered<'a> {
    /// Of the rows.
    pub columns: &'a Columns,
    /// Row numbers in the order of the segment.
    pub order: &'a [u32],
}

impl PayloadSource for Ordered<'_> {
    fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(|(name, column)| Field { name: name.to_owned(), kind: column.kind() }).collect()
    }

    fn column(&self, field: &Field) -> Result<Column> {
        let mut out = Column::new(field.kind);
        if let Some(column) = self.columns.get(&field.name) {
            self.order.iter().for_each(|&row| out.push(column.get(row as usize)));
        }
        Ok(out)
    }
}
