//! key, value, rule → nothing, or a [`BrokenRule`]

use std::{
    fmt::{self, Display},
    ops::{Bound, RangeBounds, RangeInclusive},
};

/// A value that a configuration may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRule {
    /// `table.key`.
    pub key: String,
    /// The value, as TOML.
    pub value: String,
    /// Completes "must …".
    pub rule: String,
    /// The most similar value that keeps the rule, where that makes sense.
    pub nearest: Option<String>,
}

impl Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, rule, nearest } = self;
        // a precision cuts strings: values come from files, and a message has to fit a terminal
        write!(f, "`{key}` = {value:.80}: must {rule}")?;
        nearest.as_ref().map_or(Ok(()), |nearest| write!(f, "; the nearest valid value is {nearest}"))
    }
}

/// Collects every broken rule of a configuration.
#[derive(Debug, Default)]
pub struct Checks {
    broken: Vec<BrokenRule>,
}

impl Checks {
    /// Note that `rule`, which completes "must …", is broken unless it `holds`. Of the rules that a value breaks, the first
    /// is noted.
    pub fn rule(
        &mut self,
        holds: bool,
        key: &str,
        value: impl Display,
        rule: impl Into<String>,
        nearest: Option<String>,
    ) {
        let value = value.to_string();
        let is_told = self.broken.iter().any(|told| told.key == key && told.value == value);
        if !holds && !is_told {
            self.broken.push(BrokenRule { key: key.into(), value, rule: rule.into(), nearest });
        }
    }

    /// A whole number within `range`.
    pub fn count<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        let (least, most) = (range.start(), range.end());
        let nearest = if value < *least { least } else { most };
        let rule = format!("be between {least} and {most}");
        self.rule(range.contains(&value), key, &value, rule, Some(nearest.to_string()));
    }

    /// A number within `bounds` that f32, in which the model computes, can hold.
    pub fn number(&mut self, key: &str, value: f64, bounds: impl RangeBounds<f64>) {
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
    pub fn filled(&mut self, key: &str, value: &str) {
        self.rule(!value.trim().is_empty(), key, format!("{value:?}"), "not be empty", None);
    }

    /// Add what `other` found.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.broken.extend(other.broken);
    }

    /// Whether no rule is broken so far.
    pub(crate) fn hold(&self) -> bool {
        self.broken.is_empty()
    }

    /// Every rule that was found broken, in the order of the checks; empty if all hold.
    pub fn finish(self) -> Vec<BrokenRule> {
        self.broken
    }
}
