//! micro-batch 0, 1, 2, … → their sum, by a tree whose shape depends on their number alone
//!
//! ```text
//!        ┌──── + ────┐                tree(n) = leaf                              n = 1
//!     ┌─ + ─┐     ┌─ + ─┐                       tree(0..p) + tree(p..n)           p the largest power of two below n
//!     0     1     2     3
//! ```
//!
//! Any run of leaves is a few whole subtrees of powers of two of leaves, each as large as its place allows: leaves 3 to 8
//! of 0 to 10 are `3`, `4..8` and `8`. The subtrees of all runs, in order, make the tree of all leaves: who computes which
//! leaves, and where, leaves no trace in the sum. A run from 0 on is at most log₂ n + 1 of them, those of the ones in n as a
//! binary number; any other at most twice as many.

use std::ops::Range;

/// The sum of leaves that are added one after the other.
#[derive(Debug)]
pub struct PairwiseSum<T> {
    /// The leaf that comes next.
    next: u64,
    /// The subtrees so far, from left to right, with the number of their leaves.
    subtrees: Vec<(u64, T)>,
}

impl<T> Default for PairwiseSum<T> {
    fn default() -> Self {
        Self::from_leaf(0)
    }
}

impl<T> PairwiseSum<T> {
    /// The part of a sum that begins with leaf `next`.
    pub fn from_leaf(next: u64) -> Self {
        Self { next, subtrees: vec![] }
    }

    /// Add the next leaf; `add(left, right)` is the sum of two neighbours.
    pub fn push(&mut self, leaf: T, add: impl Fn(T, T) -> T) {
        self.push_subtree(1, leaf, add);
    }

    /// Add the next leaves, which are one of the [`subtrees`] of a run.
    pub fn push_subtree(&mut self, leaves: u64, sum: T, add: impl Fn(T, T) -> T) {
        let (mut leaves, mut sum) = (leaves, sum);
        self.next += leaves;
        // a subtree that ends at an odd multiple of its size is the left one of two
        while (self.next / leaves).is_multiple_of(2)
            && let Some((_, left)) = self.subtrees.pop_if(|(of, _)| *of == leaves)
        {
            sum = add(left, sum);
            leaves *= 2;
        }
        self.subtrees.push((leaves, sum));
    }

    /// The sum of all leaves, which begin with 0; `None` of none.
    pub fn finish(self, add: impl Fn(T, T) -> T) -> Option<T> {
        self.into_subtrees().rev().reduce(|right, left| add(left, right))
    }

    /// The sums of the [`subtrees`] of the leaves.
    pub fn into_subtrees(self) -> impl DoubleEndedIterator<Item = T> {
        self.subtrees.into_iter().map(|(_, sum)| sum)
    }
}

/// How many leaves each of the subtrees has that a run of leaves is made of.
pub fn subtrees(leaves: Range<u64>) -> Vec<u64> {
    let mut sum = PairwiseSum::from_leaf(leaves.start);
    leaves.for_each(|_| sum.push((), |(), ()| ()));
    sum.subtrees.into_iter().map(|(leaves, ())| leaves).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(left: String, right: String) -> String {
        format!("({left}+{right})")
    }

    /// The definition.
    fn tree(leaves: &[String]) -> String {
        match leaves {
            [leaf] => leaf.clone(),
            _ => {
                let p = leaves.len().next_power_of_two() / 2;
                add(tree(&leaves[..p]), tree(&leaves[p..]))
            }
        }
    }

    fn sum(leaves: &[String]) -> Option<String> {
        let mut sum = PairwiseSum::default();
        for (index, leaf) in leaves.iter().enumerate() {
            sum.push(leaf.clone(), add);
            assert_eq!(sum.subtrees.len(), (index + 1).count_ones() as usize);
        }
        sum.finish(add)
    }

    fn leaves(n: usize) -> Vec<String> {
        (0..n).map(|leaf| leaf.to_string()).collect()
    }

    #[test]
    fn the_tree_is_its_definition() {
        assert_eq!(sum(&[]), None);
        assert_eq!(sum(&leaves(1)).as_deref(), Some("0"), "one leaf is its own sum");
        assert_eq!(sum(&leaves(3)).as_deref(), Some("((0+1)+2)"));
        assert_eq!(sum(&leaves(7)).as_deref(), Some("(((0+1)+(2+3))+((4+5)+6))"));
        for n in 1..70 {
            assert_eq!(sum(&leaves(n)), Some(tree(&leaves(n))), "{n} leaves");
        }
    }

    #[test]
    fn floats_sum_to_the_bits_of_the_definition() {
        fn tree(leaves: &[f32]) -> f32 {
            match leaves {
                [leaf] => *leaf,
                _ => {
                    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                    tree(left) + tree(right)
                }
            }
        }
        // inverses, because uniform numbers have so few digits that their sums are exact
        let leaves: Vec<f32> = itera_testkit::uniform(9, 1.0, 3.0, 1).iter().map(|x| 1.0 / x).collect();
        let mut running = 0;
        for n in 1..=9 {
            let mut sum = PairwiseSum::default();
            leaves[..n].iter().for_each(|leaf| sum.push(*leaf, |left, right| left + right));
            let found = sum.finish(|left, right| left + right).expect("a sum");
            assert_eq!(found.to_bits(), tree(&leaves[..n]).to_bits(), "{n} leaves");
            running += usize::from(leaves[1..n].iter().fold(leaves[0], |sum, leaf| sum + leaf) == found);
        }
        assert!((3..9).contains(&running), "of one to three leaves it is a running sum, of more it may be another");
    }

    #[test]
    fn a_run_is_as_few_subtrees_as_its_place_allows() {
        assert_eq!(subtrees(3..9), [1, 4, 1]);
        assert_eq!(subtrees(0..7), [4, 2, 1]);
        assert_eq!(subtrees(1..8), [1, 2, 4]);
        assert_eq!((subtrees(5..5), subtrees(8..12)), (vec![], vec![4]));
    }

    #[test]
    fn however_leaves_are_cut_into_runs_their_subtrees_make_the_same_tree() {
        for n in 1..18 {
            for (a, b) in (0..=n).flat_map(|a| (a..=n).map(move |b| (a, b))) {
                let mut whole = PairwiseSum::default();
                for run in [0..a, a..b, b..n] {
                    let mut part = PairwiseSum::from_leaf(run.start);
                    leaves(n as usize)[run.start as usize..run.end as usize]
                        .iter()
                        .for_each(|leaf| part.push(leaf.clone(), add));
                    for (leaves, sum) in subtrees(run).into_iter().zip(part.into_subtrees()) {
                        whole.push_subtree(leaves, sum, add);
                    }
                }
                assert_eq!(whole.finish(add), sum(&leaves(n as usize)), "{n} leaves, cut at {a} and {b}");
            }
        }
    }
}
