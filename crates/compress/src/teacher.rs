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
use itera_ops::mean;
use itera_tokenizer::{TokenId, Tokenizer};
use itera_trainer::ids;

use crate::{
    candidate::Candidate,
    design::Design,
    error::Result,
    lesson::{Lesson, Source},
    part::{Fold, Folds},
};

/// Models that show another what to predict, all under one vocabulary.
///
/// What several say is the mean of their probabilities. The mean of their divergences is that of the mean but for a number that
/// the student has no part in, `Σ p̄ log p̄` against the mean of `Σ p log p`, so its gradient is the same.
pub(crate) struct Teacher {
    /// Each with the index of the fold that it teaches, which it has not read; without, it teaches everything.
    models: Vec<(LanguageModel, Option<usize>)>,
    /// How many of them teach a position.
    members: usize,
    weight: f64,
    temperature: f64,
    /// Where their tokens are longer than the student's.
    longer: Option<Longer>,
    /// Where there are several.
    folds: Option<Folds>,
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

impl Teacher {
    /// The models that `lesson` names, which `model` finds, for `student`.
    ///
    /// # Errors
    /// If `model` does not find one, or its weights are not those of its configuration.
    pub(crate) fn new(
        lesson: &Lesson,
        model: impl Fn(Source) -> Result<Candidate>,
        student: &Design,
        device: &Device,
    ) -> Result<Self> {
        let found = lesson.sources.iter().map(|source| Ok((model(*source)?, source.fold())));
        let found = found.collect::<Result<Vec<(Candidate, Option<Fold>)>>>()?;
        let (first, fold) = found.first().expect("a lesson has a teacher");
        let (tokenizer, shorter) = (&first.design.data.tokenizer, &student.data.tokenizer);
        let longer = (tokenizer.vocab_size() > shorter.vocab_size()).then(|| Longer::new(tokenizer, shorter));
        let folds = fold.map(|fold| Folds::new(student.data.train.documents(shorter.eos()), fold.of));
        let members = found.len() / fold.map_or(1, |fold| fold.of);
        let models = found.iter().map(|(candidate, fold)| {
            let model = LanguageModel::from_values(candidate.model(), device, candidate.values())?;
            Ok((model, fold.map(|fold| fold.index)))
        });
        let Lesson { weight, temperature, .. } = *lesson;
        Ok(Self { models: models.collect::<Result<_>>()?, members, weight, temperature, longer, folds })
    }

    /// Whether a model under the tokenizer `teacher` can teach one under `student`.
    pub(crate) fn fits(teacher: &Tokenizer, student: &Tokenizer) -> bool {
        teacher.begins_with(student)
    }

