//! Opens a segment file: trailer, footer, then the hot part into memory, each byte checked.
//!
//! Layer 4. Sizes are checked against the file's length before anything is allocated.

use super::bloom::Bloom;
use super::codes::Codes;
use super::footer::{self, BLOCKS, Footer, PayloadColumn, RAW, Section, TRAILER_BYTES};
use super::pages::{PAGE, Pages};
use super::payload::StoredColumn;
use super::{Assembled, Hot, RunEntry, Segment, SegmentFile, cold_stride};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{ByteReader, FileId, HEADER_BYTES, Header, magic, read_ids};
use crate::quant::sq8::code_stride;
use crate::storage::{Backend, names};
use crate::types::{ElementType, Field, FieldType, IdType, Precision, Schema};
use std::collections::HashSet;

impl Segment {
    /// Opens the segment that a manifest of the collection `owner` names.
    pub fn open(backend: &dyn Backend, owner: u128, file: SegmentFile, schema: &Schema) -> Result<Segment> {
        let object = names::segment(file.id);
        let name = format!("{}/{object}", backend.describe());
        let handle = backend.open(&object)?;
        if handle.len() != file.length || file.length < (PAGE + TRAILER_BYTES) as u64 {
            return Err(Error::corrupt(format!(
                "{name} has {} bytes, the manifest says {}",
                handle.len(),
                file.length
            )));
        }
        let mut trailer = [0; TRAILER_BYTES];
        handle.read_at(file.length - TRAILER_BYTES as u64, &mut trailer)?;
        let (offset, length, sum) = footer::decode_trailer(&trailer, file.id, file.length, &name)?;
        let mut bytes = vec![0; length as usize];
        handle.read_at(offset, &mut bytes)?;
        let (footer, sums) = footer::decode(&bytes, file.id, offset, sum, &name)?;
        if (sums.len() * PAGE) as u64 != offset {
            return Err(Error::corrupt(format!("{name} at offset {offset}: the footer has checksums of other pages")));
        }
        let pages = Pages::new(handle, name.clone(), file.id, sums);
        let mut header = [0; PAGE];
        pages.read_pages(0, &mut header)?;
        let header = Header::decode(&name, &header[..HEADER_BYTES], &magic::SEGMENT)?;
        header.check_database(&name, owner)?;
        header.check_file(&name, file.id)?;
        let loader = Loader { pages: &pages, footer: &footer, name: &name };
        let element_type = loader.check(schema, &file)?;
        let hot = loader.hot(schema)?;
        let payload = loader.payload()?;
        let parts = Assembled { dim: schema.dim, element_type, pages, payload };
        Ok(Segment::assemble(file, name, parts, hot))
    }
}

impl Segment {
    /// What a manifest would say of the segment `id`, from its own footer; the digest is not known. For salvage.
    pub fn describe(backend: &dyn Backend, id: FileId) -> Result<SegmentFile> {
        let object = names::segment(id);
        let name = format!("{}/{object}", backend.describe());
        let handle = backend.open(&object)?;
        let start = handle.len().checked_sub(TRAILER_BYTES as u64);
        let start = start.ok_or_else(|| Error::corrupt(format!("{name} ends before its trailer")))?;
        let mut trailer = [0; TRAILER_BYTES];
        handle.read_at(start, &mut trailer)?;
        let (offset, length, sum) = footer::decode_trailer(&trailer, id, handle.len(), &name)?;
        let mut bytes = vec![0; length as usize];
        handle.read_at(offset, &mut bytes)?;
        let (footer, _) = footer::decode(&bytes, id, offset, sum, &name)?;
        Ok(SegmentFile { id, length: handle.len(), digest: 0, rows: footer.rows })
    }
}

struct Loader<'a> {
    pages: &'a Pages,
    footer: &'a Footer,
    name: &'a str,
}

