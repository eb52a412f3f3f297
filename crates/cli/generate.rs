//! `itera generate`
//!
//! ```text
//! prompts → texts, as many at once as a batch takes → the first of them piece by piece, then the next …
//! ```

use std::{
    collections::VecDeque,
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use itera_runtime::{Batch, Completion, Sampler, SamplingConfig, Text};
use itera_tokenizer::Tokenizer;
use serde::Serialize;

use crate::{
    args::count,
    hints::with_hint,
    opened::{self, Opened, RunArgs},
    output,
    talk::say,
};

/// Texts that are written at once.
const TEXTS: usize = 64;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera generate runs/quickstart --prompt \"Once upon a time\"
  itera generate quickstart.gguf --min-p 0.1
  itera generate runs/quickstart -p \"The dog\" -p \"The cat\" --temperature 0
  itera generate runs/quickstart --prompts-file prompts.txt --json --stop \"The end.\"
  echo \"Once upon a time\" | itera generate runs/quickstart --prompts-file - -n -1 --seed -1

A JSON object says why the text ended: \"finish_reason\" is \"stop\" or \"length\"; \"stop_type\" is \"eos\" (the model ended
it), \"word\" (a --stop text), \"limit\" (--max-tokens) or \"context\" (the model's context is full).")]
pub struct Args {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
    pub path: PathBuf,
    /// Text to continue (may be given again).
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Vec<String>,
    /// File with one prompt a line; - is standard input.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub prompts_file: Option<PathBuf>,
    /// Most tokens to write; -1 writes until the model ends the text or its context is full.
    #[arg(short = 'n', long, value_name = "N", default_value = "200", value_parser = max_tokens)]
    pub max_tokens: usize,
    /// Divide the logits by this; 0 always takes the most likely token.
    #[arg(short, long, value_name = "T", default_value_t = 0.8, value_parser = temperature)]
    pub temperature: f64,
    /// Keep the k most likely tokens; 0 keeps all.
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = count::<usize>)]
    pub top_k: usize,
    /// Keep the fewest most likely tokens that hold this much probability.
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = top_p)]
    pub top_p: f64,
    /// Keep tokens at least this likely, relative to the most likely one; 0 keeps all.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = min_p)]
    pub min_p: f64,
    /// Make tokens that are already in the text less likely; 1 is off.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = repetition_penalty)]
    pub repetition_penalty: f64,
    /// Seed of the random choices; -1 draws one and prints it.
    #[arg(long, value_name = "N", default_value = "42", value_parser = seed)]
    pub seed: Seed,
    /// Stop before this text (may be given again).
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Never let the model end a text.
    #[arg(long)]
    pub ignore_eos: bool,
    /// Print one JSON object for each prompt, when its text is done.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Clone, Copy, Debug)]
pub enum Seed {
    Random,
    Fixed(u64),
}

fn seed(text: &str) -> Result<Seed, String> {
    match text {
        "-1" => Ok(Seed::Random),
        _ => text.parse().map(Seed::Fixed).map_err(|_| "expected a whole number from 0, or -1 for a random one".into()),
    }
}

fn max_tokens(text: &str) -> Result<usize, String> {
    match text {
        "-1" => Ok(usize::MAX),
        _ => text.parse().map_err(|_| "expected a whole number from 0, or -1 for no limit".into()),
    }
}

fn temperature(text: &str) -> Result<f64, String> {
    within(text, 0.0..=1e3, "a number from 0 (greedy) to 1000")
}

fn top_p(text: &str) -> Result<f64, String> {
    within(text, f64::MIN_POSITIVE..=1.0, "a probability above 0 and at most 1")
}

fn min_p(text: &str) -> Result<f64, String> {
    within(text, 0.0..=1.0, "a share from 0 (off) to 1")
}

fn repetition_penalty(text: &str) -> Result<f64, String> {
    within(text, 0.01..=100.0, "a factor from 0.01 to 100, where 1 is off")
}

fn within(text: &str, range: RangeInclusive<f64>, what: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| format!("expected {what}"))
}

