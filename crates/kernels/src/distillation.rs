//! A student's distribution against a teacher's: Kullback-Leibler divergence at a temperature, and its gradients.
//!
//! ```text
//! slab of tokens:
//!     z = hidden·headᵀ/(scaling·T)     z' = teacher's                                      products 1 and 2
//!     where vocabularies differ, z'ᵢ = 1/T·ln Σⱼ exp(T·z'ⱼ) over the j that begin with i
//!     p = softmax z    q = softmax z'    loss = T²·Σ q·(ln q − ln p)
//!     g = T·(p − q)·u/scaling, in the place of z
//!     d_hidden = g·head,  d_head += gᵀ·hidden                                              products 3 and 4
//! ```
//!
//! The loss of Hinton, Vinyals and Dean (arXiv 1503.02531 §2), T² included, so that its gradient does not fade with T:
//! ∂loss/∂z = T²·(p − q), and z is 1/(scaling·T) of a product. Logits exist for one slab at a time.

use rayon::prelude::*;

use crate::{
    gemm::{Matrix, MatrixMut, Operands, Packed, Write, par_gemm, par_gemm_packed},
    scratch,
    simd::simd,
    softmax::{COLUMNS, weight},
};

/// Elements of the logits of one model in a slab: 4 MiB.
const SLAB_LEN: usize = 1 << 20;

/// Hidden vectors and the head that makes logits of them: `hidden·headᵀ / scaling`.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    /// [t, d]
    pub hidden: &'a [f32],
    /// [v, d]
    pub head: &'a [f32],
    /// Width of a hidden vector.
    pub d_model: usize,
    /// Divisor of the logits.
    pub scaling: f32,
}

/// What learns from what. Widths may differ, tokens do not.
#[derive(Clone, Copy, Debug)]
pub struct Distillation<'a> {
    /// Whose gradients are wanted.
    pub student: Projection<'a>,
    /// What it should become.
    pub teacher: Projection<'a>,
    /// For each entry of the teacher's vocabulary the one of the student's that begins it, whose probability counts its
    /// own; `None` where both have the same.
    pub pool: Option<&'a [u32]>,
    /// What logits are divided by before they become distributions.
    pub temperature: f32,
    /// Of the products.
    pub operands: Operands,
}

/// Where gradients of `upstream · Σ losses` go; both are overwritten.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// The same for every token.
    pub upstream: f32,
    /// [t, d]
    pub hidden: &'a mut [f32],
    /// [v, d]
    pub head: &'a mut [f32],
}

impl Projection<'_> {
    fn shape(&self) -> (usize, usize) {
        let Self { hidden, head, d_model, .. } = self;
        assert!(*d_model > 0 && hidden.len() % d_model == 0 && head.len() % d_model == 0, "rows of {d_model} numbers");
        (hidden.len() / d_model, head.len() / d_model)
    }

    /// `[d, v]`: the right operand of the logits.
    fn pack<'b>(&self, operands: Operands, packed: &'b mut [f32]) -> Packed<'b> {
        let (_, vocab) = self.shape();
        Packed::pack(Matrix::new(self.head, vocab, self.d_model).t().with_operands(operands), packed)
    }

    /// Products of the tokens from `start` with every row of the head.
    fn products(&self, start: usize, tokens: usize, head_t: Packed<'_>, operands: Operands, z: &mut [f32]) {
        let (_, vocab) = self.shape();
        let hidden = Matrix::new(&self.hidden[start * self.d_model..][..tokens * self.d_model], tokens, self.d_model);
        par_gemm_packed(hidden.with_operands(operands), head_t, MatrixMut::new(z, tokens, vocab), Write::Set);
    }
}

