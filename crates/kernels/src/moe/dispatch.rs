//! Assignments sorted by expert.
//!
//! ```text
//! expert_ids [t, k] → count → offsets [e + 1] → slot of each assignment, assignment of each slot
//! ```

/// A counting sort of the t·k assignments by expert, in order of tokens within each expert.
///
/// Assignment `token · top_k + rank` lies in one slot; the slots of an expert are consecutive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    top_k: usize,
    offsets: Vec<usize>,
    slots: Vec<u32>,
    assignments: Vec<u32>,
}

impl Dispatch {
    /// Sort `expert_ids` [t, k], each below `n_experts`.
    ///
    /// # Panics
    /// If an id is not, or the ids are not whole rows of `top_k`.
    pub fn new(expert_ids: &[u32], n_experts: usize, top_k: usize) -> Self {
        assert!(top_k > 0 && expert_ids.len().is_multiple_of(top_k), "rows of {top_k} ids: {}", expert_ids.len());
        assert!(u32::try_from(expert_ids.len()).is_ok(), "assignments are counted in 32 bits");
        let mut offsets = vec![0; n_experts + 1];
        let mut assignments = vec![0; expert_ids.len()];
        sort_by_expert(expert_ids, &mut offsets, &mut assignments);
        let mut slots = vec![0; expert_ids.len()];
        (0..).zip(&assignments).for_each(|(slot, assignment)| slots[*assignment as usize] = slot);
        Self { top_k, offsets, slots, assignments }
    }

    /// Number of experts.
    pub fn n_experts(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Experts a token.
    pub fn top_k(&self) -> usize {
        self.top_k
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.slots.len() / self.top_k
    }

    /// Number of slots: one an assignment.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Tokens that each expert got.
    pub fn tokens_per_expert(&self) -> impl ExactSizeIterator<Item = usize> {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// The slot of each assignment [t, k].
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// The assignments in the slots of `expert`, ascending.
    pub fn assignments(&self, expert: usize) -> &[u32] {
        &self.assignments[self.offsets[expert]..self.offsets[expert + 1]]
    }
}

/// A counting sort: `assignments` gets the places in `expert_ids` by expert, ascending within each; `offsets`, one more than
/// there are experts, gets where the assignments of each begin, and the end of the last.
///
/// # Panics
/// If there is no expert of an id, or the lengths of `expert_ids` and `assignments` differ.
pub fn sort_by_expert(expert_ids: &[u32], offsets: &mut [usize], assignments: &mut [u32]) {
    let n_experts = offsets.len() - 1;
    assert_eq!(assignments.len(), expert_ids.len(), "an assignment an id");
    offsets.fill(0);
    for id in expert_ids {
        assert!((*id as usize) < n_experts, "expert {id} of {n_experts}");
        offsets[*id as usize] += 1;
    }
    let mut end = 0;
    for offset in &mut *offsets {
        end += *offset;
        *offset = end;
    }
    for (assignment, id) in expert_ids.iter().enumerate().rev() {
        let slot = &mut offsets[*id as usize];
        *slot -= 1;
        assignments[*slot] = assignment as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_sorted_by_expert_then_token() {
        let dispatch = Dispatch::new(&[2, 0, 0, 3, 2, 3], 5, 2);
        assert_eq!(dispatch.tokens_per_expert().collect::<Vec<_>>(), [2, 0, 2, 2, 0]);
        let by_expert: Vec<_> = (0..5).map(|expert| dispatch.assignments(expert)).collect();
        assert_eq!(by_expert, [&[1, 2][..], &[], &[0, 4], &[3, 5], &[]]);
        assert_eq!(dispatch.slots(), [2, 0, 1, 4, 3, 5]);
        assert_eq!((dispatch.tokens(), dispatch.len(), dispatch.n_experts()), (3, 6, 5));
    }

    #[test]
    fn slots_and_assignments_are_inverse() {
        let ids: Vec<u32> = (0..3000u32).map(|i| i.wrapping_mul(2_654_435_761) % 7).collect();
        let dispatch = Dispatch::new(&ids, 7, 3);
        let back: Vec<u32> = (0..7).flat_map(|expert| dispatch.assignments(expert).to_vec()).collect();
        for (assignment, slot) in dispatch.slots().iter().enumerate() {
            assert_eq!(back[*slot as usize], assignment as u32);
        }
        for expert in 0..7 {
            assert!(dispatch.assignments(expert).is_sorted());
            assert!(dispatch.assignments(expert).iter().all(|a| ids[*a as usize] == expert as u32));
        }
    }

    #[test]
    fn there_may_be_no_tokens() {
        let dispatch = Dispatch::new(&[], 3, 2);
        assert!(dispatch.is_empty());
        assert_eq!(dispatch.tokens_per_expert().collect::<Vec<_>>(), [0; 3]);
    }

    #[test]
    #[should_panic(expected = "expert 3 of 3")]
    fn an_expert_that_does_not_exist_is_refused() {
        Dispatch::new(&[0, 3], 3, 1);
    }
}
