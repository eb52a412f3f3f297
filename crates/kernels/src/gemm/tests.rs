use super::*;
use crate::{
    check::{assert_close_sums, wide},
    reference,
    simd::{Level, with_level},
    stored::Stored,
    test_data::{for_thread_counts, rounded, shapes, uniform},
};

/// Shapes (m, k, n) around tiles, panels, blocks of k and tasks.
const SHAPES: [(usize, usize, usize); 16] = [
    (1, 1, 1),
    (1, 7, 33),
    (3, 0, 5),
    (0, 4, 4),
    (12, 32, 32),
    (13, 31, 31),
    (11, 33, 16),
    (25, 255, 17),
    (24, 256, 64),
    (7, 257, 15),
    (97, 128, 72),
    (200, 20, 584),
    (130, 513, 40),
    (5, 3, 1),
    (26, 2100, 40),
    (60, 2100, 40),
];
const UNDER_MIRI: [(usize, usize, usize); 4] = [(3, 0, 5), (0, 4, 4), (13, 3, 33), (1, 259, 2)];

/// Each operand dense or transposed: (A transposed, B transposed).
const LAYOUTS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn stored(data: &[f32], rows: usize, cols: usize, transposed: bool) -> Matrix<'_> {
    if transposed { Matrix::new(data, cols, rows).t() } else { Matrix::new(data, rows, cols) }
}

/// |fast − slow| ≤ this · Σ|a·b|: the roundings of at most 256 additions, which mostly cancel, and of a few more.
const TOLERANCE: f64 = 1e-6;

/// What a product of such `operands` sees of `x`.
fn seen(x: &[f32], operands: Operands) -> Vec<f32> {
    match operands {
        Operands::F32 => x.to_vec(),
        Operands::Bf16 => x.iter().map(|x| f32::from_bits(u32::from(reference::bf16(*x)) << 16)).collect(),
    }
}

#[test]
fn agrees_with_its_twin_in_every_layout_at_every_level() {
    for operands in [Operands::F32, Operands::Bf16] {
        agrees_with_its_twin(operands);
    }
}

