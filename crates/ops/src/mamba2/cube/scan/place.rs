//! Which sizes a kernel is compiled for, and where a unit of it stands.

use cubecl::prelude::*;

/// Smallest log-decay of a step or a chunk, at which a state is forgotten.
pub(super) const MIN_LOG_DECAY: f32 = -50.0;

/// Sizes that a kernel is compiled for.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Sizes {
    pub heads: usize,
    pub d_head: usize,
    pub d_state: usize,
    pub groups: usize,
    pub chunk: usize,
}

impl Sizes {
    pub fn d_inner(self) -> usize {
        self.heads * self.d_head
    }

    pub fn heads_per_group(self) -> usize {
        self.heads / self.groups
    }

    /// Columns of B, or of C.
    pub fn all_of_b(self) -> usize {
        self.groups * self.d_state
    }

    /// Columns of a row x | B | C.
    pub fn width(self) -> usize {
        self.d_inner() + 2 * self.all_of_b()
    }

    /// Numbers of the state of a sequence.
    pub fn state(self) -> usize {
        self.d_inner() * self.d_state
    }
}

/// Where a unit of a channel, or of a direction, stands.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Place {
    /// The channel of its head, or the direction.
    pub lane: usize,
    pub head: usize,
    pub chunk: usize,
    pub sequence: usize,
    /// Rows of its chunk, the last one left out.
    pub first_row: usize,
    pub end_row: usize,
}

#[cube]
pub(super) fn place(at: usize, len: usize, chunks: usize, #[comptime] lanes: usize, #[comptime] sizes: Sizes) -> Place {
    let heads = comptime![sizes.heads];
    let chunk_len = comptime![sizes.chunk];
    let chunk = at / (lanes * heads) % chunks;
    let sequence = at / (lanes * heads) / chunks;
    let first = chunk * chunk_len;
    Place {
        lane: at % lanes,
        head: at / lanes % heads,
        chunk,
        sequence,
        first_row: sequence * len + first,
        end_row: sequence * len + (first + chunk_len).min(len),
    }
}

/// Where B begins in a row x | B | C, for a head; C begins after all of B.
#[cube]
pub(super) fn b_column(head: usize, #[comptime] sizes: Sizes) -> usize {
    let heads_per_group = comptime![sizes.heads_per_group()];
    let d_inner = comptime![sizes.d_inner()];
    d_inner + head / heads_per_group * comptime![sizes.d_state]
}
