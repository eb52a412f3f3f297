//! prompt → forward → (choose → step)* → ids

use burn::tensor::{Int, Tensor};

use crate::{language_model::LanguageModel, sampling::Sampler};

/// Whether to go on after a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// Choose another token.
    More,
    /// The text is done.
    Done,
}

/// Continue `prompt` (not empty) by at most `max_tokens` tokens, giving each to `each` as it is chosen.
///
/// Returns the ids chosen, the one at which `each` said [`Continuation::Done`] included.
pub fn generate(
    model: &LanguageModel,
    prompt: &[u32],
    max_tokens: usize,
    sampler: &mut Sampler,
    mut each: impl FnMut(u32) -> Continuation,
) -> Vec<u32> {
    let device = model.device();
    let ids = |ids: &[u32]| {
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        Tensor::<1, Int>::from_ints(ids.as_slice(), &device)
    };
    let mut text = prompt.to_vec();
    let mut output = model.forward(ids(prompt).unsqueeze_dim(0), model.initial_state(1), None);
    while text.len() < prompt.len() + max_tokens {
        let [_, l, _] = output.hidden.dims();
        let logits = model.logits(output.hidden.narrow(1, l - 1, 1));
        let mut logits = logits.into_data().try_into_vec::<f32>().expect("logits are f32");
        let id = sampler.choose(&mut logits, &text);
        text.push(id);
        if each(id) == Continuation::Done || text.len() == prompt.len() + max_tokens {
            break;
        }
        output = model.step(ids(&[id]), output.state);
    }
    text.split_off(prompt.len())
}
