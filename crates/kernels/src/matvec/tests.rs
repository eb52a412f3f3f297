//! Every kind, shape, batch and level against a sum in f64, and against each other bit for bit.

use super::*;
use crate::{
    quant::{Kind, dequantize, quantize},
    simd::{Level, with_level},
    test_data::uniform,
};

/// Rows and columns around what the kernels take at a time; columns in units of the block.
const ROWS: [usize; 8] = [1, 2, 3, 7, 8, 9, 17, 32];
const BATCHES: [usize; 11] = [1, 2, 4, 5, 7, 8, 9, 16, 19, 32, 59];

fn cols(kind: Kind) -> Vec<usize> {
    match kind.block_len() {
        1 => vec![1, 3, 7, 8, 9, 16, 31, 63, 64, 65, 71, 128, 130],
        len => [1, 2, 3, 4, 5, 8].map(|blocks| blocks * len).to_vec(),
    }
}

/// Blocks of numbers whose size differs from row to row.
fn weights(kind: Kind, rows: usize, cols: usize) -> Vec<u8> {
    let mut x = uniform(rows * cols, 1);
    for (row, x) in x.chunks_mut(cols).enumerate() {
        x.iter_mut().for_each(|x| *x *= 2f32.powi(row as i32 % 5 - 2));
    }
    let mut bytes = vec![0; kind.row_bytes(x.len()).expect("whole blocks")];
    quantize(kind, &x, &mut bytes);
    bytes
}

fn product(w: QuantMatrix<'_>, x: &[f32], activations: Activations) -> Vec<f32> {
    let mut memory = BatchMemory::new(activations);
    // what was there before must not be seen
    for coded in [false, true] {
        memory.batch(&[f32::NAN; 9 * 32], 32).prepare(coded);
    }
    let mut x = memory.batch(x, w.cols());
    let mut y = vec![f32::NAN; x.count() * w.rows()];
    multiply(w, &mut x, &mut y);
    y
}

/// W as f32.
fn numbers(w: QuantMatrix<'_>) -> Vec<f32> {
    let mut numbers = vec![0.0; w.rows() * w.cols()];
    dequantize(w.kind(), w.bytes(), &mut numbers);
    numbers
}

/// Σ w·x in f64, and Σ |w·x|.
fn sum(w: &[f32], x: &[f32]) -> (f64, f64) {
    let products = w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
    (products.clone().sum(), products.map(f64::abs).sum())
}

/// What int8 makes of `x`, by its definition.
fn rounded(x: &[f32]) -> Vec<f32> {
    let block = |x: &[f32]| -> Vec<f32> {
        let scale = x.iter().fold(0.0, |largest: f32, x| largest.max(x.abs())) / 127.0;
        let code = |x: f32| if scale == 0.0 { 0.0 } else { (x / scale).round_ties_even() };
        x.iter().map(|&x| code(x) * scale).collect()
    };
    x.chunks(32).flat_map(block).collect()
}

