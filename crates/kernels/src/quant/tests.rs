//! What holds of every kind, and the numbers that `gguf`, llama.cpp and torch computed.

use std::path::Path;

use super::*;
use crate::test_data::uniform;

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/quant").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn golden_f32(name: &str) -> Vec<f32> {
    golden(name).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn dequantized(kind: Kind, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![0.5; bytes.len() / kind.block_bytes() * kind.block_len()];
    dequantize(kind, bytes, &mut out);
    out
}

fn quantized(kind: Kind, x: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0xaa; kind.row_bytes(x.len()).expect("whole blocks")];
    quantize(kind, x, &mut bytes);
    bytes
}

#[test]
fn any_block_stands_for_what_others_read_from_it() {
    for kind in Kind::all() {
        let found = dequantized(kind, &golden(&format!("{}.blocks", kind.name())));
        let expected = golden_f32(&format!("{}.values", kind.name()));
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{kind:?} at {i}: {found} for {expected}");
        }
    }
}

#[test]
fn numbers_are_rounded_to_the_blocks_that_others_write() {
    let x = golden_f32("input.f32");
    for kind in Kind::all() {
        let (found, expected) = (quantized(kind, &x), golden(&format!("{}.rounded", kind.name())));
        let size = kind.block_bytes();
        for (i, (found, expected)) in found.chunks(size).zip(expected.chunks(size)).enumerate() {
            assert_eq!(found, expected, "{kind:?}, block {i}: {:?}", &x[i * kind.block_len()..][..kind.block_len()]);
        }
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn no_input_is_refused() {
    let corners = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -1e-38, 0.0, -0.0, 70_000.0];
    for kind in Kind::all() {
        for (i, &corner) in corners.iter().enumerate() {
            for among in [vec![corner; 64], uniform(64, i as u64)] {
                let mut x = among;
                x[17] = corner;
                let back = dequantized(kind, &quantized(kind, &x));
                let finite = x.iter().all(|x| x.abs() < 60.0 || x.is_nan() && kind.block_len() > 1);
                let all_nan = x.iter().all(|x| x.is_nan());
                assert!(!finite || all_nan || back.iter().all(|x| x.is_finite()), "{kind:?} of {corner}");
            }
        }
    }
}

#[test]
fn a_number_is_off_by_no_more_than_its_kind_allows() {
    // the largest of |x| at most 1, so that this is half a step, or what the f16 of the scale loses of it
    let allowed = |kind| match kind {
        Kind::F32 => 0.0,
        Kind::F16 => 2f32.powi(-12),
        Kind::Bf16 => 2f32.powi(-9),
        Kind::F8E4M3 => 2f32.powi(-5),
        Kind::Q8_0 => 0.5 / 127.0 + 5e-4,
        Kind::Q4_0 => 1.0 / 8.0 + 5e-4,
        Kind::Q4_1 => 0.5 * 2.0 / 15.0 + 5e-4,
        Kind::Q5_0 => 1.0 / 16.0 + 5e-4,
        Kind::Q5_1 => 0.5 * 2.0 / 31.0 + 5e-4,
        Kind::Iq4Nl => 0.14,
        Kind::Mxfp4 | Kind::Nvfp4 => 0.26,
        Kind::Q2_0 => 0.5 + 5e-4,
    };
    let x = uniform(64 * 50, 3);
    for kind in Kind::all() {
        let back = dequantized(kind, &quantized(kind, &x));
        let worst = x.iter().zip(&back).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(worst <= allowed(kind), "{kind:?} is off by {worst}");
        assert!(worst >= allowed(kind) / 2.0, "{kind:?} is off by no more than {worst}");
    }
}

#[test]
fn rounding_again_changes_nothing_where_the_scale_stays() {
    // the scale of these is a power of two or taken from an element that is kept
    for kind in [Kind::F32, Kind::F16, Kind::Bf16, Kind::F8E4M3, Kind::Mxfp4, Kind::Nvfp4, Kind::Q2_0] {
        let once = dequantized(kind, &quantized(kind, &uniform(64 * 20, 4)));
        assert_eq!(dequantized(kind, &quantized(kind, &once)), once, "{kind:?}");
    }
}

#[test]
fn rows_are_whole_blocks() {
    for kind in Kind::all() {
        assert_eq!(kind.row_bytes(0), Some(0));
        assert_eq!(kind.row_bytes(128), Some(128 / kind.block_len() * kind.block_bytes()));
        assert_eq!(kind.row_bytes(33).is_some(), kind.block_len() == 1);
    }
    assert_eq!(Kind::F32.row_bytes(usize::MAX / 3), None);
}

#[test]
fn a_matrix_is_exactly_its_rows() {
    let bytes = quantized(Kind::Q4_1, &uniform(5 * 64, 5));
    let w = QuantMatrix::new(Kind::Q4_1, 5, 64, &bytes).expect("five rows");
    assert_eq!((w.kind(), w.rows(), w.cols(), w.bytes()), (Kind::Q4_1, 5, 64, &bytes[..]));
    let part = w.row_range(2, 3);
    assert_eq!((part.rows(), part.row(1)), (3, &bytes[3 * 40..4 * 40]));
    assert_eq!(w.row_range(5, 0).bytes(), &[]);

    let short = QuantMatrix::new(Kind::Q4_1, 5, 64, &bytes[1..]).expect_err("a byte is missing");
    assert_eq!(short.to_string(), "5 × 64 numbers of q4_1 take 200 bytes, there are 199");
    let ragged = QuantMatrix::new(Kind::Q4_1, 5, 63, &bytes).expect_err("half a block");
    assert_eq!(ragged.to_string(), "5 × 63 numbers cannot be q4_1: a row must be a multiple of 32");
    assert!(matches!(QuantMatrix::new(Kind::F32, usize::MAX, 64, &bytes), Err(MatrixError::Shape { .. })));
}

#[test]
#[should_panic(expected = "rows 4.. + 2 of 5")]
fn rows_past_the_end_are_refused() {
    QuantMatrix::new(Kind::F16, 5, 1, &[0; 10]).expect("five rows").row_range(4, 2);
}

/// Σ w·(x − q)² of blocks of `x`.
fn error(kind: Kind, x: &[f32], weights: &[f32], bytes: &[u8]) -> f64 {
    let square = |(x, q): (&f32, f32)| f64::from(x - q).powi(2);
    x.iter().zip(dequantized(kind, bytes)).map(square).zip(weights).map(|(square, w)| square * f64::from(*w)).sum()
}

#[test]
fn searched_scales_are_closer_and_nearest_to_what_matters() {
    // bell-shaped, as weights are
    let bells = |seed: u64| -> Vec<f32> {
        let sums = (0..12_u64).map(|i| uniform(2048, 12 * seed + i));
        sums.reduce(|sum, more| sum.iter().zip(more).map(|(a, b)| a + b).collect()).expect("twelve")
    };
    let (x, ones) = (bells(1), vec![1.0; 2048]);
    let weights: Vec<f32> = uniform(2048, 99).iter().map(|x| x.abs().powi(4) + 1e-6).collect();
    let closest = |kind, weights: Option<&[f32]>| {
        let mut bytes = quantized(kind, &x);
        quantize_closest(kind, &x, weights, &mut bytes);
        bytes
    };
    for kind in Kind::all() {
        let plain = quantized(kind, &x);
        let (even, weighted) = (closest(kind, None), closest(kind, Some(&weights)));
        assert_eq!(even, closest(kind, Some(&ones)), "{kind:?}");
        let (of_plain, of_even) = (error(kind, &x, &ones, &plain), error(kind, &x, &ones, &even));
        match kind {
            Kind::F32 | Kind::F16 | Kind::Bf16 | Kind::F8E4M3 | Kind::Q4_1 | Kind::Q5_1 => {
                assert_eq!(even, plain, "{kind:?}")
            }
            _ => assert!(of_even < 0.99 * of_plain, "{kind:?}: {of_even} for {of_plain}"),
        }
        let (of_even, of_weighted) = (error(kind, &x, &weights, &even), error(kind, &x, &weights, &weighted));
        assert!(of_weighted < of_even || even == plain, "{kind:?}: {of_weighted} for {of_even}");
    }
}

#[test]
fn a_search_is_never_farther_and_refuses_nothing() {
    let corners = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -1e-38, 0.0, -0.0, 70_000.0];
    for kind in Kind::all() {
        for (i, &corner) in corners.iter().enumerate() {
            for mut x in [vec![corner; 64], uniform(64, i as u64)] {
                x[17] = corner;
                let weights = uniform(64, 7).iter().map(|x| x.abs()).collect::<Vec<f32>>();
                let mut bytes = quantized(kind, &x);
                let before = error(kind, &x, &weights, &bytes);
                quantize_closest(kind, &x, Some(&weights), &mut bytes);
                let after = error(kind, &x, &weights, &bytes);
                assert!(after <= before * 1.00001 || before.is_nan(), "{kind:?}, {corner}: {after} for {before}");
            }
        }
    }
}

