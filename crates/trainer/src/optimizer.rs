//! gradients → AdamW, or Muon for the hidden matrices → the weights of a module

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use itera_config::{OptimizerKind, TrainConfig};
use itera_model::parameters::update_weights;
use itera_ops::{AdamW, AdamWParameter, HostValues, Moments, Muon, MuonParameter, adamw, host_values, muon};
use itera_shape::{TensorRef, TensorSpec};

use crate::{
    schedule::Rates,
    words::{self, Reader, Writer},
};

/// What is remembered of each tensor of a table, in its order, on the device of the weights.
#[derive(Clone, Debug)]
pub struct Optimizer {
    table: Vec<TensorSpec>,
    memory: Vec<Memory>,
}

/// What is remembered of a weight between steps.
#[derive(Clone, Debug)]
struct Memory {
    /// Mean of the gradients.
    first: Tensor<1>,
    /// Mean of their squares, if AdamW moves the weight; Muon has none.
    second: Option<Tensor<1>>,
}

/// A tensor that is remembered beside a weight, to be saved.
#[derive(Debug)]
pub struct Remembered {
    /// What it is, such as `m.` or `v.`, and the name of the weight.
    pub name: String,
    /// The shape of the weight.
    pub shape: Vec<usize>,
    /// As many numbers as the weight has.
    pub values: HostValues,
}

impl Remembered {
    /// `values`, which lie beside the weight of `spec`.
    pub(crate) fn new(prefix: &str, spec: &TensorSpec, values: &Tensor<1>) -> Self {
        Self { name: format!("{prefix}{}", spec.name), shape: spec.shape.clone(), values: host_values(values) }
    }

    /// The same tensor, borrowed.
    pub fn as_ref(&self) -> TensorRef<'_> {
        TensorRef { name: &self.name, shape: &self.shape, data: &self.values }
    }

    /// To another process.
    pub(crate) fn write(&self, to: &mut Writer) {
        to.text(&self.name);
        to.count(self.shape.len() as u64);
        self.shape.iter().for_each(|size| to.count(*size as u64));
        words::extend(&mut to.0, &self.values);
    }

    /// And back; `None` at the end of what was sent.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let name = from.text()?;
        let shape: Vec<usize> =
            (0..from.count()?).map(|_| from.count().map(|size| size as usize)).collect::<Option<_>>()?;
        let values: Vec<f32> =
            words::numbers(from.bytes(shape.iter().product::<usize>() * size_of::<f32>())?).collect();
        Some(Self { name, shape, values: values.into() })
    }
}

/// A tensor as long as a weight, of the values that go by `prefix` and the name of the weight.
pub(crate) fn beside<E>(
    spec: &TensorSpec,
    prefix: &str,
    device: &Device,
    values: impl FnOnce(&str, usize) -> Result<Vec<f32>, E>,
) -> Result<Tensor<1>, E> {
    let len = spec.n_params();
    let values = values(&format!("{prefix}{}", spec.name), len)?;
    Ok(Tensor::from_data(TensorData::new(values, [len]), &device.clone().without_autodiff()))
}

/// Whether Muon moves the weight of `spec`, and not AdamW.
fn by_muon(train: &TrainConfig, spec: &TensorSpec) -> bool {
    train.optimizer == OptimizerKind::Muon && spec.role.is_hidden()
}

impl Optimizer {
    /// The optimizer that `train` names, which remembers zeros.
    pub fn new(train: &TrainConfig, table: &[TensorSpec], device: &Device) -> Self {
        let zeros = |_: &str, len| Ok::<_, std::convert::Infallible>(vec![0.0; len]);
        let Ok(optimizer) = Self::restore(train, table, device, zeros);
        optimizer
    }

