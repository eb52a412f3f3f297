//! sums of this process → sums of all

use std::ops::Range;

use burn::tensor::Tensor;

use crate::losses::Losses;

/// What micro-batches add up to: a subtree of a [`PairwiseSum`](crate::PairwiseSum) over all micro-batches of a step.
#[derive(Debug)]
pub struct StepSum {
    /// Sums of gradients, flat and without autodiff, in the order of the module's weights.
    pub gradients: Vec<Tensor<1>>,
    /// Sums of losses.
    pub losses: Losses,
}

impl StepSum {
    /// The sum of two neighbours in the tree.
    pub fn join(left: Self, right: Self) -> Self {
        Self {
            gradients: itera_ops::add_gradients(left.gradients, right.gradients),
            losses: left.losses + right.losses,
        }
    }
}

/// The seam between the gradients of this process and their norm: joins the sums of all processes of a run.
///
/// Each process has the leaves r·2ᵏ .. (r+1)·2ᵏ of the tree for some k of all processes. Joined by the same tree over
/// processes, in order, their sums are those of one process that has all leaves, to the bit.
pub trait Reduce {
    /// The micro-batches of this process, of the `micro_batches` of a step; at least one.
    fn share(&self, micro_batches: u64) -> Range<u64>;

    /// The sum over the micro-batches of all processes, the same bytes for each, from that over [`Self::share`].
    fn reduce(&self, sum: StepSum) -> StepSum;
}

/// One process that does everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Reduce for Local {
    fn share(&self, micro_batches: u64) -> Range<u64> {
        0..micro_batches
    }

    fn reduce(&self, sum: StepSum) -> StepSum {
        sum
    }
}
