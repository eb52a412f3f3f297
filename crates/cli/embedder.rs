//! path → what makes vectors of texts: an encoder of the BERT family, or a model of ours

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use indicatif::ProgressBar;
use itera_checkpoint::find_model;
use itera_formats::hf::is_encoder;
use itera_runtime::{Encoder, Pooling, RuntimeError, Workspace};

use crate::{
    args::count,
    hints::with_hint,
    opened::{self, Opened, RunArgs},
    setup,
};

/// How vectors are made.
#[derive(Clone, Debug, clap::Args)]
pub struct EmbedArgs {
    /// What becomes a vector: the mean of all tokens, the first or the last; if not given, what an encoder's directory says, or
    /// the mean.
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true)]
    pub pool: Option<Pool>,
    /// Keep the first so many numbers of each vector, and make its length 1 again; all if not given.
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub dims: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Pool {
    Mean,
    First,
    Last,
}

impl From<Pool> for Pooling {
    fn from(pool: Pool) -> Self {
        match pool {
            Pool::Mean => Self::Mean,
            Pool::First => Self::First,
            Pool::Last => Self::Last,
        }
    }
}

/// What makes vectors.
pub struct Embedder {
    maker: Maker,
    /// Numbers of a vector that are kept.
    pub dims: usize,
    /// The file or directory that it is made of.
    pub path: PathBuf,
    d: usize,
}

enum Maker {
    Encoder(Box<Encoder>),
    Own { opened: Box<Opened>, pooling: Pooling, work: Box<Workspace> },
}

impl Embedder {
    /// Opens the model that `path` means, on threads as `run` says.
    pub fn open(path: &Path, args: &EmbedArgs, run: &RunArgs) -> Result<Self> {
        let (maker, path, d) = if is_encoder(path) {
            setup::threads(run.threads)?;
            let encoder = Encoder::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            let encoder = match args.pool {
                Some(pool) => encoder.with_pooling(pool.into()),
                None => encoder,
            };
            let d = encoder.config().d_model;
            (Maker::Encoder(Box::new(encoder)), path.to_owned(), d)
        } else {
            let opened = opened::open(&find_model(path)?, run)?;
            let (d, work, path) =
                (opened.model.config().d_model, Box::new(opened.model.workspace()), opened.path.clone());
            let pooling = args.pool.map_or(Pooling::Mean, Pool::into);
            (Maker::Own { opened: Box::new(opened), pooling, work }, path, d)
        };
        match args.dims.unwrap_or(d) {
            dims if (1..=d).contains(&dims) => Ok(Self { maker, dims, path, d }),
            dims => Err(with_hint(format!("a vector of {dims} numbers is none of this model"), format!("it has {d}"))),
        }
    }

    /// The vectors of texts [n, dims]; `bar` moves by one a text.
    pub fn embed(&mut self, texts: &[String], bar: &ProgressBar) -> Result<Vec<f32>> {
        let whole = match &mut self.maker {
            Maker::Encoder(encoder) => encoder.embed(texts, &mut || bar.inc(1)),
            Maker::Own { opened, pooling, work } => {
                let mut all = Vec::with_capacity(texts.len() * self.d);
                for text in texts {
                    let tokens = [opened.tokenizer.bos()].into_iter().chain(opened.tokenizer.encode(text));
                    let vector = opened.model.embed(&tokens.collect::<Vec<_>>(), *pooling, work);
                    all.extend(vector.map_err(|error| too_long(error, text))?);
                    bar.inc(1);
                }
                all
            }
        };
        Ok(if self.dims == self.d { whole } else { itera_vectors::prefixes(&whole, self.d, self.dims) })
    }
}

/// Which text it was, of several.
fn too_long(error: RuntimeError, text: &str) -> anyhow::Error {
    let begin: String = text.chars().take(40).collect();
    anyhow::Error::new(error).context(format!("cannot embed the text that begins {begin:?}"))
}

/// The lines of a file, or of standard input if it is `-`.
pub fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String>>> {
    let input: Box<dyn BufRead> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)),
    };
    let name = path.display().to_string();
    let line =
        move |(at, line): (usize, io::Result<String>)| line.with_context(|| format!("line {} of {name}", at + 1));
    Ok(input.lines().enumerate().map(line))
}

/// Texts and, where they have one, a score, of the rows of a file of columns between tabs.
pub struct Pairs {
    pub scores: Vec<f64>,
    pub first: Vec<String>,
    pub second: Vec<String>,
}

impl Pairs {
    /// Two texts a row; or three columns, a score before or behind them; or seven and more, those of the STS benchmark, score and
    /// texts the fifth to seventh.
    pub fn read(path: &Path, has_scores: bool) -> Result<Self> {
        let mut pairs = Self { scores: vec![], first: vec![], second: vec![] };
        for (at, line) in lines(path)?.enumerate() {
            let line = line?;
            let columns: Vec<&str> = line.trim_end_matches('\r').split('\t').collect();
            let number = |column: &str| column.trim().parse::<f64>().ok().filter(|score| score.is_finite());
            let (score, first, second) = match columns[..] {
                [""] => continue,
                [first, second] => (None, first, second),
                [a, b, c] => match number(a) {
                    Some(score) => (Some(score), b, c),
                    None => (number(c), a, b),
                },
                [_, _, _, _, score, first, second, ..] => (number(score), first, second),
                _ => (None, "", ""),
            };
            if (has_scores && score.is_none()) || (first.is_empty() && second.is_empty()) {
                let what = if has_scores { "two texts and a score" } else { "two texts" };
                let problem = format!("line {} of {} is not {what}", at + 1, path.display());
                return Err(with_hint(
                    problem,
                    "columns are between tabs: score, text, text; or those of the STS benchmark",
                ));
            }
            pairs.scores.extend(score);
            pairs.first.push(first.to_owned());
            pairs.second.push(second.to_owned());
        }
        if pairs.first.len() < 2 {
            return Err(with_hint(format!("{} has fewer than two pairs", path.display()), "a pair is a line"));
        }
        Ok(pairs)
    }
}
