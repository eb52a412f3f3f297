//! A stage that trains does so once, or as often as other stages ask for more models of it.
//!
//! ```text
//! generations   1 ─teaches─▶ 2 ─teaches─▶ the stage's own model
//! members       the stage's own model, the same with another seed, …
//! folds         the same on the documents outside of fold 1, outside of fold 2, …: each teaches the fold it has not read
//! ```
//!
//! Each of these trainings is a run in a directory of its own, and resumes as a run does.

use std::{collections::BTreeMap, fmt, ops::Range};

use crate::stage::{Action, Stage};

/// One training of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// An earlier generation, from 1. The last is a member.
    Generation(usize),
    /// A model that others learn from, or that the stage leaves.
    Member {
        /// From 1; members differ in their seed.
        member: usize,
        /// The fold that it has not read, if there are any.
        fold: Option<Fold>,
    },
}

/// Documents that one of several teachers has not read: those whose index leaves this remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fold {
    /// The remainder, from 0.
    pub index: usize,
    /// Number of folds.
    pub of: usize,
}

impl Part {
    /// The stage's own model, where it reads the whole text.
    pub(crate) const OWN: Self = Self::Member { member: 1, fold: None };

    /// The trainings of the stage with this number, from 1, in their order; none if it does not train. The stage leaves the
    /// first that is a member: its own model, unless nothing but folds are wanted of it.
    pub(crate) fn all(stages: &[Stage], number: usize) -> Vec<Self> {
        let stage = &stages[number - 1];
        if stage.train.is_none() {
            return vec![];
        }
        let later = stages[number..].iter().filter_map(|stage| stage.train.as_ref()?.teacher);
        let asked: Vec<_> = later.filter(|teaching| teaching.stage == Some(number)).collect();
        let goes_on = stages.get(number).is_none_or(|next| !matches!(next.action, Action::Distill(_)));
        let mut members = usize::from(goes_on || asked.is_empty());
        let mut members_of_folds = BTreeMap::<usize, usize>::new();
        for teaching in &asked {
            let most =
                if teaching.folds == 1 { &mut members } else { members_of_folds.entry(teaching.folds).or_default() };
            *most = teaching.members.max(*most);
        }
        let generations = (1..stage.generations()).map(Self::Generation);
        let folds = members_of_folds.into_iter().flat_map(|(of, members)| Self::members(of, members));
        generations.chain(Self::members(1, members)).chain(folds).collect()
    }

    /// So many members for each of `folds` folds; those of one fold have read everything.
    pub(crate) fn members(folds: usize, members: usize) -> impl Iterator<Item = Self> {
        let fold = move |index| (folds > 1).then_some(Fold { index, of: folds });
        (0..folds).flat_map(move |index| (1..=members).map(move |member| Self::Member { member, fold: fold(index) }))
    }

    /// The fold that it has not read.
    pub(crate) fn fold(self) -> Option<Fold> {
        if let Self::Member { fold, .. } = self { fold } else { None }
    }

    /// The seed of this training in a stage of so many generations. No two members or generations share one, and the stage's
    /// own model has that of the run.
    pub(crate) fn seed(self, run: u64, generations: usize) -> u64 {
        let more = match self {
            Self::Generation(generation) => generations - generation,
            Self::Member { member, .. } => (member - 1) * generations,
        };
        // seeds are integers of TOML
        run.wrapping_add(more as u64) & i64::MAX.cast_unsigned()
    }
}

/// `generation-1`, `member-2`, `fold-1-of-2`, `fold-1-of-2.member-2`; nothing for the stage's own model.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (member, fold) = match *self {
            Self::Generation(generation) => return write!(f, "generation-{generation}"),
            Self::Member { member, fold } => (member, fold),
        };
        let fold = fold.map(|Fold { index, of }| format!("fold-{}-of-{of}", index + 1));
        let member = (member > 1).then(|| format!("member-{member}"));
        f.write_str(&fold.into_iter().chain(member).collect::<Vec<_>>().join("."))
    }
}

