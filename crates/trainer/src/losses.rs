//! The parts of a loss: on their device, and the numbers that are read from it.

use std::ops::Add;

use burn::tensor::Tensor;
use itera_ops::{
    Norm,
    device::{self, DeviceError},
};

use crate::words::{Reader, Writer};

/// The loss of a micro-batch and what it is made of. Only `nats` is a measure of the model.
#[derive(Clone, Debug)]
pub struct LossParts {
    /// What is minimised.
    pub total: Tensor<1>,
    /// Mean nats a token; in contrast, a part of a document.
    pub nats: Tensor<1>,
    /// Load-balancing loss before its coefficient; `None` without experts.
    pub load_balance: Option<Tensor<1>>,
    /// Router z-loss before its coefficient; `None` without experts.
    pub z: Option<Tensor<1>>,
    /// Tokens that each expert got, one tensor `[e]` a layer with experts.
    pub tokens_per_expert: Vec<Tensor<1>>,
}

impl LossParts {
    /// The same numbers without the graph that made them.
    pub(crate) fn inner(self) -> Self {
        Self {
            total: self.total.inner(),
            nats: self.nats.inner(),
            load_balance: self.load_balance.map(Tensor::inner),
            z: self.z.map(Tensor::inner),
            tokens_per_expert: self.tokens_per_expert.into_iter().map(Tensor::inner).collect(),
        }
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor<1>> {
        let scalars = [Some(&self.total), Some(&self.nats), self.load_balance.as_ref(), self.z.as_ref()];
        scalars.into_iter().flatten().chain(&self.tokens_per_expert)
    }
}

/// Losses of a micro-batch, or their sums over several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Losses {
    /// What was minimised.
    pub total: f64,
    /// Nats a token; in contrast, a part of a document.
    pub nats: f64,
    /// Load-balancing loss; `None` without experts.
    pub load_balance: Option<f64>,
    /// Router z-loss; `None` without experts.
    pub z: Option<f64>,
    /// Tokens that each expert got, one row a layer with experts.
    pub tokens_per_expert: Vec<Vec<u64>>,
}

impl Losses {
    /// The mean of which `self` is the sum, and a summand has `share`. Tokens are counted, not averaged.
    pub(crate) fn mean(self, share: f64) -> Self {
        Self {
            total: share * self.total,
            nats: share * self.nats,
            load_balance: self.load_balance.map(|sum| share * sum),
            z: self.z.map(|sum| share * sum),
            tokens_per_expert: self.tokens_per_expert,
        }
    }

    /// The numbers of each of `parts`, read from the device at once.
    ///
    /// # Errors
    /// If the device failed to compute them.
    pub fn read(parts: &[LossParts]) -> Result<Vec<Self>, DeviceError> {
        Ok(Self::read_with(parts, Norm::Host(0.0))?.0)
    }

    /// The numbers of each of `parts`, and a norm, read from the device at once.
    ///
    /// # Errors
    /// If the device failed to compute them.
    pub(crate) fn read_with(parts: &[LossParts], norm: Norm) -> Result<(Vec<Self>, f64), DeviceError> {
        if parts.is_empty() {
            return Ok((vec![], norm.read()?));
        }
        let mut all: Vec<_> = parts.iter().flat_map(LossParts::tensors).cloned().collect();
        if let Norm::Device(norm) = &norm {
            all.push(Tensor::clone(norm));
        }
        let mut numbers = device::read(Tensor::cat(all, 0))?.into_iter().map(f64::from);
        let mut next = || numbers.next().expect("as many numbers as the parts have");
        let read = |parts: &LossParts| Self {
            total: next(),
            nats: next(),
            load_balance: parts.load_balance.as_ref().map(|_| next()),
            z: parts.z.as_ref().map(|_| next()),
            tokens_per_expert: parts
                .tokens_per_expert
                .iter()
                .map(|counts| (0..counts.dims()[0]).map(|_| next() as u64).collect())
                .collect(),
        };
        let losses = parts.iter().map(read).collect();
        let norm = match norm {
            Norm::Host(norm) => norm,
            Norm::Device(_) => next(),
        };
        Ok((losses, norm))
    }
}

/// To other processes and back.
impl Losses {
    pub(crate) fn write(&self, to: &mut Writer) {
        to.float(self.total);
        to.float(self.nats);
        to.optional(self.load_balance);
        to.optional(self.z);
        to.count(self.tokens_per_expert.len() as u64);
        for counts in &self.tokens_per_expert {
            to.count(counts.len() as u64);
            counts.iter().for_each(|count| to.count(*count));
        }
    }

    /// `None` if the words end before the losses do.
    pub(crate) fn read_words(from: &mut Reader<'_>) -> Option<Self> {
        let (total, nats) = (from.float()?, from.float()?);
        let (load_balance, z) = (from.optional()?, from.optional()?);
        let layers = from.count()?;
        let mut counts = || {
            let experts = from.count()?;
            (0..experts).map(|_| from.count()).collect::<Option<Vec<u64>>>()
        };
        let tokens_per_expert = (0..layers).map(|_| counts()).collect::<Option<_>>()?;
        Some(Self { total, nats, load_balance, z, tokens_per_expert })
    }
}

impl Add for Losses {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let both = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b);
        let rows = self.tokens_per_expert.into_iter().zip(other.tokens_per_expert);
        Self {
            total: self.total + other.total,
            nats: self.nats + other.nats,
            load_balance: both(self.load_balance, other.load_balance),
            z: both(self.z, other.z),
            tokens_per_expert: rows.map(|(a, b)| a.into_iter().zip(b).map(|(a, b)| a + b).collect()).collect(),
        }
    }
}
