//! The order of the rows of queries and keys: a rotary embedding turns rows j and j + w/2 of a head of width w in
//! Hugging Face models, rows 2j and 2j + 1 in GGUF. The converter reorders rows whether or not positions are rotated.

/// Rows `[heads · width, row_len]` in which the two of a pair lie half a head apart, in the order in which they are
/// neighbours. Where a width is odd, which no rotation allows, the last row stays.
pub(super) fn neighbours(rows: &[u8], width: usize, row_len: usize) -> Vec<u8> {
    let half = width / 2;
    let order = || (0..half).flat_map(|pair| [pair, half + pair]).chain(2 * half..width);
    let head_in_order =
        |head: &[u8]| order().flat_map(|row| head[row * row_len..][..row_len].to_vec()).collect::<Vec<_>>();
    rows.chunks(width * row_len).flat_map(head_in_order).collect()
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
}
