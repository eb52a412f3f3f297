//! `itera watch`: what a run writes, here or on another host → its progress, its curve, its samples

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread::sleep,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use itera_checkpoint::CheckpointStore;
use itera_config::Config;
use itera_metrics::{Sample, StepRecord, read_records};
use itera_trainer::TrainingState;
use serde_json::Value;

use crate::hints::with_hint;

/// Characters and lines of the curve.
const COLUMNS: usize = 60;
const ROWS: usize = 8;
/// What empties a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera watch runs/tiny                 a run of another process, or of a job on another node, until it is done
  itera watch runs/tiny --once          as it is now, and so wherever standard output is no terminal")]
pub struct Args {
    /// The directory of a run, which nothing is written to.
    run: PathBuf,
    /// Look again after so long.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "2s")]
    every: Duration,
    /// Print what there is, and end.
    #[arg(long)]
    once: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let is_once = args.once || !io::stdout().is_terminal();
    let mut samples = Samples::default();
    loop {
        let seen = Seen::of(&args.run, &mut samples)?;
        let mut out = io::stdout().lock();
        write!(out, "{}{}", if is_once { "" } else { CLEAR }, seen.to_text())?;
        out.flush()?;
        if is_once || seen.is_done() {
            return Ok(ExitCode::SUCCESS);
        }
        drop(out);
        sleep(args.every);
    }
}

/// A run as its files show it.
struct Seen<'a> {
    run: String,
    steps: u64,
    rows: Vec<StepRecord>,
    /// Since the last row was written; `None` where the file system does not tell.
    age: Option<Duration>,
    samples: &'a Samples,
}

/// The samples of the newest checkpoint, which is read once.
#[derive(Default)]
struct Samples {
    step: u64,
    texts: Vec<Sample>,
}

impl Samples {
    /// One that cannot be read, since it is just being removed or is damaged, changes nothing.
    fn refresh(&mut self, store: &CheckpointStore) {
        let Ok(Some(last)) = store.last() else { return };
        if last.step == self.step {
            return;
        }
        if let Ok(checkpoint) = store.open::<Value, TrainingState>(&last.path) {
            (self.step, self.texts) = (last.step, checkpoint.state.samples);
        }
    }
}

impl<'a> Seen<'a> {
    fn of(run: &Path, samples: &'a mut Samples) -> Result<Self> {
        let config = run.join("config.toml");
        if !config.is_file() {
            let problem = format!("{} is no directory of a run: it has no config.toml", run.display());
            return Err(with_hint(problem, "name what run.dir is in the configuration of the run"));
        }
        let config = Config::load(&config, &[])?;
        let rows = run.join("metrics.jsonl");
        samples.refresh(&CheckpointStore::new(run));
        Ok(Self {
            run: run.display().to_string(),
            steps: config.train.steps,
            // a clock of another host may be ahead
            age: fs::metadata(&rows)
                .and_then(|file| file.modified())
                .ok()
                .map(|time| SystemTime::now().duration_since(time).unwrap_or_default()),
            rows: if rows.is_file() { read_records(&rows)? } else { vec![] },
            samples,
        })
    }

    fn is_done(&self) -> bool {
        self.rows.last().is_some_and(|row| row.step >= self.steps)
    }

