//! The rules that TOML cannot say: ranges of a stage's settings, and what its action needs

use itera_config::Config;
use itera_shape::MAX_SIZE;

use crate::{
    error::StageProblem,
    stage::{Action, Prune, Rounding, Stage},
    training::Training,
};

/// Most members, folds and generations; more would take for ever.
const MOST_PARTS: usize = 64;
const MOST_PARTS_TEXT: &str = "must be from 1 to 64";

type Checked = std::result::Result<(), StageProblem>;

impl Stage {
    /// Hold the settings to their rules, whatever the model.
    pub(crate) fn check(&self) -> Checked {
        match &self.train {
            Some(training) => training.check()?,
            None if matches!(self.action, Action::Finetune {} | Action::Distill(_)) => {
                return Err(StageProblem::NoTraining);
            }
            None => {}
        }
        if self.train.is_some() && self.action.rounding() == Some(Rounding::Gptq) {
            return Err(StageProblem::TrainedGptq);
        }
        if self.train.is_some() && matches!(self.action, Action::Calibrate(_)) {
            return Err(StageProblem::TrainedCalibration);
        }
        self.max_loss_percent.map_or(Ok(()), |limit| positive("max_loss_percent", limit))?;
        match &self.action {
            Action::Quantize(quantize) => positive("calibration_tokens", quantize.calibration_tokens as f64),
            Action::Mixed(mixed) => {
                positive("calibration_tokens", mixed.calibration_tokens as f64)?;
                positive("kinds", mixed.kinds.len() as f64)
            }
            Action::Prune(prune) => prune.check(),
            Action::Calibrate(calibrate) => positive("documents", calibrate.documents as f64),
            Action::Distill(distill) => {
                let in_range = (1..=MOST_PARTS).contains(&distill.generations);
                check("generations", distill.generations as f64, in_range, MOST_PARTS_TEXT)
            }
            Action::Finetune {} => Ok(()),
        }
    }
}

/// Hold the stages to what they say of each other.
///
/// # Errors
/// With the number, from 1, of the stage that says it.
pub(crate) fn check_teachers(stages: &[Stage]) -> Result<(), (usize, StageProblem)> {
    for (number, stage) in (1..).zip(stages) {
        let Some(teaching) = stage.train.as_ref().and_then(|training| training.teacher) else { continue };
        let Some(teacher) = teaching.stage else { continue };
        let earlier = (1..number).contains(&teacher).then(|| &stages[teacher - 1]);
        let problem = match earlier {
            None => StageProblem::NoEarlierStage { teacher },
            Some(earlier) if earlier.train.is_none() && teaching.members * teaching.folds > 1 => {
                StageProblem::UntrainedTeacher { teacher }
            }
            Some(_) => continue,
        };
        return Err((number, problem));
    }
    Ok(())
}

impl Training {
    fn check(&self) -> Checked {
        // the context of the model is not known yet
        let mut any = Config::default();
        any.model.max_seq_len = MAX_SIZE;
        self.applied_to(&any).map_err(|error| StageProblem::Train(error.into()))?;
        if let Some(sampled) = &self.sampled {
            positive("train.sampled.bytes", sampled.bytes as f64)?;
            positive("train.sampled.temperature", sampled.temperature)?;
        }
        if let Some(teacher) = &self.teacher {
            positive("train.teacher.temperature", teacher.temperature)?;
            for (key, number) in [("train.teacher.members", teacher.members), ("train.teacher.folds", teacher.folds)] {
                check(key, number as f64, (1..=MOST_PARTS).contains(&number), MOST_PARTS_TEXT)?;
            }
            match teacher.stage {
                None if teacher.members * teacher.folds > 1 => return Err(StageProblem::OneRun),
                Some(_) if teacher.auto => return Err(StageProblem::AutoStage),
                _ => {}
            }
            let in_range = teacher.weight > 0.0 && teacher.weight <= 1.0;
            check("train.teacher.weight", teacher.weight, in_range, "must be above 0 and at most 1")?;
        }
        Ok(())
    }
}

impl Prune {
    fn check(&self) -> Checked {
        positive("calibration_tokens", self.calibration_tokens as f64)?;
        let fractions = [
            ("parameters", self.parameters),
            ("experts", self.experts),
            ("expert_channels", self.expert_channels),
            ("shared_channels", self.shared_channels),
            ("state", self.state),
            ("ssm_heads", self.ssm_heads),
            ("attention_heads", self.attention_heads),
            ("vocabulary", self.vocabulary),
        ];
        for (key, fraction) in fractions {
            check(key, fraction, (0.0..1.0).contains(&fraction), "must be from 0 to below 1")?;
        }
        match self.layers.is_empty() && fractions.iter().all(|(_, fraction)| *fraction == 0.0) {
            true => Err(StageProblem::PrunesNothing),
            false => Ok(()),
        }
    }
}

fn positive(key: &'static str, value: f64) -> Checked {
    check(key, value, value.is_finite() && value > 0.0, "must be above 0")
}

fn check(key: &'static str, value: f64, in_range: bool, expected: &'static str) -> Checked {
    if in_range { Ok(()) } else { Err(StageProblem::Range { key, value, expected }) }
}
