//! a model, how much of each part to keep → a smaller model of the same kind
//!
//! ```text
//! units: what is removed together ─┐
//!                                  ├▶ ranking: in each layer the units that matter least ─▶ all weights but theirs
//! fractions ─▶ shape that is left ─┘
//! ```
//!
//! Read `units`, `shape`, `ranking`, in this order. The result is an ordinary checkpoint, so every layer keeps as many units as every other.

mod ranking;
mod shape;
mod units;

use itera_shape::{NamedTensor, TensorSpec};

use crate::{candidate::Candidate, design::Design, session::Abort, stage::Prune};

use ranking::Ranker;
pub(crate) use ranking::Ranking;
pub(crate) use shape::pruned_model;

impl Candidate {
    /// The weights that are left in a model of the shape [`pruned_model`], which `left` has.
    ///
    /// # Errors
    /// If a loss cannot be measured, or a signal asks to stop.
    pub(crate) fn pruned(&self, stage: &Prune, left: &Design, ranking: Ranking<'_>) -> Result<Vec<NamedTensor>, Abort> {
        let layers: Vec<usize> = (0..self.model().n_layers).filter(|layer| !stage.layers.contains(layer)).collect();
        let masks = Ranker::new(self, left.model(), ranking, &layers).masks()?;
        let values = |spec: &TensorSpec| -> Vec<f32> {
            let index = self.index_of(&name_before(&spec.name, &layers));
            let weights = self.parameters[index].data.iter().zip(&masks[index]).filter(|(_, removed)| !**removed);
            // the tokens that are left are the first
            weights.map(|(value, _)| *value).take(spec.n_params()).collect()
        };
        let cut = |spec: TensorSpec| NamedTensor { data: values(&spec), name: spec.name, shape: spec.shape };
        Ok(left.model().tensors().into_iter().map(cut).collect())
    }

    /// Which parameter has this name.
    fn index_of(&self, name: &str) -> usize {
        let found = self.parameters.iter().position(|parameter| parameter.name == name);
        found.expect("the tensor table lists every tensor of the model")
    }
}

