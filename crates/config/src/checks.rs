//! key, value, rule → nothing, or a [`Problem`]

use std::{
    fmt::Display,
    ops::{Bound, RangeBounds, RangeInclusive},
};

use crate::{ConfigError, Fault, Problem};

/// Collects every broken rule.
#[derive(Default)]
pub(crate) struct Checks {
    problems: Vec<Problem>,
}

impl Checks {
    /// `rule` completes "must …"; it is broken unless `holds`. A value is told the first rule it breaks only.
    pub(crate) fn rule(
        &mut self,
        holds: bool,
        key: &str,
        value: impl Display,
        rule: impl Into<String>,
        nearest: Option<String>,
    ) {
        let value = value.to_string();
        let told = |problem: &Problem| {
            problem.key == key && matches!(&problem.fault, Fault::BrokenRule { value: told, .. } if *told == value)
        };
        if !holds && !self.problems.iter().any(told) {
            let fault = Fault::BrokenRule { value, rule: rule.into(), nearest };
            self.problems.push(Problem { key: key.into(), place: None, fault });
        }
    }

    /// A whole number within `range`.
    pub(crate) fn count<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        let (least, most) = (range.start(), range.end());
        let nearest = if value < *least { least } else { most };
        let rule = format!("be between {least} and {most}");
        self.rule(range.contains(&value), key, &value, rule, Some(nearest.to_string()));
    }

    /// A number within `bounds` that f32, in which the model computes, can hold.
    pub(crate) fn number(&mut self, key: &str, value: f64, bounds: impl RangeBounds<f64>) {
        let mut rule = vec!["be finite in f32".to_owned()];
        let mut nearest = None;
        match bounds.start_bound() {
            Bound::Included(least) => {
                rule.push(format!("at least {least}"));
                nearest = (value < *least).then_some(least.to_string());
            }
            Bound::Excluded(least) => rule.push(format!("greater than {least}")),
            Bound::Unbounded => {}
        }
        match bounds.end_bound() {
            Bound::Included(most) => {
                rule.push(format!("at most {most}"));
                nearest = nearest.or((value > *most).then_some(most.to_string()));
            }
            Bound::Excluded(most) => rule.push(format!("less than {most}")),
            Bound::Unbounded => {}
        }
        let holds = (value as f32).is_finite() && bounds.contains(&value);
        self.rule(holds, key, value, rule.join(", "), nearest);
    }

    /// A string with something in it.
    pub(crate) fn filled(&mut self, key: &str, value: &str) {
        self.rule(!value.trim().is_empty(), key, format!("{value:?}"), "not be empty", None);
    }

    /// Add what `other` found.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.problems.extend(other.problems);
    }

    /// Whether no rule is broken so far.
    pub(crate) fn hold(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        let Self { problems } = self;
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
    }
}
