//! The rate of every kernel on every instruction set of this machine, beside the bound measured in the same process.
//!
//! Criterion times the kernels; before it starts, a table gives each kernel's rate as a share of its bound, the larger of
//! `bytes / read bandwidth` and `products / peak` (PERFORMANCE.md, section 3). Both bounds are measured here with the
//! widest registers the processor has: reading for the working set in question, multiplying on registers alone. Figures
//! are the best of several rounds, because the machine is shared; a share above 1 means that the bound was measured in a
//! worse moment than the kernel.
#![allow(clippy::disallowed_methods, missing_docs)] // A benchmark measures time itself.

use criterion::{BenchmarkId, Criterion, Throughput};
use drift_core::kernels::{BLOCK_ENTRIES, BlockLimit, Kernels, available, dots};
use drift_core::quant::bits::{BitCode, Blocks, half_bytes};
use drift_core::quant::rotation::Rotation;
use drift_core::quant::sq8::{Clip, QueryCode, code_stride, encode};
use drift_core::types::{Lines, Metric};
use std::hint::black_box;
use std::time::Instant;

const DIM: usize = 384;

/// Working sets: rows of SQ8 that stay in L1, in L2, and in L3 or beyond.
const ROWS: [(&str, usize); 3] = [("L1", 64), ("L2", 1_536), ("L3+", 100_000)];

/// Working sets of 1-bit blocks in the same places.
const BLOCKS: [(&str, usize); 3] = [("L1", 16), ("L2", 400), ("L3+", 30_000)];

/// Seconds of one call, the best of several rounds of a few milliseconds each.
fn seconds(mut work: impl FnMut()) -> f64 {
    let once = Instant::now();
    work();
    let calls = (2e-3 / once.elapsed().as_secs_f64().max(1e-9)).clamp(1.0, 1e6) as usize;
    let round = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        start.elapsed().as_secs_f64() / calls as f64
    };
    (0..9).map(|_| round(&mut work)).fold(f64::INFINITY, f64::min)
}

/// What a kernel cannot exceed, measured.
mod bound {
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::*;

    fn wide() -> bool {
        drift_core::kernels::available().iter().any(|table| table.name == "avx512")
    }

    /// Reads every byte once.
    pub fn read(bytes: &[u8]) -> u64 {
        #[cfg(target_arch = "x86_64")]
        if wide() {
            // SAFETY: the avx512 table is available, so the processor has AVX-512.
            return unsafe { read_512(bytes) };
        }
        bytes.as_chunks::<8>().0.iter().fold(0, |sum, word| sum ^ u64::from_le_bytes(*word))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn read_512(bytes: &[u8]) -> u64 {
        let mut sums = [_mm512_setzero_si512(); 8];
        for block in bytes.as_chunks::<512>().0 {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the block is eight lines of 64 bytes.
                let line = unsafe { _mm512_loadu_si512(block.as_ptr().add(64 * lane).cast()) };
                *sum = _mm512_or_si512(*sum, line);
            }
        }
        sums.into_iter().fold(0, |all, sum| all | _mm512_reduce_or_epi64(sum) as u64)
    }

    /// Products of one call of [`multiply`].
    pub const PRODUCTS: f64 = 10_000.0 * 16.0;

