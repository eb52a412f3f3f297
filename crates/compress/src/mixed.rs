//! tensors, kinds to choose from, a budget of bytes → the kind of each tensor
//!
//! ```text
//! loss of each tensor alone under each kind (measured) ─┐
//!                                                       ├─▶ least sum of losses within the budget ─▶ kinds
//! bytes of each tensor under each kind ─────────────────┘
//! ```
//!
//! The sum is what all would cost together if what one tensor loses did not depend on the others. For such a separable
//! loss the choice is exact: a multiple-choice knapsack, by dynamic programming over the bytes spent (doi
//! 10.1016/0377-2217(94)90145-7).

use std::collections::BTreeMap;

use itera_formats::Kind;
use itera_shape::{ModelConfig, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::{
    error::{CompressError, Result},
    inspect::Calibration,
    misfit::Misfit,
    rounder::{Measure, Rounder},
    session::Abort,
    stage::{Budget, KindName, Mixed, Quantize},
};

/// What one matrix loses by each kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindLosses {
    /// The matrix, as the tensor table has it.
    pub tensor: String,
    /// The kind that it got.
    pub chosen: String,
    /// By how much bits per byte of calibration text rise, in per cent, if this matrix alone is rounded to a kind.
    pub loss_percent: BTreeMap<String, f64>,
}

/// One way to store a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Choice {
    kind: Kind,
    size_bytes: usize,
    /// What it costs, in bits per byte.
    loss: f64,
}

