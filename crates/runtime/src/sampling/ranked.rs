//! Tokens from the most likely on, as far as somebody looks.
//!
//! ```text
//! logits → band of the top 2 nats, sorted → band of the next 4, sorted → 8 → …
//! ```
//!
//! A choice seldom looks past the first few tokens, so sorting the vocabulary for it would be wasted.

/// Nats of the first band; each after it is twice as deep.
const FIRST_BAND: f32 = 2.0;

/// Ids of finite logits in falling order, ties by id.
pub(super) struct Ranked<'a> {
    logits: &'a [f32],
    band: Vec<u32>,
    next: usize,
    /// What lies at or above it was in a band.
    floor: f32,
    depth: f32,
}

impl<'a> Ranked<'a> {
    pub(super) fn new(logits: &'a [f32]) -> Self {
        Self { logits, band: vec![], next: 0, floor: f32::INFINITY, depth: FIRST_BAND }
    }

    /// Sort the next band that has a token; false if none has.
    fn descend(&mut self) -> bool {
        let below = |floor: f32| move |logit: &f32| *logit < floor && *logit > f32::NEG_INFINITY;
        let left = self.logits.iter().copied().filter(below(self.floor)).reduce(f32::max);
        let Some(top) = left else { return false };
        // a depth that rounds away at large logits still leaves `top` itself in the band
        let floor = (top - self.depth).min(top);
        let within = |logit: f32| logit < self.floor && logit >= floor;
        self.band.clear();
        self.band.extend((0..).zip(self.logits).filter(|(_, logit)| within(**logit)).map(|(id, _): (u32, _)| id));
        self.band.sort_unstable_by(|a, b| self.logits[*b as usize].total_cmp(&self.logits[*a as usize]).then(a.cmp(b)));
        (self.floor, self.next) = (floor, 0);
        self.depth *= 2.0;
        true
    }
}

impl Iterator for Ranked<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.next == self.band.len() && !self.descend() {
            return None;
        }
        self.next += 1;
        Some(self.band[self.next - 1])
    }
}
