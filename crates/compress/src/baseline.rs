//! path → the run to compress: its model, data and configuration

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use itera_checkpoint::{find_model, run_of};
use itera_config::Config;
use itera_data::Dataset;
use itera_files::{Sha256Digest, failed_to};
use itera_formats::{Listing, hf::read_model_dir};
use itera_metrics::read_records;
use itera_shape::NamedTensor;
use itera_tokenizer::Tokenizer;

use crate::{
    candidate::Candidate,
    design::Design,
    error::{CompressError, Result},
    maturity::Maturity,
    names::require_unicode,
};

/// A trained run.
pub struct Baseline {
    /// The checkpoint whose weights are compressed.
    pub dir: PathBuf,
    /// The directory of the run, as it was given where that is the run itself.
    pub run: PathBuf,
    /// The last part of the run's directory.
    pub name: String,
    /// What the run was trained with, and stages train with where they do not differ.
    pub config: Config,
    /// What the run was trained on.
    pub data: Arc<Dataset>,
    /// The weights in f32, in the order of the tensor table.
    pub parameters: Arc<[NamedTensor]>,
    /// Whether the run has learned what it can.
    pub maturity: Maturity,
    /// sha256 of the weights' file, in hexadecimal.
    pub weights_sha256: String,
    /// Bytes of `model.safetensors` as f32, which ratios are to.
    pub weights_bytes: u64,
}

impl fmt::Debug for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Baseline").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Baseline {
    /// The configuration of the run, or checkpoint of a run, at `path`, with changes (`table.key=value`).
    ///
    /// # Errors
    /// If it is no run, or the configuration is not valid.
    pub fn config(path: &Path, overrides: &[String]) -> Result<Config> {
        let (_, run) = locate(path)?;
        Ok(Config::load(&run.join("config.toml"), overrides)?)
    }

    /// The run, or checkpoint of a run, at `path`, under its [`Baseline::config`].
    ///
    /// # Errors
    /// If it is no run, damaged, or its data is not what it was.
    pub fn open(path: &Path, config: Config) -> Result<Self> {
        let (dir, run) = locate(path)?;
        let data = itera_data::prepare(&config)?;
        let tokenizer = Tokenizer::load_dir(&dir)?;
        let (expected, found) = (tokenizer.fingerprint(), data.tokenizer.fingerprint());
        if expected != found {
            return Err(CompressError::OtherData { path: dir, expected, found });
        }
        let model = read_model_dir(&dir)?;
        let weights = dir.join("model.safetensors");
        let bytes = fs::read(&weights).map_err(failed_to("read", &weights))?;
        let listed = Listing::of(&dir)?.tensors;
        let metrics = run.join("metrics.jsonl");
        let rows = if metrics.is_file() { read_records(&metrics)? } else { vec![] };
        let stored_bytes = listed.iter().map(|tensor| tensor.size_bytes).sum::<usize>();
        let wide_bytes = listed.iter().map(|tensor| size_of::<f32>() * tensor.n_params()).sum::<usize>();
        Ok(Self {
            name: run.file_name().unwrap_or(run.as_os_str()).to_string_lossy().into_owned(),
            maturity: Maturity::of(&rows, &config),
            dir,
            run: if path.canonicalize().is_ok_and(|path| path == run) { path.into() } else { run },
            data: Arc::new(data),
            parameters: model.tensors.into(),
            weights_sha256: Sha256Digest::of(&bytes).to_string(),
            // a run in bf16 writes half of it
            weights_bytes: (bytes.len() + wide_bytes - stored_bytes) as u64,
            config,
        })
    }

    /// The first `count` documents that the run holds out, at most half of all.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn held_out(&self, count: usize) -> Result<Vec<String>> {
        let valid = itera_data::load_corpus(&self.config.data)?.valid;
        let count = count.min(valid.len() / 2);
        Ok(valid[..count].iter().map(|document| document.text().to_owned()).collect())
    }

    /// What stages begin with.
    pub(crate) fn design(&self) -> Design {
        Design { config: self.config.clone(), data: self.data.clone() }
    }

    /// The run as the model before the first stage.
    pub(crate) fn candidate(&self) -> Candidate {
        Candidate { design: self.design(), parameters: self.parameters.clone() }
    }
}

/// The checkpoint at `path`, and the run that it is of.
fn locate(path: &Path) -> Result<(PathBuf, PathBuf)> {
    require_unicode(path)?;
    let dir = find_model(path)?;
    match run_of(&dir).filter(|run| run.join("config.toml").is_file()) {
        Some(run) => require_unicode(&run).map(|()| (dir, run)),
        None => Err(CompressError::NoRun { path: path.into() }),
    }
}
