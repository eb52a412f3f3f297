//! Rows of a table by id; backward adds rows of a gradient by id.
//!
//! ```text
//! ids → rows of the table · m
//! ids → count → positions sorted by id → each row of the gradient: Σ m·dy over its positions, in their order
//! ```
//!
//! Backward sorts the positions, so that a row of the gradient has one writer and one order of summation.

use rayon::prelude::*;

use crate::{
    simd::{mul_add, simd},
    sums::ROWS,
};

/// `y = m·table[id]` for each of the `ids`.
///
/// # Shapes
/// `ids`: `[t]`, each in 0..v; `table`: [v, d]; `y`: [t, d]
///
/// # Panics
/// If an id is outside 0..v, `d` is 0, or the lengths do not fit.
pub fn embedding(ids: &[i32], table: &[f32], d: usize, m: f32, y: &mut [f32]) {
    assert_ids(ids, table.len(), d);
    assert_eq!(y.len(), ids.len() * d, "{} rows of {d} floats", ids.len());
    let blocks = ids.par_chunks(ROWS).zip(y.par_chunks_mut(ROWS * d));
    blocks.for_each(|(ids, y)| embedding_rows(ids, table, d, m, y));
}

/// Gradient of [`embedding`] with respect to its table, for the gradient `dy` of its output.
///
/// # Shapes
/// `ids`: `[t]`, each in 0..v; `dy`: [t, d]; `d_table`: [v, d]
///
/// # Panics
/// As [`embedding`].
pub fn embedding_backward(ids: &[i32], dy: &[f32], d: usize, m: f32, d_table: &mut [f32]) {
    assert_ids(ids, d_table.len(), d);
    assert_eq!(dy.len(), ids.len() * d, "{} rows of {d} floats", ids.len());
    let sorted = Sorted::new(ids, d_table.len() / d);
    d_table.par_chunks_mut(ROWS * d).enumerate().for_each(|(block, d_table)| {
        sum_rows(&sorted, block * ROWS, dy, d, m, d_table);
    });
}

#[track_caller]
fn assert_ids(ids: &[i32], table_len: usize, d: usize) {
    assert!(d > 0, "an embedding of no columns");
    let rows = table_len / d;
    assert_eq!(table_len, rows * d, "rows of {d} floats");
    let outside = ids.iter().find(|id| usize::try_from(**id).map_or(true, |id| id >= rows));
    assert!(outside.is_none(), "id {outside:?} of an embedding of {rows} rows");
}

/// The positions of each id, in order.
struct Sorted {
    /// Positions by id, then by position.
    positions: Vec<u32>,
    /// Where the positions of each id end; they begin where those of the id before end.
    ends: Vec<u32>,
}

impl Sorted {
    /// Counting sort of ids in 0..rows.
    fn new(ids: &[i32], rows: usize) -> Self {
        assert!(u32::try_from(ids.len()).is_ok(), "{} positions", ids.len());
        let mut ends = vec![0; rows];
        for id in ids {
            ends[*id as usize] += 1;
        }
        let mut begin = 0;
        for end in &mut ends {
            begin += std::mem::replace(end, begin);
        }
        let mut positions = vec![0; ids.len()];
        for (position, id) in (0..).zip(ids) {
            let next = &mut ends[*id as usize];
            positions[*next as usize] = position;
            *next += 1;
        }
        Self { positions, ends }
    }

    fn of(&self, id: usize) -> &[u32] {
        let begin = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.positions[begin as usize..self.ends[id] as usize]
    }
}

simd! {
    /// [`embedding`] on this thread, for ids known to be rows of the table.
    fn embedding_rows<S>(ids: &[i32], table: &[f32], d: usize, m: f32, y: &mut [f32]) {
        for (id, y) in ids.iter().zip(y.chunks_exact_mut(d)) {
            for (y, x) in y.iter_mut().zip(&table[*id as usize * d..][..d]) {
                *y = m * x;
            }
        }
    }
}

simd! {
    /// The rows of the gradient of ids `first..`.
    fn sum_rows<S>(sorted: &Sorted, first: usize, dy: &[f32], d: usize, m: f32, d_table: &mut [f32]) {
        for (id, row) in (first..).zip(d_table.chunks_exact_mut(d)) {
            row.fill(0.0);
            for position in sorted.of(id) {
                for (row, dy) in row.iter_mut().zip(&dy[*position as usize * d..][..d]) {
                    *row = mul_add::<S>(m, *dy, *row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, assert_gradient, inner, wide},
        reference,
        simd::{Level, with_level},
        test_data::{for_thread_counts, uniform},
    };

    fn ids(t: usize, v: usize) -> Vec<i32> {
        uniform(t, 9).iter().map(|x| ((x * 0.5 + 0.5) * v as f32) as i32).collect()
    }

    /// (ids, v, d): none, one row, no row hit twice, all positions in one row, more rows than a task and fewer
    fn cases() -> Vec<(Vec<i32>, usize, usize)> {
        let all_of_one = vec![4; 150];
        vec![
            (vec![], 5, 3),
            (vec![0], 1, 1),
            (vec![3, 0, 2, 1], 4, 17),
            (all_of_one, 5, 16),
            (ids(200, ROWS + 1), ROWS + 1, 33),
            (ids(65, 300), 300, 8),
        ]
    }

    #[test]
    fn agrees_with_the_twin() {
        for (ids, v, d) in cases() {
            let (table, dy) = (uniform(v * d, 1), uniform(ids.len() * d, 2));
            let slow = reference::embedding(&ids, &wide(&table), d, 3.0);
            let slow_d_table = reference::embedding_backward(&ids, &wide(&dy), v, d, 3.0);
            for level in Level::available() {
                let (mut y, mut d_table) = (vec![f32::NAN; ids.len() * d], vec![f32::NAN; v * d]);
                with_level(level, 2, || {
                    embedding(&ids, &table, d, 3.0, &mut y);
                    embedding_backward(&ids, &dy, d, 3.0, &mut d_table);
                });
                assert_close(&y, &slow, 1e-7, ("y", ids.len(), v, d, level));
                assert_close(&d_table, &slow_d_table, 1e-5, ("d_table", ids.len(), v, d, level));
            }
        }
    }

    #[test]
    fn twin_is_the_slope_of_its_forward() {
        let (ids, table, dy) = ([2, 0, 2], wide(&uniform(3 * 2, 1)), wide(&uniform(3 * 2, 2)));
        let d_table = reference::embedding_backward(&ids, &dy, 3, 2, 0.5);
        assert_gradient(|table| inner(&reference::embedding(&ids, table, 2, 0.5), &dy), &table, &d_table, "d_table");
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let (ids, v, d) = (ids(1000, 200), 200, 12);
        let dy = uniform(ids.len() * d, 1);
        let results = for_thread_counts(|| {
            let mut d_table = vec![f32::NAN; v * d];
            embedding_backward(&ids, &dy, d, 1.0, &mut d_table);
            d_table
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }

    #[test]
    #[should_panic(expected = "id Some(5) of an embedding of 5 rows")]
    fn an_id_past_the_table_is_refused() {
        embedding(&[0, 5], &[0.0; 10], 2, 1.0, &mut [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "id Some(-1)")]
    fn a_negative_id_is_refused() {
        embedding_backward(&[-1], &[0.0; 2], 2, 1.0, &mut [0.0; 10]);
    }
}
