//! AdamW, an element at a time.

use crate::adamw::{AdamW, assert_arguments};

/// Twin of [`adamw_step`](crate::adamw::adamw_step): Algorithm 2 of arXiv 1711.05101 as `torch.optim.AdamW` has it,
/// in f64 and rounded when stored.
///
/// # Panics
///
/// If the slices differ in length or `step` is 0.
pub fn adamw_step(
    param: &mut [f32],
    grad: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    step: u64,
    grad_scale: f32,
    hyper: &AdamW,
) {
    assert_arguments(param, grad, m, v, step);
    let (bias1, bias2) = hyper.bias_corrections(step);
    for i in 0..param.len() {
        let g = f64::from(grad[i]) * f64::from(grad_scale);
        let m_t = hyper.beta1 * f64::from(m[i]) + (1.0 - hyper.beta1) * g;
        let v_t = hyper.beta2 * f64::from(v[i]) + (1.0 - hyper.beta2) * g * g;
        let decayed = f64::from(param[i]) * (1.0 - hyper.lr * hyper.weight_decay);
        let (m_hat, v_hat) = (m_t / bias1, v_t / bias2);
        param[i] = (decayed - hyper.lr * m_hat / (v_hat.sqrt() + hyper.eps)) as f32;
        m[i] = m_t as f32;
        v[i] = v_t as f32;
    }
}
