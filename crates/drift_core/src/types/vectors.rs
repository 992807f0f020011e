//! Borrowed row-major vectors as callers give them: f32 or f16.
//!
//! Layer 0. The element type is kept as given, through the log and into the cold block, so f16 data is never doubled
//! in size and never rounded twice.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Type of a vector's elements in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
}

impl ElementType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            ElementType::F32 => 4,
            ElementType::F16 => 2,
        }
    }
}

/// Row-major `(n, dim)` vectors, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Vectors<'a> {
    /// `n * dim` f32 values.
    F32(&'a [f32]),
    /// `n * dim` f16 values.
    F16(&'a [f16]),
}

impl<'a> Vectors<'a> {
    /// Type of the elements.
    pub fn element_type(&self) -> ElementType {
        match self {
            Vectors::F32(_) => ElementType::F32,
            Vectors::F16(_) => ElementType::F16,
        }
    }

    /// Number of values, `n * dim`.
    pub fn values(&self) -> usize {
        match self {
            Vectors::F32(values) => values.len(),
            Vectors::F16(values) => values.len(),
        }
    }

    /// The values `start..end`, for instance `row * dim..(row + 1) * dim`.
    pub fn slice(&self, start: usize, end: usize) -> Vectors<'a> {
        match self {
            Vectors::F32(values) => Vectors::F32(&values[start..end]),
            Vectors::F16(values) => Vectors::F16(&values[start..end]),
        }
    }

    /// Little-endian bytes, as stored.
    pub fn as_bytes(&self) -> &'a [u8] {
        match self {
            Vectors::F32(values) => bytemuck::cast_slice(values),
            Vectors::F16(values) => bytemuck::cast_slice(values),
        }
    }

    /// Writes all values as f32 into `out`, which has `values()` elements.
    pub fn copy_to_f32(&self, out: &mut [f32]) {
        match self {
            Vectors::F32(values) => out.copy_from_slice(values),
            Vectors::F16(values) => values.convert_to_f32_slice(out),
        }
    }
}

/// Row-major vectors, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum VectorBuf {
    /// f32 values.
    F32(Vec<f32>),
    /// f16 values.
    F16(Vec<f16>),
}

impl VectorBuf {
    /// An empty buffer with room for `values`.
    pub fn with_capacity(element_type: ElementType, values: usize) -> VectorBuf {
        match element_type {
            ElementType::F32 => VectorBuf::F32(Vec::with_capacity(values)),
            ElementType::F16 => VectorBuf::F16(Vec::with_capacity(values)),
        }
    }

    /// Borrows the values.
    pub fn as_ref(&self) -> Vectors<'_> {
        match self {
            VectorBuf::F32(values) => Vectors::F32(values),
            VectorBuf::F16(values) => Vectors::F16(values),
        }
    }

    /// Type of the elements.
    pub fn element_type(&self) -> ElementType {
        self.as_ref().element_type()
    }

    /// Number of values.
    pub fn values(&self) -> usize {
        self.as_ref().values()
    }

    /// Appends values. An f16 buffer that is given f32 values becomes an f32 buffer: nothing is rounded.
    pub fn extend(&mut self, more: &Vectors<'_>) {
        if let (VectorBuf::F16(values), Vectors::F32(_)) = (&*self, more) {
            let mut widened = vec![0.0; values.len()];
            Vectors::F16(values).copy_to_f32(&mut widened);
            *self = VectorBuf::F32(widened);
        }
        match (self, more) {
            (VectorBuf::F32(values), Vectors::F32(more)) => values.extend_from_slice(more),
            (VectorBuf::F16(values), Vectors::F16(more)) => values.extend_from_slice(more),
            (VectorBuf::F32(values), more) => {
                let start = values.len();
                values.resize(start + more.values(), 0.0);
                more.copy_to_f32(&mut values[start..]);
            }
            (VectorBuf::F16(_), Vectors::F32(_)) => unreachable!("widened above"),
        }
    }

    /// Replaces the values from `start`. An f16 buffer that is given f32 values becomes an f32 buffer.
    pub fn overwrite(&mut self, start: usize, with: &Vectors<'_>) {
        if let (VectorBuf::F16(_), Vectors::F32(_)) = (&*self, with) {
            self.extend(&Vectors::F32(&[]));
        }
        match (self, with) {
            (VectorBuf::F32(values), with) => with.copy_to_f32(&mut values[start..start + with.values()]),
            (VectorBuf::F16(values), Vectors::F16(with)) => values[start..start + with.len()].copy_from_slice(with),
            (VectorBuf::F16(_), Vectors::F32(_)) => unreachable!("widened above"),
        }
    }
}
