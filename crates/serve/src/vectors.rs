//! Vectors under way: pieces of their texts, one after the other, between the steps of the texts that are written.
//!
//! ```text
//! begin ─▶ a │ b │ c ─▶ a reads a piece ─▶ b │ c │ a ─▶ b reads its last ─▶ c │ a, and b's vector goes to who asked
//! ```
//!
//! At a step all pieces together are no longer than one may be. They take turns, so that a short text does not wait for a long
//! one.

use std::{collections::VecDeque, time::Instant};

use itera_runtime::{Embedding, FinishReason, Model, Pooling, Workspace};
use itera_vectors::prefixes;
use tokio::sync::oneshot;

use crate::{job::VectorJob, metrics::ModelMetrics, statistics::Times};

/// Vectors of one model.
pub(crate) struct Vectors<'m> {
    model: &'m Model,
    work: Workspace,
    under_way: VecDeque<UnderWay<'m>>,
}

struct UnderWay<'m> {
    embedding: Embedding<'m>,
    dims: usize,
    reply: oneshot::Sender<Vec<f32>>,
    times: Times,
}

impl<'m> Vectors<'m> {
    pub fn new(model: &'m Model) -> Self {
        Self { model, work: model.workspace(), under_way: VecDeque::new() }
    }

    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Begin one. Returns whether its job was checked against the model; who waits for another hears that it is lost.
    pub fn begin(&mut self, job: VectorJob, reply: oneshot::Sender<Vec<f32>>, arrived: Instant) -> bool {
        let Ok(embedding) = Embedding::new(self.model, job.tokens, Pooling::Mean) else { return false };
        let times = Times { arrived, begun: Instant::now(), first_token: None, ended: None };
        self.under_way.push_back(UnderWay { embedding, dims: job.dims, reply, times });
        true
    }

    /// Drop those that nobody waits for, and read a piece, or several short ones.
    pub fn step(&mut self, metrics: &ModelMetrics) {
        self.under_way.retain(|vector| {
            let is_left = vector.reply.is_closed();
            if is_left {
                metrics.ended(None, vector.times);
            }
            !is_left
        });
        let (most, mut read) = (self.model.ubatch_size(), 0);
        let len = |vector: &UnderWay<'_>| vector.embedding.next_len();
        while let Some(mut next) = self.under_way.pop_front_if(|next| read == 0 || read + len(next) <= most) {
            read += len(&next);
            match next.embedding.step(&mut self.work) {
                None => self.under_way.push_back(next),
                Some(vector) => next.end(vector, metrics),
            }
        }
        if read > 0 {
            metrics.statistics.step();
        }
    }
}

impl UnderWay<'_> {
    fn end(self, whole: Vec<f32>, metrics: &ModelMetrics) {
        let d = whole.len();
        let vector = if self.dims == d { whole } else { prefixes(&whole, d, self.dims) };
        // counted before anybody hears of it
        metrics.ended(Some(FinishReason::Stop), Times { ended: Some(Instant::now()), ..self.times });
        // who has just left needs no vector
        let _ = self.reply.send(vector);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use itera_tokenizer::TokenId;

    use super::*;
    use crate::{metrics::Metrics, repository::ONLY};

    #[test]
    fn texts_take_turns_and_a_step_reads_as_much_as_a_piece() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/stories-75k.gguf");
        let model = Model::open(path).expect("the checkpoint opens");
        let metrics = Metrics::new().of_model("stories", ONLY);
        let mut vectors = Vectors::new(&model);
        let mut begin = |len: u32| {
            let (reply, vector) = oneshot::channel();
            let tokens = (0..len).map(|token| TokenId(token % 100)).collect();
            assert!(vectors.begin(VectorJob { tokens, dims: 4 }, reply, Instant::now()));
            vector
        };
        let mut long = begin(1000);
        drop(begin(1000));
        let mut short: Vec<_> = (0..20).map(|_| begin(20)).collect();
        // six of 20 tokens go with none of them beyond 128; the long one has 8 pieces
        for made in [0, 6, 12, 18, 20, 20] {
            vectors.step(&metrics);
            short.retain_mut(|vector| vector.try_recv().is_err());
            assert_eq!(short.len(), 20 - made);
        }
        assert_eq!(vectors.len(), 1, "who has left has none");
        for _ in 2..8 {
            assert!(long.try_recv().is_err());
            vectors.step(&metrics);
        }
        assert_eq!(long.try_recv().expect("a vector").len(), 4);
        assert_eq!(vectors.len(), 0);
    }
}
