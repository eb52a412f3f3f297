//! the baseline → documents that it writes itself, for a student to learn from
//!
//! Sequence-level distillation (arXiv 1606.07947): where tokenizers differ there are no common logits to learn, but text
//! drawn from the teacher carries its distribution too. Document number i depends on the seed and i alone, whatever is
//! written beside it.

use std::{collections::BTreeMap, path::Path};

use itera_config::Config;
use itera_files::write_atomic;
use itera_runtime::{Batch, Model, RuntimeError, Sampler, SamplingConfig, Text};

use crate::{
    baseline::Baseline,
    session::{Abort, Session},
    training::Sampled,
};

/// Documents under way at once.
const TEXTS: usize = 64;
/// Tokens after which a document ends though its author did not end it.
const MAX_TOKENS: usize = 1024;

/// Write documents by the baseline to `path`, as JSON lines, until they have as many bytes as `settings` ask for. `on_bytes`
/// is told how many there are.
///
/// # Errors
/// If the model cannot be opened or run, the file cannot be written, or a signal asks to stop; nothing is written then.
pub(crate) fn write_documents(
    path: &Path,
    baseline: &Baseline,
    settings: &Sampled,
    session: Session<'_>,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(), Abort> {
    let (model, tokenizer) = (Model::open(&baseline.dir)?, &baseline.data.tokenizer);
    let Config { run, data, .. } = &baseline.config;
    let config = SamplingConfig { temperature: settings.temperature, seed: run.seed, ..SamplingConfig::default() };
    let mut begun = 0;
    let mut begin = || {
        let text = Text::new(&model, tokenizer, "")?.with_sampler(Sampler::new(&config, begun));
        begun += 1;
        Ok((begun - 1, text.with_max_tokens(MAX_TOKENS)))
    };
    let mut texts = (0..TEXTS).map(|_| begin()).collect::<Result<Vec<_>, RuntimeError>>()?;
    let mut batch = Batch::new(&model);
    // finished before one that was begun earlier
    let mut waiting = BTreeMap::new();
    let (mut lines, mut next, mut bytes) = (String::new(), 0, 0);
    while bytes < settings.bytes {
        session.proceed()?;
        batch.step(texts.iter_mut().map(|(_, text)| text));
        for text in texts.iter_mut().filter(|(_, text)| text.finish_reason().is_some()) {
            let (index, finished) = std::mem::replace(text, begin()?);
            waiting.insert(index, finished.into_completion().text);
        }
        while bytes < settings.bytes
            && let Some(text) = waiting.remove(&next)
        {
            next += 1;
            bytes += text.len() as u64;
            lines.push_str(&serde_json::json!({ &data.text_field: text }).to_string());
            lines.push('\n');
            on_bytes(bytes);
        }
    }
    Ok(write_atomic(path, lines.as_bytes())?)
}
