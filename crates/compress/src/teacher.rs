//! The run → what a student should predict, under a vocabulary that may be a part of the run's
//!
//! BPE joins pairs in the order in which they were learned, so a tokenizer whose merges are the first of another's writes
//! what the other has not finished joining. Every token of the run is then some whole number of the student's, and where one
//! ends, the run says what follows: the probability that the student's token comes next is that of all the run's tokens
//! which begin with it.
//!
//! ```text
//! student  On ce ␣u p on ␣a ␣t i me
//! run      Once   ␣upon  ␣a ␣time
//!             ▲       ▲   ▲          the run shows what follows; between, text alone does
//! ```

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use itera_data::TokenBatch;
use itera_model::LanguageModel;
use itera_tokenizer::{TokenId, Tokenizer};
use itera_trainer::ids;

use crate::{candidate::Candidate, design::Design, error::Result, training::TeacherWeight};

/// A model that shows another what to predict.
pub(crate) struct Teacher {
    model: LanguageModel,
    weight: f64,
    temperature: f64,
    /// Where its tokens are longer than the student's.
    longer: Option<Longer>,
}

/// A vocabulary that begins with the student's.
struct Longer {
    tokenizer: Tokenizer,
    /// For each of its tokens, the student's that begins it.
    begins: Arc<[u32]>,
}

/// A batch in the teacher's tokens, the last of each text left out: what follows it is not in the batch.
#[derive(Debug, PartialEq)]
struct Joined {
    /// Token ids [b, length], 0 after the end of a text.
    inputs: Vec<i32>,
    length: usize,
    /// Where in `inputs` each token is, text by text.
    rows: Vec<i32>,
    /// Where in the batch, [b, l], the last of the tokens is that each was made of.
    positions: Vec<i32>,
}

impl Longer {
    fn new(tokenizer: &Tokenizer, shorter: &Tokenizer) -> Self {
        let ids = (0..tokenizer.vocab_size() as u32).map(TokenId);
        Self { begins: ids.map(|id| shorter.first_of(tokenizer, id).0).collect(), tokenizer: tokenizer.clone() }
    }

    /// Windows are cut anywhere, so the token at either end may be one that the whole text would not have.
    fn join(&self, batch: &TokenBatch) -> Joined {
        let (b, l) = (batch.batch_size, batch.seq_len);
        let texts: Vec<Vec<(TokenId, usize)>> = batch
            .texts()
            .map(|text| {
                let ids: Vec<TokenId> = text.map(|id| TokenId(id.cast_unsigned())).collect();
                self.tokenizer.join(&ids)
            })
            .collect();
        let length = texts.iter().map(|tokens| tokens.len() - 1).max().unwrap_or(0);
        let mut joined = Joined { inputs: vec![0; b * length], length, rows: vec![], positions: vec![] };
        for (text, tokens) in texts.iter().enumerate() {
            let mut end = text * l;
            for (row, (id, parts)) in (text * length..).zip(&tokens[..tokens.len() - 1]) {
                end += parts;
                joined.inputs[row] = id.0.cast_signed();
                joined.rows.push(row as i32);
                joined.positions.push(end as i32 - 1);
            }
        }
        joined
    }
}

/// What the teacher knows of a batch.
struct Shown {
    /// Its hidden vectors [n, d].
    hidden: Tensor<2>,
    /// The n of the batch's b·l positions that they are of; `None` for all.
    positions: Option<Tensor<1, Int>>,
}

impl Teacher {
    /// The model of `run`, as it is, for `student`.
    pub(crate) fn new(run: &Candidate, student: &Design, weight: TeacherWeight, device: &Device) -> Result<Self> {
        let model = LanguageModel::from_values(run.model(), device, run.values())?;
        let TeacherWeight { weight, temperature, auto: _ } = weight;
        let (tokenizer, shorter) = (&run.design.data.tokenizer, &student.data.tokenizer);
        let longer = (tokenizer.vocab_size() > shorter.vocab_size()).then(|| Longer::new(tokenizer, shorter));
        Ok(Self { model, weight, temperature, longer })
    }

    /// Whether a model under the tokenizer `run` can teach one under `student`.
    pub(crate) fn fits(run: &Tokenizer, student: &Tokenizer) -> bool {
        run.begins_with(student)
    }

