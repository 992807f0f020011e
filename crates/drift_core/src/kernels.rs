//! Vector arithmetic on slices, written once per instruction set and chosen once per process.
//!
//! Layer 1. The only unsafe code of the engine lives in this folder, behind safe functions that check every length.
//! `quant`, the structures and the search import [`kernels`] and the free functions here, never a file below.
//!
//! Each instruction set is one table of function pointers ([`Kernels`]). The scalar table is the oracle of the tests.
//! Invariants: integer kernels, [`Kernels::widen`], [`Kernels::hadamard`], [`Kernels::sq8_encode`] and
//! [`Kernels::bits_encode`] give the same bits on every instruction set, so that files and filters agree between machines;
//! sums of f32 products differ by rounding only.
//!
//! The byte products follow the "7-bit query" form: stored codes are u8, query codes stay within
//! `-`[`QUERY_CODE_MAX`]`..=`[`QUERY_CODE_MAX`], so that the 16-bit pair sums of `vpmaddubsw` (at most 2 * 255 * 63 =
//! 32,130) never saturate and AVX2 agrees with `vpdpbusd`.
#![allow(unsafe_code)] // SIMD loads and calls of functions compiled for a detected instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod half;
mod matrix;
mod scalar;
#[cfg(test)]
mod tests;

pub use matrix::dots;

use crate::error::{Error, Result};
use crate::types::LINE_BYTES;
use std::sync::OnceLock;

/// Largest magnitude of a query code of [`Kernels::sq8_dot`].
pub const QUERY_CODE_MAX: i8 = 63;

/// Lengths of byte codes are multiples of this: one AVX2 register, half a cache line.
pub const CODE_ALIGN: usize = 32;

/// The environment variable that forces an instruction set: `scalar`, `avx2`, `avxvnni` or `avx512`.
pub const SIMD_VARIABLE: &str = "DRIFT_SIMD";

/// Integer sums of an encoded row, see [`Kernels::sq8_encode`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeSums {
    /// `sum (code - 128)`.
    pub sum: i64,
    /// `sum (code - 128)^2`.
    pub squares: i64,
}

/// What [`Kernels::bits_encode`] sums up over a residual `r = x - c` with signs `b`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ResidualSums {
    /// `|r|^2`.
    pub norm2: f32,
    /// `sum |r_i|`.
    pub absolute: f32,
    /// `<c - origin, b>`.
    pub signed_centre: f32,
    /// `<c - origin, r>`.
    pub product: f32,
}

/// Entries of a block of 1-bit codes.
///
/// A block is, for every 16 dimensions, one line of 64 bytes: byte `16 s + e % 16` holds in its lower (e < 16) or upper half
/// the four bits of entry `e` for dimensions `4 s .. 4 s + 4` of the line; then 32 numbers A and 32 numbers B, the upper
/// halves of f32. One order serves 16-, 32- and 64-byte registers (FastScan; Andre et al. 2015).
///
/// Behind whole blocks there may be half a block, for 16 entries: byte `16 s + e` of a line for every 32 dimensions holds
/// in its lower half entry `e`'s bits for dimensions `4 s .. 4 s + 4` of the line, in its upper half those for the same
/// dimensions plus 16; then 16 numbers A and 16 numbers B.
pub const BLOCK_ENTRIES: usize = 32;

/// Entries of half a block.
pub const HALF_ENTRIES: usize = BLOCK_ENTRIES / 2;

/// Dimensions that take whole lines in both kinds of blocks; codes are padded to a multiple.
pub const BLOCK_DIMS: usize = 32;

/// Bytes of half a block whose query has a table of so many bytes.
pub const fn half_block_bytes(table_bytes: usize) -> usize {
    table_bytes / 2 + 2 * 2 * HALF_ENTRIES
}

/// Lines whose table values can be summed in a byte without overflow: every value is at most [`table_levels`].
const BYTE_SUM_LINES: usize = 24;

/// Largest value of a table of `lines` lines.
pub fn table_levels(lines: usize) -> u8 {
    (255 / lines.clamp(1, BYTE_SUM_LINES)) as u8
}

/// How the sum of an entry's table values becomes `<q, b>` of the query with its signs: `offset + step * sum`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TableScale {
    /// `<q, b>` of an entry whose values are all 0.
    pub offset: f32,
    /// What one level adds.
    pub step: f32,
}

/// An entry survives a scan when `A < limit + B * (offset + step * sum)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockLimit {
    /// The threshold less what all entries of the bucket have in common.
    pub limit: f32,
    /// The table's offset plus the allowance for the error of the codes.
    pub offset: f32,
    /// The table's step.
    pub step: f32,
}

