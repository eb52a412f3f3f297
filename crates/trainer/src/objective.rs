//! model, batch → the parts of the loss

use burn::tensor::{Device, Int, Tensor, TensorData};
use itera_config::TrainConfig;
use itera_data::TokenBatch;
use itera_model::{Dropout, LanguageModel, auxiliary_losses, tokens_per_expert};
use itera_ops::{Precision, with_precision};

/// The loss of a batch and what it is made of. Only `cross_entropy` is a measure of the model.
#[derive(Clone, Debug)]
pub struct LossParts {
    /// What is minimised: the sum below.
    pub total: Tensor<1>,
    /// Mean nats a token.
    pub cross_entropy: Tensor<1>,
    /// Load-balancing loss before its coefficient; `None` without experts.
    pub load_balance: Option<Tensor<1>>,
    /// Router z-loss before its coefficient; `None` without experts.
    pub z: Option<Tensor<1>>,
    /// Tokens that each expert of each layer got.
    pub tokens_per_expert: Vec<Vec<u64>>,
}

/// `cross_entropy + load_balance_coef · load_balance + z_loss_coef · z` of a batch.
///
/// `config` also says in which precision, and whether only the activations between layers are saved.
pub fn losses(
    model: &LanguageModel,
    batch: &TokenBatch,
    config: &TrainConfig,
    dropout: Option<&mut Dropout>,
) -> LossParts {
    losses_with(model, batch, config, dropout, &|_, nats| nats.mean())
}

/// [`losses`] in which `text_loss` stands for the cross-entropy in what is minimised; it gets the model's hidden vectors
/// [b, l, d], and the nats that each target costs `[b·l]`.
pub fn losses_with(
    model: &LanguageModel,
    batch: &TokenBatch,
    config: &TrainConfig,
    dropout: Option<&mut Dropout>,
    text_loss: &dyn Fn(Tensor<3>, Tensor<1>) -> Tensor<1>,
) -> LossParts {
    let precision = match config.precision {
        itera_shape::Precision::F32 => Precision::F32,
        itera_shape::Precision::Bf16 => Precision::Bf16,
    };
    with_precision(precision, || forward(model, batch, config, dropout, text_loss))
}

fn forward(
    model: &LanguageModel,
    batch: &TokenBatch,
    config: &TrainConfig,
    dropout: Option<&mut Dropout>,
    text_loss: &dyn Fn(Tensor<3>, Tensor<1>) -> Tensor<1>,
) -> LossParts {
    let device = model.device();
    let (inputs, state) = (ids(batch, &batch.inputs, &device), model.initial_state(batch.batch_size));
    let output = if config.gradient_checkpointing {
        model.forward_recomputed(inputs, state, dropout)
    } else {
        model.forward(inputs, state, dropout)
    };
    let nats = model.nats(output.hidden.clone(), ids(batch, &batch.targets, &device));
    let cross_entropy = nats.clone().mean();
    let (load_balance, z) = auxiliary_losses(&output.routings).map(|losses| (losses.load_balance, losses.z)).unzip();
    let mut total = text_loss(output.hidden, nats);
    for (loss, coefficient) in [(&load_balance, config.load_balance_coef), (&z, config.z_loss_coef)] {
        if let Some(loss) = loss {
            total = total + loss.clone().mul_scalar(coefficient);
        }
    }
    LossParts { total, cross_entropy, load_balance, z, tokens_per_expert: tokens_per_expert(&output.routings) }
}

/// `values` of a batch as a tensor [b, l].
pub fn ids(batch: &TokenBatch, values: &[i32], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [batch.batch_size, batch.seq_len]), device)
}
