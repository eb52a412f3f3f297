//! `teacher` of a stage → which models teach it, and how much they count
//!
//! ```text
//! { weight }                         the run
//! { weight, stage = 1 }              the model that stage 1 left
//! { weight, stage = 1, members = 3 } three of stage 1, each with a seed of its own
//! { weight, stage = 1, folds = 2 }   two of stage 1, each where it has read nothing
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    baseline::Baseline,
    part::{Fold, Part},
    training::Teaching,
};

/// What is learned from others.
#[derive(Clone, Debug)]
pub(crate) struct Lesson {
    /// Above 0 and at most 1.
    pub weight: f64,
    /// Temperature T of both distributions.
    pub temperature: f64,
    /// Models of one shape and vocabulary, in equal parts; those of folds each where it has read nothing.
    pub sources: Vec<Source>,
}

/// A model that teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The run.
    Run,
    /// One that a stage trains, or leaves.
    Stage {
        /// From 1.
        number: usize,
        /// Which of its models.
        part: Part,
    },
}

impl Source {
    /// The fold that the model has not read.
    pub(crate) fn fold(self) -> Option<Fold> {
        if let Self::Stage { part, .. } = self { part.fold() } else { None }
    }
}

/// Who teaches a stage whose recipe names a teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherChoice {
    /// `the run`, or what of which stage; absent if text alone teaches.
    pub teacher: Option<String>,
    /// What that follows from.
    pub reason: String,
}

impl Lesson {
    /// What a recipe asks for.
    pub(crate) fn of(teaching: Teaching) -> Self {
        let Teaching { weight, temperature, stage, members, folds, auto: _ } = teaching;
        let sources = match stage {
            None => vec![Source::Run],
            Some(number) => Part::members(folds, members).map(|part| Source::Stage { number, part }).collect(),
        };
        Self { weight, temperature, sources }
    }

    /// From the model of an earlier generation of the stage, as much as from the first one's teacher; half if there is none.
    pub(crate) fn of_generation(teaching: Option<Teaching>, number: usize, generation: usize) -> Self {
        let (weight, temperature) = teaching.map_or((0.5, 1.0), |of| (of.weight, of.temperature));
        Self { weight, temperature, sources: vec![Source::Stage { number, part: Part::Generation(generation) }] }
    }
}

impl TeacherChoice {
    /// What the recipe asks for, and the run is fit for.
    pub(crate) fn new(teaching: Teaching, baseline: &Baseline) -> Self {
        let Teaching { stage, members, folds, auto, .. } = teaching;
        let several =
            |number: usize, what: &str| if number > 1 { format!("{number} {what} of ") } else { String::new() };
        let teacher = match stage {
            None => "the run".into(),
            Some(stage) => format!("{}{}stage {stage}", several(folds, "folds"), several(members, "members")),
        };
        match auto {
            true => {
                Self { teacher: baseline.maturity.is_ripe().then_some(teacher), reason: baseline.maturity.to_string() }
            }
            false => Self { teacher: Some(teacher), reason: "the recipe says so".into() },
        }
    }
}