/// Whether a name is what [`Part`]s are called.
pub(crate) fn is_part(name: &str) -> bool {
    let numbered =
        |name: &str, before: &str| name.strip_prefix(before).is_some_and(|number| number.parse::<usize>().is_ok());
    let is_fold =
        |name: &str| name.split_once("-of-").is_some_and(|(fold, of)| numbered(fold, "fold-") && numbered(of, ""));
    numbered(name, "generation-") || numbered(name, "member-") || is_fold(name)
}

/// Which fold each position of a token stream is in.
pub(crate) struct Folds {
    /// Where each document ends.
    ends: Vec<usize>,
    of: usize,
}

impl Folds {
    /// `of` folds of documents that lie one behind the other.
    pub(crate) fn new(documents: impl Iterator<Item = Range<usize>>, of: usize) -> Self {
        Self { ends: documents.map(|document| document.end).collect(), of }
    }

    /// The index of the fold that the token at `position` is in.
    pub(crate) fn index(&self, position: usize) -> usize {
        self.ends.partition_point(|end| *end <= position) % self.of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, number: usize) -> Vec<String> {
        let recipe: crate::Recipe = toml::from_str(&format!("about = 'x'\n{text}")).expect("a recipe");
        Part::all(&recipe.stages, number).iter().map(Part::to_string).collect()
    }

    #[test]
    fn a_stage_trains_what_others_ask_it_for_and_no_more() {
        let distill = "[[stage]]\ndo = 'distill'\nmodel = {}\n";
        let taught = |teacher: &str| format!("{distill}train = {{ steps = 1, lr = 1.0{teacher} }}\n");
        let alone = taught("");
        let finetune = alone.replace("distill", "finetune").replace("model = {}", "");
        let by = |keys: &str| taught(&format!(", teacher = {{ weight = 0.5, stage = 1, {keys} }}"));
        assert_eq!(names(&alone, 1), [""]);
        assert!(names("[[stage]]\ndo = 'quantize'\nkind = 'f32'\n", 1).is_empty());
        assert_eq!(names(&format!("{alone}{}", by("members = 3")), 1), ["", "member-2", "member-3"]);
        // a model that nobody needs is not trained
        assert_eq!(names(&format!("{alone}{}", by("folds = 2")), 1), ["fold-1-of-2", "fold-2-of-2"]);
        assert_eq!(names(&format!("{alone}{finetune}{}", by("folds = 2")), 1), ["", "fold-1-of-2", "fold-2-of-2"]);
        assert_eq!(
            names(&format!("{alone}{}{}", by("folds = 2, members = 2"), by("")), 1),
            ["", "fold-1-of-2", "fold-1-of-2.member-2", "fold-2-of-2", "fold-2-of-2.member-2"]
        );
        let generations = alone.replace("model = {}", "model = {}\ngenerations = 3");
        assert_eq!(names(&generations, 1), ["generation-1", "generation-2", ""]);
    }

    #[test]
    fn no_two_seeds_are_the_same_and_the_own_one_is_the_runs() {
        let parts = (1..3).map(Part::Generation).chain(Part::members(1, 4));
        let mut seeds: Vec<u64> = parts.map(|part| part.seed(42, 3)).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 6);
        assert_eq!(Part::OWN.seed(42, 3), 42);
        assert!(Part::Generation(1).seed(i64::MAX as u64, 3) <= i64::MAX as u64);
    }

    #[test]
    fn parts_are_known_by_their_names() {
        for part in Part::members(2, 3).chain([Part::Generation(7)]) {
            assert!(part.to_string().split('.').all(is_part), "{part}");
        }
        for other in ["", "member", "member-x", "fold-1", "fold-1-of-", "generations-1"] {
            assert!(!is_part(other), "{other}");
        }
    }

    #[test]
    fn documents_take_turns_in_folds() {
        let folds = Folds::new([1..4, 4..5, 5..9].into_iter(), 2);
        assert_eq!((1..9).map(|position| folds.index(position)).collect::<Vec<_>>(), [0, 0, 0, 1, 0, 0, 0, 0]);
    }
}
