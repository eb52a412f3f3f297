//! One row of metrics.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    error::{MetricsError, Result},
    layout::ExpertLayout,
};

/// Columns that depend on the machine and the hour. All others are the same whenever a run is repeated or resumed.
pub const TIMING_COLUMNS: [&str; 3] = ["tokens_per_s", "step_ms", "resident_mb"];

/// What is known after an optimiser step.
///
/// Field order is column order. A number that is not finite is written as absent, and an absent loss is read
/// back as NaN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimiser steps taken, from 1.
    pub step: u64,
    /// Training tokens seen so far.
    pub tokens: u64,
    /// Cross-entropy before the update, in nats per token, without auxiliary losses: the mean over the steps since the
    /// previous row whose loss was finite.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_nats: f64,
    /// Held-out cross-entropy in bits per byte, at steps that validate.
    pub val_bpb: Option<f64>,
    /// The same in nats per token.
    pub val_loss_nats: Option<f64>,
    /// e to the power of `val_loss_nats`; not comparable across tokenizers.
    pub val_perplexity: Option<f64>,
    /// Learning rate of the step.
    #[serde(deserialize_with = "null_is_nan")]
    pub lr: f64,
    /// Global norm of the gradient before clipping.
    #[serde(deserialize_with = "null_is_nan")]
    pub grad_norm: f64,
    /// Load-balancing loss before its coefficient, the mean over the same steps; absent in a dense model.
    pub load_balance_loss: Option<f64>,
    /// Router z-loss before its coefficient, likewise.
    pub z_loss: Option<f64>,
    /// Tokens sent to each expert since the previous row, skipped steps included, by layer; empty in a dense model.
    pub tokens_per_expert: Vec<Vec<u64>>,
    /// Steps skipped so far because the loss or a gradient was not finite.
    pub skipped: u64,
    /// By what the loss of the next step is multiplied before its backward pass; absent but in f16.
    pub loss_scale: Option<f64>,
    /// Training tokens a second over the steps since the previous row, validation and saving left out.
    #[serde(deserialize_with = "null_is_nan")]
    pub tokens_per_s: f64,
    /// Mean wall time of those steps, in milliseconds.
    #[serde(deserialize_with = "null_is_nan")]
    pub step_ms: f64,
    /// Resident memory of the process, in 10⁶ bytes.
    pub resident_mb: Option<f64>,
}

impl StepRecord {
    /// The record as a line of JSON, without the line break.
    pub(crate) fn to_json_line(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|source| MetricsError::Json { what: "a metrics row", source })
    }

    /// The CSV columns: the JSON keys, with `tokens_per_expert` spread over `tokens_l{layer}_e{expert}`.
    pub(crate) fn csv_header(experts: ExpertLayout) -> Result<Vec<String>> {
        let counts = vec![vec![0; experts.n_experts]; experts.n_layers];
        let record = Self { tokens_per_expert: counts, ..Self::default() };
        Ok(record.cells(experts)?.into_iter().map(|(name, _)| name).collect())
    }

    /// The record as CSV cells, printed as in JSON; absent values are empty.
    pub(crate) fn csv_row(&self, experts: ExpertLayout) -> Result<Vec<String>> {
        Ok(self.cells(experts)?.into_iter().map(|(_, cell)| cell).collect())
    }

    /// Column and cell, derived from the JSON form, so that the two files cannot disagree.
    fn cells(&self, experts: ExpertLayout) -> Result<Vec<(String, String)>> {
        let json = serde_json::to_value(self).map_err(|source| MetricsError::Json { what: "a metrics row", source })?;
        let mut cells = vec![];
        for (name, value) in json.as_object().into_iter().flatten() {
            match value {
                Value::Array(_) => cells.extend(self.expert_cells(experts)?),
                Value::Null => cells.push((name.clone(), String::new())),
                value => cells.push((name.clone(), value.to_string())),
            }
        }
        Ok(cells)
    }

    fn expert_cells(&self, experts: ExpertLayout) -> Result<Vec<(String, String)>> {
        let got: Vec<usize> = self.tokens_per_expert.iter().map(Vec::len).collect();
        if !got.is_empty() && got != vec![experts.n_experts; experts.n_layers] {
            return Err(MetricsError::ExpertShape { step: self.step, got, expected: experts });
        }
        let columns = (0..experts.n_layers).flat_map(|l| (0..experts.n_experts).map(move |e| (l, e)));
        let cell =
            |l: usize, e: usize| self.tokens_per_expert.get(l).map_or(String::new(), |layer| layer[e].to_string());
        Ok(columns.map(|(l, e)| (format!("tokens_l{l}_e{e}"), cell(l, e))).collect())
    }
}

