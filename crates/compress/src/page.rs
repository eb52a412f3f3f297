//! `report.html`: one page that fetches nothing.

use itera_metrics::html::{Bars, Chart, Dot, Series, bars, details, document, figures, front, section, table};

use std::path::Path;

use crate::{
    error::Result,
    inspect::{Histogram, Sensitivity},
    report::{Report, StageReport},
    variant::Variant,
};
use itera_files::write_atomic;

impl Report {
    /// Write `report.json`, `report.csv` and `report.html` into `dir`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_atomic(&dir.join("report.json"), serde_json::to_string_pretty(self)?.as_bytes())?;
        write_atomic(&dir.join("report.html"), render(self)?.as_bytes())?;
        let mut table = csv::Writer::from_writer(vec![]);
        for variant in [&self.baseline].into_iter().chain(self.stages.iter().map(|stage| &stage.variant)) {
            table.serialize(variant)?;
        }
        let table = table.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        Ok(write_atomic(&dir.join("report.csv"), &table)?)
    }
}

pub(crate) fn render(report: &Report) -> Result<String> {
    let json = serde_json::to_value(report).unwrap_or_default();
    let parts = [
        table(&headline(report)),
        section("Sizes against bits per byte", &figures(&[pareto(report)])?),
        section(
            "What it costs to round each group alone",
            &[bars(&sensitivity_bars(report))?, table(&sensitivities(report))].concat(),
        ),
        section("Training", &figures(&report.stages.iter().map(curve).collect::<Vec<_>>())?),
        section("Weights before and after", &figures(&histograms(report))?),
        section("Use of the experts before and after", &figures(&experts(report))?),
        details("Tensors", &json["tensors"]),
        details("Kinds that were weighed", &json["weighed"]),
        details("Recipe", &json["recipe"]),
        details("Environment", &json["environment"]),
    ];
    Ok(document(&format!("{} by recipe {}", report.run, report.recipe.name), &parts.concat()))
}

/// The numbers to look at first.
fn headline(report: &Report) -> Vec<(&str, String)> {
    let line = |variant: &Variant| {
        let Variant { size_bytes, times_smaller, bits_per_byte, loss_percent, tokens_per_s, .. } = variant;
        format!(
            "{size_bytes} bytes, {times_smaller:.2} times smaller; {bits_per_byte:.4} bits per byte, {loss_percent:+.2} %; {tokens_per_s:.0} tokens/s"
        )
    };
    let mut rows = vec![("Baseline", line(&report.baseline))];
    rows.extend(report.stages.iter().map(|stage| (stage.variant.name.as_str(), line(&stage.variant))));
    if let Some(temperature) = report.stages.iter().find_map(|stage| stage.temperature) {
        rows.push(("Temperature", format!("{temperature:.4}, by held-out documents that are not scored")));
    }
    if !report.kind_losses.is_empty() {
        let of_chosen = report.kind_losses.iter().filter_map(|losses| losses.loss_percent.get(&losses.chosen));
        let sum: f64 = of_chosen.sum();
        let text =
            format!("{sum:+.2} % of calibration text, as the sum of what each matrix costs alone, before training");
        rows.push(("Expected of the kinds", text));
    }
    rows.push(("Scored on", format!("{} documents, {} bytes", report.documents, report.document_bytes)));
    rows
}

/// A dot a variant, and a line through those that no other beats in both.
fn pareto(report: &Report) -> Chart {
    let variants = || [&report.baseline].into_iter().chain(report.stages.iter().map(|stage| &stage.variant));
    let point = |dot: &Dot| (dot.bytes as f64, dot.bits_per_byte);
    let dot = |variant: &Variant| Dot {
        name: variant.name.clone(),
        bytes: variant.size_bytes,
        bits_per_byte: variant.bits_per_byte,
        is_peer: false,
    };
    let dots: Vec<Dot> = variants().map(dot).collect();
    let mut series: Vec<Series> = dots.iter().map(|dot| Series::new(&dot.name, [point(dot)])).collect();
    let front: Vec<(f64, f64)> = front(&dots).into_iter().map(point).collect();
    if front.len() > 1 {
        series.push(Series::new("Pareto front", front));
    }
    Chart { title: "Bits per byte over bytes".into(), from_zero: false, series }
}

fn sensitivity_bars(report: &Report) -> Bars {
    let bars = report.sensitivities.iter().map(|found| (found.role.clone(), found.loss_percent)).collect();
    Bars { title: "Rise of bits per byte, in per cent".into(), bars }
}

fn sensitivities(report: &Report) -> Vec<(&str, String)> {
    let line = |found: &Sensitivity| {
        format!("{:+.3} % ({}, {} parameters)", found.loss_percent, found.kinds.join(" and "), found.params)
    };
    report.sensitivities.iter().map(|found| (found.role.as_str(), line(found))).collect()
}

/// Validation while a stage trained.
fn curve(stage: &StageReport) -> Chart {
    let series =
        |name: &str, curve: &[(u64, f64)]| Series::new(name, curve.iter().map(|point| (point.0 as f64, point.1)));
    let others = stage.others.iter().map(|of| series(&of.name, &of.curve));
    let series = [series("val_bpb", &stage.curve)].into_iter().chain(others).collect();
    Chart { title: format!("{}: validation over steps", stage.variant.name), from_zero: false, series }
}

fn histograms(report: &Report) -> Vec<Chart> {
    let chart = |histogram: &Histogram| {
        let bins = histogram.before.len() as f64;
        let middle = |bin: usize| histogram.limit * (2.0 * (bin as f64 + 0.5) / bins - 1.0);
        let series = |name: &str, shares: &[f64]| {
            Series::new(name, shares.iter().enumerate().map(|(bin, share)| (middle(bin), *share)))
        };
        Chart {
            title: format!("{}, share of weights", histogram.role),
            from_zero: true,
            series: vec![series("before", &histogram.before), series("after", &histogram.after)],
        }
    };
    report.histograms.iter().map(chart).collect()
}

fn experts(report: &Report) -> Vec<Chart> {
    let experts = &report.expert_use;
    let series = |name: &str, shares: &[f64]| {
        Series::new(name, shares.iter().enumerate().map(|(expert, share)| (expert as f64, *share)))
    };
    let chart = |(layer, (before, after)): (usize, (&Vec<f64>, &Vec<f64>))| Chart {
        title: format!("Layer {layer}, share of tokens over experts"),
        from_zero: true,
        series: vec![series("before", before), series("after", after)],
    };
    experts.before.iter().zip(&experts.after).enumerate().map(chart).collect()
}
