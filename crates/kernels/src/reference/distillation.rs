//! Divergence from a teacher's distribution, a token at a time.

/// hidden [t, d], head [v, d], d, scaling
type Projection<'a> = (&'a [f64], &'a [f64], usize, f64);

/// Twin of [`distillation`](crate::distillation::distillation): `T²·Σ q·(ln q − ln p)` of each token, and the gradients of
/// the sum with respect to the student's hidden vectors and head.
///
/// # Shapes
/// → (`[t]`, [t, d], [v, d])
pub fn distillation(
    student: Projection<'_>,
    teacher: Projection<'_>,
    temperature: f64,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (hidden, head, d, scaling) = student;
    let (mut d_hidden, mut d_head) = (vec![0.0; hidden.len()], vec![0.0; head.len()]);
    let mut losses = vec![];
    for (t, (h, h_teacher)) in hidden.chunks(d).zip(teacher.0.chunks(teacher.2)).enumerate() {
        let ln_p = super::cross_entropy::log_softmax(h, head, scaling * temperature);
        let ln_q = super::cross_entropy::log_softmax(h_teacher, teacher.1, teacher.3 * temperature);
        let divergence: f64 = ln_p.iter().zip(&ln_q).map(|(ln_p, ln_q)| ln_q.exp() * (ln_q - ln_p)).sum();
        losses.push(temperature * temperature * divergence);
        for (v, (ln_p, ln_q)) in ln_p.iter().zip(&ln_q).enumerate() {
            let d_z = temperature * (ln_p.exp() - ln_q.exp()) / scaling;
            for c in 0..d {
                d_hidden[t * d + c] += d_z * head[v * d + c];
                d_head[v * d + c] += d_z * h[c];
            }
        }
    }
    (losses, d_hidden, d_head)
}
