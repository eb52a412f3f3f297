//! model, documents → nats, bits per byte: whole documents, each on its own
//!
//! ```text
//! document → [eos | tokens] predicts [tokens | eos], in pieces, the state carried from piece to piece
//! ```

use burn::tensor::{Int, Tensor, TensorData};
use itera_model::LanguageModel;
use itera_tokenizer::{TokenId, Tokenizer};

use crate::validation::Score;

/// Documents scored side by side, and the tokens of a piece.
const BATCH: usize = 16;
const PIECE: usize = 256;

/// Score every document in full: each of its tokens, and the eos that ends it, given all that came before it in the
/// document. `on_progress` gets the number of documents done.
///
/// Documents of similar length go side by side; the padding after the shorter ones is not scored and, the model being
/// causal, changes nothing before it.
pub fn score_documents(
    model: &LanguageModel,
    tokenizer: &Tokenizer,
    documents: &[&str],
    on_progress: &mut dyn FnMut(usize),
) -> Score {
    let eos = tokenizer.eos().0 as i32;
    let mut encoded: Vec<Vec<i32>> = documents
        .iter()
        .map(|text| {
            let tokens = tokenizer.encode(text).into_iter().map(|id| id.0 as i32);
            [eos].into_iter().chain(tokens).chain([eos]).collect()
        })
        .collect();
    encoded.sort_by_key(Vec::len);

    let mut score = Score::default();
    let mut done = 0;
    for group in encoded.chunks(BATCH) {
        let group_score = score_group(model, tokenizer, group);
        score.nats += group_score.nats;
        score.tokens += group_score.tokens;
        score.bytes += group_score.bytes;
        done += group.len();
        on_progress(done);
    }
    score
}

fn score_group(model: &LanguageModel, tokenizer: &Tokenizer, group: &[Vec<i32>]) -> Score {
    let device = model.device();
    let pad = tokenizer.pad().0 as i32;
    let longest = group.iter().map(|ids| ids.len() - 1).max().unwrap_or(0);
    let mut state = model.initial_state(group.len());
    let mut score = Score::default();
    for start in (0..longest).step_by(PIECE) {
        let len = PIECE.min(longest - start);
        let window = |offset: usize| {
            let ids = group
                .iter()
                .flat_map(|ids| (start + offset..start + offset + len).map(|at| ids.get(at).copied().unwrap_or(pad)));
            ids.collect::<Vec<i32>>()
        };
        let (inputs, targets) = (window(0), window(1));
        let tensor = |ids: Vec<i32>| Tensor::<2, Int>::from_data(TensorData::new(ids, [group.len(), len]), &device);
        let output = model.forward(tensor(inputs), state, None);
        state = output.state;
        let nats = model.nats(output.hidden, tensor(targets.clone()));
        let nats = nats.into_data().try_into_vec::<f32>().expect("losses are f32");
        for (row, ids) in group.iter().enumerate() {
            for at in 0..len.min((ids.len() - 1).saturating_sub(start)) {
                let index = row * len + at;
                score.nats += f64::from(nats[index]);
                score.tokens += 1;
                score.bytes += tokenizer.token_bytes(TokenId(targets[index] as u32)) as u64;
            }
        }
    }
    score
}
