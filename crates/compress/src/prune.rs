//! a model, how much of each part to keep → a smaller model of the same kind
//!
//! ```text
//! calibration text → Σ g² of each weight ─▶ saliency g²·w² ─▶ of each unit the sum over all that goes with it
//!                                                                 └▶ in each layer the most salient units stay
//! ```
//!
//! What belongs together is cut together: an expert is a row of the router and two matrices; a channel of an MLP two rows
//! of `w_in` and a column of `w_out`; a dimension of the state a row of B, one of C, and their taps; an SSM head its rows of
//! z, x and dt with all that follows from them; an attention head that of keys and values with the query heads that it
//! serves; an entry of the vocabulary a row of the embedding and a token. The result is an ordinary checkpoint, so every
//! layer keeps as many units as every other.
//!
//! Saliency is that of Optimal Brain Damage (LeCun et al. 1990), ½·h·w² for a weight w, with the diagonal of the empirical
//! Fisher information for the curvature h, as for structured units in arXiv 1906.10771.

use itera_config::{Config, LayerKind, ModelConfig, TensorSpec};
use itera_model::Parameter;

use crate::{CompressError, Result, stage::Prune, subject::Subject};

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

impl Subject {
    /// The model that is left, with fresh data where tokens are gone. `fisher` has Σ g² of each weight.
    ///
    /// # Errors
    /// As [`pruned_model`], or if the tokens that are left are not the first of those there were.
    pub(crate) fn pruned(&self, recipe: &str, stage: &Prune, fisher: &[Vec<f32>]) -> Result<Self> {
        let model = pruned_model(recipe, stage, self.model())?;
        let mut left = self.with_model(recipe, model)?;
        let layers: Vec<Units> = (0..self.model().n_layers)
            .filter(|layer| !stage.layers.contains(layer))
            .map(|layer| Units::most_salient(self, left.model(), layer, fisher))
            .collect();
        let specs = left.model().tensors();
        left.parameters = specs
            .into_iter()
            .map(|spec| {
                let values = cut(self, &spec, &layers);
                Parameter { name: spec.name, shape: spec.shape, values }
            })
            .collect();
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
struct Units {
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

impl Units {
    fn most_salient(subject: &Subject, left: &ModelConfig, layer: usize, fisher: &[Vec<f32>]) -> Self {
        let model = subject.model();
        let saliency = |part: &str| Saliency::of(subject, &format!("layers.{layer}.{part}"), fisher);
        let d_shared = model.d_shared;
        let (w_in, w_out) = (saliency("shared.w_in"), saliency("shared.w_out"));
        let of_channel = |j: usize| w_in.row(j) + w_in.row(d_shared + j) + w_out.column(0..model.d_model, j);
        let mut units = Self {
            layer,
            experts: vec![],
            expert_channels: vec![],
            shared_channels: largest(d_shared, left.d_shared, of_channel),
            in_proj: vec![],
            conv: vec![],
            heads: vec![],
            inner: vec![],
            queries: vec![],
            keys: vec![],
        };
        if model.n_experts > 0 {
            let (e, f, d) = (model.n_experts, model.d_expert, model.d_model);
            let (w_in, w_out) = (saliency("moe.w_in"), saliency("moe.w_out"));
            let of_expert = |x: usize| {
                let rows = |of: &Saliency, rows: usize| (x * rows..(x + 1) * rows).map(|row| of.row(row)).sum::<f64>();
                rows(&w_in, 2 * f) + rows(&w_out, d)
            };
            units.experts = largest(e, left.n_experts, of_expert);
            let channels = |x: &usize| {
                let of_channel = |j: usize| {
                    let row = |j: usize| w_in.row(x * 2 * f + j);
                    row(j) + row(f + j) + w_out.column(x * d..(x + 1) * d, j)
                };
                largest(f, left.d_expert, of_channel)
            };
            units.expert_channels = units.experts.iter().map(channels).collect();
        }
        match model.layer_kinds()[layer] {
            LayerKind::Mamba => units.choose_mamba(subject, left, fisher),
            LayerKind::Attention => units.choose_attention(subject, left, fisher),
        }
        units
    }

    fn choose_attention(&mut self, subject: &Subject, left: &ModelConfig, fisher: &[Vec<f32>]) {
        let model = subject.model();
        let saliency = |part: &str| Saliency::of(subject, &format!("layers.{}.attention.{part}", self.layer), fisher);
        let [q_proj, k_proj, v_proj, o_proj] = ["q_proj", "k_proj", "v_proj", "o_proj"].map(saliency);
        let keys = model.d_attention_head();
        let queries = model.n_attention_heads / model.n_kv_heads * keys;
        let of_head = |head: usize| {
            let queries = head * queries..(head + 1) * queries;
            let mixed = queries.map(|j| q_proj.row(j) + o_proj.column(0..model.d_model, j)).sum::<f64>();
            mixed + (head * keys..(head + 1) * keys).map(|j| k_proj.row(j) + v_proj.row(j)).sum::<f64>()
        };
        let heads = largest(model.n_kv_heads, left.n_kv_heads, of_head);
        let of_heads = |width: usize| heads.iter().flat_map(|head| head * width..(head + 1) * width).collect();
        (self.queries, self.keys) = (of_heads(queries), of_heads(keys));
    }

    fn choose_mamba(&mut self, subject: &Subject, left: &ModelConfig, fisher: &[Vec<f32>]) {
        let model = subject.model();
        let saliency = |part: &str| Saliency::of(subject, &format!("layers.{}.mamba.{part}", self.layer), fisher);
        let (in_proj, out_proj) = (saliency("in_proj"), saliency("out_proj"));
        let (i, h, p, n, g) = (model.d_inner(), model.n_heads(), model.d_head, model.d_state, model.n_groups);
        let (b, c, dt) = (2 * i, 2 * i + g * n, 2 * i + 2 * g * n);
        let of_head = |head: usize| {
            let channels = head * p..(head + 1) * p;
            let rows = channels.clone().map(|j| in_proj.row(j) + in_proj.row(i + j)).sum::<f64>();
            let columns = channels.map(|j| out_proj.column(0..model.d_model, j)).sum::<f64>();
            rows + columns + in_proj.row(dt + head)
        };
        // heads of a group share B and C, so every group keeps as many
        let per_group = h / g;
        let heads_left = left.n_heads() / g;
        let of_group = |group: usize| {
            let first = group * per_group;
            largest(per_group, heads_left, |head| of_head(first + head)).into_iter().map(move |head| first + head)
        };
        self.heads = (0..g).flat_map(of_group).collect();
        let of_dimension =
            |s: usize| (0..g).map(|group| in_proj.row(b + group * n + s) + in_proj.row(c + group * n + s)).sum();
        let state = largest(n, left.d_state, of_dimension);

        self.inner = self.heads.iter().flat_map(|head| head * p..(head + 1) * p).collect();
        let of_groups = |start: usize| -> Vec<usize> {
            (0..g * state.len()).map(|at| start + at / state.len() * n + state[at % state.len()]).collect()
        };
        self.in_proj = self.inner.clone();
        self.in_proj.extend(self.inner.iter().map(|j| i + j));
        self.in_proj.extend([of_groups(b), of_groups(c)].concat());
        self.in_proj.extend(self.heads.iter().map(|head| dt + head));
        // the convolution has no z
        self.conv = self.inner.clone();
        self.conv.extend([of_groups(b - i), of_groups(c - i)].concat());
    }
}

/// Saliencies of the weights of a tensor, as rows.
struct Saliency {
    cols: usize,
    values: Vec<f64>,
}

impl Saliency {
    fn of(subject: &Subject, name: &str, fisher: &[Vec<f32>]) -> Self {
        let index = subject.parameters.iter().position(|parameter| parameter.name == name);
        let index = index.expect("the tensor table lists every tensor of the model");
        let Parameter { shape, values, .. } = &subject.parameters[index];
        let saliency = |(w, h): (&f32, &f32)| f64::from(*h) * f64::from(*w).powi(2);
        let values = values.iter().zip(&fisher[index]).map(saliency).collect();
        Self { cols: shape.last().copied().unwrap_or(1), values }
    }

    fn row(&self, row: usize) -> f64 {
        self.values[row * self.cols..][..self.cols].iter().sum()
    }

    fn column(&self, rows: std::ops::Range<usize>, column: usize) -> f64 {
        rows.map(|row| self.values[row * self.cols + column]).sum()
    }
}

/// Which `count` of `of` units have the largest `saliency`, in their order; of equal ones the first.
fn largest(of: usize, count: usize, saliency: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut ranked: Vec<(usize, f64)> = (0..of).map(|unit| (unit, saliency(unit))).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut kept: Vec<usize> = ranked.into_iter().take(count).map(|(unit, _)| unit).collect();
    kept.sort();
    kept
}

/// What stays for the tensor `spec` of the model that is left.
fn cut(subject: &Subject, spec: &TensorSpec, layers: &[Units]) -> Vec<f32> {
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

    fn ones(subject: &Subject) -> Vec<Vec<f32>> {
        subject.parameters.iter().map(|parameter| vec![1.0; parameter.values.len()]).collect()
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

    /// Make every third unit of each kind do nothing.
    fn kill(subject: &mut Subject) {
        let model = subject.model().clone();
        let (i, n, f, d) = (model.d_inner(), model.d_state, model.d_expert, model.d_model);
        let (queries, keys) = (model.d_queries() / model.n_kv_heads, model.d_attention_head());
        for parameter in &mut subject.parameters {
            let cols = parameter.shape.last().copied().unwrap_or(1);
            let part = parameter.name.rsplit_once('.').map_or("", |(_, part)| part);
            let moe = parameter.name.contains(".moe.");
            for (at, value) in parameter.values.iter_mut().enumerate() {
                let (row, column) = (at / cols, at % cols);
                let dead = match part {
                    "w_in" if moe => row % f % 3 == 1,
                    "w_in" => row % model.d_shared % 3 == 1,
                    "w_out" => column % 3 == 1,
                    // B and C, their taps and their biases
                    "in_proj" => (2 * i..2 * i + 2 * n).contains(&row) && (row - 2 * i) % n % 3 == 1,
                    "conv_weight" => row >= i && (row - i) % n % 3 == 1,
                    "conv_bias" => at >= i && (at - i) % n % 3 == 1,
                    "q_proj" => row / queries % 3 == 1,
                    "k_proj" | "v_proj" => row / keys % 3 == 1,
                    "o_proj" => column / queries % 3 == 1,
                    _ => false,
                };
                if dead {
                    *value = 0.0;
                }
            }
        }
        assert_eq!((model.n_groups, d), (1, 32));
    }

    #[test]
    fn a_model_without_its_dead_units_says_the_same() {
        let heads = ["model.n_attention_heads=6", "model.n_kv_heads=3", "model.attention_head_dim=8"];
        let changes = ["model.d_expert=30", "model.d_shared=30", "model.d_state=15"];
        let (_dir, mut subject) = subject(&[&changes[..], &heads].concat());
        kill(&mut subject);
        let third = "expert_channels = 0.3333\nshared_channels = 0.3333\nstate = 0.3333\nattention_heads = 0.3333";
        let left = subject.pruned("r", &stage(third), &ones(&subject)).expect("it fits");
        let model = left.model();
        assert_eq!((model.d_expert, model.d_shared, model.d_state), (20, 20, 10));
        assert_eq!((model.n_attention_heads, model.n_kv_heads, model.d_attention_head()), (4, 2, 8));
        itera_testkit::assert_close("logits", &logits(&left), &logits(&subject), 1e-5);

        // the units that are kept matter
        for settings in ["state = 0.5", "attention_heads = 0.66"] {
            let more = subject.pruned("r", &stage(settings), &ones(&subject)).expect("it fits");
            let off = itera_testkit::max_difference(&logits(&more), &logits(&subject));
            assert!(off > 1e-5, "{settings}: {off}");
        }
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
            let left = subject.pruned("r", &stage(settings), &ones(&subject)).expect(settings);
            let model = left.model();
            assert_eq!(
                (model.vocab_size, model.n_layers, model.n_experts, model.expand),
                (vocab_size, n_layers, n_experts, expand),
                "{settings}"
            );
            assert_eq!(left.data.tokenizer.vocab_size(), vocab_size);
            assert!(logits(&left).iter().all(|x| x.is_finite()), "{settings}");
        }
        let kinds = |settings: &str| {
            subject.pruned("r", &stage(settings), &ones(&subject)).expect("fits").model().layer_kinds()
        };
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
            let error = subject.pruned("mine", &stage(settings), &ones(&subject)).map(|_| ()).expect_err(settings);
            let error = error.to_string();
            assert!(error.contains(named) && error.contains("mine"), "{settings}: {error}");
        }
    }
}
