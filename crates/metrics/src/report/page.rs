//! `report.html`: one page that holds its own styles and charts.
//!
//! ```text
//! headline numbers, charts over tokens seen, samples, environment, configuration
//! ```

use super::{Report, Sample};
use crate::{
    error::Result,
    git::GitRevision,
    html::{Chart, Series, details, document, escape, figures, section, short, table},
    record::StepRecord,
};

/// The page.
pub(super) fn render(report: &Report, records: &[StepRecord]) -> Result<String> {
    let figures = figures(&charts(report, records))?;
    let samples: String = report.samples.iter().map(sample).collect();
    let environment = serde_json::to_value(&report.environment).unwrap_or_default();
    let parts = [
        table(&headline(report)),
        section("Curves over training tokens seen", &figures),
        section("Samples", &samples),
        details("Model", &report.model),
        details("Data", &report.data),
        details("Environment", &environment),
        details("Configuration", &report.config),
    ];
    Ok(document(&report.run, &parts.concat()))
}

/// The numbers to look at first.
fn headline(report: &Report) -> Vec<(&'static str, String)> {
    let totals = &report.totals;
    let bpb = |bpb: f64| format!("{bpb:.4} bits per byte");
    let best =
        report.best.map_or("no validation".into(), |best| format!("{} at step {}", bpb(best.val_bpb), best.step));
    let last_loss =
        report.last.as_ref().map_or("no step".into(), |last| format!("{:.4} nats per token", last.loss_nats));
    let git = match &report.git {
        GitRevision::Known { revision, modified } => format!("{revision}{}", if *modified { ", modified" } else { "" }),
        GitRevision::Absent { absent_because } => format!("absent: {absent_because}"),
    };
    let mut rows = vec![("Best validation", best), ("Last training loss", last_loss)];
    rows.extend(report.floor_bpb.map(|floor| ("Floor of the data", bpb(floor))));
    rows.extend([
        ("Steps", totals.steps.to_string()),
        ("Tokens seen", short(totals.tokens as f64)),
        ("Skipped steps", totals.skipped.to_string()),
        ("Wall time", format!("{:.1} min", totals.wall_s / 60.0)),
        ("Resumes", totals.resumes.to_string()),
        ("Revision", git),
    ]);
    rows
}

fn charts(report: &Report, records: &[StepRecord]) -> Vec<Chart> {
    let over_tokens = |name: &str, y: fn(&StepRecord) -> Option<f64>| {
        Series::new(name, records.iter().filter_map(|r| Some((r.tokens as f64, y(r)?))))
    };
    let chart = |title: &str, series| Chart { title: title.into(), from_zero: false, series };
    let mut val_bpb = vec![over_tokens("val_bpb", |r| r.val_bpb)];
    if let (Some(floor), Some(first), Some(last)) = (report.floor_bpb, records.first(), records.last()) {
        val_bpb.push(Series::new("floor", [(first.tokens as f64, floor), (last.tokens as f64, floor)]));
    }
    let loss = vec![over_tokens("training", |r| Some(r.loss_nats)), over_tokens("validation", |r| r.val_loss_nats)];
    let mut charts = vec![
        chart("Loss, nats per token", loss),
        chart("Validation, bits per byte", val_bpb),
        chart("Learning rate", vec![over_tokens("lr", |r| Some(r.lr))]),
        chart("Gradient norm before clipping", vec![over_tokens("grad_norm", |r| Some(r.grad_norm))]),
        Chart {
            from_zero: true,
            ..chart("Tokens per second", vec![over_tokens("tokens_per_s", |r| Some(r.tokens_per_s))])
        },
    ];
    charts.extend(expert_charts(records));
    charts
}

/// A chart a layer: the share of the layer's tokens that each expert took.
fn expert_charts(records: &[StepRecord]) -> Vec<Chart> {
    let counts_of = |r: &StepRecord, layer: usize| r.tokens_per_expert.get(layer).cloned().unwrap_or_default();
    let n_layers = records.iter().map(|r| r.tokens_per_expert.len()).max().unwrap_or(0);
    let chart_of = |layer: usize| {
        let n_experts = records.iter().map(|r| counts_of(r, layer).len()).max().unwrap_or(0);
        let series_of = |expert: usize| {
            let share = |r: &StepRecord| {
                let counts = counts_of(r, layer);
                Some((r.tokens as f64, *counts.get(expert)? as f64 / counts.iter().sum::<u64>() as f64))
            };
            Series::new(expert.to_string(), records.iter().filter_map(share))
        };
        Chart {
            title: format!("Experts of layer {layer}, share of tokens"),
            from_zero: true,
            series: (0..n_experts).map(series_of).collect(),
        }
    };
    (0..n_layers).map(chart_of).collect()
}

fn sample(sample: &Sample) -> String {
    let (prompt, text) = (escape(&sample.prompt), escape(&sample.text));
    format!("<blockquote><b>{prompt}</b>{text}<footer>after step {}</footer></blockquote>\n", sample.step)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::record::tests::record;

    fn page_of(n: u64) -> String {
        render(&report(), &(1..=n).map(record).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn page_has_a_chart_for_each_measured_quantity_and_fetches_nothing() {
        let page = page_of(40);
        assert_eq!(page.matches("<svg").count(), 5 + 2, "five curves and a chart for each of two layers");
        assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("url("));
        assert!(page.contains("1.7000 bits per byte at step 8") && page.contains("Floor of the data"));
        assert!(page.contains("absent: not a git repository"));
    }

    #[test]
    fn text_from_outside_cannot_become_markup() {
        let page = page_of(3);
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(
            page.contains("<title>runs/&lt;tiny&gt; &amp; &quot;co&quot;</title>") && page.contains("a &#39;time&#39;")
        );
    }

    #[test]
    fn a_run_without_rows_still_has_a_page() {
        assert!(render(&Report { floor_bpb: Some(0.4), ..report() }, &[]).unwrap().contains("Best validation"));
        assert_eq!(page_of(0).matches("<svg").count(), 0);
    }
}