impl Loader<'_> {
    fn corrupt(&self, problem: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{}: {problem}", self.name))
    }

    /// Checks the footer against schema, manifest and file; returns the element type.
    fn check(&self, schema: &Schema, file: &SegmentFile) -> Result<ElementType> {
        let footer = self.footer;
        if footer.dim as usize != schema.dim || IdType::parse(&footer.id_type).ok() != Some(schema.id_type) {
            return Err(self.corrupt("the segment is of another collection: dimension or id type differ"));
        }
        if footer.rows != file.rows || footer.rows > u64::from(u32::MAX) {
            return Err(self.corrupt(format!("{} rows, the manifest says {}", footer.rows, file.rows)));
        }
        let element_type = match footer.element_bytes {
            4 => ElementType::F32,
            2 => ElementType::F16,
            other => return Err(self.corrupt(format!("elements of {other} bytes"))),
        };
        let rows = footer.rows as usize;
        let fixed = [
            (footer.vectors, rows * cold_stride(schema.dim * element_type.size())),
            (footer.seqs, rows * 8),
            (footer.codes, rows * code_stride(schema.dim)),
            (footer.factors, rows * 12),
            (footer.seconds, if schema.precision == Precision::OneBit { rows * 4 } else { 0 }),
        ];
        if let Some(column) = footer.payload.iter().find(|column| column.column.encoding > BLOCKS) {
            let problem = format!("{}: field {:?} has encoding {}", self.name, column.name, column.column.encoding);
            let advice = "a newer drift wrote it, and reads it";
            return Err(Error::new(ErrorKind::UnsupportedFormat, format!("{problem}: {advice}")));
        }
        let payload = footer.payload.iter().map(|column| Section { encoding: RAW, ..column.column });
        let all = [footer.ids, footer.runs, footer.bloom].into_iter().chain(payload);
        for (section, length) in fixed.into_iter().chain(all.map(|section| (section, section.length as usize))) {
            let end = section.offset.checked_add(section.length);
            if section.length != length as u64
                || section.encoding != RAW
                || !section.offset.is_multiple_of(PAGE as u64)
                || end.is_none_or(|end| end > self.pages.end())
            {
                return Err(self.corrupt("a section of the footer does not fit the file"));
            }
        }
        if footer.vectors.offset != PAGE as u64 {
            return Err(self.corrupt("the exact vectors do not follow the header"));
        }
        Ok(element_type)
    }

    fn payload(&self) -> Result<Vec<StoredColumn>> {
        let mut names = HashSet::new();
        let column = |column: &PayloadColumn| {
            if !names.insert(column.name.clone()) {
                return Err(self.corrupt(format!("field {:?} is there twice", column.name)));
            }
            let kind = u8::try_from(column.kind).ok().and_then(FieldType::from_code);
            let kind = kind.ok_or_else(|| self.corrupt(format!("field {:?} is of an unknown type", column.name)))?;
            if column.zone.is_some_and(|zone| !zone.is_sound(kind, self.footer.rows)) {
                return Err(self.corrupt(format!("the zone of field {:?} is none", column.name)));
            }
            let field = Field { name: column.name.clone(), kind };
            Ok(StoredColumn::new(field, column.column).with_zone(column.zone))
        };
        self.footer.payload.iter().map(column).collect()
    }

    fn bytes(&self, section: Section) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (section.length as usize).next_multiple_of(PAGE)];
        self.pages.read_pages(section.offset as usize / PAGE, &mut bytes)?;
        bytes.truncate(section.length as usize);
        Ok(bytes)
    }

    fn array<T: bytemuck::Pod>(&self, section: Section) -> Result<Vec<T>> {
        let bytes = self.bytes(section)?;
        let mut reader = ByteReader::new(self.name, section.offset, &bytes);
        let values = reader.column(bytes.len() / size_of::<T>())?;
        reader.finish()?;
        Ok(values)
    }

    fn hot(&self, schema: &Schema) -> Result<Hot> {
        let footer = self.footer;
        let rows = footer.rows as usize;
        let stride = code_stride(schema.dim);
        // The section is read with its padding, straight into place.
        let mut codes = Codes::zeroed(stride, (footer.codes.length as usize).next_multiple_of(PAGE));
        self.pages.read_pages(footer.codes.offset as usize / PAGE, codes.as_mut_slice())?;
        let ids = self.bytes(footer.ids)?;
        let mut reader = ByteReader::new(self.name, footer.ids.offset, &ids);
        let ids = read_ids(&mut reader, rows, schema.id_type)?;
        reader.finish()?;
        let hot = Hot {
            ids,
            seqs: self.array(footer.seqs)?,
            codes,
            factors: self.array(footer.factors)?,
            seconds: self.array(footer.seconds)?,
            runs: self.array(footer.runs)?,
            bloom: Bloom::from_words(self.array(footer.bloom)?),
        };
        self.check_runs(&hot)?;
        Ok(hot)
    }

    /// Runs tile the rows, in order of bucket, each in order of seq.
    fn check_runs(&self, hot: &Hot) -> Result<()> {
        let mut next = 0u32;
        for (at, run) in hot.runs.iter().enumerate() {
            let ordered = at == 0 || hot.runs[at - 1].bucket < run.bucket;
            let end = run.start.checked_add(run.rows).filter(|end| *end as usize <= hot.seqs.len());
            let (true, Some(end), true) = (ordered, end, run.start == next) else {
                return Err(self.corrupt("the run index is out of order"));
            };
            let seqs = &hot.seqs[run.start as usize..end as usize];
            if seqs.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(self.corrupt(format!("the rows of bucket {} are out of order", run.bucket)));
            }
            next = end;
        }
        if next as usize != hot.seqs.len() || hot.bloom.words().is_empty() {
            return Err(self.corrupt("the run index does not cover all rows"));
        }
        Ok(())
    }
}

// The run index is cast from bytes: its size is part of the format.
const _: () = assert!(size_of::<RunEntry>() == 12);
