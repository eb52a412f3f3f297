//! hidden vectors of pairs → what it costs to tell which parts belong together
//!
//! InfoNCE (arXiv 1807.03748 equation 4) with the other pairs of the micro-batch as what a part is not: for p pairs whose
//! vectors, of length 1, are aᵢ and bᵢ,
//!
//! ```text
//! aᵢ, bᵢ  the mean of the hidden vectors of bos and a part, its first n numbers
//! L(n) = −1/2p · Σᵢ (log softmaxⱼ(aᵢ·bⱼ/τ)[i] + log softmaxⱼ(bᵢ·aⱼ/τ)[i])
//! L    = (L(d) + L(d/2) + L(d/4)) / 3
//! ```
//!
//! so that the first numbers of a vector are one as well (Matryoshka, arXiv 2205.13147 equation 1). Cosines are products of
//! the head, of which the vectors of the other side are the rows.

use burn::tensor::{Int, Tensor, TensorData};
use itera_data::TokenBatch;
use itera_ops::{head_cross_entropy, mean};

use crate::{
    losses::LossParts,
    objective::{MicroBatch, parts},
};

/// Prefixes of a vector that are vectors as well: all of it, a half and a quarter.
const NESTED: [usize; 3] = [1, 2, 4];

/// What a batch of [`Pairs`](itera_data::Pairs) costs.
pub(crate) fn losses(batch: MicroBatch<'_>) -> LossParts {
    let (tokens, temperature) = (batch.tokens, batch.config.contrast_temperature);
    parts(batch, &|hidden| {
        let loss = info_nce(hidden, tokens, temperature);
        [loss.clone(), loss]
    })
}

/// Mean nats a part, over both sides and all prefixes.
///
/// # Shapes
/// `hidden`: [b, l, d] of `tokens` → `[1]`
pub(crate) fn info_nce(hidden: Tensor<3>, tokens: &TokenBatch, temperature: f64) -> Tensor<1> {
    let [b, l, d] = hidden.dims();
    let (pairs, device) = (b / 2, hidden.device());
    let shares = Tensor::<3>::from_data(TensorData::new(shares(tokens), [b, l, 1]), &device);
    let means = (hidden * shares).sum_dim(1).reshape([pairs, 2, d]);
    let [first, second] = [0, 1].map(|side| means.clone().slice([0..pairs, side..side + 1, 0..d]).reshape([pairs, d]));
    let own = Tensor::<1, Int>::arange(0..pairs as i64, &device);
    let nested = NESTED.map(|part| {
        let n = (d / part).max(1);
        let [a, b] = [&first, &second].map(|vectors| unit(vectors.clone().slice([0..pairs, 0..n])));
        let find = |query: &Tensor<2>, among: &Tensor<2>| {
            mean(head_cross_entropy(query.clone(), among.clone(), own.clone(), temperature))
        };
        find(&a, &b) + find(&b, &a)
    });
    let count = 2 * nested.len();
    nested.into_iter().reduce(|sum, loss| sum + loss).expect("there are prefixes").div_scalar(count as f64)
}

/// Vectors [p, n] of length 1.
fn unit(vectors: Tensor<2>) -> Tensor<2> {
    let squares = vectors.clone().square().sum_dim(1);
    vectors / squares.add_scalar(1e-12).sqrt()
}

/// By what each hidden vector counts in the mean of its sequence [b, l]: bos and the text alike, and nothing behind it.
fn shares(tokens: &TokenBatch) -> Vec<f32> {
    let of_sequence = |targets: &[i32]| {
        let len = 1 + targets.iter().filter(|&&target| target != TokenBatch::UNSCORED).count();
        let share = 1.0 / len as f32;
        (0..targets.len()).map(move |at| if at < len { share } else { 0.0 }).collect::<Vec<_>>()
    };
    tokens.targets.chunks_exact(tokens.seq_len).flat_map(of_sequence).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Two pairs, whose sequences have 1 to 3 tokens behind bos.
    fn batch() -> TokenBatch {
        let lengths = [3, 1, 2, 3];
        let targets =
            lengths.iter().flat_map(|&len| (0..4).map(move |at| if at < len { 7 } else { TokenBatch::UNSCORED }));
        TokenBatch { inputs: vec![0; 16], targets: targets.collect(), positions: vec![], batch_size: 4, seq_len: 4 }
    }

    /// The equations as they stand, in f64.
    fn expected(hidden: &[f32], tau: f64) -> f64 {
        let (l, d) = (4, 4);
        let vector = |row: usize, n: usize| -> Vec<f64> {
            let len = [4, 2, 3, 4][row];
            let mean = (0..n).map(|i| (0..len).map(|t| f64::from(hidden[(row * l + t) * d + i])).sum::<f64>());
            let mean: Vec<f64> = mean.collect();
            let norm = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
            mean.iter().map(|x| x / norm).collect()
        };
        let mut sum = 0.0;
        for n in [4, 2, 1] {
            for [queries, among] in [[[0, 2], [1, 3]], [[1, 3], [0, 2]]] {
                for (i, query) in queries.into_iter().enumerate() {
                    let dot = |row| vector(query, n).iter().zip(vector(row, n)).map(|(x, y)| x * y).sum::<f64>() / tau;
                    let all = among.map(dot);
                    sum += all.iter().map(|z| z.exp()).sum::<f64>().ln() - all[i];
                }
            }
        }
        sum / 12.0
    }

    #[test]
    fn it_is_what_its_equations_say_and_nothing_behind_a_text_counts() {
        let device = Device::flex();
        let mut hidden: Vec<f32> = (0..64).map(|i: i32| ((i * 37 % 23) as f32 - 11.0) / 7.0).collect();
        let found = |hidden: &[f32]| {
            let hidden = Tensor::from_data(TensorData::new(hidden.to_vec(), [4, 4, 4]), &device);
            f64::from(info_nce(hidden, &batch(), 0.5).into_scalar::<f32>())
        };
        let loss = found(&hidden);
        assert!((loss - expected(&hidden, 0.5)).abs() < 1e-5, "{loss} {}", expected(&hidden, 0.5));
        // behind the second sequence, of bos and one token
        hidden[4 * 4 + 2 * 4..8 * 4].fill(1e3);
        assert_eq!(found(&hidden), loss);
    }

    #[test]
    fn parts_that_agree_with_their_own_alone_cost_next_to_nothing() {
        let device = Device::flex();
        let rows = [[1.0_f32, 0.1], [1.0, 0.1], [-1.0, 0.1], [-1.0, 0.1]];
        let of = |order: [usize; 4]| {
            let hidden: Vec<f32> = order.iter().flat_map(|&row| rows[row].repeat(4)).collect();
            let hidden = Tensor::from_data(TensorData::new(hidden, [4, 4, 2]), &device);
            info_nce(hidden, &batch(), 0.05).into_scalar::<f32>()
        };
        assert!(of([0, 1, 2, 3]) < 1e-6 && of([0, 2, 3, 1]) > 1.0, "{} {}", of([0, 1, 2, 3]), of([0, 2, 3, 1]));
    }
}