    /// Multiply-adds on registers: 160,000 of them in units of one 64-byte register's lanes (16 floats, or 16 x 4 byte
    /// products when `bytes`).
    pub fn multiply(bytes: bool) -> i32 {
        #[cfg(target_arch = "x86_64")]
        if wide() {
            // SAFETY: the avx512 table is available, so the processor has AVX-512 with VNNI.
            return unsafe { if bytes { multiply_bytes_512() } else { multiply_floats_512() } };
        }
        i32::from(bytes)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn multiply_floats_512() -> i32 {
        let factor = _mm512_set1_ps(std::hint::black_box(0.5));
        let mut sums = [factor; 10];
        for _ in 0..1_000 {
            sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(*sum, factor, factor));
        }
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum::<f32>() as i32
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn multiply_bytes_512() -> i32 {
        let factor = _mm512_set1_epi32(std::hint::black_box(3));
        let mut sums = [factor; 10];
        for _ in 0..1_000 {
            sums.iter_mut().for_each(|sum| *sum = _mm512_dpbusd_epi32(*sum, factor, factor));
        }
        sums.into_iter().fold(0, |all, sum| all ^ _mm512_reduce_add_epi32(sum))
    }
}

/// Rotated rows of two kinds: floats and codes, with one query.
struct Data {
    floats: Vec<f32>,
    codes: Vec<u8>,
    query: Vec<f32>,
    code: QueryCode,
}

fn data(rows: usize) -> Data {
    let stride = code_stride(DIM);
    let floats: Vec<f32> =
        (0..rows.min(8_192) * DIM).map(|i| ((i * 2_654_435_761) % 1_000) as f32 / 1e3 - 0.5).collect();
    let mut codes = vec![0u8; rows * stride];
    for (row, codes) in codes.chunks_exact_mut(stride).enumerate() {
        encode(&floats[row % rows.min(8_192) * DIM..][..DIM], Clip::default(), codes);
    }
    let query = floats[..DIM].to_vec();
    let mut code = QueryCode::new(DIM);
    code.set(&query);
    Data { floats, codes, query, code }
}

fn line(what: &str, units: f64, seconds: f64, bound: f64) {
    println!("{what:<34} {:>9.1} ns {:>6.1} % of the bound", 1e9 * seconds / units, 100.0 * bound / seconds);
}

/// Prints each kernel's share of its bound.
fn print_shares() {
    let float_peak = bound::PRODUCTS / seconds(|| _ = black_box(bound::multiply(false)));
    let byte_peak = 4.0 * bound::PRODUCTS / seconds(|| _ = black_box(bound::multiply(true)));
    println!("measured peaks: {:.0} G f32 multiply-adds/s, {:.0} G byte products/s", float_peak / 1e9, byte_peak / 1e9);
    for (level, rows) in ROWS {
        let data = data(rows);
        let bandwidth = data.codes.len() as f64 / seconds(|| _ = black_box(bound::read(black_box(&data.codes))));
        println!("\n{level}: {rows} rows of {DIM}, reading {:.1} GB/s (time a row)", bandwidth / 1e9);
        let mut out = vec![0; rows];
        let bound = (data.codes.len() as f64 / bandwidth).max(data.codes.len() as f64 / byte_peak);
        for table in available() {
            let time = seconds(|| (table.sq8_dots)(black_box(&data.codes), data.code.codes(), &mut out));
            line(&format!("sq8_dots {}", table.name), rows as f64, time, bound);
        }
        let float_rows = (rows / 4).min(8_192);
        let floats = &data.floats[..float_rows * DIM];
        let bytes: &[u8] = bytemuck::cast_slice(floats);
        let bandwidth = bytes.len() as f64 / seconds(|| _ = black_box(bound::read(black_box(bytes))));
        let bound = (bytes.len() as f64 / bandwidth).max(floats.len() as f64 / float_peak);
        for table in available() {
            for (name, kernel) in [("dot", table.dot), ("l2", table.l2)] {
                let time = seconds(|| {
                    black_box(floats.chunks_exact(DIM).map(|row| kernel(row, &data.query)).sum::<f32>());
                });
                line(&format!("{name} {}", table.name), float_rows as f64, time, bound);
            }
        }
    }
    for (level, blocks) in BLOCKS {
        print_block_shares(level, blocks);
    }
    let data = data(4_096);
    println!("\nproducts of 512 rows with 80 columns (time a product of {DIM})");
    let mut out = vec![0.0; 512 * 80];
    let time = seconds(|| dots(&data.floats[..512 * DIM], &data.floats[..80 * DIM], DIM, &mut out));
    line("dots (gemm)", 512.0 * 80.0, time, (512 * 80 * DIM) as f64 / float_peak);
    println!("\nproducts of the codes of 512 rows with 64 queries (time a product of {DIM})");
    let stride = code_stride(DIM);
    let queries: Vec<i8> = data.code.codes().iter().copied().cycle().take(64 * stride).collect();
    let mut out = vec![0; 512 * 64];
    for table in available() {
        let time = seconds(|| (table.sq8_products)(black_box(&data.codes[..512 * stride]), &queries, stride, &mut out));
        line(&format!("sq8_products {}", table.name), 512.0 * 64.0, time, (512 * 64 * stride) as f64 / byte_peak);
    }
    print_query_shares(&data);
}

/// Prints the share of the bound of what is done once a query or once a row, all of it in L1: reading its arguments there.
fn print_query_shares(data: &Data) {
    let bytes: &[u8] = bytemuck::cast_slice(&data.floats[..16 * DIM]);
    let bandwidth = bytes.len() as f64 / seconds(|| _ = black_box(bound::read(black_box(bytes))));
    println!("\nonce a query or row of {DIM}, reading {:.1} GB/s in L1 (time a call)", bandwidth / 1e9);
    let (row, centre, origin) = (&data.floats[..DIM], &data.floats[DIM..2 * DIM], &data.floats[2 * DIM..3 * DIM]);
    let (mut codes, mut signs) = (vec![0u8; DIM], vec![0u8; DIM.div_ceil(4)]);
    let mut lookup = Lines::zeroed(DIM / 16 * 64);
    let (halves, mut wide) = (vec![0x35u8; 2 * DIM], vec![0.0; DIM]);
    let (mut values, weights) = (row[..256].to_vec(), vec![1.0 / 16.0; 256]);
    let (addends, mut found) = (&data.floats[..6_240], vec![0; 6_240]);
    let (mut scores, mut minima) = (data.floats[..6_240].to_vec(), vec![0.0; 6_240 / BLOCK_ENTRIES]);
    for table in available() {
        let say = |name: &str, bytes: usize, work: &mut dyn FnMut()| {
            line(&format!("{name} {}", table.name), 1.0, seconds(work), bytes as f64 / bandwidth);
        };
        say("sq8_encode", 4 * DIM, &mut || _ = black_box((table.sq8_encode)(black_box(row), 0.0, 250.0, &mut codes)));
        say("widen", 6 * DIM, &mut || (table.widen)(black_box(&halves), black_box(&mut wide)));
        say("min_max", 4 * DIM, &mut || _ = black_box((table.min_max)(black_box(row))));
        say("hadamard 256", 8 * 256, &mut || (table.hadamard)(black_box(&mut values), &weights));
        say("bits_encode", 12 * DIM, &mut || {
            _ = black_box((table.bits_encode)(black_box(row), centre, origin, &mut signs))
        });
        say("bits_table", 4 * DIM, &mut || _ = black_box((table.bits_table)(black_box(row), lookup.as_mut_slice())));
        say("block_scores 6240", 8 * 6_240, &mut || {
            (table.block_scores)(black_box(&mut scores), 0.0, 0.5, addends, &mut minima)
        });
        say("between 6240", 4 * 6_240, &mut || {
            _ = black_box((table.between)(black_box(addends), -0.5, -0.48, &mut found))
        });
    }
}

/// Prints the share of the bound of the kernels on 1-bit blocks, which are bound by reading.
fn print_block_shares(level: &str, blocks: usize) {
    let floats = data(64).floats;
    let block_bytes = 2 * half_bytes(DIM);
    let mut lines = Lines::zeroed(blocks * block_bytes);
    let mut code = BitCode::default();
    for part in lines.as_mut_slice().chunks_exact_mut(block_bytes) {
        let mut part = Blocks::clear(part, DIM);
        for at in 0..BLOCK_ENTRIES {
            code.set(Metric::L2, &floats[at * DIM..][..DIM], &floats[33 * DIM..][..DIM], &[0.0; DIM]);
            code.write(&mut part, at);
        }
    }
    let bytes = lines.as_slice();
    let bandwidth = bytes.len() as f64 / seconds(|| _ = black_box(bound::read(black_box(bytes))));
    println!(
        "\n{level}: {blocks} blocks of {BLOCK_ENTRIES} entries, reading {:.1} GB/s (time a block)",
        bandwidth / 1e9
    );
    let bound = bytes.len() as f64 / bandwidth;
    let mut table = Lines::zeroed(block_bytes - 4 * BLOCK_ENTRIES);
    let (mut masks, mut estimates) = (vec![0; blocks], vec![0.0; blocks * BLOCK_ENTRIES]);
    for kernels in available() {
        let scale = (kernels.bits_table)(&floats[..DIM], table.as_mut_slice());
        let limit = BlockLimit { limit: -1e9, offset: scale.offset, step: scale.step };
        let time = seconds(|| (kernels.bits_scan)(black_box(bytes), table.as_slice(), limit, &[], &mut masks));
        line(&format!("bits_scan {}", kernels.name), blocks as f64, time, bound);
        let time = seconds(|| (kernels.bits_estimates)(black_box(bytes), table.as_slice(), scale, &mut estimates));
        line(&format!("bits_estimates {}", kernels.name), blocks as f64, time, bound);
    }
}

fn bench_row_kernels(criterion: &mut Criterion, table: &'static Kernels) {
    let data = data(1_536);
    let mut group = criterion.benchmark_group(table.name);
    group.throughput(Throughput::Elements(1));
    let mut codes = vec![0u8; code_stride(DIM)];
    group.bench_function("sq8_dot", |bench| {
        bench.iter(|| (table.sq8_dot)(black_box(&data.codes[..codes.len()]), data.code.codes()))
    });
    group.bench_function("sq8_encode", |bench| {
        bench.iter(|| (table.sq8_encode)(black_box(&data.query), 0.0, 250.0, &mut codes[..DIM]))
    });
    group.bench_function("min_max", |bench| bench.iter(|| (table.min_max)(black_box(&data.query))));
    let mut lookup = vec![0; 24 * 64];
    group.bench_function("bits_table", |bench| bench.iter(|| (table.bits_table)(black_box(&data.query), &mut lookup)));
    let (scores, mut found) = (&data.floats[..6_240], vec![0; 6_240]);
    group.bench_function("between 6240", |bench| {
        bench.iter(|| (table.between)(black_box(scores), -0.5, -0.48, &mut found))
    });
    let weights = vec![1.0 / 16.0; 256];
    let mut values = data.query.clone();
    group.bench_function("hadamard 256", |bench| {
        bench.iter(|| (table.hadamard)(black_box(&mut values[..256]), &weights))
    });
    let mut out = vec![0; 1_536];
    group.throughput(Throughput::Bytes(data.codes.len() as u64));
    group.bench_with_input(BenchmarkId::new("sq8_dots", "L2"), &data.codes, |bench, rows| {
        bench.iter(|| (table.sq8_dots)(rows, data.code.codes(), &mut out))
    });
    group.finish();
}

fn bench_quant(criterion: &mut Criterion) {
    let data = data(64);
    let rotation = Rotation::new(DIM, 1);
    let mut values = data.query.clone();
    criterion.bench_function("rotation", |bench| bench.iter(|| rotation.apply(black_box(&mut values))));
    let mut codes = vec![0; code_stride(DIM)];
    criterion.bench_function("sq8 encode", |bench| {
        bench.iter(|| encode(black_box(&data.query), Clip::default(), &mut codes))
    });
    let mut code = QueryCode::new(DIM);
    criterion.bench_function("query code", |bench| bench.iter(|| code.set(black_box(&data.query))));
}

fn main() {
    print_shares();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(300))
        .configure_from_args();
    available().into_iter().for_each(|table| bench_row_kernels(&mut criterion, table));
    bench_quant(&mut criterion);
    criterion.final_summary();
}
