//! `itera eval --pairs` and `--retrieval`: what vectors are worth
//!
//! ```text
//! score, text, text ─ cosine ─ Spearman, Pearson
//! text, text ─ of all second texts the ten nearest to the first ─ recall, in every storage and number of dimensions
//! ```

use std::{
    collections::HashMap,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Instant,
};

use anyhow::Result;
use indicatif::ProgressBar;
use itera_vectors::{Index, Storage, cosine, pearson, prefixes, spearman};
use serde::Serialize;

use crate::{
    embedder::{EmbedArgs, Embedder, Pairs},
    opened::RunArgs,
    output,
    ranks::Team,
    shares::share_out,
};

/// How well cosines agree with scores that people gave.
#[derive(Serialize)]
struct Agreement {
    model: String,
    pairs: usize,
    dims: usize,
    /// Absent where all scores, or all cosines, are the same.
    spearman: Option<f64>,
    pearson: Option<f64>,
    texts_per_s: f64,
}

/// How well second texts are found by first ones.
#[derive(Serialize)]
struct Retrieval {
    model: String,
    queries: usize,
    texts: usize,
    rows: Vec<Row>,
}

/// One way to keep vectors.
#[derive(Serialize)]
struct Row {
    storage: Storage,
    dims: usize,
    /// Of a text, all that is kept of its vector.
    vector_bytes: usize,
    /// Queries whose own text is among the ten nearest.
    recall_at_10: f64,
    /// Of the ten nearest by all dimensions in f32, how many are among the ten.
    kept_at_10: f64,
    queries_per_s: f64,
}

const NEAREST: usize = 10;

/// What is scored, and by whom.
pub struct Scored<'a> {
    pub model: &'a Path,
    pub embed: &'a EmbedArgs,
    pub run: &'a RunArgs,
    pub team: Option<&'a Team<'a>>,
    /// Whether to print JSON.
    pub json: bool,
}

/// Vectors of some texts and of others, [n, d] each, and how many were made a second. Ranks share them out.
fn vectors(
    embedder: &mut Embedder,
    &Scored { run, team, .. }: &Scored<'_>,
    [first, second]: [&[String]; 2],
) -> Result<(Vec<f32>, Vec<f32>, f64)> {
    let began = Instant::now();
    let (path, dims, texts) = (embedder.path.clone(), embedder.dims, [first, second].concat());
    let all = share_out(team, &path, run, &texts, dims * size_of::<f32>(), |texts| {
        let bar = ProgressBar::new(texts.len() as u64);
        let vectors = embedder.embed(texts, &bar)?;
        bar.finish_and_clear();
        Ok(vectors.iter().flat_map(|number| number.to_le_bytes()).collect())
    })?;
    let per_s = texts.len() as f64 / began.elapsed().as_secs_f64();
    let mut first_vectors: Vec<f32> = all.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let second_vectors = first_vectors.split_off(first.len() * dims);
    Ok((first_vectors, second_vectors, per_s))
}

pub fn pairs(scored: &Scored<'_>, file: &Path) -> Result<ExitCode> {
    let pairs = Pairs::read(file, true)?;
    let mut embedder = Embedder::open(scored.model, scored.embed, scored.run)?;
    let (first, second, texts_per_s) = vectors(&mut embedder, scored, [&pairs.first, &pairs.second])?;
    let dims = embedder.dims;
    let each = first.chunks_exact(dims).zip(second.chunks_exact(dims));
    let cosines: Vec<f64> = each.map(|(first, second)| cosine(first, second)).collect();
    let found = Agreement {
        model: scored.model.display().to_string(),
        pairs: pairs.first.len(),
        dims,
        spearman: spearman(&cosines, &pairs.scores),
        pearson: pearson(&cosines, &pairs.scores),
        texts_per_s,
    };
    output::show_once(scored.team, &found, scored.json, Agreement::print)
}

