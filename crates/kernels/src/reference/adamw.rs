//! AdamW, an element at a time.

use crate::adamw::{AdamW, Parameter, assert_arguments};

/// Twin of [`adamw_step`](crate::adamw::adamw_step): Algorithm 2 of arXiv 1711.05101 as `torch.optim.AdamW` has it,
/// in f64 and rounded when stored.
///
/// # Panics
///
/// If the slices of a parameter differ in length or `step` is 0.
pub fn adamw_step(parameters: Vec<Parameter<'_>>, step: u64, grad_scale: f32, hyper: &AdamW) {
    let (bias1, bias2) = hyper.bias_corrections(step);
    for parameter in parameters {
        assert_arguments(&parameter, step);
        let Parameter { values, grad, m, v, decays } = parameter;
        let weight_decay = if decays { hyper.weight_decay } else { 0.0 };
        for i in 0..values.len() {
            let g = f64::from(grad[i]) * f64::from(grad_scale);
            let m_t = hyper.beta1 * f64::from(m[i]) + (1.0 - hyper.beta1) * g;
            let v_t = hyper.beta2 * f64::from(v[i]) + (1.0 - hyper.beta2) * g * g;
            let decayed = f64::from(values[i]) * (1.0 - hyper.lr * weight_decay);
            let (m_hat, v_hat) = (m_t / bias1, v_t / bias2);
            values[i] = (decayed - hyper.lr * m_hat / (v_hat.sqrt() + hyper.eps)) as f32;
            m[i] = m_t as f32;
            v[i] = v_t as f32;
        }
    }
}
