//! a model, how much of each part to keep → a smaller model of the same kind
//!
//! ```text
//! calibration text ─┬▶ Σ g² of each weight ─▶ saliency g²·w² ─▶ of each unit the sum over its matrices ─┐
//!                   └▶ loss with the weights of the unit at 0 ───────────────────────────────────────────┤
//!                                                         in each layer the units that matter most stay ◀┘
//! ```
//!
//! What belongs together, which is in `units`, is cut together. The result is an ordinary checkpoint, so every layer keeps as
//! many units as every other, and an entry of the vocabulary is a row of the embedding and a token.
//!
//! Saliency is that of Optimal Brain Damage (LeCun et al. 1990), ½·h·w² for a weight w, with the diagonal of the empirical
//! Fisher information for the curvature h, as for structured units in arXiv 1906.10771.

use itera_config::{Config, LayerKind, ModelConfig, TensorSpec};
use itera_model::Parameter;
use itera_trainer::StopFlag;

use crate::{
    CompressError, Result,
    inspect::Calibration,
    stage::Prune,
    subject::Subject,
    units::{self, Unit},
};

/// Multiples that sizes are kept to, so that rows stay whole blocks of every kind of 32.
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
        let problem = format!(
            "prune parameters = {}: with the fewest channels {} of {} parameters are left; experts, layers or vocabulary \
             must go too",
            stage.parameters,
            of_all(FINENESS).total_params(),
            model.total_params()
        );
        CompressError::Misfit { recipe: recipe.into(), problem }
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
    let misfit = |problem: String| CompressError::Misfit { recipe: recipe.into(), problem };
    let kept = |what: &str, of: usize, fraction: f64, unit: usize| {
        let left = less(of, fraction, unit);
        match left {
            _ if fraction == 0.0 => Ok(of),
            0 => Err(misfit(format!("prune {what} = {fraction} leaves none of {of}, in multiples of {unit}"))),
            left if left >= of => {
                Err(misfit(format!("prune {what} = {fraction} takes none of {of}, in multiples of {unit}")))
            }
            left => Ok(left),
        }
    };
    let mut left = model.clone();
    left.vocab_size = kept("vocabulary", model.vocab_size, stage.vocabulary, unit(model.vocab_size))?;
    left.d_shared = kept("shared_channels", model.d_shared, stage.shared_channels, unit(model.d_shared))?;
    left.d_state = kept("state", model.d_state, stage.state, 1)?;
    if stage.ssm_heads > 0.0 && less(model.expand, stage.ssm_heads, 1) == model.expand {
        return Err(misfit(format!(
            "prune ssm_heads = {}: model.expand, which is {}, must stay a whole number",
            stage.ssm_heads, model.expand
        )));
    }
    left.expand = kept("ssm_heads", model.expand, stage.ssm_heads, 1)?;
    if !model.attention_layers.is_empty() {
        left.n_kv_heads = kept("attention_heads", model.n_kv_heads, stage.attention_heads, 1)?;
        left.n_attention_heads = model.n_attention_heads / model.n_kv_heads * left.n_kv_heads;
        left.attention_head_dim = model.d_attention_head();
        left = left.with_usual_attention();
    } else if stage.attention_heads > 0.0 {
        return Err(misfit("prune attention_heads: the model has no attention".into()));
    }
    if model.n_experts > 0 {
        left.n_experts = kept("experts", model.n_experts, stage.experts, 1)?;
        left.top_k = model.top_k.min(left.n_experts);
        left.d_expert = kept("expert_channels", model.d_expert, stage.expert_channels, unit(model.d_expert))?;
    } else if stage.experts > 0.0 || stage.expert_channels > 0.0 {
        return Err(misfit("prune experts: the model has none".into()));
    }
    let dropped = &stage.layers;
    if let Some(layer) = dropped.iter().find(|layer| **layer >= model.n_layers) {
        return Err(misfit(format!("prune layers: there is no layer {layer}, the last is {}", model.n_layers - 1)));
    }
    let stays: Vec<usize> = (0..model.n_layers).filter(|layer| !dropped.contains(layer)).collect();
    left.n_layers = stays.len();
    left.attention_layers = (0..stays.len()).filter(|index| model.attention_layers.contains(&stays[*index])).collect();
    left.validate().map_err(|error| misfit(error.to_string()))?;
    Ok(left)
}

