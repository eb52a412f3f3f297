//! `itera bench PATH [--against OTHER]`
//!
//! ```text
//! A, B opened → a round each that does not count → (A, B), (B, A), (A, B) … → medians of each, ratios of each turn
//! ```

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use itera_checkpoint::find_model;
use itera_formats::Listing;
use itera_kernels::simd;
use itera_metrics::peak_resident_bytes;
use itera_runtime::Batch;
use serde::Serialize;

use super::{
    roofline::Roofline,
    spread::{Spread, ms},
    timing::{Lengths, Round, Subject},
};
use crate::{args::at_least_one, opened::RunArgs, output, setup, talk::say};

#[derive(Debug, clap::Args)]
pub struct BenchModel {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
    pub path: PathBuf,
    /// Another model, measured in turns with the first.
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,
    /// Tokens of the prompt; fewer where a model's context has no room for them.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one::<usize>)]
    pub prompt_tokens: usize,
    /// Tokens to write after it; fewer where a model's context has no room for them.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one::<usize>)]
    pub tokens: usize,
    /// Texts to write at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one::<usize>)]
    pub streams: usize,
    /// Rounds of measurement, after one that does not count.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one::<usize>)]
    pub repeats: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Findings {
    itera_version: &'static str,
    threads: usize,
    simd: &'static str,
    /// Whether activations stayed f32.
    exact: bool,
    prompt_tokens: usize,
    tokens: usize,
    streams: usize,
    repeats: usize,
    models: Vec<Measured>,
    /// Of the first model to the second, turn by turn; above 1 the first is faster.
    ratios: Option<Ratios>,
    /// Of the whole process; absent where the system does not tell.
    peak_resident_bytes: Option<u64>,
}

/// One model.
#[derive(Serialize)]
struct Measured {
    path: String,
    file_bytes: u64,
    total_params: usize,
    active_params: usize,
    load_ms: Spread,
    prefill_tokens_per_s: Spread,
    /// From the ids of the prompt to the choice of a token.
    first_token_ms: Spread,
    token_us: TokenTimes,
    /// Of one text.
    tokens_per_s: Spread,
    /// Of all texts together.
    streams_tokens_per_s: Spread,
    roofline: Roofline,
}

/// Over all tokens of all rounds.
#[derive(Serialize)]
struct TokenTimes {
    median: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
struct Ratios {
    load: Spread,
    prefill: Spread,
    first_token: Spread,
    token: Spread,
    streams: Spread,
}

pub fn run(args: BenchModel, run: RunArgs) -> Result<ExitCode> {
    setup::threads(run.threads)?;
    let paths = [Some(&args.path), args.against.as_ref()].into_iter().flatten();
    let paths: Vec<PathBuf> = paths.map(|path| find_model(path)).collect::<Result<_, _>>()?;
    let subjects: Vec<Subject> = paths.iter().map(|path| Subject::open(path, &run)).collect::<Result<_>>()?;
    let lengths = lengths(&args, &subjects);
    let prompts = subjects.iter().map(|subject| subject.prompt(lengths)).collect::<Result<Vec<_>>>()?;
    let mut batches: Vec<Batch<'_>> = subjects.iter().map(|subject| Batch::new(&subject.opened.model)).collect();
    let mut round = |index: usize| subjects[index].round(&prompts[index], lengths, &mut batches[index]);
    for index in 0..subjects.len() {
        round(index)?;
    }
    let mut rounds: Vec<Vec<Round>> = subjects.iter().map(|_| vec![]).collect();
    for turn in 0..args.repeats {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        order.rotate_left(turn % subjects.len());
        for index in order {
            rounds[index].push(round(index)?);
        }
    }

    let models = subjects.iter().zip(&rounds).map(|(subject, rounds)| Measured::of(subject, rounds, lengths));
    let findings = Findings {
        itera_version: env!("CARGO_PKG_VERSION"),
        threads: rayon::current_num_threads(),
        simd: simd::level().name(),
        exact: run.exact,
        prompt_tokens: lengths.prompt_tokens,
        tokens: lengths.tokens,
        streams: lengths.streams,
        repeats: args.repeats,
        // before the probes of the roofs take memory of their own
        peak_resident_bytes: peak_resident_bytes(),
        models: models.collect::<Result<_>>()?,
        ratios: match rounds.as_slice() {
            [first, second] => Some(Ratios::of(first, second)),
            _ => None,
        },
    };
    output::show(&findings, args.json, Findings::print)
}

/// What was asked for, as far as every model has room for it.
fn lengths(args: &BenchModel, subjects: &[Subject]) -> Lengths {
    let asked = (args.prompt_tokens, args.tokens);
    let fitting = subjects.iter().fold(asked, |(prompt, tokens), subject| subject.opened.model.fit(prompt, tokens));
    if fitting != asked {
        say!("note: contexts have room for a prompt of {} tokens and {} after it", fitting.0, fitting.1);
    }
    Lengths { prompt_tokens: fitting.0, tokens: fitting.1, streams: args.streams }
}

/// The time of all tokens of one text.
fn text_time(round: &Round) -> Duration {
    round.text.per_token.iter().sum()
}

impl Measured {
    fn of(subject: &Subject, rounds: &[Round], lengths: Lengths) -> Result<Self> {
        let model = &subject.opened.model;
        let per_s = |tokens: usize, time: fn(&Round) -> Duration| {
            Spread::of(rounds.iter().map(|round| tokens as f64 / time(round).as_secs_f64()))
        };
        let tokens_per_s = per_s(lengths.tokens, text_time);
        Ok(Self {
            path: subject.opened.name(),
            file_bytes: Listing::of(&subject.opened.path)?.file_bytes,
            total_params: model.config().total_params(),
            active_params: model.config().active_params(),
            load_ms: Spread::of(rounds.iter().map(|round| ms(round.load))),
            prefill_tokens_per_s: per_s(lengths.prompt_tokens, |round| round.prefill),
            first_token_ms: Spread::of(rounds.iter().map(|round| ms(round.text.first_token))),
            token_us: TokenTimes::of(rounds.iter().flat_map(|round| &round.text.per_token)),
            tokens_per_s,
            streams_tokens_per_s: per_s(lengths.tokens * lengths.streams, |round| round.streams),
            roofline: Roofline::of(model, lengths.prompt_tokens + lengths.tokens / 2, tokens_per_s.median),
        })
    }
}

impl TokenTimes {
    fn of<'a>(times: impl Iterator<Item = &'a Duration>) -> Self {
        let mut us: Vec<f64> = times.map(|time| 1e3 * ms(*time)).collect();
        us.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| us[((us.len() - 1) as f64 * share).round() as usize];
        Self { median: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

impl Ratios {
    fn of(first: &[Round], second: &[Round]) -> Self {
        let ratio = |time: fn(&Round) -> Duration| {
            let turns = first.iter().zip(second);
            Spread::of(turns.map(|(first, second)| time(second).as_secs_f64() / time(first).as_secs_f64()))
        };
        Self {
            load: ratio(|round| round.load),
            prefill: ratio(|round| round.prefill),
            first_token: ratio(|round| round.text.first_token),
            token: ratio(text_time),
            streams: ratio(|round| round.streams),
        }
    }
}

impl Findings {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let exact = if self.exact { ", exact activations" } else { "" };
        writeln!(out, "machine     {} threads, SIMD {}{exact}", self.threads, self.simd)?;
        for model in &self.models {
            model.print(out, self)?;
        }
        if let Some(ratios) = &self.ratios {
            writeln!(out, "\nthe first model to the second, {} turns; above 1 the first is faster", self.repeats)?;
            let Ratios { load, prefill, first_token, token, streams } = ratios;
            let rows = [
                ("load", load),
                ("prefill", prefill),
                ("first token", first_token),
                ("token", token),
                ("streams", streams),
            ];
            for (name, Spread { median, min, max }) in rows {
                writeln!(out, "{name:11} {median:.2}; {min:.2} to {max:.2}")?;
            }
        }
        match self.peak_resident_bytes {
            Some(bytes) => writeln!(out, "\nmemory      {:.1} MB at most", bytes as f64 / 1e6),
            None => writeln!(out, "\nmemory      unknown: the system does not tell"),
        }
    }
}

impl Measured {
    fn print(&self, out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
        let Findings { prompt_tokens, tokens, streams, repeats, .. } = findings;
        let Self { load_ms, first_token_ms, token_us, tokens_per_s, roofline, .. } = self;
        writeln!(out)?;
        writeln!(out, "model       {}, {:.3} MB", self.path, self.file_bytes as f64 / 1e6)?;
        writeln!(out, "            {} parameters, {} active a token", self.total_params, self.active_params)?;
        writeln!(out, "load        {:.2} ms; {:.2} to {:.2}", load_ms.median, load_ms.min, load_ms.max)?;
        let Spread { median, min, max } = self.prefill_tokens_per_s;
        writeln!(out, "prefill     {median:.0} tokens/s, {prompt_tokens} tokens; {min:.0} to {max:.0}")?;
        let Spread { median, min, max } = first_token_ms;
        writeln!(out, "first token {median:.3} ms after the prompt's ids; {min:.3} to {max:.3}")?;
        let Spread { median, min, max } = tokens_per_s;
        writeln!(out, "decode      {median:.0} tokens/s, {repeats} times {tokens} tokens; {min:.0} to {max:.0}")?;
        let TokenTimes { median, p99, max } = token_us;
        writeln!(out, "            {median:.2} µs a token, 99 % within {p99:.2}, all within {max:.2}")?;
        let Spread { median, min, max } = self.streams_tokens_per_s;
        writeln!(out, "streams     {median:.0} tokens/s, {streams} texts at once; {min:.0} to {max:.0}")?;
        writeln!(out, "            {:.2} times one text", median / tokens_per_s.median)?;
        writeln!(
            out,
            "must        {:.1} KB and {:.3} MFLOP a token, one text at position {}",
            roofline.bytes_per_token as f64 / 1e3,
            roofline.flops_per_token as f64 / 1e6,
            roofline.position
        )?;
        writeln!(
            out,
            "roof        {:.0} tokens/s: {:.1} GB/s over as many bytes, {:.1} GFLOP/s in f32, one thread",
            roofline.tokens_per_s, roofline.reading_gb_per_s, roofline.peak_f32_gflops
        )?;
        writeln!(out, "            {:.1} % of it reached", 100.0 * roofline.share)
    }
}