/// The divergence of each token, and the gradients of the student's hidden vectors and head if they are wanted.
///
/// # Shapes
/// `losses`: `[t]`
///
/// # Panics
/// If lengths do not fit, an entry of `pool` is none of the student's, or the temperature is not above 0.
pub fn distillation(input: &Distillation<'_>, losses: &mut [f32], mut gradients: Option<Gradients<'_>>) {
    let Distillation { student, teacher, pool, temperature, operands } = *input;
    let (tokens, vocab) = student.shape();
    let teacher_vocab = pool.map_or(vocab, <[u32]>::len);
    assert_eq!(teacher.shape(), (tokens, teacher_vocab), "tokens and vocabulary of the teacher");
    assert_eq!(losses.len(), tokens, "one number a token");
    assert!(temperature > 0.0, "a temperature above 0");
    if let Some(Gradients { hidden, head, .. }) = &mut gradients {
        assert_eq!((hidden.len(), head.len()), (student.hidden.len(), student.head.len()), "shapes of the operands");
        head.fill(0.0);
    }
    let slab_tokens = (SLAB_LEN / vocab.max(teacher_vocab).max(1)).clamp(1, 512).min(tokens.max(1));
    let (d, upstream) = (student.d_model, gradients.as_ref().map_or(0.0, |gradients| gradients.upstream));
    let packed_lens = [Packed::len(d, vocab), Packed::len(teacher.d_model, teacher_vocab)];
    let pooled_len = pool.map_or(0, |_| slab_tokens * vocab);
    let lens = [packed_lens[0], packed_lens[1], slab_tokens * vocab, slab_tokens * teacher_vocab, pooled_len];
    scratch::with_parts(lens, |[student_t, teacher_t, z, z_teacher, pooled]| {
        let (student_t, teacher_t) = (student.pack(operands, student_t), teacher.pack(operands, teacher_t));
        for (index, losses) in losses.chunks_mut(slab_tokens).enumerate() {
            let (start, tokens) = (index * slab_tokens, losses.len());
            let (z, mut z_teacher) = (&mut z[..tokens * vocab], &mut z_teacher[..tokens * teacher_vocab]);
            student.products(start, tokens, student_t, operands, z);
            teacher.products(start, tokens, teacher_t, operands, z_teacher);
            let mut scales = [student.scaling, teacher.scaling].map(|scaling| 1.0 / (scaling * temperature));
            if let Some(begins) = pool {
                let rows = pooled.par_chunks_mut(vocab).zip(z_teacher.par_chunks_mut(teacher_vocab));
                rows.for_each(|(pooled, z)| pool_logits(pooled, z, begins, 1.0 / teacher.scaling));
                (z_teacher, scales[1]) = (&mut pooled[..tokens * vocab], 1.0 / temperature);
            }
            let factor = upstream * temperature / student.scaling;
            let rows = z.par_chunks_mut(vocab).zip(z_teacher.par_chunks_mut(vocab)).zip(losses);
            rows.for_each(|((z, z_teacher), loss)| {
                *loss = temperature * temperature * divergence(z, z_teacher, scales);
                // z and z_teacher are distributions now
                z.iter_mut().zip(z_teacher).for_each(|(p, q)| *p = factor * (*p - *q));
            });
            if let Some(Gradients { hidden: d_hidden, head: d_head, .. }) = &mut gradients {
                let g = Matrix::new(z, tokens, vocab).with_operands(operands);
                let head = Matrix::new(student.head, vocab, d).with_operands(operands);
                let d_hidden = MatrixMut::new(&mut d_hidden[start * d..][..tokens * d], tokens, d);
                par_gemm(g, head, d_hidden, Write::Set);
                let hidden = Matrix::new(&student.hidden[start * d..][..tokens * d], tokens, d).with_operands(operands);
                par_gemm(g.t(), hidden, MatrixMut::new(d_head, vocab, d), Write::Add);
            }
        }
    });
}

simd! {
    /// ln Σ exp(scale·z − max) over what begins with each entry. z is lost.
    fn pool_logits<S>(pooled: &mut [f32], z: &mut [f32], begins: &[u32], scale: f32) {
        let max = z.iter().fold(f32::NEG_INFINITY, |max, z| if *z > max { *z } else { max });
        z.iter_mut().for_each(|z| *z = weight::<S>((*z - max) * scale));
        pooled.fill(0.0);
        for (weight, entry) in z.iter().zip(begins) {
            pooled[*entry as usize] += *weight;
        }
        // what is nothing to an f32 stays a logit
        pooled.iter_mut().for_each(|sum| *sum = sum.max(f32::MIN_POSITIVE).ln());
    }
}