/// The kernels of one instruction set. Every function panics when the lengths of its slices do not fit together.
#[derive(Debug)]
pub struct Kernels {
    /// Name of the instruction set, as `DRIFT_SIMD` takes it.
    pub name: &'static str,
    /// `|a - b|^2` of two vectors of equal length, any length.
    pub l2: fn(a: &[f32], b: &[f32]) -> f32,
    /// `<a, b>` of two vectors of equal length, any length.
    pub dot: fn(a: &[f32], b: &[f32]) -> f32,
    /// The values of half-precision floats, little-endian and at any address; two bytes for each of `out`.
    pub widen: fn(bytes: &[u8], out: &mut [f32]),
    /// `sum codes[i] * query[i]`, exact. The length is a multiple of [`CODE_ALIGN`] and query codes are 7 bits wide
    /// ([`QUERY_CODE_MAX`]); wider ones give an unspecified number on AVX2.
    pub sq8_dot: fn(codes: &[u8], query: &[i8]) -> i32,
    /// [`Kernels::sq8_dot`] of each of `out.len()` rows that lie one behind the other.
    pub sq8_dots: fn(codes: &[u8], query: &[i8], out: &mut [i32]),
    /// [`Kernels::sq8_dot`] of each of some rows with each of some queries, `stride` codes each, that lie one behind the other:
    /// `out[query * rows + row]`. Codes are read once for four queries.
    pub sq8_products: fn(codes: &[u8], queries: &[i8], stride: usize, out: &mut [i32]),
    /// Encodes `values` as `clamp(round_ties_even((x - mid) * scale), -128, 127) + 128`; `codes` is as long.
    pub sq8_encode: fn(values: &[f32], mid: f32, scale: f32, codes: &mut [u8]) -> CodeSums,
    /// Smallest and largest of `values`; `(inf, -inf)` when empty. Values are finite.
    pub min_max: fn(values: &[f32]) -> (f32, f32),
    #[allow(clippy::type_complexity)] // As for bits_scan.
    /// Writes the signs of `row - centre`, four a byte, lowest bit first, set where not negative. All three vectors have one length;
    /// `signs` has a byte for every four dimensions begun.
    pub bits_encode: fn(row: &[f32], centre: &[f32], origin: &[f32], signs: &mut [u8]) -> ResidualSums,
    /// Builds the lookup table of 1-bit codes for `query`, see [`TableScale`]; `table` has two lines for every
    /// [`BLOCK_DIMS`] dimensions begun.
    pub bits_table: fn(query: &[f32], table: &mut [u8]) -> TableScale,
    /// Whether each of the [`BLOCK_ENTRIES`] entries of each block may be nearer than a limit, see [`BlockLimit`]: bit `e` of
    /// `masks[b]`. The last block may be half a block. The cache lines of `ahead` are asked for on the
    /// way, one for each that is read, so that memory always has something to do and never too much.
    #[allow(clippy::type_complexity)] // Named arguments say more than a name for the type.
    pub bits_scan: fn(blocks: &[u8], table: &[u8], limit: BlockLimit, ahead: &[u8], masks: &mut [u32]),
    /// `A - B * (offset + step * sum)` of each entry of each block, the last of which may be half a block.
    pub bits_estimates: fn(blocks: &[u8], table: &[u8], scale: TableScale, out: &mut [f32]),
    /// Turns estimates of whole blocks into scores, `estimate * weight + (offset + addend)`, and writes the least score of each
    /// block to `minima`. `addends` are as many as scores, or none when nothing is to be added.
    pub block_scores: fn(scores: &mut [f32], weight: f32, offset: f32, addends: &[f32], minima: &mut [f32]),
    /// Writes the indices of the values in `low..high` to the beginning of `found`, in ascending order, and counts them. Both
    /// slices are equally long.
    pub between: fn(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize,
    /// Multiplies by `weights` one by one, then applies the unnormalised Walsh-Hadamard transform in place. Both slices
    /// have the same power of two as length.
    pub hadamard: fn(values: &mut [f32], weights: &[f32]),
}

/// The kernels that this process uses: the best that the processor has, or what `DRIFT_SIMD` forces.
///
/// A value of `DRIFT_SIMD` that cannot be honoured is reported by [`simd`]; this function then stays with the best.
pub fn kernels() -> &'static Kernels {
    match choice() {
        Ok(table) => table,
        Err(_) => best(),
    }
}

/// The same table as [`kernels`], or the reason why `DRIFT_SIMD` cannot be honoured. Checked when a database opens.
pub fn simd() -> Result<&'static Kernels> {
    choice().as_ref().copied().map_err(|message| Error::invalid(message.clone()))
}

/// Every table that this processor can run, slowest first; the first is the scalar oracle.
pub fn available() -> Vec<&'static Kernels> {
    #[allow(unused_mut)] // Other processors have the scalar table alone.
    let mut tables = vec![&scalar::KERNELS];
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        if avx2 {
            tables.push(&avx2::KERNELS);
        }
        if avx2 && is_x86_feature_detected!("avxvnni") {
            tables.push(&avx2::VNNI_KERNELS);
        }
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        if avx2 && avx512 {
            tables.push(&avx512::KERNELS);
        }
    }
    tables
}

