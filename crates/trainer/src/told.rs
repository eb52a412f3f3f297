//! what each rank tells the others of a step

use std::time::Duration;

use crate::{losses::Losses, pairwise::PairwiseSum, words};

/// What a rank tells of its part of a step.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// Losses of each of its micro-batches.
    pub losses: Vec<Losses>,
    /// Norm of the gradient of each replica that it has.
    pub norms: Vec<f64>,
    /// How long it took for data, forward and backward passes.
    pub work: [Duration; 3],
}

impl Told {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut words = words::Writer::default();
        words.count(self.losses.len() as u64);
        self.losses.iter().for_each(|losses| losses.write(&mut words));
        words.count(self.norms.len() as u64);
        self.norms.iter().for_each(|norm| words.float(*norm));
        self.work.iter().for_each(|time| words.count(time.as_nanos() as u64));
        words.0
    }

    /// What a rank of the same program told; `None` if the bytes end before that does.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut words = words::Reader(bytes);
        let losses = (0..words.count()?).map(|_| Losses::read_words(&mut words)).collect::<Option<_>>()?;
        let norms = (0..words.count()?).map(|_| words.float()).collect::<Option<_>>()?;
        let mut work = [Duration::ZERO; 3];
        for time in &mut work {
            *time = Duration::from_nanos(words.count()?);
        }
        Some(Self { losses, norms, work })
    }

    /// What all ranks told.
    ///
    /// # Panics
    /// If that is of another program.
    pub(crate) fn of_all(bytes: &[Vec<u8>]) -> Vec<Self> {
        bytes.iter().map(|bytes| Self::from_bytes(bytes).expect("what a rank of the same program tells")).collect()
    }

    /// The losses of all micro-batches of a step, in order, added by the tree that adds their gradients.
    pub(crate) fn sum_losses(all: &[Self]) -> Losses {
        let mut sum = PairwiseSum::default();
        let losses = all.iter().flat_map(|told| told.losses.iter().cloned());
        losses.for_each(|losses| sum.push(losses, |left, right| left + right));
        sum.finish(|left, right| left + right).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_comes_as_it_was_sent() {
        let experts = vec![vec![4, 1, 8], vec![3, 4, 0]];
        let odd = Losses {
            total: f64::NAN,
            nats: f64::NEG_INFINITY,
            load_balance: None,
            z: Some(-0.0),
            tokens_per_expert: experts,
        };
        let losses = vec![odd, Losses::default()];
        let work = [1, 0, u64::MAX / 2].map(Duration::from_nanos);
        for sent in [Told { losses, norms: vec![0.5, f64::INFINITY], work }, Told::default()] {
            let bytes = sent.to_bytes();
            let found = Told::from_bytes(&bytes).expect("all of it");
            assert_eq!(format!("{found:?}"), format!("{sent:?}"));
            assert!(Told::from_bytes(&bytes[..bytes.len() - 1]).is_none());
        }
    }
}
