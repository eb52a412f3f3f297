//! The scales of a matrix, apart from its codes.
//!
//! ```text
//! W: rows of blocks ─→ scales of a group of 8 rows side by side, of the next group, … of the next 8 rows
//!                      Σ codes of a group, of the same rows, where codes are whole bytes
//! ```

use super::{Block, Kind, for_block};

/// The scales of all groups of a matrix as numbers, those of eight rows side by side: what a product with one vector otherwise collects
/// from as many blocks for every group.
///
/// # Shapes
/// [⌈rows / 8⌉, groups of a row, 8]: 4 bytes a group, 6 of kinds whose codes are bytes, for the sums of these.
///
/// Kinds without blocks have none, and where no kernel asks for them, which is where there are no intrinsics of x86, they are left out.
#[derive(Clone, Debug)]
pub struct Scales {
    kind: Kind,
    rows: usize,
    cols: usize,
    /// [⌈rows / 8⌉, groups of a row, 8], 0 past the last row.
    scales: Vec<f32>,
    /// As many, of kinds whose codes are bytes: at most 32 · 128.
    sums: Vec<i16>,
}

impl Scales {
    /// Rows whose scales lie side by side.
    pub(crate) const ROWS: usize = 8;

    /// The scales in the bytes of `rows` × `cols` numbers.
    pub(super) fn new(kind: Kind, rows: usize, cols: usize, bytes: &[u8]) -> Self {
        let mut copied = Self { kind, rows, cols, scales: vec![], sums: vec![] };
        if cfg!(target_arch = "x86_64") {
            for_block!(kind, B => copied.fill::<B>(bytes), _ => ());
        }
        copied
    }

    /// Bytes of the heap that it holds.
    pub fn size_bytes(&self) -> usize {
        size_of::<f32>() * self.scales.capacity() + size_of::<i16>() * self.sums.capacity()
    }

    /// Fails unless they are those of such a matrix.
    #[track_caller]
    pub(super) fn assert_of(&self, kind: Kind, rows: usize, cols: usize) {
        let (of, found) = ((self.kind, self.rows, self.cols), (kind, rows, cols));
        assert!(of == found, "scales of {of:?} for a matrix of {found:?}");
    }

    /// The scales of rows `start .. start + 8`, and the sums of kinds that have any: [groups, 8] each, of `groups` to a row. `None` of rows
    /// that are not side by side here.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn of_rows(&self, start: usize, groups: usize) -> Option<(&[f32], &[i16])> {
        let tile = start * groups..(start + Self::ROWS) * groups;
        let scales = self.scales.get(tile.clone()).filter(|_| start.is_multiple_of(Self::ROWS))?;
        Some((scales, self.sums.get(tile).unwrap_or_default()))
    }

    fn fill<B: Block>(&mut self, bytes: &[u8]) {
        let groups = self.cols / B::GROUP;
        let all = self.rows.next_multiple_of(Self::ROWS) * groups;
        self.scales.resize(all, 0.0);
        self.sums.resize(if B::ARE_BYTES { all } else { 0 }, 0);
        let blocks = bytes.chunks_exact(B::BYTES);
        let of_groups = blocks.flat_map(|block| (0..B::LEN / B::GROUP).map(move |group| (block, group)));
        let places = (0..self.rows).flat_map(|row| {
            let first = (row - row % Self::ROWS) * groups + row % Self::ROWS;
            (first..).step_by(Self::ROWS).take(groups)
        });
        for ((block, group), at) in of_groups.zip(places) {
            self.scales[at] = B::scale(block, group);
            if let Some(sum) = self.sums.get_mut(at) {
                *sum = B::codes(block)[..B::LEN].iter().map(|code| i16::from(*code)).sum();
            }
        }
    }
}
