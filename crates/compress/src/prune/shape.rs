//! a shape, fractions to remove → the shape that is left

use itera_shape::ModelConfig;

use crate::{
    error::{CompressError, Result},
    misfit::Misfit,
    stage::Prune,
};

/// Multiples that sizes are reduced to, so that rows stay whole blocks of every kind of 32.
const BLOCK: usize = 32;

/// Steps between all channels and the fewest, where one fraction for all sorts is looked for.
const FINENESS: usize = 256;

/// The shape that is left.
///
/// # Errors
/// [`CompressError::Misfit`] if a fraction leaves nothing, takes nothing, or asks for what the family cannot be.
pub(crate) fn pruned_model(recipe: &str, stage: &Prune, model: &ModelConfig) -> Result<ModelConfig> {
    let named = without_named(recipe, stage, model)?;
    let most = model.total_params() as f64 * (1.0 - stage.parameters);
    let of_all = |step: usize| {
        let fraction = step as f64 / FINENESS as f64;
        let least = |of: usize, named: usize, unit: usize| less(of, fraction, unit).max(unit).min(named);
        ModelConfig {
            d_expert: least(model.d_expert, named.d_expert, unit(model.d_expert)),
            d_shared: least(model.d_shared, named.d_shared, unit(model.d_shared)),
            d_state: least(model.d_state, named.d_state, 1),
            ..named.clone()
        }
    };
    let mut shapes = (0..=FINENESS).map(of_all);
    shapes.find(|left| left.total_params() as f64 <= most).ok_or_else(|| {
        let (least, total) = (of_all(FINENESS).total_params(), model.total_params());
        CompressError::misfit(recipe, Misfit::Parameters { fraction: stage.parameters, least, total })
    })
}

/// What a size stays a multiple of; what is no multiple of a block to begin with need not become one.
fn unit(of: usize) -> usize {
    if of.is_multiple_of(BLOCK) { BLOCK } else { 1 }
}

/// `of` less a fraction of it, to the nearest multiple of `unit`.
fn less(of: usize, fraction: f64, unit: usize) -> usize {
    (of as f64 * (1.0 - fraction) / unit as f64).round() as usize * unit
}

/// [`pruned_model`] by the fractions of each sort alone.
fn without_named(recipe: &str, stage: &Prune, model: &ModelConfig) -> Result<ModelConfig> {
    let misfit = |problem: Misfit| CompressError::misfit(recipe, problem);
    let reduced = |units: &'static str, total: usize, fraction: f64, multiple: usize| {
        let left = less(total, fraction, multiple);
        match left {
            _ if fraction == 0.0 => Ok(total),
            0 => Err(misfit(Misfit::LeavesNone { units, fraction, total, multiple })),
            left if left >= total => Err(misfit(Misfit::TakesNone { units, fraction, total, multiple })),
            left => Ok(left),
        }
    };
    let mut left = model.clone();
    left.vocab_size = reduced("vocabulary", model.vocab_size, stage.vocabulary, unit(model.vocab_size))?;
    left.d_shared = reduced("shared_channels", model.d_shared, stage.shared_channels, unit(model.d_shared))?;
    left.d_state = reduced("state", model.d_state, stage.state, 1)?;
    if stage.ssm_heads > 0.0 && less(model.expand, stage.ssm_heads, 1) == model.expand {
        return Err(misfit(Misfit::SsmHeads { fraction: stage.ssm_heads, expand: model.expand }));
    }
    left.expand = reduced("ssm_heads", model.expand, stage.ssm_heads, 1)?;
    if !model.attention_layers.is_empty() {
        left.n_kv_heads = reduced("attention_heads", model.n_kv_heads, stage.attention_heads, 1)?;
        left.n_attention_heads = model.n_attention_heads / model.n_kv_heads * left.n_kv_heads;
        left.attention_head_dim = model.d_attention_head();
        left = left.with_usual_attention();
    } else if stage.attention_heads > 0.0 {
        return Err(misfit(Misfit::NoAttention));
    }
    if model.n_experts > 0 {
        left.n_experts = reduced("experts", model.n_experts, stage.experts, 1)?;
        left.top_k = model.top_k.min(left.n_experts);
        left.d_expert = reduced("expert_channels", model.d_expert, stage.expert_channels, unit(model.d_expert))?;
    } else if stage.experts > 0.0 || stage.expert_channels > 0.0 {
        return Err(misfit(Misfit::NoExperts));
    }
    let dropped = &stage.layers;
    if let Some(layer) = dropped.iter().find(|layer| **layer >= model.n_layers) {
        return Err(misfit(Misfit::NoLayer { layer: *layer, last: model.n_layers - 1 }));
    }
    let stays: Vec<usize> = (0..model.n_layers).filter(|layer| !dropped.contains(layer)).collect();
    left.n_layers = stays.len();
    left.attention_layers = (0..stays.len()).filter(|index| model.attention_layers.contains(&stays[*index])).collect();
    left.validate().map_err(|error| misfit(Misfit::Shape(error.into())))?;
    Ok(left)
}
