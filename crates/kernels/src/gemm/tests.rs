use super::*;
use crate::{
    reference,
    simd::{Level, with_level},
    test_data::{for_thread_counts, uniform},
};

/// Shapes (m, k, n) around tiles, panels, blocks of k and tasks.
const SHAPES: [(usize, usize, usize); 15] = [
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
];

/// Each operand dense or transposed: (A transposed, B transposed).
const LAYOUTS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn stored(data: &[f32], rows: usize, cols: usize, transposed: bool) -> Matrix<'_> {
    if transposed { Matrix::new(data, cols, rows).t() } else { Matrix::new(data, rows, cols) }
}

/// |fast − slow| ≤ this · Σ|a·b|: the rounding of k additions.
const TOLERANCE: f64 = 2e-6;

fn assert_close(fast: &[f32], slow: &[f64], what: &str) {
    for (i, (fast, slow)) in fast.iter().zip(slow).enumerate() {
        assert!((f64::from(*fast) - slow).abs() <= TOLERANCE * 20.0, "{what}: element {i} is {fast}, not {slow}");
    }
}

#[test]
fn agrees_with_its_twin_in_every_layout_at_every_level() {
    for level in Level::available() {
        for (m, k, n) in SHAPES {
            let (a, b, c0) = (uniform(m * k, 1), uniform(k * n, 2), uniform(m * n, 3));
            for (ta, tb) in LAYOUTS {
                let (a, b) = (stored(&a, m, k, ta), stored(&b, k, n, tb));
                for (write, add) in [(Write::Set, false), (Write::Add, true), (Write::Onto(&c0), true)] {
                    let mut slow: Vec<f64> = c0.iter().map(|&c| f64::from(c)).collect();
                    reference::gemm(&a, &b, &mut slow, add);
                    let what = format!("{level:?} {m}×{k}×{n} A transposed {ta}, B transposed {tb}, added {add}");
                    for parallel in [false, true] {
                        let mut c = if matches!(write, Write::Add) { c0.clone() } else { vec![f32::NAN; m * n] };
                        let out = MatrixMut::new(&mut c, m, n);
                        with_level(level, 2, || {
                            if parallel { par_gemm(a, b, out, write) } else { gemm(a, b, out, write) }
                        });
                        assert_close(&c, &slow, &what);
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
fn threads_and_instruction_sets_do_not_change_a_bit() {
    for shape in [(301, 600, 95), (50, 2600, 95)] {
        assert_same_bits(shape);
    }
}

fn assert_same_bits((m, k, n): (usize, usize, usize)) {
    let (a, b) = (uniform(m * k, 1), uniform(k * n, 2));
    let product = || {
        let mut c = vec![0.0; m * n];
        par_gemm(Matrix::new(&a, k, m).t(), Matrix::new(&b, n, k).t(), MatrixMut::new(&mut c, m, n), Write::Set);
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