    /// The one of a run that goes on.
    ///
    /// # Errors
    /// That of `take`, which gives what was remembered under a name.
    pub fn restore<E>(
        train: &TrainConfig,
        table: &[TensorSpec],
        device: &Device,
        mut take: impl FnMut(&str, usize) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let mut tensor = |prefix: &str, spec: &TensorSpec| beside(spec, prefix, device, &mut take);
        let memory = |spec: &TensorSpec| {
            let first = tensor("m.", spec)?;
            Ok(Memory { first, second: (!by_muon(train, spec)).then(|| tensor("v.", spec)).transpose()? })
        };
        Ok(Self { table: table.to_vec(), memory: table.iter().map(memory).collect::<Result<_, E>>()? })
    }

    /// All that it remembers.
    pub fn remembered(&self) -> Vec<Remembered> {
        let beside = |(spec, memory): (&TensorSpec, &Memory)| {
            let second = memory.second.as_ref().map(|second| Remembered::new("v.", spec, second));
            [Some(Remembered::new("m.", spec, &memory.first)), second]
        };
        self.table.iter().zip(&self.memory).flat_map(beside).flatten().collect()
    }

    /// How long each of [`Self::moments`] is, of the optimizer that `train` names for the weights of a table.
    pub(crate) fn moment_lengths(train: &TrainConfig, table: &[TensorSpec]) -> impl Iterator<Item = usize> {
        let of = |spec: &TensorSpec| std::iter::repeat_n(spec.n_params(), if by_muon(train, spec) { 1 } else { 2 });
        table.iter().flat_map(of)
    }

    /// All that it remembers, each as long as a weight.
    pub(crate) fn moments(&self) -> impl Iterator<Item = &Tensor<1>> {
        self.memory.iter().flat_map(|memory| [Some(&memory.first), memory.second.as_ref()]).flatten()
    }

    /// Let it remember `moments`, in the order of [`Self::moments`].
    pub(crate) fn set_moments(&mut self, moments: &[Tensor<1>]) {
        let own = self.memory.iter_mut().flat_map(|memory| [Some(&mut memory.first), memory.second.as_mut()]).flatten();
        own.zip(moments).for_each(|(own, moment)| *own = moment.clone());
    }

    /// Update number `update` (from 1): move the weights of `module` by `gradient_scale · gradients`, which are in the
    /// order of the table.
    pub fn step<M: Module>(
        &mut self,
        module: &mut M,
        gradients: Vec<Tensor<1>>,
        gradient_scale: f32,
        update: u64,
        train: &TrainConfig,
        Rates { lr, weight_decay }: Rates,
    ) {
        let TrainConfig { beta1, beta2, eps, momentum, .. } = *train;
        let memory = std::mem::take(&mut self.memory);
        update_weights(module, |weights| {
            let (mut by_adamw, mut by_muon, mut of_adamw) = (vec![], vec![], vec![]);
            for (((weight, gradient), memory), spec) in weights.into_iter().zip(gradients).zip(memory).zip(&self.table)
            {
                of_adamw.push(memory.second.is_some());
                let Memory { first, second } = memory;
                match second {
                    Some(second) => {
                        let moments = Moments { first, second };
                        by_adamw.push(AdamWParameter { weight, gradient, moments, decays: spec.decays() });
                    }
                    None => {
                        by_muon.push(MuonParameter { weight, gradient, momentum: first, matrices: spec.matrices() });
                    }
                }
            }
            let hyper = AdamW { lr, beta1, beta2, eps, weight_decay };
            let by_adamw = adamw(by_adamw, update, gradient_scale, &hyper).into_iter();
            let by_muon = muon(by_muon, gradient_scale, &Muon { lr, momentum, weight_decay }).into_iter();
            let mut by_adamw =
                by_adamw.map(|(weight, Moments { first, second })| (weight, Memory { first, second: Some(second) }));
            let mut by_muon = by_muon.map(|(weight, first)| (weight, Memory { first, second: None }));
            let in_order = of_adamw.into_iter().filter_map(|of| if of { by_adamw.next() } else { by_muon.next() });
            let (weights, memory) = in_order.unzip();
            self.memory = memory;
            weights
        });
    }
}
