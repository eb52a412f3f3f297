//! The gate and the norm between a scan and its output projection.
//!
//! ```text
//! u (scan) ──┐
//! z ── silu ─┴→ v = u·silu(z) → v / √(mean_group(v²) + ε) · w → y
//! ```
//!
//! z is read in place from the rows of the input projection, and its gradient written in place. Backward computes v
//! again; it needs u and z alone.

use rayon::prelude::*;

use crate::{
    columns::Columns,
    rms_norm::{inverse_rms, norm_and_slope},
    scratch,
    simd::{mul_add, silu, silu_and_derivative, simd},
    stored::Stored,
    sums::{ROWS, dot, over_tasks},
};

/// What does not change from call to call.
#[derive(Clone, Copy, Debug)]
pub struct GatedNorm {
    /// Where z lies in a row of the input projection; its width is d_inner (i).
    pub z: Columns,
    /// Where the gradient of z goes in a row of the gradient of the input projection.
    pub dz: Columns,
    /// Groups of channels with a mean of their own (g).
    pub n_groups: usize,
    /// ε, added to the mean square.
    pub eps: f32,
}

impl GatedNorm {
    fn width(&self) -> usize {
        self.z.width / self.n_groups
    }

    /// Rows (tokens) of `u`.
    ///
    /// # Panics
    /// If the slices do not fit.
    #[track_caller]
    fn rows(&self, u_len: usize, projected_len: usize, w: &[f32]) -> usize {
        let i = self.z.width;
        assert!(
            i > 0 && self.n_groups > 0 && i.is_multiple_of(self.n_groups),
            "{i} channels in {} groups",
            self.n_groups
        );
        let rows = u_len / i;
        assert_eq!([u_len, w.len()], [rows * i, i], "rows of {i} channels");
        self.z.assert_rows(projected_len, rows, "z");
        rows
    }
}

/// `y = v / √(mean(v²) + ε) · w` with `v = u·silu(z)`, the mean over each group of channels (gate before norm, as in
/// the code of arXiv 2405.21060).
///
/// # Shapes
/// `u`, `y`: [t, i]; `projected`: [t, stride], which holds z; `w`: `[i]`
///
/// # Panics
/// If the slices do not fit.
pub fn gated_norm(op: &GatedNorm, u: &[f32], projected: &[f32], w: &[f32], y: &mut [f32]) {
    op.rows(u.len(), projected.len(), w);
    assert_eq!(y.len(), u.len(), "y");
    let dense = ROWS * op.z.width;
    let inputs = u.par_chunks(dense).zip(projected.par_chunks(ROWS * op.z.stride));
    inputs.zip(y.par_chunks_mut(dense)).for_each(|((u, projected), y)| gated_norm_rows(op, u, projected, w, y));
}

/// Gradients of [`gated_norm`] for the gradient `dy` of its output.
///
/// With `r = 1/√(mean(v²) + ε)` and `g = dy·w`: `dv = r·g − v·r³·mean(g·v)`, `du = dv·silu(z)`,
/// `dz = dv·u·silu′(z)`, `dw = Σ_t dy·v·r`.
///
/// # Shapes
/// `u`, `dy`, `du`: [t, i]; `projected`: [t, stride of z]; `d_projected`: [t, stride of dz], of which the columns of
/// dz alone are written; `w`, `dw`: `[i]`
///
/// # Panics
/// If the slices do not fit.
#[expect(clippy::too_many_arguments, reason = "a kernel takes its slices and its sizes")]
pub fn gated_norm_backward(
    op: &GatedNorm,
    u: Stored<'_>,
    projected: Stored<'_>,
    w: &[f32],
    dy: &[f32],
    du: &mut [f32],
    d_projected: &mut [f32],
    dw: &mut [f32],
) {
    let (i, rows) = (op.z.width, op.rows(u.len(), projected.len(), w));
    assert_eq!([dy.len(), du.len(), dw.len(), op.dz.width], [u.len(), u.len(), i, i], "gradients");
    op.dz.assert_rows(d_projected.len(), rows, "dz");
    over_tasks(rows.div_ceil(ROWS), dw, |partials| {
        let inputs = u.par_chunks(ROWS * i).zip(projected.par_chunks(ROWS * op.z.stride)).zip(dy.par_chunks(ROWS * i));
        let outputs = du.par_chunks_mut(ROWS * i).zip(d_projected.par_chunks_mut(ROWS * op.dz.stride));
        let tasks = inputs.zip(outputs.zip(partials.par_chunks_mut(i)));
        tasks.for_each(|(((u, projected), dy), ((du, d_projected), dw))| {
            let lens = [i, u.buffer_len(ROWS * i), projected.buffer_len(ROWS * i)];
            scratch::with_parts(lens, |[v, u_buffer, z_buffer]| {
                let (z_rows, z) = op.z.read(projected, dy.len() / i, z_buffer);
                let op = GatedNorm { z, ..*op };
                gated_norm_backward_rows(&op, u.read(u_buffer), z_rows, w, dy, du, d_projected, dw, v);
            });
        });
    });
}

