//! the baseline → documents that it writes itself, for a student to learn from
//!
//! Sequence-level distillation (arXiv 1606.07947): where tokenizers differ there are no common logits to learn, but text
//! drawn from the teacher carries its distribution too. Document number i depends on the seed and i alone, whatever is
//! written beside it.

use std::{collections::BTreeMap, path::Path};

use itera_config::Config;
use itera_files::write_atomic;
use itera_runtime::{Model, Sampler, SamplingConfig, State};
use itera_tokenizer::{TokenId, Tokenizer};
use itera_trainer::StopFlag;

use crate::{Baseline, Result, stage::Sampled};

/// Documents under way at once.
const TEXTS: usize = 64;
/// Tokens after which a document ends though its author did not end it.
const MAX_TOKENS: usize = 1024;

/// A document under way.
struct Draft {
    index: u64,
    ids: Vec<u32>,
    state: State,
    sampler: Sampler,
}

impl Draft {
    fn new(model: &Model, tokenizer: &Tokenizer, config: &SamplingConfig, index: u64) -> Self {
        Self { index, ids: vec![tokenizer.bos().0], state: model.new_state(), sampler: Sampler::new(config, index) }
    }

    fn text(&self, tokenizer: &Tokenizer) -> String {
        let ids: Vec<TokenId> = self.ids[1..].iter().map(|id| TokenId(*id)).collect();
        tokenizer.decode(&ids)
    }
}

/// Write documents by the baseline to `path`, as JSON lines, until they have as many bytes as are wanted. `on_bytes` is
/// told how many there are. Returns the signal that asked to stop before it was done, if one did; nothing is written then.
///
/// # Errors
/// If the model cannot be opened or run, or the file cannot be written.
pub(crate) fn write_documents(
    path: &Path,
    baseline: &Baseline,
    wanted: &Sampled,
    stop: &StopFlag,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<Option<usize>> {
    let (model, tokenizer) = (Model::open(&baseline.dir)?, &baseline.data.tokenizer);
    let Config { run, data, .. } = &baseline.config;
    let config = SamplingConfig { temperature: wanted.temperature, seed: run.seed, ..SamplingConfig::default() };
    let mut work = model.batch_workspace(TEXTS);
    let mut begun = 0;
    let mut begin = || {
        begun += 1;
        Draft::new(&model, tokenizer, &config, begun - 1)
    };
    let mut drafts: Vec<Draft> = (0..TEXTS).map(|_| begin()).collect();
    // finished before one that was begun earlier
    let mut waiting = BTreeMap::new();
    let (mut lines, mut next, mut bytes) = (String::new(), 0, 0);
    while bytes < wanted.bytes {
        if let Some(signal) = stop.signal() {
            return Ok(Some(signal));
        }
        let tokens: Vec<u32> = drafts.iter().map(|draft| draft.ids[draft.ids.len() - 1]).collect();
        let mut states: Vec<&mut State> = drafts.iter_mut().map(|draft| &mut draft.state).collect();
        model.step_all(&mut states, &tokens, &mut work)?;
        for (slot, draft) in drafts.iter_mut().enumerate() {
            let id = draft.sampler.choose(work.logits(slot), &draft.ids);
            if id != tokenizer.eos().0 {
                draft.ids.push(id);
            }
            if id == tokenizer.eos().0 || draft.ids.len() > MAX_TOKENS {
                waiting.insert(draft.index, draft.text(tokenizer));
                *draft = begin();
            }
        }
        while bytes < wanted.bytes
            && let Some(text) = waiting.remove(&next)
        {
            next += 1;
            bytes += text.len() as u64;
            lines.push_str(&serde_json::json!({ &data.text_field: text }).to_string());
            lines.push('\n');
            on_bytes(bytes);
        }
    }
    write_atomic(path, lines.as_bytes())?;
    Ok(None)
}
