//! `itera generate`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use itera_runtime::{CompletionConfig, Continuation, Sampler, SamplingConfig};

use crate::{args, opened};

pub fn run(args: args::Generate) -> Result<ExitCode> {
    let prompts = prompts(&args)?;
    let opened = opened::open(&args.path, &args.run)?;
    let sampling = SamplingConfig {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
        seed: args.seed,
    };
    let config = CompletionConfig { max_tokens: args.max_tokens, stop: args.stop };
    let mut work = opened.model.workspace();
    let mut stdout = io::stdout().lock();
    for (index, prompt) in prompts.iter().enumerate() {
        let mut sampler = Sampler::new(&sampling, index as u64);
        let mut complete = |each: &mut dyn FnMut(&str) -> io::Result<()>| {
            let mut shown = Ok(());
            let completion =
                opened.model.complete(&opened.tokenizer, prompt, &config, &mut sampler, &mut work, |piece| {
                    shown = each(piece);
                    if shown.is_ok() { Continuation::More } else { Continuation::Done }
                })?;
            shown?;
            anyhow::Ok(completion)
        };
        if args.json {
            let completion = complete(&mut |_| Ok(()))?;
            let object = serde_json::json!({ "prompt": prompt, "text": completion.text, "ids": completion.ids });
            writeln!(stdout, "{object}")?;
        } else {
            // a prompt that cannot be continued is not shown
            let mut before = prompt.as_str();
            complete(&mut |piece| {
                write!(stdout, "{}{piece}", std::mem::take(&mut before))?;
                stdout.flush()
            })?;
            writeln!(stdout, "{before}")?;
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
