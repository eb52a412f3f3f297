//! Cross-entropy under the head's distribution, a token at a time.

/// Twin of [`forward`](crate::cross_entropy::forward): `−ln softmax(z)[target]`, `z = head·h / scaling`.
///
/// # Shapes
/// `hidden`: [t, d], `head`: [v, d], `targets`: `[t]` → `[t]`
pub fn head_cross_entropy(hidden: &[f64], head: &[f64], d: usize, targets: &[i32], scaling: f64) -> Vec<f64> {
    let probabilities = hidden.chunks(d).map(|h| log_softmax(h, head, scaling));
    probabilities.zip(targets).map(|(ln_p, target)| -ln_p[*target as usize]).collect()
}

/// Twin of [`forward_backward`](crate::cross_entropy::forward_backward): the gradients of `Σ upstream·nats` with
/// respect to hidden and head, by ∂nats/∂z = softmax(z) − 1\[target\].
///
/// # Shapes
/// `hidden`: [t, d], `head`: [v, d], `targets`, `upstream`: `[t]` → ([t, d], [v, d])
pub fn head_cross_entropy_backward(
    hidden: &[f64],
    head: &[f64],
    d: usize,
    targets: &[i32],
    scaling: f64,
    upstream: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (mut d_hidden, mut d_head) = (vec![0.0; hidden.len()], vec![0.0; head.len()]);
    for (t, h) in hidden.chunks(d).enumerate() {
        for (v, ln_p) in log_softmax(h, head, scaling).into_iter().enumerate() {
            let hit = if targets[t] as usize == v { 1.0 } else { 0.0 };
            let d_z = upstream[t] * (ln_p.exp() - hit);
            for c in 0..d {
                d_hidden[t * d + c] += d_z / scaling * head[v * d + c];
                d_head[v * d + c] += d_z / scaling * h[c];
            }
        }
    }
    (d_hidden, d_head)
}

pub(super) fn log_softmax(h: &[f64], head: &[f64], scaling: f64) -> Vec<f64> {
    let z: Vec<f64> =
        head.chunks(h.len()).map(|w| w.iter().zip(h).map(|(w, h)| w * h).sum::<f64>() / scaling).collect();
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ln_sum = z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    z.iter().map(|z| z - max - ln_sum).collect()
}
