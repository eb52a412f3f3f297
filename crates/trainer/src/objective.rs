//! model, batch → the parts of the loss

use burn::tensor::{Device, Int, Tensor, TensorData};
use itera_config::TrainConfig;
use itera_data::TokenBatch;
use itera_model::{Dropout, LanguageModel, auxiliary_losses};
use itera_ops::{Routing, mean, with_precision};

use crate::losses::LossParts;

/// A micro-batch and what turns it into a loss.
#[derive(Debug)]
pub struct MicroBatch<'a> {
    /// The model that is computed with; its device says whether gradients are recorded.
    pub model: &'a LanguageModel,
    /// Inputs and targets, [b, l] each.
    pub tokens: &'a TokenBatch,
    /// Coefficients of the losses, the precision, and whether only the activations between layers are saved.
    pub config: &'a TrainConfig,
    /// Masks of this micro-batch; `None` for none.
    pub dropout: Option<Dropout>,
}

/// `total = cross_entropy + load_balance_coef · load_balance + z_loss_coef · z`.
///
/// Every part is a mean: over the b·l tokens of the batch, and those of the routers over layers as well.
pub fn losses(batch: MicroBatch<'_>) -> LossParts {
    losses_with(batch, &|_, nats| mean(nats))
}

/// [`losses`] in which `text_loss` stands for the cross-entropy in what is minimised; it gets the model's hidden vectors
/// [b, l, d], and the nats that each target costs `[b·l]`, and gives a mean `[1]`.
pub fn losses_with(batch: MicroBatch<'_>, text_loss: &dyn Fn(Tensor<3>, Tensor<1>) -> Tensor<1>) -> LossParts {
    let (model, tokens) = (batch.model, batch.tokens);
    parts(batch, &|hidden| {
        let nats = model.nats(hidden.clone(), ids(tokens, &tokens.targets, &hidden.device()));
        let cross_entropy = mean(nats.clone());
        [text_loss(hidden, nats), cross_entropy]
    })
}

/// The parts of a loss; `text_loss` gives what hidden vectors [b, l, d] cost: what is minimised, and what is told `[1]`.
pub(crate) fn parts(batch: MicroBatch<'_>, text_loss: &dyn Fn(Tensor<3>) -> [Tensor<1>; 2]) -> LossParts {
    with_precision(batch.config.precision, || {
        let MicroBatch { model, tokens, config, mut dropout } = batch;
        let device = model.device();
        let (inputs, state) = (ids(tokens, &tokens.inputs, &device), model.initial_state(tokens.batch_size));
        let output = if config.gradient_checkpointing {
            model.forward_recomputed(inputs, state, dropout.as_mut())
        } else {
            model.forward(inputs, state, dropout.as_mut())
        };
        let (load_balance, z) =
            auxiliary_losses(&output.routings).map(|losses| (losses.load_balance, losses.z)).unzip();
        let [mut total, nats] = text_loss(output.hidden);
        for (loss, coefficient) in [(&load_balance, config.load_balance_coef), (&z, config.z_loss_coef)] {
            if let Some(loss) = loss {
                total = total + loss.clone().mul_scalar(coefficient);
            }
        }
        let tokens_per_expert = output.routings.iter().map(Routing::expert_counts).collect();
        LossParts { total, nats, load_balance, z, tokens_per_expert }
    })
}

/// `values` of a batch as a tensor [b, l].
pub fn ids(batch: &TokenBatch, values: &[i32], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [batch.batch_size, batch.seq_len]), device)
}