/// What a tensor was called before all layers but `layers` were removed.
fn name_before(name: &str, layers: &[usize]) -> String {
    match name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
        Some((layer, part)) => format!("layers.{}.{part}", layers[layer.parse::<usize>().expect("a number")]),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::Device;
    use itera_fixtures::smoke;
    use itera_model::LanguageModel;
    use itera_runtime::Model;
    use itera_shape::{LayerKind, ModelConfig, TensorRef};
    use itera_tokenizer::TokenId;
    use itera_trainer::{StopCause, StopFlag};

    use super::{units::Unit, *};
    use crate::{
        error::Result,
        inspect::Calibration,
        session::Session,
        stage::{Action, Stage},
    };

    fn stage(settings: &str) -> Prune {
        let stage: Stage = toml::from_str(&format!("do = \"prune\"\n{settings}")).expect("a stage");
        match stage.action {
            Action::Prune(prune) => prune,
            other => panic!("{other:?}"),
        }
    }

    fn candidate(changes: &[&str]) -> (tempfile::TempDir, Candidate) {
        let dir = tempfile::tempdir().expect("a directory");
        let config = smoke(dir.path(), "run", changes);
        let data = Arc::new(itera_data::prepare(&config).expect("data"));
        let parameters = LanguageModel::init(&config.model, 1, &Device::flex()).parameters();
        (dir, Candidate { design: Design { config, data }, parameters: parameters.into() })
    }

    /// Every weight matters by its square.
    fn pruned(candidate: &Candidate, settings: &str) -> Result<Candidate> {
        let ones = candidate.parameters.iter().map(|parameter| vec![1.0; parameter.data.len()]).collect();
        ranked(candidate, settings, Ranking::Saliency(ones))
    }

    fn ranked(candidate: &Candidate, settings: &str, ranking: Ranking<'_>) -> Result<Candidate> {
        try_ranked(candidate, settings, ranking).map_err(|abort| match abort {
            Abort::Failure(error) => error,
            Abort::Stop(cause) => panic!("{cause}"),
        })
    }

    fn try_ranked(candidate: &Candidate, settings: &str, ranking: Ranking<'_>) -> Result<Candidate, Abort> {
        let stage = stage(settings);
        let design = candidate.design.with_model("r", pruned_model("r", &stage, candidate.model())?)?;
        let parameters = candidate.pruned(&stage, &design, ranking)?.into();
        Ok(Candidate { design, parameters })
    }

    fn logits(candidate: &Candidate) -> Vec<f32> {
        let tensors: Vec<TensorRef<'_>> = candidate.parameters.iter().map(NamedTensor::as_ref).collect();
        let special_ids = candidate.design.data.tokenizer.special_ids();
        let model = Model::from_tensors(candidate.model(), special_ids, &tensors).expect("a model");
        let tokens: Vec<TokenId> = (0..40).map(|i| TokenId(i * 7 % 250)).collect();
        let mut all = vec![];
        let mut work = model.workspace();
        model
            .prefill_all(&mut model.new_state(), &tokens, &mut work, |_, rows| all.extend_from_slice(rows))
            .expect("a prefill");
        all
    }

    /// Let `units` of a layer do nothing.
    fn kill<'a>(candidate: &mut Candidate, layer: usize, units: impl Iterator<Item = &'a Unit>) {
        for block in units.flatten() {
            let name = format!("layers.{layer}.{}", block.tensor);
            let index = candidate.index_of(&name);
            let parameter = &mut Arc::make_mut(&mut candidate.parameters)[index];
            block.indices(&parameter.shape).for_each(|at| parameter.data[at] = 0.0);
        }
    }

    fn values<'a>(candidate: &'a Candidate, name: &str) -> &'a [f32] {
        &candidate.parameters[candidate.index_of(name)].data
    }

    #[test]
    fn a_model_without_its_dead_units_says_the_same() {
        let heads = ["model.n_attention_heads=6", "model.n_kv_heads=3", "model.attention_head_dim=8"];
        let changes = ["model.d_expert=30", "model.d_shared=30", "model.d_state=15"];
        let (_dir, mut candidate) = candidate(&[&changes[..], &heads].concat());
        let model = candidate.model().clone();
        for (layer, kind) in model.layer_kinds().into_iter().enumerate() {
            let mixer = if kind == LayerKind::Mamba { units::state(&model) } else { units::attention_heads(&model) };
            let experts = (0..model.n_experts).map(|x| units::expert_channels(&model, x));
            for units in experts.chain([units::shared_channels(&model), mixer]) {
                kill(&mut candidate, layer, units.iter().skip(1).step_by(3));
            }
        }
        let third = "expert_channels = 0.3333\nshared_channels = 0.3333\nstate = 0.3333\nattention_heads = 0.3333";
        let left = pruned(&candidate, third).expect("it fits");
        let model = left.model();
        assert_eq!((model.d_expert, model.d_shared, model.d_state), (20, 20, 10));
        assert_eq!((model.n_attention_heads, model.n_kv_heads, model.d_attention_head()), (4, 2, 8));
        itera_testkit::assert_close("logits", &logits(&left), &logits(&candidate), 1e-5);

        // the units that are kept matter
        for settings in ["state = 0.5", "attention_heads = 0.66"] {
            let more = pruned(&candidate, settings).expect("it fits");
            let off = itera_testkit::max_difference(&logits(&more), &logits(&candidate));
            assert!(off > 1e-5, "{settings}: {off}");
        }
    }

    #[test]
    fn the_units_stay_without_which_the_loss_is_largest() {
        let (_dir, candidate) = candidate(&["model.n_layers=2"]);
        let session = Session { device: &Device::flex(), stop: &StopFlag::default() };
        let calibration = || Calibration::new(&candidate, 1000, session);
        // by another way than units: what a head or an expert gives is made 0
        let without = |name: &str, each: usize, unit: usize| {
            let mut values = candidate.values();
            let index = candidate.index_of(name);
            values[index][unit * each..][..each].fill(0.0);
            calibration().bits_per_byte(values).expect("a loss")
        };
        let model = candidate.model();
        let d = model.d_model;
        for (settings, name, each, n_units) in [
            ("attention_heads = 0.5", "layers.1.attention.v_proj", model.d_attention_head() * d, 2),
            ("experts = 0.75", "layers.0.moe.w_out", d * model.d_expert, 4),
            ("experts = 0.75", "layers.1.moe.w_out", d * model.d_expert, 4),
        ] {
            let mut seen = vec![];
            let mut on_done = |done, total| seen.push((done, total));
            let ranking = Ranking::Loss { calibration: calibration(), on_done: &mut on_done };
            let left = ranked(&candidate, settings, ranking).expect("it fits");
            let losses: Vec<f64> = (0..n_units).map(|unit| without(name, each, unit)).collect();
            let most = (0..n_units).max_by(|a, b| losses[*a].total_cmp(&losses[*b])).expect("units");
            assert_eq!(values(&left, name), &values(&candidate, name)[most * each..][..each], "{name}: {losses:?}");
            let total = if settings.starts_with("experts") { 2 * n_units } else { n_units };
            assert_eq!(seen, (1..=total).map(|done| (done, total)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn ranking_by_loss_stops_when_it_is_asked_to() {
        let (_dir, candidate) = candidate(&[]);
        let device = Device::flex();
        let stop = StopFlag::default();
        let cell = stop.cell();
        let mut on_done = |done, _| {
            if done == 5 {
                cell.store(15, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(done <= 5);
        };
        let calibration = Calibration::new(&candidate, 100, Session { device: &device, stop: &stop });
        let ranking = Ranking::Loss { calibration, on_done: &mut on_done };
        let abort = try_ranked(&candidate, "state = 0.5", ranking).map(|_| ());
        assert!(matches!(abort, Err(Abort::Stop(StopCause::Signal(signal))) if signal.number() == 15));
    }

    #[test]
    fn every_part_can_go_and_what_is_left_is_a_model() {
        let (_dir, candidate) = candidate(&["tokenizer.kind=bpe", "model.vocab_size=400", "model.n_layers=3"]);
        for (settings, vocab_size, n_layers, n_experts, expand) in [
            ("experts = 0.5", 400, 3, 2, 2),
            ("vocabulary = 0.25", 300, 3, 4, 2),
            ("layers = [0]", 400, 2, 4, 2),
            ("layers = [1]", 400, 2, 4, 2),
            ("ssm_heads = 0.5", 400, 3, 4, 1),
            ("attention_heads = 0.5", 400, 3, 4, 2),
        ] {
            let left = pruned(&candidate, settings).expect(settings);
            let model = left.model();
            assert_eq!(
                (model.vocab_size, model.n_layers, model.n_experts, model.expand),
                (vocab_size, n_layers, n_experts, expand),
                "{settings}"
            );
            assert_eq!(left.design.data.tokenizer.vocab_size(), vocab_size);
            assert!(logits(&left).iter().all(|x| x.is_finite()), "{settings}");
        }
        let kinds = |settings: &str| pruned(&candidate, settings).expect("fits").model().layer_kinds();
        assert_eq!(kinds("layers = [0]"), [LayerKind::Attention, LayerKind::Mamba]);
        assert_eq!(kinds("layers = [1]"), [LayerKind::Mamba, LayerKind::Mamba]);
    }

    #[test]
    fn a_vocabulary_that_leaves_bytes_out_keeps_those_it_has() {
        let changes = ["tokenizer.kind=bpe", "tokenizer.alphabet=text", "model.vocab_size=128"];
        let (_dir, candidate) = candidate(&changes);
        let left = pruned(&candidate, "vocabulary = 0.25").expect("it fits").design.data.tokenizer.clone();
        assert_eq!((left.vocab_size(), left.unknown()), (96, Some(left.eos())));
        let error = pruned(&candidate, "vocabulary = 0.75").map(|_| ()).expect_err("no room for the bytes");
        assert!(itera_testkit::chain(&error).contains("not 32"), "{error}");
    }

    #[test]
    fn so_much_of_all_goes_and_not_much_more() {
        let (_dir, candidate) = candidate(&["model.d_expert=96", "model.d_shared=96", "model.d_state=16"]);
        let of = |settings: &str| pruned_model("r", &stage(settings), candidate.model()).expect(settings);
        let share = |left: &ModelConfig| left.total_params() as f64 / candidate.model().total_params() as f64;
        assert_eq!(&of("parameters = 0.0"), candidate.model());
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
        let (_dir, candidate) = candidate(&[]);
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
            let error = pruned(&candidate, settings).map(|_| ()).expect_err(settings);
            let error = error.to_string();
            assert!(error.contains(named) && error.contains("recipe `r`"), "{settings}: {error}");
        }
    }
}