/// JSON has no NaN or infinity; serde_json writes `null` for them.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
pub(crate) mod tests {
    use super::*;

    pub(crate) const EXPERTS: ExpertLayout = ExpertLayout { n_layers: 2, n_experts: 3 };

    /// A record whose numbers are awkward to print and differ from step to step; every fifth has a NaN loss,
    /// every fourth validates.
    pub(crate) fn record(step: u64) -> StepRecord {
        let x = step as f64;
        StepRecord {
            step,
            tokens: step * 4096,
            loss_nats: if step.is_multiple_of(5) { f64::NAN } else { 7.0 / x },
            val_bpb: step.is_multiple_of(4).then_some(0.1 + 0.2 * x),
            val_loss_nats: step.is_multiple_of(4).then_some(1e-17 * x),
            val_perplexity: step.is_multiple_of(4).then_some(f64::INFINITY),
            lr: 2e-3,
            grad_norm: x,
            load_balance_loss: Some(1.0 / 3.0),
            z_loss: Some(-0.0),
            tokens_per_expert: vec![vec![step, 0, 7], vec![0, 0, step + 7]],
            skipped: step / 5,
            loss_scale: step.is_multiple_of(2).then_some(65536.0),
            tokens_per_s: 1e5 / 7.0,
            step_ms: 41.0,
            resident_mb: None,
        }
    }

    #[test]
    fn columns_are_stable() {
        let dense = "step tokens loss_nats val_bpb val_loss_nats val_perplexity lr grad_norm load_balance_loss z_loss \
                     skipped loss_scale tokens_per_s step_ms resident_mb";
        assert_eq!(StepRecord::csv_header(ExpertLayout::default()).unwrap().join(" "), dense);
        let sparse = StepRecord::csv_header(EXPERTS).unwrap();
        let at = sparse.iter().position(|name| name == "z_loss").unwrap() + 1;
        assert_eq!(
            sparse[at..at + 6].join(" "),
            "tokens_l0_e0 tokens_l0_e1 tokens_l0_e2 tokens_l1_e0 tokens_l1_e1 tokens_l1_e2"
        );
        for timing in TIMING_COLUMNS {
            assert!(sparse.contains(&timing.to_owned()));
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_absent() {
        let record = StepRecord { loss_nats: f64::NAN, val_bpb: Some(f64::INFINITY), ..record(1) };
        let line = record.to_json_line().unwrap();
        assert!(line.contains(r#""loss_nats":null,"val_bpb":null"#), "{line}");
        assert_eq!(record.csv_row(EXPERTS).unwrap()[2..4], ["", ""]);
        let read: StepRecord = serde_json::from_str(&line).unwrap();
        assert!(read.loss_nats.is_nan() && read.val_bpb.is_none());
    }

    #[test]
    fn a_line_read_and_written_again_is_the_same_line() {
        for step in 1..100 {
            let line = record(step).to_json_line().unwrap();
            let read: StepRecord = serde_json::from_str(&line).unwrap();
            assert_eq!(read.to_json_line().unwrap(), line);
            assert_eq!(read.csv_row(EXPERTS).unwrap(), record(step).csv_row(EXPERTS).unwrap());
        }
    }

    #[test]
    fn counts_of_another_shape_are_refused_and_missing_ones_are_empty() {
        let ragged = StepRecord { tokens_per_expert: vec![vec![1, 2, 3], vec![4]], ..record(3) };
        let error = ragged.csv_row(EXPERTS).unwrap_err().to_string();
        assert!(error.contains("step 3") && error.contains("[3, 1]") && error.contains("2 layers of 3"), "{error}");
        let missing = StepRecord { tokens_per_expert: vec![], ..record(3) };
        assert_eq!(missing.csv_row(EXPERTS).unwrap()[10..16], [""; 6]);
    }
}