    /// Mean over the positions of a batch: `(1 − weight)·nats + weight·T²·KL(teacher ‖ model)`, or `nats` where the teacher
    /// says nothing.
    ///
    /// # Shapes
    /// `hidden`: [b, l, d], `nats`: `[b·l]` → `[1]`
    pub(crate) fn loss(
        &self,
        model: &LanguageModel,
        batch: &TokenBatch,
        hidden: Tensor<3>,
        nats: Tensor<1>,
    ) -> Tensor<1> {
        let [b, l, d] = hidden.dims();
        let mut hidden = hidden.reshape([b * l, d]);
        let Some(shown) = self.show(batch) else { return nats.mean() };
        let mut replaced = nats.clone();
        if let Some(positions) = shown.positions {
            hidden = hidden.select(0, positions.clone());
            replaced = replaced.select(0, positions);
        }
        let [n] = replaced.dims();
        let begins = self.longer.as_ref().map(|longer| &longer.begins);
        let divergence = model.divergence(hidden, &self.model, shown.hidden, begins, self.temperature);
        nats.mean() + (divergence - replaced.mean()).mul_scalar(self.weight * n as f64 / (b * l) as f64)
    }

    /// The teacher reads the text as it is, also where inputs of the student are replaced: then it says what the clean
    /// targets say (as in Noisy Student, arXiv 1911.04252), and words stay whole for a longer vocabulary. `None` if each text
    /// of the batch is a single token to it.
    fn show(&self, batch: &TokenBatch) -> Option<Shown> {
        let device = self.model.device();
        let hidden = |inputs| {
            let hidden = self.model.forward(inputs, self.model.initial_state(batch.batch_size), None).hidden;
            let [b, l, d] = hidden.dims();
            hidden.reshape([b * l, d])
        };
        let Some(longer) = &self.longer else {
            let inputs: Vec<i32> = batch.texts().flat_map(|text| text.take(batch.seq_len)).collect();
            return Some(Shown { hidden: hidden(ids(batch, &inputs, &device)), positions: None });
        };
        let Joined { inputs, length, rows, positions } = longer.join(batch);
        if rows.is_empty() {
            return None;
        }
        let inputs = Tensor::from_data(TensorData::new(inputs, [batch.batch_size, length]), &device);
        let index = |of: Vec<i32>| Tensor::from_data(TensorData::from(of.as_slice()), &device);
        Some(Shown { hidden: hidden(inputs).select(0, index(rows)), positions: Some(index(positions)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Once upon a time there was a cat. The cat sat on the mat, and the mat was the cat's. ";

    #[test]
    fn a_batch_in_the_teachers_tokens_says_the_same_and_ends_where_the_students_end() {
        let trained = |vocab_size| Tokenizer::train_bpe([TEXT].into_iter(), vocab_size).expect("a tokenizer");
        let (tokenizer, shorter) = (trained(300), trained(270));
        assert!(tokenizer.begins_with(&shorter) && !shorter.begins_with(&tokenizer));
        let longer = Longer::new(&tokenizer, &shorter);
        for id in (0..tokenizer.vocab_size() as u32).map(TokenId) {
            let begins = TokenId(longer.begins[id.index()]);
            assert!(tokenizer.decode_bytes(&[id]).starts_with(&shorter.decode_bytes(&[begins])), "{id}");
        }

        let ids: Vec<i32> = shorter.encode(TEXT).iter().map(|id| id.0.cast_signed()).collect();
        let l = 13;
        let windows: Vec<&[i32]> = ids.windows(l + 1).step_by(5).collect();
        let of = |range: std::ops::Range<usize>| windows.iter().flat_map(|ids| ids[range.clone()].to_vec()).collect();
        let (inputs, targets) = (of(0..l), of(1..l + 1));
        let batch = TokenBatch { inputs, targets, positions: vec![], batch_size: windows.len(), seq_len: l };
        let joined = longer.join(&batch);
        let mut replaced = batch.clone();
        replaced.inputs.chunks_exact_mut(l).for_each(|inputs| inputs[1..].fill(7));
        assert_eq!(longer.join(&replaced), joined, "the teacher reads the text");

        assert_eq!(joined.rows.len(), joined.positions.len());
        assert!(joined.rows.len() > windows.len() && joined.rows.len() < batch.inputs.len());
        let text = |tokenizer: &Tokenizer, ids: &[i32]| {
            tokenizer.decode_bytes(&ids.iter().map(|id| TokenId(id.cast_unsigned())).collect::<Vec<_>>())
        };
        for (row, position) in joined.rows.iter().zip(&joined.positions) {
            let (row, position) = (*row as usize, *position as usize);
            let (window, at) = (position / l, position % l);
            assert_eq!(row / joined.length, window);
            let theirs = text(&tokenizer, &joined.inputs[window * joined.length..=row]);
            assert_eq!(theirs, text(&shorter, &windows[window][..=at]), "window {window}");
            // and what it may say next begins with what the student sees next
            let next =
                joined.rows.binary_search(&(row as i32 + 1)).ok().map(|at| joined.inputs[joined.rows[at] as usize]);
            if let Some(next) = next.filter(|_| (row + 1) / joined.length == window) {
                assert_eq!(longer.begins[next as usize], windows[window][at + 1].cast_unsigned(), "window {window}");
            }
        }
    }
}
