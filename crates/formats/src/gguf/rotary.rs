//! The order of the rows of queries and keys: a rotary embedding turns rows j and j + w/2 of a head of width w in
//! Hugging Face models, rows 2j and 2j + 1 in GGUF. The converter reorders rows whether or not positions are rotated.
//!
//! ```text
//! halves      0 1 2 3 │ 4 5 6 7      ⇄      neighbours  0 4 1 5 2 6 3 7      w = 8
//! ```

/// Rows `[heads · width, row_len]` in which the two of a pair lie half a head apart, in the order in which they are
/// neighbours. Where a width is odd, which no rotation allows, the last row stays.
pub(super) fn neighbours(rows: &[u8], width: usize, row_len: usize) -> Vec<u8> {
    let head_in_order =
        |head: &[u8]| order(width).flat_map(|row| head[row * row_len..][..row_len].to_vec()).collect::<Vec<_>>();
    rows.chunks(width * row_len).flat_map(head_in_order).collect()
}

/// Undo [`neighbours`].
pub(crate) fn halves(rows: &[f32], width: usize, row_len: usize) -> Vec<f32> {
    let mut halves = vec![0.0; rows.len()];
    for (head, rows) in halves.chunks_mut(width * row_len).zip(rows.chunks(width * row_len)) {
        for (row, from) in order(width).zip(rows.chunks(row_len)) {
            head[row * row_len..][..row_len].copy_from_slice(from);
        }
    }
    halves
}

/// Which row of halves is at each place among neighbours.
fn order(width: usize) -> impl Iterator<Item = usize> {
    let half = width / 2;
    (0..half).flat_map(move |pair| [pair, half + pair]).chain(2 * half..width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_a_head_are_interleaved() {
        let rows: Vec<u8> = [0, 1, 2, 3, 10, 11, 12, 13].iter().flat_map(|row| [*row, 99]).collect();
        let firsts: Vec<u8> = neighbours(&rows, 4, 2).into_iter().step_by(2).collect();
        assert_eq!(firsts, [0, 2, 1, 3, 10, 12, 11, 13]);
        assert_eq!(neighbours(&[0, 1, 2, 3, 4], 5, 1), [0, 2, 1, 3, 4]);
        assert_eq!(neighbours(&[0, 1], 1, 1), [0, 1]);
    }

    #[test]
    fn and_brought_back() {
        for (width, row_len) in [(1, 3), (2, 1), (5, 2), (8, 3), (16, 1)] {
            let rows: Vec<u8> = (0..3 * width * row_len).map(|i| i as u8).collect();
            let interleaved: Vec<f32> = neighbours(&rows, width, row_len).into_iter().map(f32::from).collect();
            let back = halves(&interleaved, width, row_len);
            assert!(back.iter().zip(&rows).all(|(back, row)| *back == f32::from(*row)), "{width} {row_len}");
        }
    }
}
