//! Divergence from a teacher's distribution, a token at a time.

/// hidden [t, d], head [v, d], d, scaling
type Projection<'a> = (&'a [f64], &'a [f64], usize, f64);

/// Twin of [`distillation`](crate::distillation::distillation): `T²·Σ q·(ln q − ln p)` of each token, and the gradients of
/// the sum with respect to the student's hidden vectors and head. With `pool`, q at T = 1 is summed over the teacher's
/// entries that begin with one of the student's.
///
/// # Shapes
/// → (`[t]`, [t, d], [v, d])
pub fn distillation(
    student: Projection<'_>,
    teacher: Projection<'_>,
    pool: Option<&[u32]>,
    temperature: f64,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (hidden, head, d, scaling) = student;
    let (mut d_hidden, mut d_head) = (vec![0.0; hidden.len()], vec![0.0; head.len()]);
    let mut losses = vec![];
    for (t, (h, h_teacher)) in hidden.chunks(d).zip(teacher.0.chunks(teacher.2)).enumerate() {
        let ln_p = super::cross_entropy::log_softmax(h, head, scaling * temperature);
        let ln_q = match pool {
            None => super::cross_entropy::log_softmax(h_teacher, teacher.1, teacher.3 * temperature),
            Some(pool) => {
                let mut q = vec![0.0; ln_p.len()];
                let ln_q = super::cross_entropy::log_softmax(h_teacher, teacher.1, teacher.3);
                pool.iter().zip(ln_q).for_each(|(entry, ln_q)| q[*entry as usize] += ln_q.exp());
                // an entry that begins none has what is nothing to an f32
                let z: Vec<f64> = q.iter().map(|q: &f64| q.max(f64::from(f32::MIN_POSITIVE)).ln()).collect();
                super::cross_entropy::log_softmax(&[1.0], &z, temperature)
            }
        };
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
