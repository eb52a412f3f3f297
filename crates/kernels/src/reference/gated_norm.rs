//! The gate and the norm after a scan, a group of channels at a time.

use super::{rms_norm, rms_norm_backward, silu, silu_derivative};

/// Twin of [`gated_norm`](crate::gated_norm::gated_norm): `rms_norm(u·silu(z))·w` over groups of channels
/// (arXiv 2405.21060 §7.1, as in its code).
///
/// # Shapes
/// `u`, `z`: [t, i], `w`: `[i]` → [t, i]
pub fn gated_norm(u: &[f64], z: &[f64], w: &[f64], n_groups: usize, eps: f64) -> Vec<f64> {
    let gated: Vec<f64> = u.iter().zip(z).map(|(u, z)| u * silu(*z)).collect();
    let width = w.len() / n_groups;
    let mut y = Vec::new();
    for (i, group) in gated.chunks(width).enumerate() {
        y.extend(rms_norm(group, &w[i % n_groups * width..][..width], eps));
    }
    y
}

/// Twin of [`gated_norm_backward`](crate::gated_norm::gated_norm_backward): `(du, dz, dw)`.
///
/// # Shapes
/// `u`, `z`, `dy`: [t, i], `w`: `[i]` → ([t, i], [t, i], `[i]`)
pub fn gated_norm_backward(
    u: &[f64],
    z: &[f64],
    w: &[f64],
    dy: &[f64],
    n_groups: usize,
    eps: f64,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let width = w.len() / n_groups;
    let (mut du, mut dz, mut dw) = (Vec::new(), Vec::new(), vec![0.0; w.len()]);
    for (i, ((u, z), dy)) in u.chunks(width).zip(z.chunks(width)).zip(dy.chunks(width)).enumerate() {
        let start = i % n_groups * width;
        let gated: Vec<f64> = u.iter().zip(z).map(|(u, z)| u * silu(*z)).collect();
        let (d_gated, dw_part) = rms_norm_backward(&gated, &w[start..][..width], dy, eps);
        for c in 0..width {
            du.push(d_gated[c] * silu(z[c]));
            dz.push(d_gated[c] * u[c] * silu_derivative(z[c]));
            dw[start + c] += dw_part[c];
        }
    }
    (du, dz, dw)
}
