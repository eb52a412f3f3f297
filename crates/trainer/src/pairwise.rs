//! micro-batch 0, 1, 2, … → their sum, by a tree whose shape depends on their number alone
//!
//! ```text
//!        ┌──── + ────┐                tree(n) = leaf                              n = 1
//!     ┌─ + ─┐     ┌─ + ─┐                       tree(0..p) + tree(p..n)           p the largest power of two below n
//!     0     1     2     3
//! ```
//!
//! The leaves r·2ᵏ .. (r+1)·2ᵏ are a subtree (the last one may be shorter), and the sums of all such subtrees, in order,
//! are the leaves of the same tree over them: who computes which leaves, and where, leaves no trace in the sum. n leaves
//! that come one after the other need at most log₂ n + 1 partial sums, those of the ones in n as a binary number.

/// The sum of leaves that are added one after the other.
#[derive(Debug)]
pub struct PairwiseSum<T> {
    /// Sums of powers of two of leaves from left to right, each of fewer than the one before.
    partial: Vec<(u64, T)>,
}

impl<T> Default for PairwiseSum<T> {
    fn default() -> Self {
        Self { partial: vec![] }
    }
}

impl<T> PairwiseSum<T> {
    /// Add the next leaf; `add(left, right)` is the sum of two neighbours.
    pub fn push(&mut self, leaf: T, add: impl Fn(T, T) -> T) {
        let (mut leaves, mut sum) = (1, leaf);
        while let Some((_, left)) = self.partial.pop_if(|(of, _)| *of == leaves) {
            sum = add(left, sum);
            leaves *= 2;
        }
        self.partial.push((leaves, sum));
    }

    /// The sum of all leaves; `None` of none.
    pub fn finish(self, add: impl Fn(T, T) -> T) -> Option<T> {
        self.partial.into_iter().map(|(_, sum)| sum).rev().reduce(|right, left| add(left, right))
    }
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
            assert_eq!(sum.partial.len(), (index + 1).count_ones() as usize);
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
    fn any_split_at_powers_of_two_is_the_same_tree() {
        for n in 1..40 {
            for size in [1, 2, 4, 8, 16, 32] {
                let parts: Vec<String> = leaves(n).chunks(size).filter_map(sum).collect();
                assert_eq!(sum(&parts), sum(&leaves(n)), "{n} leaves, {size} to a process");
            }
        }
    }
}