impl Agreement {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let told = |found: Option<f64>| found.map_or("none: a list is constant".into(), |found| format!("{found:.5}"));
        writeln!(out, "model            {}", self.model)?;
        writeln!(out, "pairs            {}", self.pairs)?;
        writeln!(out, "dims             {}", self.dims)?;
        writeln!(out, "spearman         {}", told(self.spearman))?;
        writeln!(out, "pearson          {}", told(self.pearson))?;
        writeln!(out, "texts/s          {:.0}", self.texts_per_s)
    }
}

pub fn retrieval(scored: &Scored<'_>, file: &Path) -> Result<ExitCode> {
    let pairs = Pairs::read(file, false)?;
    // a text that is the answer of several queries is one text
    let mut places: HashMap<String, usize> = HashMap::new();
    let answers: Vec<usize> = pairs
        .second
        .iter()
        .map(|text| {
            let next = places.len();
            *places.entry(text.clone()).or_insert(next)
        })
        .collect();
    let mut seen = 0;
    let texts: Vec<String> = (pairs.second.iter().zip(&answers))
        .filter(|(_, place)| {
            let is_new = **place == seen;
            seen += usize::from(is_new);
            is_new
        })
        .map(|(text, _)| text.clone())
        .collect();
    let mut embedder = Embedder::open(scored.model, scored.embed, scored.run)?;
    let d = embedder.dims;
    let (queries, vectors, _) = vectors(&mut embedder, scored, [&pairs.first, &texts])?;

    let exact = Index::new(Storage::F32, &prefixes(&vectors, d, d), d);
    let whole = prefixes(&queries, d, d);
    let expected: Vec<Vec<usize>> = whole.chunks_exact(d).map(|query| exact.nearest(query, NEAREST)).collect();
    let mut rows = Vec::new();
    for dims in [d, d / 2, d / 4].into_iter().filter(|dims| *dims > 0) {
        let (queries, vectors) = (prefixes(&queries, d, dims), prefixes(&vectors, d, dims));
        for storage in Storage::ALL {
            let index = Index::new(storage, &vectors, dims);
            let began = Instant::now();
            let found: Vec<Vec<usize>> =
                queries.chunks_exact(dims).map(|query| index.nearest(query, NEAREST)).collect();
            let seconds = began.elapsed().as_secs_f64();
            let hits = found.iter().zip(&answers).filter(|(found, answer)| found.contains(answer)).count();
            let kept =
                |(found, expected): (&Vec<usize>, &Vec<usize>)| found.iter().filter(|at| expected.contains(at)).count();
            let kept: usize = found.iter().zip(&expected).map(kept).sum();
            let of: usize = expected.iter().map(Vec::len).sum();
            rows.push(Row {
                storage,
                dims,
                vector_bytes: storage.vector_bytes(dims),
                recall_at_10: hits as f64 / answers.len() as f64,
                kept_at_10: kept as f64 / of as f64,
                queries_per_s: answers.len() as f64 / seconds,
            });
        }
    }
    let found =
        Retrieval { model: scored.model.display().to_string(), queries: answers.len(), texts: texts.len(), rows };
    output::show_once(scored.team, &found, scored.json, Retrieval::print)
}

impl Retrieval {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "model    {}", self.model)?;
        writeln!(out, "queries  {} among {} texts", self.queries, self.texts)?;
        writeln!(out)?;
        writeln!(
            out,
            "{:18} {:>5} {:>11} {:>12} {:>10} {:>10}",
            "storage", "dims", "bytes/text", "recall at 10", "kept", "queries/s"
        )?;
        for Row { storage, dims, vector_bytes, recall_at_10, kept_at_10, queries_per_s } in &self.rows {
            let (recall, kept) = (format!("{:.1} %", 100.0 * recall_at_10), format!("{:.1} %", 100.0 * kept_at_10));
            writeln!(
                out,
                "{:18} {dims:>5} {vector_bytes:>11} {recall:>12} {kept:>10} {queries_per_s:>10.0}",
                storage.name()
            )?;
        }
        Ok(())
    }
}
