//! `itera generate`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use itera_checkpoint::OpenedModel;
use itera_model::{Continuation, Sampler, SamplingConfig, generate};
use itera_tokenizer::{TextStream, TokenId};

use crate::{args, setup};

pub fn run(args: args::Generate) -> Result<ExitCode> {
    let prompts = prompts(&args)?;
    let device = setup::device_of(&args.device)?;
    let opened = itera_checkpoint::open_model(&args.path, &device)?;
    let sampling = SamplingConfig {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        repetition_penalty: args.repetition_penalty,
        seed: args.seed,
    };
    let mut stdout = io::stdout().lock();
    for (index, prompt) in prompts.iter().enumerate() {
        let sampler = Sampler::new(sampling.clone(), index as u64);
        if args.json {
            let mut text = String::new();
            let ids = complete(&opened, prompt, &args, sampler, |piece| {
                text.push_str(piece);
                Ok(())
            })?;
            writeln!(stdout, "{}", serde_json::json!({ "prompt": prompt, "text": text, "ids": ids }))?;
        } else {
            write!(stdout, "{prompt}")?;
            complete(&opened, prompt, &args, sampler, |piece| {
                write!(stdout, "{piece}")?;
                stdout.flush()
            })?;
            writeln!(stdout)?;
            if index + 1 < prompts.len() {
                writeln!(stdout)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn prompts(args: &args::Generate) -> Result<Vec<String>> {
    let mut prompts = args.prompt.clone();
    if let Some(path) = &args.prompts_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        prompts.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
        if prompts.is_empty() {
            bail!("{} holds no prompt: write one a line", path.display());
        }
    }
    if prompts.is_empty() {
        prompts.push(String::new());
    }
    Ok(prompts)
}

/// Continue `prompt`, giving `write` the text piece by piece; returns the ids chosen.
fn complete(
    opened: &OpenedModel,
    prompt: &str,
    args: &args::Generate,
    mut sampler: Sampler,
    mut write: impl FnMut(&str) -> io::Result<()>,
) -> Result<Vec<u32>> {
    let tokenizer = &opened.tokenizer;
    let eos = tokenizer.eos();
    let ids: Vec<u32> = [eos].into_iter().chain(tokenizer.encode(prompt)).map(|id| id.0).collect();
    let mut text = StopText::new(&args.stop);
    let mut stream = TextStream::new(tokenizer);
    let mut result = Ok(());
    let chosen = generate(&opened.model, &ids, args.max_tokens, &mut sampler, |id| {
        if id == eos.0 {
            return Continuation::Done;
        }
        let (piece, stopped) = text.push(&stream.push(TokenId(id)));
        result = write(&piece);
        if stopped || result.is_err() { Continuation::Done } else { Continuation::More }
    });
    result?;
    if !text.stopped {
        let (piece, stopped) = text.push(&stream.finish());
        write(&piece)?;
        if !stopped {
            write(&text.held)?;
        }
    }
    Ok(chosen)
}

/// Lets text through up to the first stop string, holding back what may be the beginning of one.
struct StopText<'a> {
    stops: &'a [String],
    held: String,
    stopped: bool,
}

impl<'a> StopText<'a> {
    fn new(stops: &'a [String]) -> Self {
        Self { stops, held: String::new(), stopped: false }
    }

    /// The text that may be shown now, and whether a stop string ended it.
    fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let stops = self.stops.iter().filter(|stop| !stop.is_empty());
        if let Some(at) = stops.clone().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.stopped = true;
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let keep = stops.map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let shown = self.held.len() - keep;
        let held = self.held.split_off(shown);
        (std::mem::replace(&mut self.held, held), false)
    }
}

/// Bytes at the end of `text` that are the beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let prefixes = stop.char_indices().map(|(at, _)| at).skip(1);
    prefixes.filter(|&len| text.ends_with(&stop[..len])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|s| s.to_string()).collect();
        let mut text = StopText::new(&stops);
        let mut shown = String::new();
        for piece in pieces {
            let (piece, stopped) = text.push(piece);
            shown.push_str(&piece);
            if stopped {
                return (shown, true);
            }
        }
        (shown + &text.held, false)
    }

    #[test]
    fn text_ends_before_the_first_stop_string_however_it_is_cut() {
        for pieces in [&["The end. More"][..], &["The ", "end", ". More"], &["T", "he e", "nd.", " More"]] {
            assert_eq!(through(&["end."], pieces), ("The ".into(), true));
            assert_eq!(through(&["end.", "he"], pieces), ("T".into(), true));
        }
    }

    #[test]
    fn text_without_a_stop_string_comes_through_whole() {
        assert_eq!(through(&["end."], &["The en", "dless é", "en"]), ("The endless éen".into(), false));
        assert_eq!(through(&["", "é!"], &["é", "é"]), ("éé".into(), false));
    }
}