simd! {
    /// Σ q·(ln q − ln p) of the softmax p of `scales[0]·z` and the softmax q of `scales[1]·z'`, which take the places of
    /// z and z'.
    fn divergence<S>(z: &mut [f32], z_teacher: &mut [f32], scales: [f32; 2]) -> f32 {
        let max = |z: &[f32]| z.iter().fold(f32::NEG_INFINITY, |max, z| if *z > max { *z } else { max });
        let (max, max_teacher) = (max(z), max(z_teacher));
        // sums of p, of q, and of q·(z' − z), each lane its own
        let mut sums = [[0.0_f32; COLUMNS]; 3];
        for (z, z_teacher) in z.chunks_mut(COLUMNS).zip(z_teacher.chunks_mut(COLUMNS)) {
            for (lane, (z, z_teacher)) in z.iter_mut().zip(z_teacher).enumerate() {
                let (a, b) = ((*z - max) * scales[0], (*z_teacher - max_teacher) * scales[1]);
                let (p, q) = (weight::<S>(a), weight::<S>(b));
                sums[0][lane] += p;
                sums[1][lane] += q;
                sums[2][lane] += q * (b - a);
                (*z, *z_teacher) = (p, q);
            }
        }
        let [p, q, difference] = sums.map(|lanes| lanes.iter().map(|sum| f64::from(*sum)).sum::<f64>());
        let (of_p, of_q) = ((1.0 / p) as f32, (1.0 / q) as f32);
        z.iter_mut().for_each(|p| *p *= of_p);
        z_teacher.iter_mut().for_each(|q| *q *= of_q);
        // never below 0 but for rounding
        (difference / q - q.ln() + p.ln()).max(0.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, assert_gradient, inner, wide},
        reference,
        simd::{Level, with_level},
        test_data::{for_thread_counts, uniform},
    };

    /// (t, d, d of the teacher, v, v of the teacher) around lanes and slabs.
    const SHAPES: [(usize, usize, usize, usize, usize); 9] = [
        (0, 3, 3, 5, 5),
        (1, 1, 2, 1, 1),
        (2, 16, 8, 100, 100),
        (33, 7, 33, 31, 31),
        (31, 9, 4, 33, 70),
        (513, 4, 3, 40, 40),
        (300, 4, 3, 9, 5000),
        (5, 3, 5, SLAB_LEN / 4 + 1, SLAB_LEN / 4 + 1),
        (5, 3, 5, 33, SLAB_LEN / 4 + 1),
    ];

    struct Case {
        parts: [Vec<f32>; 4],
        pool: Option<Vec<u32>>,
        d: [usize; 2],
        temperature: f32,
    }

    impl Case {
        fn new((t, d, d_teacher, v, v_teacher): (usize, usize, usize, usize, usize), temperature: f32) -> Self {
            let of = |len, scale: f32, seed| uniform(len, seed).iter().map(|x| scale * x).collect();
            let teacher = [of(t * d_teacher, 3.0, 3), of(v_teacher * d_teacher, 1.0, 4)];
            let [hidden, head] = teacher;
            let pool = (v_teacher > v).then(|| (0..v_teacher).map(|j| (7 * j % v) as u32).collect());
            Self { parts: [of(t * d, 3.0, 1), of(v * d, 1.0, 2), hidden, head], pool, d: [d, d_teacher], temperature }
        }

        fn input(&self) -> Distillation<'_> {
            let [hidden, head, teacher_hidden, teacher_head] = &self.parts;
            Distillation {
                student: Projection { hidden, head, d_model: self.d[0], scaling: 1.5 },
                teacher: Projection { hidden: teacher_hidden, head: teacher_head, d_model: self.d[1], scaling: 0.7 },
                pool: self.pool.as_deref(),
                temperature: self.temperature,
                operands: Operands::F32,
            }
        }

        /// losses, d_hidden, d_head
        fn fast(&self, upstream: f32) -> [Vec<f32>; 3] {
            let input = self.input();
            let mut losses = vec![f32::NAN; input.student.shape().0];
            let [mut hidden, mut head] = [&self.parts[0], &self.parts[1]].map(|of| vec![f32::NAN; of.len()]);
            let gradients = Gradients { upstream, hidden: &mut hidden, head: &mut head };
            distillation(&input, &mut losses, Some(gradients));
            [losses, hidden, head]
        }

        fn slow(&self, parts: [&[f64]; 4]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
            let [hidden, head, teacher_hidden, teacher_head] = parts;
            let student = (hidden, head, self.d[0], 1.5);
            let teacher = (teacher_hidden, teacher_head, self.d[1], f64::from(0.7_f32));
            reference::distillation(student, teacher, self.pool.as_deref(), f64::from(self.temperature))
        }
    }

    #[test]
    fn losses_and_gradients_agree_with_the_twin() {
        for shape in SHAPES {
            for temperature in [1.0, 2.5] {
                let case = Case::new(shape, temperature);
                let parts: Vec<Vec<f64>> = case.parts.iter().map(|part| wide(part)).collect();
                let (losses, hidden, head) = case.slow([&parts[0], &parts[1], &parts[2], &parts[3]]);
                let half = |of: Vec<f64>| of.iter().map(|x| 0.5 * x).collect::<Vec<_>>();
                for level in Level::available() {
                    let [fast, d_hidden, d_head] = with_level(level, 2, || case.fast(0.5));
                    assert_close(&fast, &losses, 2e-5, ("losses", shape, level));
                    assert_close(&d_hidden, &half(hidden.clone()), 2e-5, ("d_hidden", shape, level));
                    assert_close(&d_head, &half(head.clone()), 2e-5, ("d_head", shape, level));
                }
            }
        }
    }

    #[test]
    fn the_twins_gradients_are_those_of_finite_differences() {
        let case = Case::new((3, 5, 2, 7, 11), 1.7);
        let parts: Vec<Vec<f64>> = case.parts.iter().map(|part| wide(part)).collect();
        let (_, d_hidden, d_head) = case.slow([&parts[0], &parts[1], &parts[2], &parts[3]]);
        let ones = vec![1.0; 3];
        let of_hidden = |x: &[f64]| inner(&case.slow([x, &parts[1], &parts[2], &parts[3]]).0, &ones);
        let of_head = |x: &[f64]| inner(&case.slow([&parts[0], x, &parts[2], &parts[3]]).0, &ones);
        assert_gradient(of_hidden, &parts[0], &d_hidden, "hidden");
        assert_gradient(of_head, &parts[1], &d_head, "head");
    }

    #[test]
    fn a_student_that_is_its_teacher_has_nothing_to_learn() {
        let mut case = Case::new((40, 8, 8, 50, 50), 2.0);
        (case.parts[2], case.parts[3]) = (case.parts[0].clone(), case.parts[1].clone());
        let mut input = case.input();
        input.teacher.scaling = input.student.scaling;
        let (mut losses, mut hidden, mut head) = (vec![f32::NAN; 40], vec![f32::NAN; 320], vec![f32::NAN; 400]);
        let gradients = Gradients { upstream: 1.0, hidden: &mut hidden, head: &mut head };
        distillation(&input, &mut losses, Some(gradients));
        for x in losses.iter().chain(&hidden).chain(&head) {
            assert!(x.abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn every_number_of_threads_gives_the_same_bits() {
        for vocab in [300, 700] {
            let case = Case::new((513, 16, 8, 300, vocab), 1.3);
            let all = for_thread_counts(|| case.fast(0.1));
            assert!(all.iter().all(|one| *one == all[0]), "{vocab}");
        }
    }
}
