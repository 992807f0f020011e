//! Rows of a bulk load between reading and writing: chunks in memory, and beyond the memory limit in files.
//!
//! Layer 6. A chunk becomes a segment. Its vectors are a plain file of the collection's spool folder, which is emptied
//! when the load ends and when the collection is opened; ids and payload stay in memory. The file is read back once, by the process
//! that wrote it, so it carries no checksums of its own but one over the whole, kept in memory.

use crate::clock;
use crate::error::{Error, Result};
use crate::format::digest;
use crate::state::CollectionState;
use crate::storage::{Backend, names};
use crate::types::{Columns, ElementType, Ids, VectorBuf, Vectors};
use half::f16;
use rand::RngExt;
use std::sync::Arc;

/// Rows that buckets are trained on at most: 600 MB of f32 at d = 384, and eight rows for each of 50,000 buckets. As f32 they
/// take a share of the memory limit at most, as chunks do.
const SAMPLE_ROWS_MAX: usize = 400_000;

/// Rows of one chunk.
pub struct Chunk {
    /// Their ids.
    pub ids: Ids,
    /// Their vectors.
    pub vectors: VectorBuf,
    /// Their payload.
    pub payload: Columns,
}

/// Vectors that went to a file, which goes with this.
struct Stored {
    backend: Arc<dyn Backend>,
    name: String,
    element_type: ElementType,
    values: usize,
    digest: u64,
}

/// All rows of a load.
pub struct Spool<'a> {
    collection: &'a CollectionState,
    full: Vec<(Ids, Columns, Stored)>,
    open: Chunk,
    rows: usize,
    bytes_max: usize,
    sample_max: usize,
    sample: VectorBuf,
    sample_rows: usize,
    rng: clock::Rng,
}

impl<'a> Spool<'a> {
    /// An empty spool.
    pub fn new(collection: &'a CollectionState) -> Spool<'a> {
        let bytes_max = collection.config.load_bytes();
        Spool {
            collection,
            full: Vec::new(),
            open: Chunk::empty(collection),
            rows: 0,
            bytes_max,
            sample_max: (bytes_max / (4 * collection.schema.dim)).clamp(1, SAMPLE_ROWS_MAX),
            sample: VectorBuf::F16(Vec::new()),
            sample_rows: 0,
            rng: clock::rng(collection.components.seed),
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends rows.
    pub fn push(&mut self, ids: &Ids, vectors: &Vectors<'_>, payload: Option<&Columns>) -> Result<()> {
        ids.iter().for_each(|id| self.open.ids.push(id));
        self.open.vectors.extend(vectors);
        match payload {
            Some(payload) => self.open.payload.append(payload),
            None => self.open.payload.append(&Columns::new(ids.len())),
        }
        self.rows += ids.len();
        if self.open.vectors.as_ref().as_bytes().len() >= self.bytes_max { self.store() } else { Ok(()) }
    }

    /// Ends reading.
    pub fn finish(&mut self) -> Result<()> {
        if !self.full.is_empty() && !self.open.ids.is_empty() {
            self.store()?;
        }
        Ok(())
    }

    /// Moves the open chunk to a file, after taking its share of the sample.
    fn store(&mut self) -> Result<()> {
        let chunk = std::mem::replace(&mut self.open, Chunk::empty(self.collection));
        self.sample_from(&chunk);
        let name = format!("{}/{:032x}", names::SPOOL, self.collection.components.identities.draw());
        let bytes = chunk.vectors.as_ref();
        let backend = self.collection.backend.clone();
        let mut file = backend.create(&name)?;
        file.write(bytes.as_bytes())?;
        file.finish()?;
        let stored = Stored {
            backend,
            name,
            element_type: bytes.element_type(),
            values: bytes.values(),
            digest: digest(bytes.as_bytes()),
        };
        self.full.push((chunk.ids, chunk.payload, stored));
        Ok(())
    }

    /// Keeps a uniform sample of all rows (algorithm R of Vitter 1985), as f32 once it is mixed.
    fn sample_from(&mut self, chunk: &Chunk) {
        let dim = self.collection.schema.dim;
        let vectors = chunk.vectors.as_ref();
        let mut kept = std::mem::replace(&mut self.sample, VectorBuf::F16(Vec::new()));
        for row in 0..chunk.ids.len() {
            let vector = vectors.slice(row * dim, (row + 1) * dim);
            self.sample_rows += 1;
            if self.sample_rows <= self.sample_max {
                kept.extend(&vector);
            } else {
                let at = self.rng.random_range(0..self.sample_rows);
                if at < self.sample_max {
                    kept.overwrite(at * dim, &vector);
                }
            }
        }
        self.sample = kept;
    }

    /// Rows to train on, once: all of them where they fit.
    pub fn take_sample(&mut self) -> VectorBuf {
        if !self.full.is_empty() {
            return std::mem::replace(&mut self.sample, VectorBuf::F16(Vec::new()));
        }
        let dim = self.collection.schema.dim;
        let vectors = self.open.vectors.as_ref();
        if self.rows <= self.sample_max {
            let mut all = VectorBuf::with_capacity(vectors.element_type(), vectors.values());
            all.extend(&vectors);
            return all;
        }
        let mut rng = clock::rng(self.collection.components.seed);
        let mut places = rand::seq::index::sample(&mut rng, self.rows, self.sample_max).into_vec();
        places.sort_unstable();
        let mut sample = VectorBuf::with_capacity(vectors.element_type(), self.sample_max * dim);
        places.into_iter().for_each(|row| sample.extend(&vectors.slice(row * dim, (row + 1) * dim)));
        sample
    }

    /// The chunks in order, each read back when it is asked for.
    pub fn chunks(mut self) -> impl Iterator<Item = Result<Chunk>> {
        let full = std::mem::take(&mut self.full);
        let open = std::mem::replace(&mut self.open, Chunk::empty(self.collection));
        let last = (!open.ids.is_empty()).then_some(Ok(open));
        full.into_iter()
            .map(|(ids, payload, stored)| stored.read().map(|vectors| Chunk { ids, vectors, payload }))
            .chain(last)
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        // Left behind it is removed when the collection is next opened.
        let _ = self.backend.delete(&self.name);
    }
}

impl Chunk {
    fn empty(collection: &CollectionState) -> Chunk {
        Chunk {
            ids: Ids::empty(collection.schema.id_type),
            vectors: VectorBuf::F16(Vec::new()),
            payload: Columns::default(),
        }
    }
}

impl Stored {
    /// Reads the vectors back; the file goes.
    fn read(self) -> Result<VectorBuf> {
        let file = self.backend.open(&self.name)?;
        let vectors = match self.element_type {
            ElementType::F32 => {
                let mut values = vec![0.0f32; self.values];
                file.read_at(0, bytemuck::cast_slice_mut(&mut values))?;
                VectorBuf::F32(values)
            }
            ElementType::F16 => {
                let mut values = vec![f16::ZERO; self.values];
                file.read_at(0, bytemuck::cast_slice_mut(&mut values))?;
                VectorBuf::F16(values)
            }
        };
        if digest(vectors.as_ref().as_bytes()) != self.digest {
            return Err(Error::corrupt(format!(
                "{}: the spooled vectors are not the ones that were written",
                self.name
            )));
        }
        Ok(vectors)
    }
}
