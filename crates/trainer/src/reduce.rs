//! sums of each process → sums of all, by the tree of one process
//!
//! ```text
//! subtree sums of rank 0 ─┬─ slice 0 ─▶ rank 0: the tree over all subtrees ─▶ slice 0 of the total ─┐
//!                         └─ slice 1 ─┐                                                             ├─▶ total, everywhere
//! subtree sums of rank 1 ─┬─ slice 0  └▶ rank 1: the same tree ─────────────▶ slice 1 of the total ─┘
//!                         └─ slice 1 ─ …
//! ```
//!
//! The leaves of the tree are the gradients of micro-batches, or what replicas have moved by. Each rank adds one slice of all
//! elements, so that work and traffic are shared: a rank sends about as many bytes as its subtrees have, and the total once.
//! Where runs of leaves end at borders of the tree that is one subtree a rank; elsewhere the ragged ends come as subtrees of
//! their own. Elements do not meet, so slices leave no trace in the sum.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use itera_collective::World;
use itera_ops::{HostValues, add_gradients, host_values};

use crate::{
    error::TrainError,
    pairwise::{PairwiseSum, subtrees},
    ranks::Ranks,
    words,
};

/// A total, and what each rank told with its part of it.
pub(crate) struct Total {
    /// The sum of all leaves.
    pub sum: Vec<Tensor<1>>,
    /// In the order of ranks.
    pub told: Vec<Vec<u8>>,
}

/// What each leaf is made of: tensors without autodiff.
pub(crate) struct Leaf {
    /// Of each tensor.
    pub lengths: Vec<usize>,
    device: Device,
}

impl Leaf {
    /// As many tensors as `weights`, of their lengths, on their device.
    pub(crate) fn like(weights: &[Tensor<1>]) -> Self {
        let device = weights.first().map_or_else(Device::default, Tensor::device);
        Self { lengths: weights.iter().map(|weight| weight.dims()[0]).collect(), device }
    }
}

/// The total of the `leaves` that all ranks have, each as many as [`Ranks::share`] says, of which this one's add up to `mine`.
/// It is the same bytes for each. A leaf is a list of tensors as `leaf` says. What each rank has to tell goes with
/// it.
pub(crate) fn reduce(
    ranks: &Ranks<'_>,
    leaves: u64,
    mine: PairwiseSum<Vec<Tensor<1>>>,
    told: Vec<u8>,
    leaf: &Leaf,
) -> Result<Total, TrainError> {
    let Some(world) = ranks.world() else {
        let sum = mine.finish(add_gradients).expect("there is a leaf");
        return Ok(Total { sum, told: vec![told] });
    };
    let elements = leaf.lengths.iter().sum();
    let slices = Slices { elements, ranks: ranks.size() };
    let mine: Vec<Vec<HostValues>> =
        mine.into_subtrees().map(|tensors| tensors.iter().map(host_values).collect()).collect();
    let trees: Vec<Vec<u64>> = (0..ranks.size()).map(|rank| subtrees(ranks.share(rank, leaves))).collect();
    let slice = exchange(world, &slices, &mine, &trees)?;
    drop(mine);

    let mut bytes = Vec::with_capacity(size_of_val(&slice[..]) + told.len());
    words::extend(&mut bytes, &slice);
    bytes.extend(told);
    let mut told = Vec::with_capacity(slices.ranks);
    let mut all = Vec::with_capacity(slices.elements);
    for (rank, bytes) in ranks.gather(bytes)?.into_iter().enumerate() {
        let (slice, rest) = bytes.split_at(slices.of(rank).len() * size_of::<f32>());
        all.extend(words::numbers(slice));
        told.push(rest.to_vec());
    }
    let mut rest = &all[..];
    let tensor = |&len: &usize| {
        let values = rest.split_off(..len).expect("the slices are all elements");
        Tensor::from_data(TensorData::new(values.to_vec(), [len]), &leaf.device)
    };
    Ok(Total { sum: leaf.lengths.iter().map(tensor).collect(), told })
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
    Ok(sum.finish(add).expect("there is a leaf"))
}

fn add(mut left: Vec<f32>, right: Vec<f32>) -> Vec<f32> {
    left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
    left
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