/// What says which units matter most.
pub(crate) enum Ranking<'a> {
    /// Saliencies, from Σ g² of each weight.
    Saliency(Vec<Vec<f32>>),
    /// The loss without each.
    Loss {
        /// What it is measured on.
        calibration: Calibration<'a>,
        /// Asks to stop.
        stop: &'a StopFlag,
        /// Is told how many units of how many are measured.
        on_done: &'a mut dyn FnMut(usize, usize),
    },
}

/// Why units were not ranked.
pub(crate) enum Halt {
    /// A signal asked to stop.
    Signal(usize),
    /// Something is wrong.
    Failed(CompressError),
}

impl<E: Into<CompressError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Subject {
    /// The model that is left, with fresh data where tokens are gone.
    ///
    /// # Errors
    /// As [`pruned_model`], if the tokens that are left are not the first of those there were, or if a signal asks to stop.
    pub(crate) fn pruned(&self, recipe: &str, stage: &Prune, ranking: Ranking<'_>) -> Result<Self, Halt> {
        let model = pruned_model(recipe, stage, self.model())?;
        let mut left = self.with_model(recipe, model)?;
        let stays: Vec<usize> = (0..self.model().n_layers).filter(|layer| !stage.layers.contains(layer)).collect();
        let specs = self.model().tensors();
        let mut ranker = Ranker { subject: self, left: left.model(), specs, ranking, done: 0, of: 0 };
        ranker.of = stays.iter().map(|layer| ranker.n_ranked(*layer)).sum();
        let layers = stays.into_iter().map(|layer| ranker.kept(layer)).collect::<Result<Vec<_>, _>>()?;
        let cut = |spec: TensorSpec| {
            let values = cut(self, &spec, &layers);
            Parameter { name: spec.name, shape: spec.shape, values }
        };
        left.parameters = left.model().tensors().into_iter().map(cut).collect();
        Ok(left)
    }

    /// Another shape, without weights yet, and data under its tokenizer.
    pub(crate) fn with_model(&self, recipe: &str, model: ModelConfig) -> Result<Self> {
        let misfit = |problem: String| CompressError::Misfit { recipe: recipe.into(), problem };
        let config = Config { model, ..self.config.clone() };
        config.validate().map_err(|error| misfit(error.to_string()))?;
        let data = self.data_for(&config)?;
        // merges are learned in order, so a smaller vocabulary of the same text is the beginning of a larger one
        if !self.data.tokenizer.begins_with(&data.tokenizer) {
            return Err(misfit("prune vocabulary: the tokenizer is not one that was trained on the run's text".into()));
        }
        Ok(Self { config, data, parameters: vec![] })
    }

    fn parameter(&self, name: &str) -> &Parameter {
        let found = self.parameters.iter().find(|parameter| parameter.name == name);
        found.expect("the tensor table lists every tensor of the model")
    }
}

/// The units of one layer that stay, in their order.
struct Kept {
    /// The layer that it was.
    layer: usize,
    experts: Vec<usize>,
    /// For each expert that stays.
    expert_channels: Vec<Vec<usize>>,
    shared_channels: Vec<usize>,
    /// Rows of `in_proj`, of the convolution, of vectors over heads, and of d_inner; empty in an attention layer.
    in_proj: Vec<usize>,
    conv: Vec<usize>,
    heads: Vec<usize>,
    inner: Vec<usize>,
    /// Rows of `q_proj`, and of `k_proj` and `v_proj`; empty in a mamba layer.
    queries: Vec<usize>,
    keys: Vec<usize>,
}

/// Tells which units of `subject` stay in `left`.
struct Ranker<'a, 'r> {
    subject: &'a Subject,
    left: &'a ModelConfig,
    specs: Vec<TensorSpec>,
    ranking: Ranking<'r>,
    /// Units that are ranked, of how many.
    done: usize,
    of: usize,
}

impl Ranker<'_, '_> {
    /// How many units of a layer are ranked: all of a sort that loses any.
    fn n_ranked(&self, layer: usize) -> usize {
        let (model, left) = (self.subject.model(), self.left);
        let ranked = |of: usize, keep: usize| if keep < of { of } else { 0 };
        let mut n = ranked(model.d_shared, left.d_shared);
        if model.n_experts > 0 {
            n += ranked(model.n_experts, left.n_experts) + left.n_experts * ranked(model.d_expert, left.d_expert);
        }
        n + match model.layer_kinds()[layer] {
            LayerKind::Mamba => ranked(model.d_state, left.d_state) + ranked(model.n_heads(), left.n_heads()),
            LayerKind::Attention => ranked(model.n_kv_heads, left.n_kv_heads),
        }
    }