fn agrees_with_its_twin(operands: Operands) {
    for &(m, k, n) in shapes(&SHAPES, &UNDER_MIRI) {
        let (a, b, c0) = (uniform(m * k, 1), uniform(k * n, 2), uniform(m * n, 3));
        let (a_seen, b_seen) = (seen(&a, operands), seen(&b, operands));
        let [a_abs, b_abs, c0_abs] = [&a_seen, &b_seen, &c0].map(|x| x.iter().map(|x| x.abs()).collect::<Vec<_>>());
        for (ta, tb) in LAYOUTS {
            let (a, b) = (stored(&a, m, k, ta), stored(&b, k, n, tb).with_operands(operands));
            for (write, add) in [(Write::Set, false), (Write::Add, true), (Write::Onto(&c0), true)] {
                let mut slow = wide(&c0);
                reference::gemm(&stored(&a_seen, m, k, ta), &stored(&b_seen, k, n, tb), &mut slow, add);
                let mut magnitudes = wide(&c0_abs);
                reference::gemm(&stored(&a_abs, m, k, ta), &stored(&b_abs, k, n, tb), &mut magnitudes, add);
                for level in Level::available() {
                    let what = format!("{level:?} {operands:?} {m}×{k}×{n}, transposed {ta}, {tb}, added {add}");
                    for parallel in [false, true] {
                        let mut c = if matches!(write, Write::Add) { c0.clone() } else { vec![f32::NAN; m * n] };
                        let out = MatrixMut::new(&mut c, m, n);
                        with_level(level, 2, || {
                            // what a buffer was used for before does not count
                            scratch::with(MAX_PARTS * m * n, |stale| stale.fill(f32::NAN));
                            if parallel { par_gemm(a, b, out, write) } else { gemm(a, b, out, write) }
                        });
                        assert_close_sums(&c, &slow, &magnitudes, TOLERANCE, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn writes_nothing_beside_its_columns() {
    for level in Level::available() {
        for n in [1, 15, 16, 17, 31, 32, 33] {
            let (a, b) = (uniform(20 * 9, 1), uniform(9 * n, 2));
            let mut c = vec![7.0; 20 * (n + 3)];
            let out = MatrixMut::strided(&mut c, 20, n, n + 3);
            with_level(level, 1, || gemm(Matrix::new(&a, 20, 9), Matrix::new(&b, 9, n), out, Write::Set));
            for row in c.chunks(n + 3) {
                assert_eq!(row[n..], [7.0; 3], "{level:?}, {n} columns");
            }
        }
    }
}

#[test]
fn a_range_of_a_matrix_multiplies_as_its_copy() {
    let (a, b) = (uniform(30 * 50, 1), uniform(20 * 64, 2));
    let part = Matrix::new(&a, 30, 50).row_range(4, 13).col_range(7, 20);
    let copy: Vec<f32> = (4..17).flat_map(|r| a[r * 50 + 7..r * 50 + 27].to_vec()).collect();
    let (mut c1, mut c2) = (vec![0.0; 13 * 64], vec![0.0; 13 * 64]);
    gemm(part, Matrix::new(&b, 20, 64), MatrixMut::new(&mut c1, 13, 64), Write::Set);
    gemm(Matrix::new(&copy, 13, 20), Matrix::new(&b, 20, 64), MatrixMut::new(&mut c2, 13, 64), Write::Set);
    assert_eq!(c1, c2);
}

#[test]
fn bfloat16_pairs_are_added_one_after_the_other_the_second_first() {
    let (m, k, n) = (14, 301, 35);
    let (a, b) = (uniform(m * k, 1), uniform(k * n, 2));
    let (a_seen, b_seen) = (seen(&a, Operands::Bf16), seen(&b, Operands::Bf16));
    let at = |x: &[f32], row: usize, col: usize, cols: usize| x.get(row * cols + col).copied().unwrap_or(0.0);
    let expected = (0..m * n).map(|i| {
        let (row, col) = (i / n, i % n);
        (0..k).step_by(2).fold(0.0f32, |sum, p| {
            let next =
                if p + 1 < k { at(&a_seen, row, p + 1, k).mul_add(at(&b_seen, p + 1, col, n), sum) } else { sum };
            at(&a_seen, row, p, k).mul_add(at(&b_seen, p, col, n), next)
        })
    });
    let expected: Vec<f32> = expected.collect();
    for level in Level::available().into_iter().filter(|level| *level > Level::Portable) {
        let mut c = vec![f32::NAN; m * n];
        let b = Matrix::new(&b, k, n).with_operands(Operands::Bf16);
        with_level(level, 1, || gemm(Matrix::new(&a, m, k), b, MatrixMut::new(&mut c, m, n), Write::Set));
        assert_eq!(c, expected, "{level:?}");
    }
}

#[test]
fn what_bfloat16_cannot_hold_is_zero_infinite_or_not_a_number() {
    let (small, large) = (f32::from_bits(0x007f_ffff), f32::from_bits(0x7f7f_ffff));
    for level in Level::available() {
        let product = |x: f32, y: f32| {
            let mut c = [7.0];
            let b = [y];
            let b = Matrix::new(&b, 1, 1).with_operands(Operands::Bf16);
            with_level(level, 1, || gemm(Matrix::new(&[x], 1, 1), b, MatrixMut::new(&mut c, 1, 1), Write::Set));
            c[0]
        };
        assert_eq!(product(small, 1e30), 0.0, "{level:?}: a subnormal number");
        assert_eq!(product(large, 1.0), f32::INFINITY, "{level:?}: rounds up to infinity");
        assert!(product(f32::NAN, 1.0).is_nan(), "{level:?}");
    }
}

#[test]
fn an_operand_rounded_before_multiplies_as_one_rounded_on_the_way() {
    for &(m, k, n) in shapes(&[(1, 1, 1), (70, 515, 33), (131, 1030, 20)], &[(1, 1, 1), (13, 5, 3)]) {
        let (a, b) = (uniform(m * k, 1), uniform(k * n, 2));
        let b = Matrix::new(&b, k, n).with_operands(Operands::Bf16);
        let mut packed = vec![0.0; Packed::len(k, n)];
        let packed = Packed::pack(b, &mut packed);
        for (transposed, parallel) in [(false, false), (false, true), (true, false)] {
            let a = stored(&a, m, k, transposed);
            let mut buffer = vec![0.0; Rounded::len(m, k)];
            let rounded = if parallel { Rounded::par_round(a, &mut buffer) } else { Rounded::round(a, &mut buffer) };
            let (mut c1, mut c2) = (vec![0.0; m * n], vec![0.0; m * n]);
            // by rows, as products of a transposed matrix have shorter blocks of k
            let rows: Vec<f32> = (0..m * k).map(|i| a.at(i / k, i % k)).collect();
            gemm_packed(Matrix::new(&rows, m, k), packed, MatrixMut::new(&mut c1, m, n), Write::Set);
            for (start, c2) in c2.chunks_mut(50 * n).enumerate() {
                let rows = c2.len() / n;
                gemm_packed(rounded.row_range(50 * start, rows), packed, MatrixMut::new(c2, rows, n), Write::Set);
            }
            assert_eq!(c1, c2, "{m} × {k} × {n}, transposed {transposed}, parallel {parallel}");
        }
    }
}

#[test]
fn a_right_operand_that_was_stored_multiplies_as_one_rounded_on_the_way() {
    for &(m, k, n) in shapes(&[(1, 1, 1), (70, 515, 33), (20, 2101, 64)], &[(1, 1, 1), (13, 5, 33)]) {
        let (a, mut b) = (uniform(m * k, 1), uniform(k * n, 2));
        b[0] = f32::from_bits(0x0034_0000);
        let (halves, _) = rounded(&b);
        let a = Matrix::new(&a, k, m).t();
        let product = |b: Right<'_>| {
            let mut c = vec![f32::NAN; m * n];
            par_gemm(a, b, MatrixMut::new(&mut c, m, n), Write::Set);
            c
        };
        for level in Level::available() {
            let expected = with_level(level, 2, || product(Matrix::new(&b, k, n).with_operands(Operands::Bf16).into()));
            let b = Right::stored(Stored::Bf16(&halves), k, n, Operands::Bf16);
            assert_eq!(with_level(level, 2, || product(b)), expected, "{m} × {k} × {n} at {level:?}");
        }
    }
}

#[test]
fn rows_of_a_packed_operand_multiply_as_packed_alone() {
    let (m, k, n) = shapes(&[(14, 40, 70)], &[(2, 40, 33)])[0];
    let (a, b) = (uniform(m * k, 1), uniform(k * n, 2));
    for operands in [Operands::F32, Operands::Bf16] {
        let b = Matrix::new(&b, k, n).with_operands(operands);
        let (mut all, mut some) = (vec![0.0; Packed::len(k, n)], vec![0.0; Packed::len(k, n)]);
        let packed = Packed::pack(b, &mut all);
        for (start, count) in [(0, 40), (0, 7), (2, 1), (12, 28), (38, 2)] {
            let (mut c1, mut c2) = (vec![0.0; m * n], vec![0.0; m * n]);
            // a pair's second half that is left out is multiplied by zero
            let a = Matrix::new(&a, m, k).col_range(start, count);
            gemm_packed(a, packed.row_range(start, count), MatrixMut::new(&mut c1, m, n), Write::Set);
            let alone = Packed::pack(b.row_range(start, count), &mut some);
            gemm_packed(a, alone, MatrixMut::new(&mut c2, m, n), Write::Set);
            assert_eq!(c1, c2, "rows {start}.. of {count} in {operands:?}");
        }
    }
}

#[test]
fn threads_and_instruction_sets_do_not_change_a_bit() {
    for &shape in shapes(&[(301, 600, 95), (50, 2600, 95)], &[(13, 9, 3)]) {
        for operands in [Operands::F32, Operands::Bf16] {
            assert_same_bits(shape, operands);
        }
    }
}

fn assert_same_bits((m, k, n): (usize, usize, usize), operands: Operands) {
    let (a, b) = (uniform(m * k, 1), uniform(k * n, 2));
    let product = || {
        let mut c = vec![0.0; m * n];
        let (a, b) = (Matrix::new(&a, k, m).t(), Matrix::new(&b, n, k).t().with_operands(operands));
        par_gemm(a, b, MatrixMut::new(&mut c, m, n), Write::Set);
        c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let by_threads = for_thread_counts(product);
    assert!(by_threads.iter().all(|c| *c == by_threads[0]));
    for level in Level::available().into_iter().filter(|level| *level > Level::Portable) {
        assert!(with_level(level, 2, product) == by_threads[0], "{level:?}");
    }
}

#[test]
#[should_panic(expected = "does not fit")]
fn a_view_beyond_its_data_is_refused() {
    Matrix::strided(&[0.0; 11], 3, 4, 4, 1);
}

#[test]
#[should_panic(expected = "shapes of A·B")]
fn shapes_that_do_not_fit_are_refused() {
    let mut c = [0.0; 4];
    gemm(Matrix::new(&[0.0; 6], 2, 3), Matrix::new(&[0.0; 8], 4, 2), MatrixMut::new(&mut c, 2, 2), Write::Set);
}
