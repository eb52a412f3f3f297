//! sizes → bins: best fit, decreasing
//!
//! Items go, the largest first, each into the bin with the least room that it fits into, or else into a new one (Johnson
//! 1973: at most 11/9 of the fewest bins possible, and hardly more than those where sizes vary). Documents are packed so
//! for training in "Fewer Truncations Improve Language Modeling" (arXiv 2404.10830). A tree of bins by their room makes it
//! O(n log n).

use std::collections::BTreeSet;

/// Which items lie in which bin.
#[derive(Debug)]
pub(crate) struct Bins {
    /// Where in `items` those of each bin begin, and after the last their number.
    begins: Vec<u32>,
    /// Items, bin by bin.
    items: Vec<u32>,
}

impl Bins {
    /// Pack items of falling `sizes`, from 1 to `room`. The first bins are there already and have `rooms` left.
    pub(crate) fn best_fit(rooms: impl Iterator<Item = u32>, sizes: impl Iterator<Item = u32>, room: u32) -> Self {
        let mut open: BTreeSet<(u32, u32)> = rooms.zip(0..).collect();
        let mut n_bins = open.len() as u32;
        let bin_of: Vec<u32> = sizes
            .map(|size| {
                let (left, bin) = open.range((size, 0)..).next().copied().unwrap_or_else(|| {
                    n_bins += 1;
                    (room, n_bins - 1)
                });
                open.remove(&(left, bin));
                open.insert((left - size, bin));
                bin
            })
            .collect();
        Self::of(&bin_of, n_bins)
    }

    /// Items by bin, from the bin of each item.
    fn of(bin_of: &[u32], n_bins: u32) -> Self {
        let mut begins = vec![0; n_bins as usize + 1];
        bin_of.iter().for_each(|bin| begins[*bin as usize + 1] += 1);
        for bin in 1..begins.len() {
            begins[bin] += begins[bin - 1];
        }
        let mut next = begins.clone();
        let mut items = vec![0; bin_of.len()];
        for (item, bin) in (0..).zip(bin_of) {
            let at = &mut next[*bin as usize];
            items[*at as usize] = item;
            *at += 1;
        }
        Self { begins, items }
    }

    /// Number of bins.
    pub(crate) fn len(&self) -> usize {
        self.begins.len() - 1
    }

    /// The items of a bin, the largest first.
    pub(crate) fn items(&self, bin: usize) -> &[u32] {
        &self.items[self.begins[bin] as usize..self.begins[bin + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(rooms: &[u32], sizes: &[u32], room: u32) -> Vec<Vec<u32>> {
        let bins = Bins::best_fit(rooms.iter().copied(), sizes.iter().copied(), room);
        (0..bins.len()).map(|bin| bins.items(bin).iter().map(|item| sizes[*item as usize]).collect()).collect()
    }

    #[test]
    fn an_item_goes_where_the_least_room_is_left() {
        // 3 fits beside 7 and beside 6; first fit would put 4 beside 6 as well, next fit into a third bin
        assert_eq!(packed(&[], &[7, 6, 4, 3], 10), [vec![7, 3], vec![6, 4]]);
        assert_eq!(packed(&[], &[7, 6, 3, 3, 1], 10), [vec![7, 3], vec![6, 3, 1]]);
        assert_eq!(packed(&[3, 0, 5], &[7, 5, 3, 1], 10), [vec![3], vec![], vec![5], vec![7, 1]]);
        assert_eq!(packed(&[4], &[], 10), [Vec::<u32>::new()]);
        assert_eq!(packed(&[], &[10, 10, 1, 1], 10), [vec![10], vec![10], vec![1, 1]]);
    }
}
