//! corpus, method → what a learner learns of text

use burn::tensor::{Tensor, TensorData};
use itera_config::{Config, Objective};
use itera_data::{Dataset, Pairs, Sampler, TokenBatch};
use itera_model::{Dropout, LanguageModel, parameters::with_weights};

use crate::{
    contrast, losses::LossParts, method::Method, objective::MicroBatch, replaced_inputs::ReplacedInputs, task::Task,
};

/// Predicting the next token of a corpus, or telling which parts of its documents belong together.
pub(crate) struct Text<'a> {
    config: &'a Config,
    method: &'a dyn Method,
    order: Order<'a>,
    replaced_inputs: Option<ReplacedInputs>,
}

/// Where micro-batches come from.
enum Order<'a> {
    Sequences(Sampler<'a>),
    Pairs(Pairs<'a>),
}

impl<'a> Text<'a> {
    pub(crate) fn new(config: &'a Config, data: &'a Dataset, method: &'a dyn Method) -> Self {
        let replaced_inputs = ReplacedInputs::new(&config.train, config.run.seed, &data.tokenizer);
        let order = match config.train.objective {
            Objective::NextToken => Order::Sequences(data.sampler(config)),
            Objective::Contrast => Order::Pairs(data.pairs(config)),
        };
        Self { config, method, order, replaced_inputs }
    }
}

impl Task for Text<'_> {
    type Model = LanguageModel;
    type Batch = TokenBatch;

    fn batch(&self, index: u64) -> TokenBatch {
        let batch_size = self.config.train.batch_size;
        let mut batch = match &self.order {
            Order::Sequences(sampler) => sampler.batch(index, batch_size),
            Order::Pairs(pairs) => pairs.batch(index, batch_size),
        };
        if let Some(replaced_inputs) = &self.replaced_inputs {
            replaced_inputs.apply(&mut batch, index);
        }
        batch
    }

    fn losses(&self, model: &LanguageModel, tokens: &TokenBatch, index: u64) -> LossParts {
        let dropout = Dropout::new(self.config.model.dropout, self.config.run.seed, index);
        let batch = MicroBatch { model, tokens, config: &self.config.train, dropout: Some(dropout) };
        match self.order {
            Order::Sequences(_) => self.method.losses(batch),
            Order::Pairs(_) => contrast::losses(batch),
        }
    }

    fn computed(&self, model: &LanguageModel) -> Option<LanguageModel> {
        let values = self.method.weights(&model.parameters())?;
        let device = model.device().without_autodiff();
        let weights = values.into_iter().map(|values| {
            let len = values.len();
            Tensor::from_data(TensorData::new(values, [len]), &device)
        });
        Some(with_weights(model.clone(), weights.collect()))
    }
}