    /// Mean over the positions of a batch: `(1 − weight)·nats + weight·T²·KL(teacher ‖ model)`, or `nats` where no teacher
    /// says anything.
    ///
    /// Teachers read the text as it is, also where inputs of the student are replaced: then they say what the clean targets
    /// say (as in Noisy Student, arXiv 1911.04252), and words stay whole for a longer vocabulary.
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
        let hidden = hidden.reshape([b * l, d]);
        let device = model.device().without_autodiff();
        let index = |of: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::from(of.as_slice()), &device);
        let (inputs, ends) = match &self.longer {
            None => {
                let inputs: Vec<i32> = batch.texts().flat_map(|text| text.take(l)).collect();
                (ids(batch, &inputs, &device), None)
            }
            Some(longer) => {
                let Joined { inputs, length, rows, positions } = longer.join(batch);
                let inputs = Tensor::from_data(TensorData::new(inputs, [b, length]), &device);
                (inputs, Some((rows, positions)))
            }
        };
        let begins = self.longer.as_ref().map(|longer| &longer.begins);
        let mut loss = mean(nats.clone());
        for (teacher, fold) in &self.models {
            let places = self.places(*fold, ends.as_ref(), batch);
            if places.as_ref().is_some_and(|(rows, _)| rows.is_empty()) {
                continue;
            }
            let shown = teacher.forward(inputs.clone(), teacher.initial_state(b), None).hidden;
            let [_, length, d] = shown.dims();
            let mut shown = shown.reshape([b * length, d]);
            let (mut hidden, mut replaced) = (hidden.clone(), nats.clone());
            if let Some((rows, positions)) = places {
                let positions = index(positions);
                shown = shown.select(0, index(rows));
                hidden = hidden.select(0, positions.clone());
                replaced = replaced.select(0, positions);
            }
            let [n] = replaced.dims();
            let divergence = model.divergence(hidden, teacher, shown, begins, self.temperature);
            let share = self.weight * n as f64 / (b * l) as f64 / self.members as f64;
            loss = loss + (divergence - mean(replaced)).mul_scalar(share);
        }
        loss
    }

    /// Where a teacher of `fold` teaches: rows of its hidden vectors, and positions of the batch that they belong to. `ends`
    /// are all of them where its tokens are longer; `None` stands for every position.
    fn places(
        &self,
        fold: Option<usize>,
        ends: Option<&(Vec<i32>, Vec<i32>)>,
        batch: &TokenBatch,
    ) -> Option<(Vec<i32>, Vec<i32>)> {
        let (Some(fold), Some(folds)) = (fold, &self.folds) else { return ends.cloned() };
        let in_fold = |position: i32| folds.index(batch.positions[position as usize]) == fold;
        Some(match ends {
            None => {
                let positions: Vec<i32> = (0..batch.inputs.len() as i32).filter(|at| in_fold(*at)).collect();
                (positions.clone(), positions)
            }
            Some((rows, positions)) => {
                rows.iter().zip(positions).filter(|(_, position)| in_fold(**position)).map(|(r, p)| (*r, *p)).unzip()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use itera_shape::ModelConfig;

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

    const VOCAB_SIZE: usize = 270;
    const L: usize = 6;

    fn model(seed: u64) -> LanguageModel {
        let config = ModelConfig { vocab_size: VOCAB_SIZE, init_std: 0.5, ..itera_fixtures::smallest() };
        LanguageModel::init(&config, seed, &Device::flex())
    }

    fn teacher(models: &[(u64, Option<usize>)], members: usize, folds: Option<Folds>) -> Teacher {
        let models = models.iter().map(|(seed, fold)| (model(*seed), *fold)).collect();
        Teacher { models, members, weight: 0.75, temperature: 1.0, longer: None, folds }
    }

    fn batch() -> TokenBatch {
        let id = |at: usize| (at * at * 7 % VOCAB_SIZE) as i32;
        let (inputs, targets) = ((0..2 * L).map(id).collect(), (1..=2 * L).map(id).collect());
        TokenBatch { inputs, targets, positions: (1..=2 * L).collect(), batch_size: 2, seq_len: L }
    }

    /// What a student pays that is taught so, and what it would without a teacher.
    fn paid(teacher: &Teacher, student: &LanguageModel) -> (f64, f64) {
        let (batch, device) = (batch(), Device::flex());
        let inputs = ids(&batch, &batch.inputs, &device);
        let hidden = student.forward(inputs, student.initial_state(2), None).hidden;
        let nats = student.nats(hidden.clone(), ids(&batch, &batch.targets, &device));
        let number = |of: Tensor<1>| f64::from(of.into_scalar::<f32>());
        let paid = number(teacher.loss(student, &batch, hidden, nats.clone()));
        (paid, number(mean(nats)))
    }

    /// log softmax of what a model says of each of the batch's tokens.
    fn log_probabilities(model: &LanguageModel) -> Vec<Vec<f64>> {
        let batch = batch();
        let inputs = ids(&batch, &batch.inputs, &Device::flex());
        let logits = model.logits(model.forward(inputs, model.initial_state(2), None).hidden);
        let logits = logits.into_data().try_into_vec::<f32>().expect("f32");
        let row = |row: &[f32]| {
            let sum = row.iter().map(|z| f64::from(*z).exp()).sum::<f64>().ln();
            row.iter().map(|z| f64::from(*z) - sum).collect()
        };
        logits.chunks(VOCAB_SIZE).map(row).collect()
    }

    #[test]
    fn several_teach_the_mean_of_their_probabilities() {
        let (one, two) = (teacher(&[(1, None)], 1, None), teacher(&[(1, None), (2, None)], 2, None));
        let (first, second) = (model(3), model(4));
        let same = teacher(&[(1, None), (1, None)], 2, None);
        itera_testkit::assert_close(
            "twice the same",
            &[paid(&same, &first).0 as f32],
            &[paid(&one, &first).0 as f32],
            1e-6,
        );

        // what teachers are unsure of themselves is the same for every student, so students are compared
        let expected = |student: &LanguageModel| {
            let teachers = [1, 2].map(|seed| log_probabilities(&model(seed)));
            let student = log_probabilities(student);
            let cross = |(at, q): (usize, &Vec<f64>)| -> f64 {
                let mean = |token: usize| teachers.iter().map(|of| of[at][token].exp()).sum::<f64>() / 2.0;
                -q.iter().enumerate().map(|(token, q)| mean(token) * q).sum::<f64>()
            };
            student.iter().enumerate().map(cross).sum::<f64>() / student.len() as f64
        };
        let of = |student: &LanguageModel| {
            let (paid, nats) = paid(&two, student);
            (paid - 0.25 * nats) / 0.75
        };
        let (found, expected) = (of(&first) - of(&second), expected(&first) - expected(&second));
        assert!((found - expected).abs() < 1e-4 && expected.abs() > 0.01, "{found} and {expected}");
    }

    #[test]
    fn a_fold_is_taught_by_its_own_teacher_alone() {
        let student = model(3);
        let [one, two] = [1, 2].map(|seed| paid(&teacher(&[(seed, None)], 1, None), &student).0);
        let folded = |documents: Vec<std::ops::Range<usize>>| {
            let folds = Folds::new(documents.into_iter(), 2);
            paid(&teacher(&[(1, Some(0)), (2, Some(1))], 1, Some(folds)), &student).0
        };
        let all = 1..2 * L + 1;
        assert_eq!(folded(vec![all.clone()]), one);
        assert_eq!(folded(vec![1..1, all]), two);
        // the first sequence by one, the second by the other: half of what each would say, and the rest
        let both = folded(vec![1..L + 1, L + 1..2 * L + 1]);
        let swapped = folded(vec![1..1, 1..L + 1, L + 1..2 * L + 1]);
        assert!((both + swapped - one - two).abs() < 1e-5 && (both - swapped).abs() > 1e-4);
    }
}
