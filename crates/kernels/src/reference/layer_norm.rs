//! LayerNorm, a row at a time.

/// Twin of [`join_layer_norm`](crate::layer_norm::join_layer_norm) of rows that are joined already:
/// `(x − mean) / √(var + ε) · w + b`, arXiv 1607.06450 eq. 3.
///
/// # Shapes
/// `x`: [t, d], `w`, `b`: `[d]` → [t, d]
pub fn layer_norm(x: &[f64], w: &[f64], b: &[f64], eps: f64) -> Vec<f64> {
    let d = w.len() as f64;
    let row = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / d;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / d;
        let scaled = x.iter().zip(w).zip(b).map(|((x, w), b)| (x - mean) / (variance + eps).sqrt() * w + b);
        scaled.collect::<Vec<_>>()
    };
    x.chunks(w.len()).flat_map(row).collect()
}
