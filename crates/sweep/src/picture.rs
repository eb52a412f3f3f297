//! a summary → a picture of means, intervals and seeds

use itera_metrics::html::{Interval, Place, intervals};

use crate::{
    error::{Result, SweepError},
    summary::Summary,
};

impl Summary {
    /// A picture that stands alone: cells along the number that `against` names, or one below the other. Where nobody says,
    /// along the only key, if that is a number. Cells without a trial that is done are left out.
    ///
    /// # Errors
    /// [`SweepError::NoKey`] if cells do not differ in `against`, or not by numbers.
    pub fn to_svg(&self, against: Option<&str>) -> Result<String> {
        let column = |key: &str| {
            let column = self.keys.iter().position(|known| known == key)?;
            self.rows.iter().all(|row| row.values[column].parse::<f64>().is_ok()).then_some(column)
        };
        let along = match (against, &self.keys[..]) {
            (Some(key), _) => {
                Some(column(key).ok_or_else(|| SweepError::NoKey { key: key.into(), there: self.keys.join(", ") })?)
            }
            (None, [only]) => column(only),
            (None, _) => None,
        };
        let cells = self.rows.iter().filter_map(|row| {
            let place = match along {
                Some(column) => Place::At(row.values[column].parse().ok()?),
                None => Place::Named(row.values.join(", ")),
            };
            let points = row.by_seed.values().copied().collect();
            Some(Interval { place, mean: row.mean?.mean, interval: row.interval, points })
        });
        let axis = match along {
            Some(column) => &self.keys[column],
            None => &self.keys.join(", "),
        };
        Ok(intervals(&self.metric, axis, &cells.collect::<Vec<_>>())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::found;

    #[test]
    fn cells_lie_along_a_number_or_have_their_names() {
        let (plan, states) = found();
        let mut summary = Summary::new(&plan, &states, "val_bpb").expect("a summary");
        let along = summary.to_svg(None).expect("a picture");
        assert_eq!(along, summary.to_svg(Some("train.lr")).expect("a picture"));
        assert!(along.contains("train.lr") && along.contains("val_bpb"), "{along}");
        let error = summary.to_svg(Some("train.ema")).expect_err("no such key").to_string();
        assert!(error.contains("`train.ema` is no number") && error.contains("differ in: train.lr"), "{error}");
        summary.keys.push("train.optimizer".into());
        summary.rows.iter_mut().for_each(|row| row.values.push("\"muon\"".into()));
        let named = summary.to_svg(None).expect("a picture");
        assert!(named.contains("0.001, &quot;muon&quot;") || named.contains("0.001, \"muon\""), "{named}");
        assert!(summary.to_svg(Some("train.optimizer")).is_err());
    }
}
