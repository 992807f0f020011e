//! SIMD on slices: squared L2 and dot on f32, integer dot products of SQ8 codes.
//!
//! Layer 1, and the only place with `unsafe`. One table of functions is chosen per process from what the processor
//! has; `DRIFT_SIMD=scalar|avx2|avx512` forces one. `scalar` is the oracle: integer kernels give the same bits on every
//! instruction set, float kernels differ by rounding only (stated in the tests). Everything above calls [`kernels`].
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod gemm;
mod prefetch;
mod scalar;

pub use gemm::products;
pub use prefetch::prefetch;

use crate::error::{Error, Result};
use std::sync::OnceLock;

/// SQ8 codes and queries are padded to a multiple of this many bytes, so that no kernel has a tail.
pub const CODE_ALIGN: usize = 32;

/// Largest magnitude of a quantised query value. Seven bits keep `vpmaddubsw` (u8 x i8 summed in pairs into i16) from
/// saturating: 2 * 255 * 63 < 2^15. The same range is used on every instruction set, so answers do not depend on the
/// machine.
pub const QUERY_CODE_MAX: i32 = 63;

/// Dot product or squared distance of two equally long f32 slices.
pub type F32Kernel = fn(&[f32], &[f32]) -> f32;

/// The kernels of one instruction set.
pub struct Kernels {
    /// Its name, as `DRIFT_SIMD` takes it.
    pub name: &'static str,
    /// Squared Euclidean distance. Panics when the lengths differ.
    pub l2: F32Kernel,
    /// Inner product. Panics when the lengths differ.
    pub dot: F32Kernel,
    /// Integer inner products of one query with the codes of consecutive rows: `out[r] = sum_i codes[r][i] * query[i]`.
    /// The query's length is the row stride, a multiple of [`CODE_ALIGN`], its values within [`QUERY_CODE_MAX`].
    /// Panics when `codes.len() != out.len() * query.len()`.
    pub sq8_dots: fn(codes: &[u8], query: &[i8], out: &mut [i32]),
}

/// The kernels of this process.
pub fn kernels() -> &'static Kernels {
    chosen().as_ref().unwrap_or(&&scalar::KERNELS)
}

/// Fails when `DRIFT_SIMD` asks for what the processor does not have. Checked once, when a database is opened.
pub fn check() -> Result<()> {
    chosen().as_ref().map(|_| ()).map_err(|message| Error::invalid(message.clone()))
}

/// Every instruction set that this processor has, scalar first.
pub fn available() -> Vec<&'static Kernels> {
    let mut tables = vec![&scalar::KERNELS];
    #[cfg(target_arch = "x86_64")]
    {
        if avx2::is_available() {
            tables.push(&avx2::KERNELS);
        }
        if avx512::is_available() {
            tables.push(&avx512::KERNELS);
        }
    }
    tables
}

fn chosen() -> &'static std::result::Result<&'static Kernels, String> {
    static CHOSEN: OnceLock<std::result::Result<&'static Kernels, String>> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        // The one setting that must hold for the whole process, before any Config exists.
        #[allow(clippy::disallowed_methods)]
        let forced = std::env::var("DRIFT_SIMD").ok().filter(|name| !name.is_empty());
        choose(forced.as_deref())
    })
}

fn choose(forced: Option<&str>) -> std::result::Result<&'static Kernels, String> {
    let tables = available();
    let names: Vec<_> = tables.iter().map(|table| table.name).collect();
    match forced {
        None => Ok(tables[tables.len() - 1]),
        Some(name) => tables.iter().copied().find(|table| table.name == name).ok_or_else(|| {
            format!("DRIFT_SIMD is {name:?}: this processor has {}; unset it to use the best", names.join(", "))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn relative(value: f32, expected: f32, scale: f32) -> f32 {
        (value - expected).abs() / scale.max(f32::MIN_POSITIVE)
    }

    proptest! {
        #[test]
        fn f32_kernels_agree_with_scalar_within_rounding(
            pairs in prop::collection::vec((-10.0f32..10.0, -10.0f32..10.0), 0..700)
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let scale = a.iter().zip(&b).map(|(a, b)| a * a + b * b).sum::<f32>();
            for table in available() {
                let bound = 1e-6 * (a.len() as f32).sqrt().max(1.0);
                prop_assert!(relative((table.l2)(&a, &b), (scalar::KERNELS.l2)(&a, &b), scale) <= bound);
                prop_assert!(relative((table.dot)(&a, &b), (scalar::KERNELS.dot)(&a, &b), scale) <= bound);
            }
        }

        #[test]
        fn sq8_dots_are_the_same_bits_on_every_instruction_set(
            rows in 0usize..12, lines in 1usize..26, seed in any::<u64>()
        ) {
            let mut rng = crate::clock::rng(seed);
            use rand::RngExt;
            let stride = lines * CODE_ALIGN;
            let extreme = seed % 3 == 0;
            let codes: Vec<u8> = (0..rows * stride).map(|_| if extreme { 255 } else { rng.random() }).collect();
            let query: Vec<i8> = (0..stride)
                .map(|_| if extreme { 63 } else { rng.random_range(-63..=63) })
                .collect();
            let mut expected = vec![0; rows];
            (scalar::KERNELS.sq8_dots)(&codes, &query, &mut expected);
            for table in available() {
                let mut out = vec![0; rows];
                (table.sq8_dots)(&codes, &query, &mut out);
                prop_assert_eq!(&out, &expected, "{}", table.name);
            }
        }
    }

    #[test]
    fn forcing_an_unknown_instruction_set_names_what_there_is() {
        let message = choose(Some("neon")).err().expect("neon is not a table of this crate");
        assert!(message.contains("scalar"), "{message}");
        assert_eq!(choose(Some("scalar")).map(|table| table.name), Ok("scalar"));
    }
}