    fn kept(&mut self, layer: usize) -> Result<Kept, Halt> {
        let (model, left) = (self.subject.model(), self.left);
        let mut kept = Kept {
            layer,
            experts: vec![],
            expert_channels: vec![],
            shared_channels: self.best(left.d_shared, units::shared_channels(model), layer)?,
            in_proj: vec![],
            conv: vec![],
            heads: vec![],
            inner: vec![],
            queries: vec![],
            keys: vec![],
        };
        if model.n_experts > 0 {
            kept.experts = self.best(left.n_experts, units::experts(model), layer)?;
            let channels = |x: &usize| self.best(left.d_expert, units::expert_channels(model, *x), layer);
            kept.expert_channels = kept.experts.iter().map(channels).collect::<Result<_, _>>()?;
        }
        match model.layer_kinds()[layer] {
            LayerKind::Mamba => self.choose_mamba(&mut kept)?,
            LayerKind::Attention => {
                let heads = self.best(left.n_kv_heads, units::attention_heads(model), layer)?;
                let of_heads = |width: usize| heads.iter().flat_map(|head| head * width..(head + 1) * width).collect();
                (kept.queries, kept.keys) =
                    (of_heads(units::queries_of_a_key_head(model)), of_heads(model.d_attention_head()));
            }
        }
        Ok(kept)
    }

    fn choose_mamba(&mut self, kept: &mut Kept) -> Result<(), Halt> {
        let (model, left) = (self.subject.model(), self.left);
        let (i, h, p, n, g) = (model.d_inner(), model.n_heads(), model.d_head, model.d_state, model.n_groups);
        let (b, c, dt) = (2 * i, 2 * i + g * n, 2 * i + 2 * g * n);
        // heads of a group share B and C, so every group keeps as many
        let per_group = h / g;
        let mut heads = units::ssm_heads(model);
        for group in 0..g {
            let of_group = heads.drain(..per_group).collect();
            let best = self.best(left.n_heads() / g, of_group, kept.layer)?;
            kept.heads.extend(best.into_iter().map(|head| group * per_group + head));
        }
        let state = self.best(left.d_state, units::state(model), kept.layer)?;

        kept.inner = kept.heads.iter().flat_map(|head| head * p..(head + 1) * p).collect();
        let of_groups = |start: usize| -> Vec<usize> {
            (0..g * state.len()).map(|at| start + at / state.len() * n + state[at % state.len()]).collect()
        };
        kept.in_proj = kept.inner.clone();
        kept.in_proj.extend(kept.inner.iter().map(|j| i + j));
        kept.in_proj.extend([of_groups(b), of_groups(c)].concat());
        kept.in_proj.extend(kept.heads.iter().map(|head| dt + head));
        // the convolution has no z
        kept.conv = kept.inner.clone();
        kept.conv.extend([of_groups(b - i), of_groups(c - i)].concat());
        Ok(())
    }

    /// Which `keep` of the `units` of a layer matter most, in their order; of equal ones the first.
    fn best(&mut self, keep: usize, units: Vec<Unit>, layer: usize) -> Result<Vec<usize>, Halt> {
        if keep == units.len() {
            return Ok((0..keep).collect());
        }
        let mut ranked = vec![];
        for (index, unit) in units.iter().enumerate() {
            ranked.push((index, self.importance(unit, layer)?));
        }
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut kept: Vec<usize> = ranked.into_iter().take(keep).map(|(unit, _)| unit).collect();
        kept.sort();
        Ok(kept)
    }

    fn importance(&mut self, unit: &Unit, layer: usize) -> Result<f64, Halt> {
        let subject = self.subject;
        let specs = &self.specs;
        let found = unit.iter().map(|block| {
            let name = format!("layers.{layer}.{}", block.tensor);
            let index = specs.iter().position(|spec| spec.name == name).expect("a tensor of the table");
            (index, block.indices(&specs[index].shape))
        });
        match &mut self.ranking {
            Ranking::Saliency(fisher) => {
                let of_weight = |index: usize, at: usize| {
                    f64::from(fisher[index][at]) * f64::from(subject.parameters[index].values[at]).powi(2)
                };
                // what is no matrix goes with the rest, but is no reason to stay
                let matrices = found.filter(|(index, _)| specs[*index].role.is_matrix());
                Ok(matrices.flat_map(|(index, places)| places.map(move |at| of_weight(index, at))).sum())
            }
            Ranking::Loss { calibration, stop, on_done } => {
                if let Some(signal) = stop.signal() {
                    return Err(Halt::Signal(signal));
                }
                let mut values = subject.values();
                found.for_each(|(index, places)| places.for_each(|at| values[index][at] = 0.0));
                let loss = calibration.bits_per_byte(values)?;
                self.done += 1;
                on_done(self.done, self.of);
                Ok(loss)
            }
        }
    }
}