/// A text that is done.
#[derive(Serialize)]
struct Line<'a> {
    prompt: &'a str,
    #[serde(flatten)]
    completion: Completion,
    seed: u64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let prompts = prompts(&args)?;
    let opened = opened::open(&args.path, &args.run)?;
    let sampling = args.sampling(&opened);
    let mut waiting = (0..).zip(prompts.iter().map(String::as_str));
    let mut texts: VecDeque<(&str, Text<'_>)> = VecDeque::new();
    let mut batch = Batch::new(&opened.model);
    let mut out = io::stdout().lock();
    // of the first text, whether any was shown; of all of them, how many were
    let (mut is_begun, mut shown, mut failed) = (false, 0, None);
    loop {
        while failed.is_none()
            && texts.len() < TEXTS
            && let Some((index, prompt)) = waiting.next()
        {
            match Text::new(&opened.model, &opened.tokenizer, prompt) {
                Ok(text) => {
                    say_unknown(&opened.tokenizer, prompt);
                    let text = text.with_sampler(Sampler::new(&sampling, index)).with_max_tokens(args.max_tokens);
                    texts.push_back((prompt, text.with_stops(&args.stop)));
                }
                // told when those before it are done
                Err(error) => failed = Some(error),
            }
        }
        if texts.is_empty() {
            return failed.map_or(Ok(ExitCode::SUCCESS), |error| Err(error.into()));
        }
        batch.step(texts.iter_mut().map(|(_, text)| text));
        while let Some((prompt, text)) = texts.front_mut() {
            if !args.json {
                if !is_begun {
                    write!(out, "{}{prompt}", if shown > 0 { "\n" } else { "" })?;
                }
                is_begun = true;
                write!(out, "{}", text.piece())?;
                out.flush()?;
            }
            if text.finish_reason().is_none() {
                break;
            }
            if let Some((prompt, text)) = texts.pop_front() {
                match args.json {
                    true => output::line(
                        &Line { prompt, completion: text.into_completion(), seed: sampling.seed },
                        &mut out,
                    )?,
                    false => writeln!(out)?,
                }
            }
            (is_begun, shown) = (false, shown + 1);
        }
    }
}

impl Args {
    fn sampling(&self, opened: &Opened) -> SamplingConfig {
        let seed = match self.seed {
            Seed::Fixed(seed) => seed,
            Seed::Random => {
                // the keys of a hash map are the system's own random numbers; as short as llama.cpp's seeds
                let seed = u64::from(RandomState::new().build_hasher().finish() as u32);
                say!("seed {seed}");
                seed
            }
        };
        let excluded = if self.ignore_eos { opened.model.ends(&opened.tokenizer) } else { vec![] };
        SamplingConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            logit_bias: excluded.into_iter().map(|id| (id, f32::NEG_INFINITY)).collect(),
            seed,
        }
    }
}

/// Say what of a prompt the model does not see.
fn say_unknown(tokenizer: &Tokenizer, prompt: &str) {
    /// Characters that are named.
    const SHOWN: usize = 20;
    let (characters, n_bytes) = tokenizer.unknown_in(prompt);
    if n_bytes == 0 {
        return;
    }
    let shown: Vec<String> = characters.iter().take(SHOWN).map(|character| format!("{character:?}")).collect();
    let more = characters.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let bytes = if n_bytes == 1 { "byte" } else { "bytes" };
    say!("the model has no token for {n_bytes} {bytes} of the prompt, of {}{more}", shown.join(", "));
}

fn prompts(args: &Args) -> Result<Vec<String>> {
    let mut prompts = args.prompt.clone();
    if let Some(path) = &args.prompts_file {
        let (name, text) = match path == Path::new("-") {
            true => ("standard input".into(), io::read_to_string(io::stdin())),
            false => (path.display().to_string(), fs::read_to_string(path)),
        };
        let text = text.with_context(|| format!("cannot read {name}"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        prompts.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
        if prompts.is_empty() {
            return Err(with_hint(format!("{name} holds no prompt"), "write one a line"));
        }
    }
    if prompts.is_empty() {
        prompts.push(String::new());
    }
    Ok(prompts)
}