simd! {
    /// [`gated_norm`] on this thread.
    fn gated_norm_rows<S>(op: &GatedNorm, u: &[f32], projected: &[f32], w: &[f32], y: &mut [f32]) {
        let width = op.width();
        for (row, (u, y)) in u.chunks_exact(op.z.width).zip(y.chunks_exact_mut(op.z.width)).enumerate() {
            let z = op.z.row(projected, row);
            for ((y, u), z) in y.iter_mut().zip(u).zip(z) {
                *y = u * silu::<S>(*z);
            }
            for (v, w) in y.chunks_exact_mut(width).zip(w.chunks_exact(width)) {
                let r = inverse_rms(dot::<S>(v, v), width, op.eps);
                for (v, w) in v.iter_mut().zip(w) {
                    *v = *v * r * w;
                }
            }
        }
    }
}

simd! {
    /// [`gated_norm_backward`] on this thread, where `dw` is added to; `v` is memory for a row.
    fn gated_norm_backward_rows<S>(
        op: &GatedNorm,
        u: &[f32],
        projected: &[f32],
        w: &[f32],
        dy: &[f32],
        du: &mut [f32],
        d_projected: &mut [f32],
        dw: &mut [f32],
        v: &mut [f32],
    ) {
        let (i, width) = (op.z.width, op.width());
        let rows = u.chunks_exact(i).zip(dy.chunks_exact(i)).zip(du.chunks_exact_mut(i));
        for (row, ((u, dy), du)) in rows.enumerate() {
            let (z, dz) = (op.z.row(projected, row), op.dz.row_mut(d_projected, row));
            // ∂v/∂u and ∂v/∂z wait in the places of du and dz
            let outputs = v.iter_mut().zip(du.iter_mut()).zip(dz.iter_mut());
            for (((v, du), dz), (u, z)) in outputs.zip(u.iter().zip(z)) {
                let (silu, derivative) = silu_and_derivative::<S>(*z);
                *v = u * silu;
                *du = silu;
                *dz = u * derivative;
            }
            for start in (0..i).step_by(width) {
                let group = start..start + width;
                let (v, w, dy) = (&v[group.clone()], &w[group.clone()], &dy[group.clone()]);
                let [r, along_v] = norm_and_slope::<S>(v, w, dy, op.eps);
                let inputs = v.iter().zip(w).zip(dy);
                let outputs = du[group.clone()].iter_mut().zip(&mut dz[group.clone()]).zip(&mut dw[group]);
                for (((du, dz), dw), ((v, w), dy)) in outputs.zip(inputs) {
                    let dv = mul_add::<S>(along_v, *v, r * w * dy);
                    *du *= dv;
                    *dz *= dv;
                    *dw = mul_add::<S>(r * v, *dy, *dw);
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
        test_data::{for_thread_counts, rounded, uniform},
    };

    const EPS: f32 = 1e-5;

    /// (t, i, n_groups)
    const SHAPES: [(usize, usize, usize); 8] =
        [(0, 16, 1), (1, 1, 1), (3, 6, 2), (63, 20, 1), (64, 32, 2), (65, 51, 3), (200, 64, 1), (2, 256, 8)];

    /// z inside rows of three columns more, with NaN around it.
    fn embedded(i: usize, n_groups: usize, z: &[f32]) -> (GatedNorm, Vec<f32>) {
        let columns = Columns { stride: i + 3, start: 2, width: i };
        let dz = Columns { stride: i + 1, start: 1, width: i };
        let mut projected = vec![f32::NAN; z.len() / i * columns.stride];
        for (row, z) in z.chunks_exact(i).enumerate() {
            columns.row_mut(&mut projected, row).copy_from_slice(z);
        }
        (GatedNorm { z: columns, dz, n_groups, eps: EPS }, projected)
    }

    /// y, du, dz with what is beside it, dw
    fn results(t: usize, i: usize, n_groups: usize) -> [Vec<f32>; 4] {
        let (u, z, w, dy) = inputs(t, i);
        let (op, projected) = embedded(i, n_groups, &z);
        let (mut y, mut du, mut dw) = (vec![f32::NAN; t * i], vec![f32::NAN; t * i], vec![f32::NAN; i]);
        let mut d_projected = vec![7.0; t * (i + 1)];
        gated_norm(&op, &u, &projected, &w, &mut y);
        let mut backward = |u: Stored<'_>, projected: Stored<'_>| {
            gated_norm_backward(&op, u, projected, &w, &dy, &mut du, &mut d_projected, &mut dw);
            [&du, &d_projected, &dw].map(Clone::clone)
        };
        let ((stored_u, numbers_u), (stored, numbers)) = (rounded(&u), rounded(&projected));
        let from_numbers = backward(numbers_u[..].into(), numbers[..].into());
        assert_eq!(backward(Stored::Bf16(&stored_u), Stored::Bf16(&stored)), from_numbers, "{t} × {i}");
        let [du, d_projected, dw] = backward(u[..].into(), projected[..].into());
        [y, du, d_projected, dw]
    }

    fn inputs(t: usize, i: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>) {
        let z = uniform(t * i, 2).iter().map(|z| 4.0 * z).collect();
        (uniform(t * i, 1), z, uniform(i, 3), uniform(t * i, 4))
    }

    #[test]
    fn agrees_with_the_twin() {
        for (t, i, n_groups) in SHAPES {
            let (u, z, w, dy) = inputs(t, i);
            let [u, z, w, dy] = [u, z, w, dy].map(|x| wide(&x));
            let slow = reference::gated_norm(&u, &z, &w, n_groups, f64::from(EPS));
            let (slow_du, slow_dz, slow_dw) = reference::gated_norm_backward(&u, &z, &w, &dy, n_groups, f64::from(EPS));
            for level in Level::available() {
                let [y, du, d_projected, dw] = with_level(level, 2, || results(t, i, n_groups));
                let beside = d_projected.iter().step_by(i + 1);
                assert!(beside.copied().all(|x| x == 7.0), "a column beside dz was written");
                let dz: Vec<f32> = d_projected.chunks_exact(i + 1).flat_map(|row| row[1..].to_vec()).collect();
                assert_close(&y, &slow, 2e-6, ("y", t, i, n_groups, level));
                assert_close(&du, &slow_du, 4e-6, ("du", t, i, n_groups, level));
                assert_close(&dz, &slow_dz, 4e-6, ("dz", t, i, n_groups, level));
                assert_close(&dw, &slow_dw, 1e-5, ("dw", t, i, n_groups, level));
            }
        }
    }

    #[test]
    fn twin_is_the_slope_of_its_forward() {
        let (u, z, w, dy) = inputs(3, 6);
        let [u, z, w, dy] = [u, z, w, dy].map(|x| wide(&x));
        let forward = |u: &[f64], z: &[f64], w: &[f64]| inner(&reference::gated_norm(u, z, w, 2, 1e-2), &dy);
        let (du, dz, dw) = reference::gated_norm_backward(&u, &z, &w, &dy, 2, 1e-2);
        assert_gradient(|u| forward(u, &z, &w), &u, &du, "du");
        assert_gradient(|z| forward(&u, z, &w), &z, &dz, "dz");
        assert_gradient(|w| forward(&u, &z, w), &w, &dw, "dw");
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let results = for_thread_counts(|| results(300, 40, 2));
        assert!(results.iter().all(|result| *result == results[0]));
    }
}