/// Σ eᵀHe over rows.
fn cost(kind: Kind, x: &[f32], hessian: &[f32], cols: usize, bytes: &[u8]) -> f64 {
    let numbers = dequantized(kind, bytes);
    let errors: Vec<f64> = x.iter().zip(numbers).map(|(x, q)| f64::from(x - q)).collect();
    let of_row = |e: &[f64]| -> f64 {
        let along = |row: &[f32]| e.iter().zip(row).map(|(e, h)| e * f64::from(*h)).sum::<f64>();
        e.iter().zip(hessian.chunks_exact(cols)).map(|(e, row)| e * along(row)).sum()
    };
    errors.chunks_exact(cols).map(of_row).sum()
}

/// AᵀA of `samples` directions: what inputs that go together make of H.
fn covariance(samples: usize, cols: usize, seed: u64) -> Vec<f32> {
    let directions = uniform(samples * cols, seed);
    let mut hessian = vec![0.0; cols * cols];
    for direction in directions.chunks_exact(cols) {
        for (row, a) in hessian.chunks_exact_mut(cols).zip(direction) {
            row.iter_mut().zip(direction).for_each(|(h, b)| *h += a * b);
        }
    }
    hessian
}

#[test]
fn errors_that_make_up_for_each_other_cost_less() {
    let (rows, cols) = (64, 128);
    let x = uniform(rows * cols, 5);
    for kind in Kind::all() {
        let mut closest = quantized(kind, &x);
        quantize_closest(kind, &x, None, &mut closest);
        // few directions, as many as columns, and none that is known
        for (samples, most) in [(32, 0.4), (128, 0.75), (0, 1.0)] {
            let hessian = covariance(samples, cols, 11);
            let mut bytes = vec![0; closest.len()];
            quantize_with_feedback(kind, &x, &Feedback::new(&hessian, cols), &mut bytes);
            let of = |bytes: &[u8]| cost(kind, &x, &hessian, cols, bytes);
            match kind {
                Kind::F32 | Kind::F16 | Kind::Bf16 | Kind::F8E4M3 | Kind::Q4_1 | Kind::Q5_1 => {
                    assert_eq!(bytes, quantized(kind, &x), "{kind:?}");
                }
                _ => assert!(of(&bytes) <= most * of(&closest), "{kind:?}: {} of {}", of(&bytes), of(&closest)),
            }
        }
    }
}