    fn to_text(&self) -> String {
        let Self { run, steps, rows, age, samples } = self;
        let Some(row) = rows.last() else { return format!("{run}  no row is written yet, of {steps} steps\n") };
        let in_words = |time: Duration| humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
        let mut lines =
            vec![format!("{run}  step {}/{steps}  {:.0} %", row.step, 100.0 * row.step as f64 / *steps as f64)];
        if !self.is_done() {
            let left = Duration::try_from_secs_f64((steps - row.step) as f64 * row.step_ms / 1e3).unwrap_or_default();
            let age = age.map_or(String::new(), |age| format!("  last row {} ago", in_words(age)));
            lines.push(format!("{:.0} tokens/s  ETA {}{age}", row.tokens_per_s, in_words(left)));
        }
        lines.push(format!("loss {:.4} nats  lr {:.2e}  |grad| {:.3}", row.loss_nats, row.lr, row.grad_norm));
        let scores: Vec<(u64, f64)> = rows.iter().filter_map(|row| Some((row.step, row.val_bpb?))).collect();
        if let (Some((step, last)), Some((at, best))) =
            (scores.last(), scores.iter().min_by(|a, b| a.1.total_cmp(&b.1)))
        {
            lines.push(format!("validation {last:.4} bits/byte at step {step}  best {best:.4} at step {at}"));
        }
        let losses: Vec<(u64, f64)> = rows.iter().map(|row| (row.step, row.loss_nats)).collect();
        let (name, points) = if scores.len() > 1 { ("bits/byte", &scores) } else { ("nats", &losses) };
        lines.push(String::new());
        lines.extend(curve(name, points));
        for Sample { prompt, text, .. } in &samples.texts {
            lines.push(format!("> {prompt}{}", text.trim_end()).replace('\n', "\n  "));
        }
        lines.join("\n") + "\n"
    }
}

/// Values by step, the largest at the top; none where fewer than two are numbers.
fn curve(name: &str, points: &[(u64, f64)]) -> Vec<String> {
    let points: Vec<(u64, f64)> = points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let ([(first, _), .., (last, _)], Some(&(_, low)), Some(&(_, high))) = (
        &points[..],
        points.iter().min_by(|a, b| a.1.total_cmp(&b.1)),
        points.iter().max_by(|a, b| a.1.total_cmp(&b.1)),
    ) else {
        return vec![];
    };
    let mut grid = vec![[' '; COLUMNS]; ROWS];
    let place = |share: f64, places: usize| (share * (places - 1) as f64).round() as usize;
    for (step, value) in &points {
        let across = (step - first) as f64 / (last - first).max(1) as f64;
        let down = if high > low { (high - value) / (high - low) } else { 0.0 };
        grid[place(down, ROWS)][place(across, COLUMNS)] = '•';
    }
    let label = |row| match row {
        0 => format!("{high:8.4} "),
        row if row == ROWS - 1 => format!("{low:8.4} "),
        _ => " ".repeat(9),
    };
    let drawn =
        grid.iter().enumerate().map(|(row, line)| (label(row) + &String::from_iter(line)).trim_end().to_owned());
    let steps = format!("{:9}{first:<width$}{last} steps, {name}", "", width = COLUMNS.saturating_sub(6));
    drawn.chain([steps, String::new()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_from_its_largest_to_its_smallest_value() {
        let points: Vec<(u64, f64)> =
            (0..=7).map(|step| (step * 10, 8.0 - step as f64)).chain([(75, f64::NAN)]).collect();
        let drawn = curve("nats", &points);
        assert_eq!(drawn.len(), ROWS + 2);
        let columns: Vec<usize> = drawn[..ROWS].iter().filter_map(|line| line.chars().position(|c| c == '•')).collect();
        assert!(columns.len() == ROWS && columns.is_sorted(), "{drawn:#?}");
        assert_eq!((columns[0], columns[ROWS - 1]), (9, 9 + COLUMNS - 1));
        assert!(drawn[0].starts_with("  8.0000 •") && drawn[ROWS - 1].starts_with("  1.0000 "), "{drawn:#?}");
        assert!(drawn[ROWS].trim_start().starts_with("0 ") && drawn[ROWS].ends_with("70 steps, nats"), "{drawn:#?}");
    }

    #[test]
    fn a_curve_needs_two_numbers() {
        assert!(curve("nats", &[]).is_empty() && curve("nats", &[(1, 2.0), (2, f64::NAN)]).is_empty());
        let flat = curve("nats", &[(5, 2.0), (5, 2.0)]);
        assert!(flat[0].ends_with('•'), "{flat:#?}");
    }
}
