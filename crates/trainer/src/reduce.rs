//! sums of each process → sums of all, by the tree of one process
//!
//! ```text
//! subtree sums of rank 0 ─┬─ slice 0 ─▶ rank 0: the tree over all subtrees ─▶ slice 0 of the total ─┐
//!                         └─ slice 1 ─┐                                                             ├─▶ total, everywhere
//! subtree sums of rank 1 ─┬─ slice 0  └▶ rank 1: the same tree ─────────────▶ slice 1 of the total ─┘
//!                         └─ slice 1 ─ …
//! ```
//!
//! Each rank adds one slice of all elements, so that work and traffic are shared: a rank sends about as many bytes as its
//! subtrees have, and the total once. Where runs of micro-batches end at borders of the tree that is one subtree a rank;
//! elsewhere the ragged ends come as subtrees of their own. Elements do not meet, so slices leave no trace in the sum.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use itera_collective::World;
use itera_ops::{HostValues, add_gradients, host_values};

use crate::{
    error::TrainError,
    losses::Losses,
    pairwise::{PairwiseSum, subtrees},
    ranks::Ranks,
    words,
};

/// What the micro-batches of one process add up to.
pub(crate) struct Part {
    /// Gradients, flat and without autodiff, in the order of the module's weights.
    pub gradients: PairwiseSum<Vec<Tensor<1>>>,
    /// Losses of each micro-batch.
    pub losses: Vec<Losses>,
}

/// What all micro-batches of a step add up to.
pub(crate) struct Total {
    pub gradients: Vec<Tensor<1>>,
    pub losses: Losses,
}

/// The total of the parts of all ranks, the same bytes for each. The gradients are as long as `weights`, and on their device.
pub(crate) fn reduce(
    ranks: &Ranks<'_>,
    micro_batches: u64,
    part: Part,
    weights: &[Tensor<1>],
) -> Result<Total, TrainError> {
    let Some(world) = ranks.world() else {
        let gradients = part.gradients.finish(add_gradients).expect("a step has a micro-batch");
        return Ok(Total { gradients, losses: sum_losses(part.losses) });
    };
    let elements = weights.iter().map(|weight| weight.dims()[0]).sum();
    let slices = Slices { elements, ranks: ranks.size() };
    let mine: Vec<Vec<HostValues>> =
        part.gradients.into_subtrees().map(|gradients| gradients.iter().map(host_values).collect()).collect();
    let trees: Vec<Vec<u64>> = (0..ranks.size()).map(|rank| subtrees(ranks.share(rank, micro_batches))).collect();
    let slice = exchange(world, &slices, &mine, &trees)?;
    drop(mine);

    let mut told = words::Writer::default();
    told.count(part.losses.len() as u64);
    part.losses.iter().for_each(|losses| losses.write(&mut told));
    words::extend(&mut told.0, &slice);
    let mut losses = Vec::with_capacity(micro_batches as usize);
    let mut all = Vec::with_capacity(slices.elements);
    for (rank, told) in ranks.gather(told.0)?.into_iter().enumerate() {
        let mut told = words::Reader(&told);
        for _ in 0..told.count().unwrap_or_default() {
            losses.extend(Losses::read_words(&mut told));
        }
        all.extend(words::numbers(told.0));
        assert_eq!(all.len(), slices.of(rank).end, "what ranks of the same program and model send");
    }
    let mut rest = &all[..];
    let of_weight = |weight: &Tensor<1>| {
        let values = rest.split_off(..weight.dims()[0]).expect("the slices are all elements");
        Tensor::from_data(TensorData::new(values.to_vec(), weight.dims()), &weight.device())
    };
    Ok(Total { gradients: weights.iter().map(of_weight).collect(), losses: sum_losses(losses) })
}

/// This rank's slice of the total, from the subtree sums of this rank and how many leaves the subtrees of each rank have.
fn exchange(
    world: &World,
    slices: &Slices,
    mine: &[Vec<HostValues>],
    trees: &[Vec<u64>],
) -> Result<Vec<f32>, TrainError> {
    let mut out = Vec::with_capacity(slices.elements * mine.len() * size_of::<f32>());
    for to in 0..slices.ranks {
        mine.iter().for_each(|sum| extend_by_slice(&mut out, sum, slices.of(to)));
    }
    let slice_bytes = |rank: usize| slices.of(rank).len() * size_of::<f32>();
    let out_lengths: Vec<usize> = (0..slices.ranks).map(|to| slice_bytes(to) * mine.len()).collect();
    let one = slice_bytes(world.rank());
    let into_lengths: Vec<usize> = trees.iter().map(|subtrees| one * subtrees.len()).collect();
    let mut into = vec![0; into_lengths.iter().sum()];
    world.alltoall_into(&out, &out_lengths, &mut into, &into_lengths)?;
    drop(out);
    let mut sum = PairwiseSum::default();
    let mut rest = &into[..];
    for &leaves in trees.iter().flatten() {
        let subtree = rest.split_off(..one).expect("as many bytes as there are subtrees");
        sum.push_subtree(leaves, words::numbers(subtree).collect(), add);
    }
    Ok(sum.finish(add).expect("a step has a micro-batch"))
}

fn add(mut left: Vec<f32>, right: Vec<f32>) -> Vec<f32> {
    left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
    left
}

/// The losses of all micro-batches of a step, in order, added by the tree that adds their gradients.
fn sum_losses(all: Vec<Losses>) -> Losses {
    let mut sum = PairwiseSum::default();
    all.into_iter().for_each(|losses| sum.push(losses, |left, right| left + right));
    sum.finish(|left, right| left + right).unwrap_or_default()
}

/// How the elements of all weights, one behind the other, are shared out.
struct Slices {
    elements: usize,
    ranks: usize,
}

impl Slices {
    fn of(&self, rank: usize) -> Range<usize> {
        let begin = |rank: usize| (self.elements as u128 * rank as u128 / self.ranks as u128) as usize;
        begin(rank)..begin(rank + 1)
    }
}

/// Append the elements of `range` of tensors that lie one behind the other.
fn extend_by_slice(bytes: &mut Vec<u8>, tensors: &[HostValues], range: Range<usize>) {
    let mut begin = 0;
    for values in tensors {
        let end = begin + values.len();
        let within = |at: usize| at.clamp(begin, end) - begin;
        words::extend(bytes, &values[within(range.start)..within(range.end)]);
        begin = end;
    }
}

#[cfg(test)]
mod tests;