#[test]
fn without_feedback_codes_are_the_closest() {
    let cols = 64;
    let x = uniform(16 * cols, 6);
    let weights: Vec<f32> = uniform(cols, 8).iter().map(|x| x * x + 0.01).collect();
    let mut hessian = vec![0.0; cols * cols];
    weights.iter().enumerate().for_each(|(j, w)| hessian[j * cols + j] = *w);
    for kind in [Kind::Q8_0, Kind::Q4_0, Kind::Iq4Nl, Kind::Mxfp4, Kind::Nvfp4, Kind::Q2_0] {
        let feedback = Feedback::new(&hessian, cols);
        let mut bytes = quantized(kind, &x);
        let mut closest = bytes.clone();
        quantize_with_feedback(kind, &x, &feedback, &mut bytes);
        let all: Vec<f32> = feedback.weights().iter().copied().cycle().take(x.len()).collect();
        quantize_closest(kind, &x, Some(&all), &mut closest);
        let (found, expected) = (dequantized(kind, &bytes), dequantized(kind, &closest));
        let same = found.iter().zip(&expected).filter(|(a, b)| a == b).count();
        // but for numbers in the middle of two codes
        assert!(same as f32 > 0.99 * x.len() as f32, "{kind:?}: {same} of {}", x.len());
    }
}