/// Bytes that all matrices may take together.
///
/// # Errors
/// [`CompressError::Misfit`] if the kinds to choose from take more at the least.
pub(crate) fn budget_bytes(recipe: &str, stage: &Mixed, config: &ModelConfig) -> Result<usize> {
    let matrices: Vec<TensorSpec> = config.tensors().into_iter().filter(|spec| spec.role.is_matrix()).collect();
    let budget = match stage.budget {
        Budget::Like(KindName(kind)) => matrices.iter().map(|spec| bytes_of(spec, kind)).sum(),
        Budget::Bytes(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
    };
    let least_of = |spec: &TensorSpec| stage.kinds.iter().map(|kind| bytes_of(spec, kind.0)).min().unwrap_or(0);
    let least: usize = matrices.iter().map(least_of).sum();
    if least > budget {
        let problem = Misfit::Budget { budget_bytes: budget, least_bytes: least };
        return Err(CompressError::misfit(recipe, problem));
    }
    Ok(budget)
}

/// Bytes of a tensor in `kind`, of which its rows are whole blocks.
pub(crate) fn bytes_of(spec: &TensorSpec, kind: Kind) -> usize {
    spec.n_params() / kind.block_len() * kind.block_bytes()
}

/// The stage that stores each matrix in the kind that is best for all, each rounded by `measure`, and what the choice was
/// made from. `on_done` is told how many losses of how many are measured.
///
/// # Errors
/// If the budget is too small, or a signal asks to stop.
pub(crate) fn choose(
    recipe: &str,
    stage: &Mixed,
    calibration: &Calibration<'_>,
    measure: &Measure,
    on_done: &mut dyn FnMut(usize, usize),
) -> Result<(Quantize, Vec<KindLosses>), Abort> {
    let candidate = calibration.candidate();
    let (config, parameters) = (candidate.model(), &candidate.parameters);
    let budget = budget_bytes(recipe, stage, config)?;
    let specs = config.tensors();
    let matrices: Vec<usize> = (0..specs.len()).filter(|index| specs[*index].role.is_matrix()).collect();
    let exact = candidate.values();
    let reference = calibration.bits_per_byte(exact.clone())?;
    let mut choices: Vec<Vec<Choice>> = vec![vec![]; matrices.len()];
    let (mut done, total) = (0, stage.kinds.len() * matrices.len());
    for KindName(kind) in &stage.kinds {
        let rounder = Rounder::new(recipe, &stage.in_kind(*kind), config, measure.clone())?;
        for (choices, index) in choices.iter_mut().zip(&matrices) {
            calibration.proceed()?;
            let mut values = exact.clone();
            values[*index] = rounder.computed_tensor(*index, &parameters[*index]);
            let loss = calibration.bits_per_byte(values)? - reference;
            choices.push(Choice { kind: *kind, size_bytes: bytes_of(&specs[*index], *kind), loss });
            done += 1;
            on_done(done, total);
        }
    }
    let picked = knapsack(&choices, budget).expect("the least that kinds take is within the budget");
    let losses = matrices.iter().zip(&choices).zip(&picked).map(|((index, choices), picked)| KindLosses {
        tensor: specs[*index].name.clone(),
        chosen: picked.kind.name().into(),
        loss_percent: choices.iter().map(|one| (one.kind.name().into(), 100.0 * one.loss / reference)).collect(),
    });
    let kinds = matrices.iter().zip(&picked).map(|(index, one)| (specs[*index].name.clone(), KindName(one.kind)));
    let quantize = Quantize { kinds: kinds.collect(), ..stage.in_kind(Kind::F32) };
    Ok((quantize, losses.collect()))
}

/// One choice of each list, so that the bytes are at most `budget` and the sum of losses is least; among equal sums the one
/// of fewest bytes. `None` if nothing fits.
fn knapsack(choices: &[Vec<Choice>], budget: usize) -> Option<Vec<Choice>> {
    // after some lists: the least loss for so many bytes, and the choice of the last list that led there
    let mut stages: Vec<BTreeMap<usize, (f64, Choice)>> = vec![];
    for of in choices {
        let mut reached: BTreeMap<usize, (f64, Choice)> = BTreeMap::new();
        let mut reach = |bytes: usize, loss: f64, choice: &Choice| {
            let bytes = bytes + choice.size_bytes;
            let loss = loss + choice.loss;
            if bytes <= budget && reached.get(&bytes).is_none_or(|(least, _)| loss < *least) {
                reached.insert(bytes, (loss, *choice));
            }
        };
        for choice in of {
            match stages.last() {
                None => reach(0, 0.0, choice),
                Some(before) => before.iter().for_each(|(bytes, (loss, _))| reach(*bytes, *loss, choice)),
            }
        }
        // more bytes for no less loss lead nowhere better
        let mut least = f64::INFINITY;
        reached.retain(|_, (loss, _)| {
            let better = *loss < least;
            least = least.min(*loss);
            better
        });
        stages.push(reached);
    }
    let Some(last) = stages.last() else { return Some(vec![]) };
    // what was kept last has the least loss
    let (&(mut bytes), _) = last.last_key_value()?;
    let mut picked = vec![];
    for stage in stages.iter().rev() {
        let (_, choice) = stage[&bytes];
        picked.push(choice);
        bytes -= choice.size_bytes;
    }
    picked.reverse();
    Some(picked)
}

#[cfg(test)]
mod tests {
    use itera_testkit::uniform;

    use super::*;

    /// Every combination.
    fn brute_force(choices: &[Vec<Choice>], budget: usize) -> Option<(f64, usize)> {
        let Some((first, rest)) = choices.split_first() else { return Some((0.0, 0)) };
        let best = first.iter().filter(|choice| choice.size_bytes <= budget).filter_map(|choice| {
            let (loss, bytes) = brute_force(rest, budget - choice.size_bytes)?;
            Some((loss + choice.loss, bytes + choice.size_bytes))
        });
        best.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
    }

    #[test]
    fn the_choice_is_the_best_of_all_there_are() {
        let kinds = [Kind::Mxfp4, Kind::Q4_0, Kind::Q8_0];
        for seed in 0..200 {
            // small whole numbers, so that there are ties, and losses below zero, as noise makes them
            let numbers = uniform(36, -1.0, 9.0, seed);
            let mut numbers = numbers.iter().map(|x| x.floor());
            let mut next = || numbers.next().expect("enough");
            let choices: Vec<Vec<Choice>> = (0..6)
                .map(|_| {
                    let choice = |kind| Choice { kind, size_bytes: next().abs() as usize, loss: f64::from(next()) };
                    kinds.map(choice).to_vec()
                })
                .collect();
            for budget in [0, 5, 12, 20, 60] {
                let found = knapsack(&choices, budget).map(|picked| {
                    assert!(picked.iter().zip(&choices).all(|(picked, of)| of.contains(picked)));
                    let sum = |of: &dyn Fn(&Choice) -> f64| picked.iter().map(of).sum::<f64>();
                    (sum(&|choice| choice.loss), sum(&|choice| choice.size_bytes as f64) as usize)
                });
                assert_eq!(found, brute_force(&choices, budget), "seed {seed}, budget {budget}");
            }
        }
    }
}
