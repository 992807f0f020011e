//! Every instruction set of this machine against the scalar oracle: integers and transforms to the bit, float sums
//! within rounding, at odd lengths and unaligned starts.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn oracle() -> &'static Kernels {
    available()[0]
}

fn query_code() -> impl Strategy<Value = i8> {
    -QUERY_CODE_MAX..=QUERY_CODE_MAX
}

proptest! {
    #[test]
    fn float_kernels_agree_with_the_oracle(
        pairs in vec((-10.0f32..10.0, -10.0f32..10.0), 0..700),
        start in 0usize..4,
    ) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let (a, b) = (&a[start.min(a.len())..], &b[start.min(b.len())..]);
        let magnitude: f64 = a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
        let products: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
        let scale: f64 = a.iter().zip(b).map(|(&x, &y)| (f64::from(x) * f64::from(y)).abs()).sum();
        for table in available() {
            prop_assert!((f64::from((table.l2)(a, b)) - magnitude).abs() <= 1e-5 * magnitude + 1e-6, "{}", table.name);
            prop_assert!((f64::from((table.dot)(a, b)) - products).abs() <= 1e-5 * scale + 1e-6, "{}", table.name);
        }
    }

    #[test]
    fn halves_are_widened_to_the_bit(bits in vec(any::<u16>(), 0..100), start in 0usize..2) {
        // A signalling NaN may come out quiet; vectors have none.
        let values: Vec<::half::f16> = bits.into_iter().map(::half::f16::from_bits).filter(|value| !value.is_nan()).collect();
        let mut bytes = vec![0; start];
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        for table in available() {
            let mut out = vec![7.0; values.len()];
            (table.widen)(&bytes[start..], &mut out);
            let same = out.iter().zip(&values).all(|(out, value)| out.to_bits() == value.to_f32().to_bits());
            prop_assert!(same, "{}", table.name);
        }
    }

    #[test]
    fn sq8_products_are_exact(
        (rows, stride, codes, query) in (0usize..11, (0usize..15).prop_map(|units| units * CODE_ALIGN))
            .prop_flat_map(|(rows, stride)| {
                (Just(rows), Just(stride), vec(any::<u8>(), rows * stride), vec(query_code(), stride))
            }),
    ) {
        let mut expected = vec![0i32; rows];
        for (row, sum) in expected.iter_mut().enumerate() {
            let codes = &codes[row * stride..][..stride];
            *sum = codes.iter().zip(&query).map(|(&code, &query)| i32::from(code) * i32::from(query)).sum();
        }
        for table in available() {
            let mut out = vec![-1; rows];
            (table.sq8_dots)(&codes, &query, &mut out);
            prop_assert_eq!(&out, &expected, "{}", table.name);
            for (row, &sum) in expected.iter().enumerate() {
                prop_assert_eq!((table.sq8_dot)(&codes[row * stride..][..stride], &query), sum, "{}", table.name);
            }
        }
    }

    #[test]
    fn products_of_rows_and_queries_are_those_of_each_pair(
        (stride, codes, queries) in (0usize..11, 0usize..11, (1usize..8).prop_map(|units| units * CODE_ALIGN))
            .prop_flat_map(|(rows, count, stride)| {
                (Just(stride), vec(any::<u8>(), rows * stride), vec(query_code(), count * stride))
            }),
    ) {
        let pairs = queries.chunks_exact(stride).flat_map(|query| codes.chunks_exact(stride).map(move |row| (row, query)));
        let expected: Vec<i32> = pairs.map(|(row, query)| (oracle().sq8_dot)(row, query)).collect();
        for table in available() {
            let mut out = vec![-1; expected.len()];
            (table.sq8_products)(&codes, &queries, stride, &mut out);
            prop_assert_eq!(&out, &expected, "{}", table.name);
        }
    }

    #[test]
    fn signs_and_sums_of_residuals_are_those_of_the_definition(
        values in vec((-3.0f32..3.0, -3.0f32..3.0, -1.0f32..1.0), 0..150),
    ) {
        let row: Vec<f32> = values.iter().map(|value| value.0).collect();
        let centre: Vec<f32> = values.iter().map(|value| value.1).collect();
        let origin: Vec<f32> = values.iter().map(|value| value.2).collect();
        let mut signs = vec![255; values.len().div_ceil(4)];
        let sums = (oracle().bits_encode)(&row, &centre, &origin, &mut signs);
        let mut expected = vec![0u8; signs.len()];
        let (mut norm2, mut absolute, mut signed_centre, mut product) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
        for (at, &(row, centre, origin)) in values.iter().enumerate() {
            let (residual, centre) = (f64::from(row - centre), f64::from(centre - origin));
            expected[at / 4] |= u8::from(residual >= 0.0) << (at % 4);
            norm2 += residual * residual;
            absolute += residual.abs();
            signed_centre += if residual >= 0.0 { centre } else { -centre };
            product += residual * centre;
        }
        prop_assert_eq!(&signs, &expected);
        for (found, expected) in [
            (sums.norm2, norm2),
            (sums.absolute, absolute),
            (sums.signed_centre, signed_centre),
            (sums.product, product),
        ] {
            prop_assert!((f64::from(found) - expected).abs() < 0.01, "{} is {}", found, expected);
        }
        for table in available() {
            let mut other = vec![255; signs.len()];
            prop_assert_eq!((table.bits_encode)(&row, &centre, &origin, &mut other), sums, "{}", table.name);
            prop_assert_eq!(&other, &signs, "{}", table.name);
        }
    }

    #[test]
    fn encoding_and_range_are_the_same_on_every_table(
        values in vec(-3.0f32..3.0, 0..300), mid in -1.0f32..1.0, scale in 0.0f32..200.0,
    ) {
        let mut expected = vec![0; values.len()];
        let sums = (oracle().sq8_encode)(&values, mid, scale, &mut expected);
        let range = (oracle().min_max)(&values);
        for table in available() {
            let mut codes = vec![0; values.len()];
            prop_assert_eq!((table.sq8_encode)(&values, mid, scale, &mut codes), sums, "{}", table.name);
            prop_assert_eq!(&codes, &expected, "{}", table.name);
            prop_assert_eq!((table.min_max)(&values), range, "{}", table.name);
        }
    }

    #[test]
    fn hadamard_is_the_same_on_every_table(
        (values, weights) in (0u32..11).prop_flat_map(|log| {
            (vec(-1.0f32..1.0, 1usize << log), vec(-2.0f32..2.0, 1usize << log))
        }),
    ) {
        let mut expected = values.clone();
        (oracle().hadamard)(&mut expected, &weights);
        for table in available() {
            let mut out = values.clone();
            (table.hadamard)(&mut out, &weights);
            prop_assert_eq!(&out, &expected, "{}", table.name);
        }
    }

    #[test]
    fn blocks_of_bits_are_the_same_on_every_table(
        (query, lines, blocks) in (1usize..900, 0usize..8).prop_flat_map(|(dim, blocks)| {
            let lines = dim.div_ceil(BLOCK_DIMS) * 2;
            let bytes = blocks * half_block_bytes(lines * LINE_BYTES);
            (vec(-1.0f32..1.0, dim), Just(lines), vec(any::<u8>(), bytes))
        }),
        limit in -2.0f32..2.0, allowance in 0.0f32..1.0,
    ) {
        let half = half_block_bytes(lines * LINE_BYTES);
        let mut blocks = blocks;
        let halves = blocks.len() / half;
        for (at, block) in blocks.chunks_mut(2 * half).enumerate() {
            let codes = if 2 * at + 1 < halves { lines } else { lines / 2 } * LINE_BYTES;
            // Numbers A and B of any sign below 4: the others would only compare infinities.
            block[codes..].chunks_exact_mut(2).for_each(|number| number[1] &= 0xbf);
        }
        let count = halves.div_ceil(2);
        let mut table = vec![0; lines * LINE_BYTES];
        let scale = (oracle().bits_table)(&query, &mut table);
        let limit = BlockLimit { limit, offset: scale.offset + allowance, step: scale.step };
        let (mut masks, mut estimates) = (vec![0; count], vec![0.0; halves * HALF_ENTRIES]);
        (oracle().bits_scan)(&blocks, &table, limit, &[], &mut masks);
        (oracle().bits_estimates)(&blocks, &table, scale, &mut estimates);
        for tables in available() {
            let mut other = vec![1; table.len()];
            prop_assert_eq!((tables.bits_table)(&query, &mut other), scale, "{}", tables.name);
            prop_assert_eq!(&other, &table, "{}", tables.name);
            let (mut other_masks, mut other_estimates) = (vec![7; count], vec![7.0; halves * HALF_ENTRIES]);
            (tables.bits_scan)(&blocks, &table, limit, &blocks, &mut other_masks);
            (tables.bits_estimates)(&blocks, &table, scale, &mut other_estimates);
            prop_assert_eq!(&other_masks, &masks, "{}", tables.name);
            prop_assert_eq!(&other_estimates, &estimates, "{}", tables.name);
        }
    }

    #[test]
    fn scores_and_the_least_of_each_block_are_the_same_on_every_table(
        (estimates, addends) in (0usize..5).prop_flat_map(|blocks| {
            let entries = blocks * BLOCK_ENTRIES;
            (vec(-1.0f32..1.0, entries), prop_oneof![vec(-1.0f32..1.0, entries), Just(Vec::new())])
        }),
        weight in 0.5f32..1.0, offset in -1.0f32..1.0,
    ) {
        let expected: Vec<f32> = (0..estimates.len())
            .map(|at| estimates[at] * weight + (offset + addends.get(at).unwrap_or(&0.0)))
            .collect();
        for table in available() {
            let (mut scores, mut minima) = (estimates.clone(), vec![f32::NAN; estimates.len() / BLOCK_ENTRIES]);
            (table.block_scores)(&mut scores, weight, offset, &addends, &mut minima);
            prop_assert_eq!(&scores, &expected, "{}", table.name);
            for (scores, least) in scores.chunks(BLOCK_ENTRIES).zip(minima) {
                prop_assert_eq!(scores.iter().copied().reduce(f32::min), Some(least), "{}", table.name);
            }
        }
    }

    #[test]
    fn between_finds_the_same_on_every_table(
        values in vec(-1.0f32..1.0, 0..200), low in -1.0f32..1.0, span in 0.0f32..1.0,
    ) {
        let high = low + span;
        let expected: Vec<u32> =
            (0..values.len() as u32).filter(|&at| (low..high).contains(&values[at as usize])).collect();
        for table in available() {
            let mut found = vec![u32::MAX; values.len()];
            let count = (table.between)(&values, low, high, &mut found);
            prop_assert_eq!(&found[..count], &expected[..], "{}", table.name);
        }
    }

    #[test]
    fn matrix_products_agree_with_dot(
        (dim, rows, columns) in (1usize..70, 0usize..9, 0usize..20).prop_flat_map(|(dim, rows, columns)| {
            (Just(dim), vec(-1.0f32..1.0, rows * dim), vec(-1.0f32..1.0, columns * dim))
        }),
    ) {
        let count = columns.len() / dim;
        let mut out = vec![f32::NAN; rows.len() / dim * count];
        dots(&rows, &columns, dim, &mut out);
        for (i, row) in rows.chunks_exact(dim).enumerate() {
            for (j, column) in columns.chunks_exact(dim).enumerate() {
                prop_assert!((out[i * count + j] - (oracle().dot)(row, column)).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn extreme_codes_do_not_saturate() {
    for (code, query) in [(255u8, QUERY_CODE_MAX), (255, -QUERY_CODE_MAX), (0, QUERY_CODE_MAX)] {
        let (codes, queries) = (vec![code; 16_384], vec![query; 16_384]);
        for table in available() {
            assert_eq!(
                (table.sq8_dot)(&codes, &queries),
                i32::from(code) * i32::from(query) * 16_384,
                "{}",
                table.name
            );
        }
    }
}

#[test]
fn hadamard_twice_is_the_length() {
    for table in available() {
        let mut values: Vec<f32> = (0..256).map(|i| (i as f32 * 0.37).sin()).collect();
        let expected: Vec<f32> = values.iter().map(|value| value * 256.0).collect();
        let ones = vec![1.0; 256];
        (table.hadamard)(&mut values, &ones);
        (table.hadamard)(&mut values, &ones);
        for (value, expected) in values.iter().zip(&expected) {
            assert!((value - expected).abs() < 1e-3, "{}", table.name);
        }
    }
}

#[test]
fn unknown_instruction_set_is_refused_and_named() {
    let message = select("altivec").expect_err("no such table");
    assert!(message.contains("altivec") && message.contains("scalar"), "{message}");
    assert_eq!(select("scalar").map(|table| table.name), Ok("scalar"));
    assert_eq!(select("").map(|table| table.name), Ok(best().name));
}

#[test]
#[should_panic(expected = "rows * stride codes")]
fn codes_of_the_wrong_length_are_refused() {
    (kernels().sq8_dots)(&[0; 63], &[0; 32], &mut [0; 2]);
}

#[test]
#[should_panic(expected = "slices of equal length")]
fn vectors_of_different_length_are_refused() {
    (kernels().l2)(&[0.0; 3], &[0.0; 4]);
}