/// What stays for the tensor `spec` of the model that is left.
fn cut(subject: &Subject, spec: &TensorSpec, layers: &[Kept]) -> Vec<f32> {
    let Some((layer, part)) = spec.name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) else {
        // the tokens that are left are the first; a norm keeps all
        return subject.parameter(&spec.name).values[..spec.n_params()].to_vec();
    };
    let units = &layers[layer.parse::<usize>().expect("layers are numbered")];
    let of = subject.parameter(&format!("layers.{}.{part}", units.layer));
    let cols = of.shape.last().copied().unwrap_or(1);
    let rows = |kept: &[usize]| kept.iter().flat_map(|row| of.values[row * cols..][..cols].to_vec()).collect();
    let columns = |first: usize, rows: usize, kept: &[usize]| -> Vec<f32> {
        let row = |row: usize| kept.iter().map(move |column| of.values[(first + row) * cols + column]);
        (0..rows).flat_map(row).collect()
    };
    let d = subject.model().d_model;
    let gate_and_up = |first: usize, width: usize, kept: &[usize]| -> Vec<usize> {
        [0, width].into_iter().flat_map(|half| kept.iter().map(move |j| first + half + j)).collect()
    };
    let experts = || units.experts.iter().zip(&units.expert_channels);
    let f = subject.model().d_expert;
    match part {
        "moe.router" => rows(&units.experts),
        "moe.w_in" => experts().flat_map(|(x, kept)| rows(&gate_and_up(x * 2 * f, f, kept))).collect(),
        "moe.w_out" => experts().flat_map(|(x, kept)| columns(x * d, d, kept)).collect(),
        "shared.w_in" => rows(&gate_and_up(0, subject.model().d_shared, &units.shared_channels)),
        "shared.w_out" => columns(0, d, &units.shared_channels),
        "mamba.in_proj" => rows(&units.in_proj),
        "mamba.conv_weight" => rows(&units.conv),
        "mamba.conv_bias" => units.conv.iter().map(|row| of.values[*row]).collect(),
        "mamba.dt_bias" | "mamba.a_log" | "mamba.d_skip" => units.heads.iter().map(|head| of.values[*head]).collect(),
        "mamba.norm" => units.inner.iter().map(|channel| of.values[*channel]).collect(),
        "mamba.out_proj" => columns(0, d, &units.inner),
        "attention.q_proj" => rows(&units.queries),
        "attention.k_proj" | "attention.v_proj" => rows(&units.keys),
        "attention.o_proj" => columns(0, d, &units.queries),
        _ => of.values.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use burn::tensor::Device;
    use itera_formats::TensorRef;
    use itera_model::LanguageModel;
    use itera_runtime::Model;

    use super::*;
    use crate::stage::Stage;

    fn stage(settings: &str) -> Prune {
        let text = format!("do = \"prune\"\n{settings}");
        match toml::from_str(&text).expect("a stage") {
            Stage::Prune(prune) => prune,
            other => panic!("{other:?}"),
        }
    }

    fn subject(changes: &[&str]) -> (tempfile::TempDir, Subject) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke.toml");
        let mut overrides = vec![format!("data.cache_dir={}", dir.path().display()), "data.builtin_bytes=50000".into()];
        overrides.extend(changes.iter().map(|change| change.to_string()));
        let config = Config::load(&path, &overrides).expect("a valid configuration");
        let data = Arc::new(itera_data::prepare(&config).expect("data"));
        let parameters = LanguageModel::init(&config.model, 1, &Device::flex()).parameters();
        (dir, Subject { config, data, parameters })
    }

    /// Every weight matters by its square.
    fn pruned(subject: &Subject, settings: &str) -> Result<Subject> {
        let ones = subject.parameters.iter().map(|parameter| vec![1.0; parameter.values.len()]).collect();
        ranked(subject, settings, Ranking::Saliency(ones))
    }

    fn ranked(subject: &Subject, settings: &str, ranking: Ranking<'_>) -> Result<Subject> {
        subject.pruned("r", &stage(settings), ranking).map_err(|halt| match halt {
            Halt::Failed(error) => error,
            Halt::Signal(signal) => panic!("signal {signal}"),
        })
    }

    fn logits(subject: &Subject) -> Vec<f32> {
        let tensors: Vec<TensorRef<'_>> =
            subject.parameters.iter().map(|p| TensorRef { name: &p.name, shape: &p.shape, data: &p.values }).collect();
        let model =
            Model::from_tensors(subject.model(), subject.data.tokenizer.special_ids(), &tensors).expect("a model");
        let tokens: Vec<u32> = (0..40).map(|i| i * 7 % 250).collect();
        let mut all = vec![];
        let mut work = model.workspace();
        model
            .prefill_all(&mut model.new_state(), &tokens, &mut work, |_, rows| all.extend_from_slice(rows))
            .expect("a prefill");
        all
    }

    /// Let `units` of a layer do nothing.
    fn kill<'a>(subject: &mut Subject, layer: usize, units: impl Iterator<Item = &'a Unit>) {
        for block in units.flatten() {
            let name = format!("layers.{layer}.{}", block.tensor);
            let found = subject.parameters.iter_mut().find(|parameter| parameter.name == name);
            let parameter = found.expect("a tensor of the table");
            block.indices(&parameter.shape).for_each(|at| parameter.values[at] = 0.0);
        }
    }

    fn values<'a>(subject: &'a Subject, name: &str) -> &'a [f32] {
        &subject.parameter(name).values
    }

    #[test]
    fn a_model_without_its_dead_units_says_the_same() {
        let heads = ["model.n_attention_heads=6", "model.n_kv_heads=3", "model.attention_head_dim=8"];
        let changes = ["model.d_expert=30", "model.d_shared=30", "model.d_state=15"];
        let (_dir, mut subject) = subject(&[&changes[..], &heads].concat());
        let model = subject.model().clone();
        for (layer, kind) in model.layer_kinds().into_iter().enumerate() {
            let mixer = if kind == LayerKind::Mamba { units::state(&model) } else { units::attention_heads(&model) };
            let experts = (0..model.n_experts).map(|x| units::expert_channels(&model, x));
            for units in experts.chain([units::shared_channels(&model), mixer]) {
                kill(&mut subject, layer, units.iter().skip(1).step_by(3));
            }
        }
        let third = "expert_channels = 0.3333\nshared_channels = 0.3333\nstate = 0.3333\nattention_heads = 0.3333";
        let left = pruned(&subject, third).expect("it fits");
        let model = left.model();
        assert_eq!((model.d_expert, model.d_shared, model.d_state), (20, 20, 10));
        assert_eq!((model.n_attention_heads, model.n_kv_heads, model.d_attention_head()), (4, 2, 8));
        itera_testkit::assert_close("logits", &logits(&left), &logits(&subject), 1e-5);

        // the units that are kept matter
        for settings in ["state = 0.5", "attention_heads = 0.66"] {
            let more = pruned(&subject, settings).expect("it fits");
            let off = itera_testkit::max_difference(&logits(&more), &logits(&subject));
            assert!(off > 1e-5, "{settings}: {off}");
        }
    }

    #[test]
    fn the_units_stay_without_which_the_loss_is_largest() {
        let (_dir, subject) = subject(&["model.n_layers=2"]);
        let device = Device::flex();
        let calibration = || Calibration::new(&subject, 1000, &device);
        // by another way than units: what a head or an expert gives is made 0
        let without = |name: &str, each: usize, unit: usize| {
            let mut values = subject.values();
            let index = subject.parameters.iter().position(|of| of.name == name).expect("a tensor of the table");
            values[index][unit * each..][..each].fill(0.0);
            calibration().bits_per_byte(values).expect("a loss")
        };
        let model = subject.model();
        let d = model.d_model;
        for (settings, name, each, n_units) in [
            ("attention_heads = 0.5", "layers.1.attention.v_proj", model.d_attention_head() * d, 2),
            ("experts = 0.75", "layers.0.moe.w_out", d * model.d_expert, 4),
            ("experts = 0.75", "layers.1.moe.w_out", d * model.d_expert, 4),
        ] {
            let (mut seen, stop) = (vec![], StopFlag::default());
            let mut on_done = |done, of| seen.push((done, of));
            let ranking = Ranking::Loss { calibration: calibration(), stop: &stop, on_done: &mut on_done };
            let left = ranked(&subject, settings, ranking).expect("it fits");
            let losses: Vec<f64> = (0..n_units).map(|unit| without(name, each, unit)).collect();
            let most = (0..n_units).max_by(|a, b| losses[*a].total_cmp(&losses[*b])).expect("units");
            assert_eq!(values(&left, name), &values(&subject, name)[most * each..][..each], "{name}: {losses:?}");
            let of = if settings.starts_with("experts") { 2 * n_units } else { n_units };
            assert_eq!(seen, (1..=of).map(|done| (done, of)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn ranking_by_loss_stops_when_it_is_asked_to() {
        let (_dir, subject) = subject(&[]);
        let device = Device::flex();
        let stop = StopFlag::default();
        let cell = stop.cell();
        let mut on_done = |done, _| {
            if done == 5 {
                cell.store(15, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(done <= 5);
        };
        let calibration = Calibration::new(&subject, 100, &device);
        let ranking = Ranking::Loss { calibration, stop: &stop, on_done: &mut on_done };
        let halt = subject.pruned("r", &stage("state = 0.5"), ranking).map(|_| ());
        assert!(matches!(halt, Err(Halt::Signal(15))));
    }

    #[test]
    fn every_part_can_go_and_what_is_left_is_a_model() {
        let (_dir, subject) = subject(&["tokenizer.kind=bpe", "model.vocab_size=400", "model.n_layers=3"]);
        for (settings, vocab_size, n_layers, n_experts, expand) in [
            ("experts = 0.5", 400, 3, 2, 2),
            ("vocabulary = 0.25", 300, 3, 4, 2),
            ("layers = [0]", 400, 2, 4, 2),
            ("layers = [1]", 400, 2, 4, 2),
            ("ssm_heads = 0.5", 400, 3, 4, 1),
            ("attention_heads = 0.5", 400, 3, 4, 2),
        ] {
            let left = pruned(&subject, settings).expect(settings);
            let model = left.model();
            assert_eq!(
                (model.vocab_size, model.n_layers, model.n_experts, model.expand),
                (vocab_size, n_layers, n_experts, expand),
                "{settings}"
            );
            assert_eq!(left.data.tokenizer.vocab_size(), vocab_size);
            assert!(logits(&left).iter().all(|x| x.is_finite()), "{settings}");
        }
        let kinds = |settings: &str| pruned(&subject, settings).expect("fits").model().layer_kinds();
        assert_eq!(kinds("layers = [0]"), [LayerKind::Attention, LayerKind::Mamba]);
        assert_eq!(kinds("layers = [1]"), [LayerKind::Mamba, LayerKind::Mamba]);
    }

    #[test]
    fn so_much_of_all_goes_and_not_much_more() {
        let (_dir, subject) = subject(&["model.d_expert=96", "model.d_shared=96", "model.d_state=16"]);
        let of = |settings: &str| pruned_model("r", &stage(settings), subject.model()).expect(settings);
        let share = |left: &ModelConfig| left.total_params() as f64 / subject.model().total_params() as f64;
        assert_eq!(&of("parameters = 0.0"), subject.model());
        let some = of("parameters = 0.25");
        assert!((0.65..=0.75).contains(&share(&some)), "{}", share(&some));
        assert_eq!((some.d_expert, some.d_shared, some.d_state), (64, 64, 13));
        // what is given by itself counts, and stays where it is more
        let other = of("parameters = 0.25\nexperts = 0.5\nstate = 0.75");
        assert_eq!((other.n_experts, other.d_expert, other.d_state), (2, 96, 4));
        assert!(share(&other) <= 0.75);
        // what is given alone may go farther
        assert!(share(&of("parameters = 0.1\nlayers = [0]")) < 0.75);
    }

    #[test]
    fn what_cannot_go_is_refused() {
        let (_dir, subject) = subject(&[]);
        for (settings, named) in [
            ("experts = 0.9", "none of 4"),
            ("layers = [7]", "no layer 7"),
            ("layers = [0, 1]", "n_layers"),
            ("ssm_heads = 0.2", "whole number"),
            ("attention_heads = 0.9", "none of 2"),
            ("attention_heads = 0.2", "takes none of 2"),
            ("vocabulary = 0.5", "vocab_size"),
            ("parameters = 0.95", "must go too"),
            ("state = 0.01", "takes none of"),
            ("shared_channels = 0.1", "takes none of 32, in multiples of 32"),
        ] {
            let error = pruned(&subject, settings).map(|_| ()).expect_err(settings);
            let error = error.to_string();
            assert!(error.contains(named) && error.contains("recipe `r`"), "{settings}: {error}");
        }
    }
}
