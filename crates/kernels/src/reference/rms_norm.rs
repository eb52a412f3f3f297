//! RMSNorm, a row at a time.

/// Twin of [`rms_norm`](crate::rms_norm::rms_norm): `x / √(mean(x²) + ε) · w`, arXiv 1910.07467 eq. 4.
///
/// # Shapes
/// `x`: [t, d], `w`: `[d]` → [t, d]
pub fn rms_norm(x: &[f64], w: &[f64], eps: f64) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for (x, y) in x.chunks(w.len()).zip(y.chunks_mut(w.len())) {
        let rms = root_mean_square(x, eps);
        for c in 0..w.len() {
            y[c] = x[c] / rms * w[c];
        }
    }
    y
}

/// Twin of [`rms_norm_backward`](crate::rms_norm::rms_norm_backward): `(dx, dw)`.
///
/// ∂yⱼ/∂xᵢ = wⱼ·(δᵢⱼ/rms − xᵢ·xⱼ/(d·rms³)).
///
/// # Shapes
/// `x`, `dy`: [t, d], `w`: `[d]` → ([t, d], `[d]`)
pub fn rms_norm_backward(x: &[f64], w: &[f64], dy: &[f64], eps: f64) -> (Vec<f64>, Vec<f64>) {
    let d = w.len();
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; d]);
    for ((x, dy), dx) in x.chunks(d).zip(dy.chunks(d)).zip(dx.chunks_mut(d)) {
        let rms = root_mean_square(x, eps);
        for i in 0..d {
            for j in 0..d {
                let same = if i == j { 1.0 / rms } else { 0.0 };
                dx[i] += dy[j] * w[j] * (same - x[i] * x[j] / (d as f64 * rms.powi(3)));
            }
            dw[i] += dy[i] * x[i] / rms;
        }
    }
    (dx, dw)
}

fn root_mean_square(x: &[f64], eps: f64) -> f64 {
    let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    (mean_square + eps).sqrt()
}