fn best() -> &'static Kernels {
    available().last().copied().unwrap_or(&scalar::KERNELS)
}

fn choice() -> &'static std::result::Result<&'static Kernels, String> {
    static CHOICE: OnceLock<std::result::Result<&'static Kernels, String>> = OnceLock::new();
    #[allow(clippy::disallowed_methods)] // The one setting that must hold before any Config exists: it names the CPU.
    CHOICE.get_or_init(|| match std::env::var(SIMD_VARIABLE) {
        Ok(name) => select(&name),
        Err(std::env::VarError::NotPresent) => Ok(best()),
        Err(std::env::VarError::NotUnicode(name)) => select(&name.to_string_lossy()),
    })
}

/// The table called `name`, or a message that lists what this processor has. An empty name means the best.
fn select(name: &str) -> std::result::Result<&'static Kernels, String> {
    if name.is_empty() {
        return Ok(best());
    }
    let tables = available();
    tables.iter().copied().find(|table| table.name == name).ok_or_else(|| {
        let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
        format!("{SIMD_VARIABLE} is {name:?}: this processor offers {}", names.join(", "))
    })
}

/// Asks for the cache lines of `bytes` ahead of their use. Never faults and changes no result.
#[inline(always)]
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        // SAFETY: prefetching is defined for any address; SSE is part of x86-64.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// The door of [`Kernels::sq8_dot`]: what its unchecked loads rely on.
#[inline(always)]
fn check_codes(codes: &[u8], query: &[i8], rows: usize) {
    assert!(query.len().is_multiple_of(CODE_ALIGN), "codes come in multiples of {CODE_ALIGN} bytes");
    assert_eq!(Some(codes.len()), rows.checked_mul(query.len()), "rows * stride codes");
}

/// The door of [`Kernels::sq8_products`]; the number of rows.
#[inline(always)]
fn check_products(codes: &[u8], queries: &[i8], stride: usize, out: &[i32]) -> usize {
    assert!(stride > 0 && stride.is_multiple_of(CODE_ALIGN), "codes come in multiples of {CODE_ALIGN} bytes");
    assert!(codes.len().is_multiple_of(stride) && queries.len().is_multiple_of(stride), "whole rows and queries");
    let rows = codes.len() / stride;
    assert_eq!(Some(out.len()), rows.checked_mul(queries.len() / stride), "rows * queries products");
    rows
}

/// The door of the two-vector kernels.
#[inline(always)]
fn check_pair<A, B>(a: &[A], b: &[B]) {
    assert_eq!(a.len(), b.len(), "slices of equal length");
}

/// The door of [`Kernels::bits_encode`].
#[inline(always)]
fn check_residual(row: &[f32], centre: &[f32], origin: &[f32], signs: &[u8]) {
    check_pair(row, centre);
    check_pair(row, origin);
    assert_eq!(signs.len(), row.len().div_ceil(4), "a byte for every four dimensions");
}

/// The door of [`Kernels::bits_table`].
#[inline(always)]
fn check_table(query: &[f32], table: &[u8]) {
    assert_eq!(table.len(), query.len().div_ceil(BLOCK_DIMS) * 2 * LINE_BYTES, "two lines for every 32 dimensions");
}

/// The door of the block kernels.
#[inline(always)]
fn check_blocks(blocks: &[u8], table: &[u8], halves: usize) {
    assert!(table.len().is_multiple_of(2 * LINE_BYTES), "whole lines");
    assert_eq!(Some(blocks.len()), halves.checked_mul(half_block_bytes(table.len())), "whole and half blocks");
}

/// The door of [`Kernels::block_scores`].
#[inline(always)]
fn check_scores(scores: &[f32], addends: &[f32], minima: &[f32]) {
    assert_eq!(Some(scores.len()), minima.len().checked_mul(BLOCK_ENTRIES), "a least score for every block");
    assert!(addends.is_empty() || addends.len() == scores.len(), "an addend for every score, or none");
}

/// Whole blocks, and the half one behind them or nothing.
#[inline(always)]
fn split_blocks<'a>(blocks: &'a [u8], table: &[u8]) -> (std::slice::ChunksExact<'a, u8>, &'a [u8]) {
    let blocks = blocks.chunks_exact(2 * half_block_bytes(table.len()));
    let half = blocks.remainder();
    (blocks, half)
}

/// Number of half blocks in `blocks`.
#[inline(always)]
fn half_blocks(blocks: &[u8], table: &[u8]) -> usize {
    blocks.len() / half_block_bytes(table.len())
}

/// The door of [`Kernels::hadamard`].
#[inline(always)]
fn check_hadamard(values: &[f32], weights: &[f32]) {
    assert!(values.len().is_power_of_two(), "the length of a Hadamard transform is a power of two");
    check_pair(values, weights);
}
