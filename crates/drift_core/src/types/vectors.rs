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