/// All shapes of `kind` with their bytes.
fn for_shapes(kind: Kind, mut f: impl FnMut(QuantMatrix<'_>)) {
    for rows in ROWS {
        for cols in cols(kind) {
            let bytes = weights(kind, rows, cols);
            f(QuantMatrix::new(kind, rows, cols, &bytes).expect("whole rows"));
        }
    }
}

#[test]
fn every_kind_is_the_sum_of_products_at_every_level() {
    for level in Level::available() {
        for kind in Kind::all() {
            for_shapes(kind, |w| {
                let (x, numbers) = (uniform(w.cols(), 2), numbers(w));
                for activations in [Activations::Exact, Activations::Int8] {
                    let is_int8 = activations == Activations::Int8 && kind.block_len() > 1;
                    let read = if is_int8 { rounded(&x) } else { x.clone() };
                    let y = with_level(level, 1, || product(w, &x, activations));
                    for (row, y) in numbers.chunks(w.cols()).zip(y) {
                        let (expected, magnitude) = sum(row, &read);
                        let error = (f64::from(y) - expected).abs() / magnitude.max(1e-3);
                        let what = (level, kind, w.rows(), w.cols(), activations);
                        assert!(error < 1e-6, "{what:?}: {y} for {expected}, off by {error:.1e}");
                    }
                }
            });
        }
    }
}

#[test]
fn int8_is_the_same_bits_at_every_level_and_batch_with_scales_at_hand_and_without() {
    for kind in Kind::all().into_iter().filter(|kind| kind.block_len() > 1) {
        for_shapes(kind, |w| {
            let scales = w.scales();
            for batch in BATCHES {
                let x = uniform(batch * w.cols(), 3);
                let one_by_one = with_level(Level::Portable, 1, || {
                    x.chunks(w.cols()).flat_map(|x| product(w, x, Activations::Int8)).collect::<Vec<_>>()
                });
                for level in Level::available() {
                    for (at_hand, w) in [(false, w), (true, w.with_scales(&scales))] {
                        let y = with_level(level, 1, || product(w, &x, Activations::Int8));
                        let what = (level, kind, w.rows(), w.cols(), batch);
                        assert_eq!(y, one_by_one, "{what:?}, scales at hand: {at_hand}");
                    }
                }
            }
        });
    }
}

#[test]
fn exact_is_the_same_bits_in_every_batch_and_at_levels_with_fused_multiply_add() {
    for kind in Kind::all() {
        for_shapes(kind, |w| {
            for batch in BATCHES {
                let x = uniform(batch * w.cols(), 4);
                let mut fused = None;
                for level in Level::available() {
                    let (y, one_by_one) = with_level(level, 1, || {
                        let mut one_by_one = vec![f32::NAN; batch * w.rows()];
                        for (x, y) in x.chunks(w.cols()).zip(one_by_one.chunks_mut(w.rows())) {
                            matvec(w, x, y);
                        }
                        (product(w, &x, Activations::Exact), one_by_one)
                    });
                    let what = (level, kind, w.rows(), w.cols(), batch);
                    assert_eq!(y, one_by_one, "{what:?}");
                    if level > Level::Portable {
                        assert_eq!(fused.get_or_insert(y.clone()), &y, "{what:?}");
                    }
                }
            }
        });
    }
}

#[test]
fn codes_of_a_whole_byte_have_their_sums_at_hand() {
    // a file may have −128, which no rounding gives
    let codes = [i8::MIN, i8::MAX, -1];
    let block: Vec<u8> =
        [0, 0x3c].into_iter().chain(codes.into_iter().cycle().take(32).map(i8::cast_unsigned)).collect();
    let bytes = block.repeat(8);
    let w = QuantMatrix::new(Kind::Q8_0, 8, 32, &bytes).expect("eight rows");
    let scales = w.scales();
    for x in [[1.0; 32], [-1.0; 32], std::array::from_fn(|i| if i % 3 == 0 { -1.0 } else { 1.0 })] {
        for level in Level::available() {
            let y = with_level(level, 1, || product(w.with_scales(&scales), &x, Activations::Int8));
            let expected = codes.into_iter().cycle().zip(x).map(|(code, x)| f32::from(code) * x).sum::<f32>();
            assert!(y.iter().all(|y| (y - expected).abs() <= 1e-6 * 32.0 * 128.0), "{level:?}: {y:?} for {expected}");
        }
    }
}

#[test]
#[should_panic(expected = "scales of (Q8_0, 8, 64) for a matrix of (Q8_0, 9, 64)")]
fn scales_of_another_matrix_are_refused() {
    let bytes = weights(Kind::Q8_0, 9, 64);
    let w = QuantMatrix::new(Kind::Q8_0, 9, 64, &bytes).expect("nine rows");
    w.with_scales(&w.row_range(0, 8).scales());
}

#[test]
fn rows_alone_are_the_same_bits_as_among_others() {
    for kind in [Kind::F32, Kind::F16, Kind::Q8_0, Kind::Q4_1, Kind::Nvfp4, Kind::Q2_0] {
        let bytes = weights(kind, 33, 128);
        let w = QuantMatrix::new(kind, 33, 128, &bytes).expect("whole rows");
        let x = uniform(9 * 128, 5);
        for activations in [Activations::Exact, Activations::Int8] {
            let all = product(w, &x, activations);
            for (start, count) in [(0, 33), (5, 11), (32, 1), (7, 0)] {
                let part = product(w.row_range(start, count), &x, activations);
                let among = all.chunks(33).flat_map(|y| &y[start..start + count]);
                assert!(part.iter().eq(among), "{kind:?} {start} + {count}");
            }
        }
    }
}

#[test]
fn any_bytes_can_be_multiplied() {
    // codes of −128, scales that are subnormal, infinite or NaN: what dequantising gives, or no number like it
    for kind in Kind::all() {
        // one block a row, so that a small one is not lost beside a large one
        let cols = kind.block_len().max(32);
        let row_bytes = kind.row_bytes(cols).expect("whole blocks");
        let mut bytes: Vec<u8> = (0..row_bytes * 500).map(|i| (i * i % 251 + i / 256) as u8).collect();
        // the scale of some kinds is a byte: all of them
        bytes.chunks_mut(row_bytes).enumerate().for_each(|(row, bytes)| bytes[0] = row as u8);
        let w = QuantMatrix::new(kind, 500, cols, &bytes).expect("whole rows");
        let (x, numbers) = (uniform(cols, 6), numbers(w));
        let bits =
            |y: Vec<f32>| y.iter().map(|y| if y.is_nan() { None } else { Some(y.to_bits()) }).collect::<Vec<_>>();
        let int8 = |level| bits(with_level(level, 1, || product(w, &x, Activations::Int8)));
        for level in Level::available() {
            assert!(kind.block_len() == 1 || int8(level) == int8(Level::Portable), "{level:?} {kind:?}");
            for activations in [Activations::Exact, Activations::Int8] {
                let read =
                    if activations == Activations::Int8 && kind.block_len() > 1 { rounded(&x) } else { x.clone() };
                let y = with_level(level, 1, || product(w, &x, activations));
                for (row, y) in numbers.chunks(cols).zip(y) {
                    let (expected, magnitude) = sum(row, &read);
                    let close = (f64::from(y) - expected).abs() <= 1e-6 * magnitude.max(1e-30);
                    let too_large = magnitude > 1e36 || !expected.is_finite();
                    assert!(close || too_large, "{level:?} {kind:?} {activations:?}: {y} for {expected}");
                    // the products of int8 may be in range where a number times its scale is not
                    let hidden = !expected.is_finite() && y.is_finite() && activations == Activations::Exact;
                    assert!(!hidden, "{level:?} {kind:?}: {y} for {expected}");
                }
            }
        }
    }
}

#[test]
fn a_nan_or_an_infinity_reaches_every_result() {
    let bytes = weights(Kind::Q8_0, 9, 64);
    let w = QuantMatrix::new(Kind::Q8_0, 9, 64, &bytes).expect("whole rows");
    for level in Level::available() {
        for (activations, corner) in
            [(Activations::Exact, f32::NAN), (Activations::Int8, f32::NAN), (Activations::Int8, f32::INFINITY)]
        {
            let mut x = uniform(64, 7);
            x[40] = corner;
            let y = with_level(level, 1, || product(w, &x, activations));
            assert!(y.iter().all(|y| !y.is_finite()), "{level:?} {activations:?} {corner}");
        }
    }
}

#[test]
fn nothing_and_zeros_are_fine() {
    for activations in [Activations::Exact, Activations::Int8] {
        let bytes = weights(Kind::Q4_0, 3, 32);
        let w = QuantMatrix::new(Kind::Q4_0, 3, 32, &bytes).expect("whole rows");
        assert!(product(w, &[], activations).is_empty());
        assert_eq!(product(w, &[0.0; 64], activations), [0.0; 6]);
        let tiny = product(w, &[1e-44; 32], activations);
        assert!(tiny.iter().all(|y| y.abs() < 1e-40));
        let none = QuantMatrix::new(Kind::F32, 3, 0, &[]).expect("no columns");
        let mut y = [1.0; 3];
        matvec(none, &[], &mut y);
        assert_eq!(y, [0.0; 3]);
    }
}

#[test]
#[should_panic(expected = "operands of a 3 × 32 matrix")]
fn a_vector_of_another_length_is_refused() {
    let bytes = weights(Kind::F16, 3, 32);
    let w = QuantMatrix::new(Kind::F16, 3, 32, &bytes).expect("whole rows");
    matvec(w, &[0.0; 31], &mut [0.0; 3]);
}
