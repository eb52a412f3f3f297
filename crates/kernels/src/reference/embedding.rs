//! The embedding, a token at a time.

/// Twin of [`embedding`](crate::embedding::embedding): `m·table[id]` for each id.
///
/// # Shapes
/// `table`: [v, d] → [t, d]
pub fn embedding(ids: &[i32], table: &[f64], d: usize, m: f64) -> Vec<f64> {
    ids.iter().flat_map(|id| table[*id as usize * d..][..d].iter().map(|x| m * x)).collect()
}

/// Twin of [`embedding_backward`](crate::embedding::embedding_backward).
///
/// # Shapes
/// `dy`: [t, d] → [v, d]
pub fn embedding_backward(ids: &[i32], dy: &[f64], v: usize, d: usize, m: f64) -> Vec<f64> {
    let mut d_table = vec![0.0; v * d];
    for (t, id) in ids.iter().enumerate() {
        for c in 0..d {
            d_table[*id as usize * d + c] += m * dy[t * d + c];
        }
    }
    d_table
}
