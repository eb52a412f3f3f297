//! corpus, method → what a learner learns of text

use burn::tensor::{Tensor, TensorData};
use itera_config::Config;
use itera_data::{Dataset, Sampler, TokenBatch};
use itera_model::{Dropout, LanguageModel, parameters::with_weights};

use crate::{losses::LossParts, method::Method, objective::MicroBatch, replaced_inputs::ReplacedInputs, task::Task};

/// Predicting the next token of a corpus.
pub(crate) struct Text<'a> {
    config: &'a Config,
    method: &'a dyn Method,
    sampler: Sampler<'a>,
    replaced_inputs: Option<ReplacedInputs>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(config: &'a Config, data: &'a Dataset, method: &'a dyn Method) -> Self {
        let replaced_inputs = ReplacedInputs::new(&config.train, config.run.seed, &data.tokenizer);
        Self { config, method, sampler: data.sampler(config), replaced_inputs }
    }
}

impl Task for Text<'_> {
    type Model = LanguageModel;
    type Batch = TokenBatch;

    fn batch(&self, index: u64) -> TokenBatch {
        let mut batch = self.sampler.batch(index, self.config.train.batch_size);
        if let Some(replaced_inputs) = &self.replaced_inputs {
            replaced_inputs.apply(&mut batch, index);
        }
        batch
    }

    fn losses(&self, model: &LanguageModel, tokens: &TokenBatch, index: u64) -> LossParts {
        let dropout = Dropout::new(self.config.model.dropout, self.config.run.seed, index);
        self.method.losses(MicroBatch { model, tokens, config: &self.config.train, dropout: Some(dropout) })
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
