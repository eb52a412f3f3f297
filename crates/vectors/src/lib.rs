//! Vectors of texts: in fewer numbers and bits, their neighbours, how well they agree with people, and files of them.
//!
//! ```text
//! vector [d] ─ first k numbers ─ normalize ─▶ f32 | int8 | one bit a number ─▶ Index ─ nearest ─▶ the likest texts
//!                                           └▶ cosine ─ Spearman ─▶ agreement with scores       └▶ .npy
//! ```
//!
//! What makes a vector of a text is not known here.

mod codes;
mod correlation;
mod index;
mod npy;

pub use codes::{binary_bytes, to_binary, to_int8};
pub use correlation::{pearson, spearman};
pub use index::{Index, Storage};
pub use npy::{Numbers, write_npy};

/// Divides a vector by its length; one of length 0 stays.
pub fn normalize(vector: &mut [f32]) {
    let length = squares(vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// The cosine of the angle between two vectors of one length; 0 if one of them is 0.
///
/// # Panics
/// If the lengths differ.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let lengths = (squares(a) * squares(b)).sqrt();
    let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    if lengths > 0.0 { dot / lengths } else { 0.0 }
}

/// The first `dims` numbers of each vector, normalised again: what nested training (Matryoshka, arXiv 2205.13147) makes
/// meaningful.
///
/// # Shapes
/// `vectors`: [n, d] → [n, dims]
///
/// # Panics
/// If `dims` is 0 or more than `d`, or `vectors` are not whole.
pub fn prefixes(vectors: &[f32], d: usize, dims: usize) -> Vec<f32> {
    assert!((1..=d).contains(&dims) && vectors.len().is_multiple_of(d), "{dims} of {d} numbers");
    let mut cut: Vec<f32> = vectors.chunks_exact(d).flat_map(|vector| &vector[..dims]).copied().collect();
    cut.chunks_exact_mut(dims).for_each(normalize);
    cut
}

fn squares(vector: &[f32]) -> f64 {
    vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_become_one_and_prefixes_too() {
        let mut vector = [3.0, 4.0, 0.0, 12.0];
        assert_eq!(prefixes(&vector, 4, 2), [0.6, 0.8]);
        normalize(&mut vector);
        assert!((squares(&vector) - 1.0).abs() < 1e-6);
        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
        assert_eq!((cosine(&[1.0, 0.0], &[0.0, 2.0]), cosine(&[1.0, 1.0], &[2.0, 2.0])), (0.0, 1.0));
        assert_eq!(cosine(&[0.0], &[1.0]), 0.0);
    }
}
