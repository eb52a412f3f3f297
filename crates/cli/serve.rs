//! `itera serve`

use std::{
    fs,
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Error, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::ProgressBar;
use itera_checkpoint::{find_model, run_of};
use itera_runtime::{Activations, OpenOptions};
use itera_serve::{FeedbackOptions, LogTarget, ModelSource, NewKey, Origin, Replayed, Role, ServeOptions, Server};

use crate::{
    args::{at_least_one, count},
    failure,
    hints::with_hint,
    listen::{ListenArgs, Places},
    setup, signals,
    systemd::{self, Phase},
    talk::say,
};

/// Bytes of feedback that are kept.
const FEEDBACK_BYTES: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera serve runs/quickstart
  itera serve tiny=runs/tiny small=tiny-int4.gguf --port 9000
  curl http://127.0.0.1:8000/v1/completions -d '{\"model\": \"quickstart\", \"prompt\": \"Once upon\", \"max_tokens\": 40}'
  curl http://127.0.0.1:8000/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Tell me a story\"}]}'

  (umask 077; itera serve --new-key alice >> keys)      the key itself is shown once, on standard error
  itera serve runs/quickstart --host 0.0.0.0 --keys keys
  curl http://127.0.0.1:8000/v1/models -H \"Authorization: Bearer $KEY\"

  itera serve runs/quickstart --host 0.0.0.0 --keys keys --tls-cert fullchain.pem --tls-key privkey.pem
  curl --cacert root.pem https://models.example.org:8000/v1/models -H \"Authorization: Bearer $KEY\"

  itera serve runs/quickstart --record log/
  itera serve runs/quickstart --replay log/            the same requests have the same answers, or it says which do not

  itera serve --repository models/ --memory 256 --cache 16     as many at once as fit in 256 MiB
  itera serve --repository models/ --load tiny --load small:2  these are there before anybody asks

  itera serve runs/quickstart --access-log - | jq 'select(.status != 200)'

The bytes of an answer depend on the model and the request alone: not on other requests, threads or load. A request
without a seed has seed 42, as `itera generate` has.

SIGTERM and SIGINT (Ctrl-C) answer what was taken in, for --drain seconds at most, and exit with 0; a second one ends at
once. SIGHUP reads --keys, --tls-cert and --tls-key again, and opens --access-log anew.

systemd may hand sockets over, of TCP and Unix (LISTEN_FDS): then these are served alone, and --host, --port and --unix are
refused. It is told when the server is ready, reads its files again, and ends (NOTIFY_SOCKET).")]
pub struct Args {
    /// Models: runs, checkpoints, Hugging Face directories of the family or GGUF files, each with the name that requests
    /// call it by, which is by default that of its run or file.
    #[arg(required_unless_present_any = ["new_key", "repository"], value_name = "[NAME=]PATH")]
    pub models: Vec<String>,
    /// A directory of more models, loaded when they are asked for: NAME.gguf, NAME/ or, with versions, NAME/1/, NAME/2/ …
    #[arg(long, value_name = "DIR")]
    pub repository: Option<PathBuf>,
    /// Load this model of the repository at the start, as NAME or NAME:VERSION (may be given again); * loads all.
    #[arg(long, value_name = "NAME", requires = "repository")]
    pub load: Vec<String>,
    /// MiB that models may take together, with their states, buffers and caches: those that were not asked for for longest and
    /// have nothing to do make room for others.
    #[arg(long, value_name = "MIB", value_parser = at_least_one::<usize>)]
    pub memory: Option<usize>,
    /// Let requests load models, also anew, and put them away (/v2/repository/models/NAME/load and /unload).
    #[arg(long)]
    pub allow_load: bool,
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Worker threads; 0 uses every core. Answers do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count::<usize>)]
    pub threads: usize,
    /// Texts that a model writes at once.
    #[arg(long, value_name = "N", default_value_t = ServeOptions::default().texts, value_parser = at_least_one::<usize>)]
    pub max_batch: usize,
    /// Texts that may wait for a model; more are refused (429).
    #[arg(long, value_name = "N", default_value_t = ServeOptions::default().queued_texts, value_parser = at_least_one::<usize>)]
    pub max_queue: usize,
    /// MiB of states that a model keeps for prompts that begin alike; 0 keeps none. Answers do not depend on it.
    #[arg(long, value_name = "MIB", default_value_t = ServeOptions::default().cache_bytes >> 20, value_parser = count::<usize>)]
    pub cache: usize,
    /// Keep these states in this directory when a model ends, for when the same model begins again.
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Seconds after which a sequence of requests is forgotten that gets no further one.
    #[arg(long, value_name = "SECONDS", default_value_t = ServeOptions::default().sequence_idle.as_secs(), value_parser = at_least_one::<u64>)]
    pub sequence_idle: u64,
    /// Seconds in which open requests are answered after SIGTERM.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = count::<u64>)]
    pub drain: u64,
    /// Keep what is said of answers (POST /v1/feedback) in this file, a line of JSON each, up to 64 MiB.
    #[arg(long, value_name = "FILE")]
    pub feedback: Option<PathBuf>,
    /// Keep the texts of corrections too, not ratings alone.
    #[arg(long, requires = "feedback")]
    pub feedback_texts: bool,
    /// Answer those alone who send a key of this file, which has a name, a role and the SHA-256 of a key a line.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Let pages of this site ask and read answers: scheme, host and port (may be given again). Without it, browsers let none.
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<Origin>,
    /// Write a line of JSON for each request that has ended to this file, which SIGHUP opens anew; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,
    /// Tell a collector of OpenTelemetry of each request, by OTLP over HTTP at this URL, as http://127.0.0.1:4318/v1/traces.
    /// It needs a program that was built with the feature otlp.
    #[arg(long, value_name = "URL")]
    pub otlp_traces_endpoint: Option<String>,
    /// Keep each request, with a hash of its answer, in a new file of this directory, for --replay. Clients' texts are in it.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Ask again what is kept in this directory, or file, say which answers differ, and serve nothing.
    #[arg(long, value_name = "PATH", conflicts_with = "record")]
    pub replay: Option<PathBuf>,
    /// Make a key and serve nothing: print its line for --keys, and the key to standard error.
    #[arg(long, value_name = "NAME", conflicts_with = "models")]
    pub new_key: Option<String>,
    /// What the new key is for: to ask models, or to read /metrics too.
    #[arg(long, value_name = "ROLE", conflicts_with = "models", default_value_t = Role::Inference, value_parser = role())]
    pub role: Role,
    /// Exact activations, not rounded to 8 bits, for 8- and 4-bit weights, and f32, not bfloat16, for keys and values; slower.
    #[arg(long)]
    pub exact: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    if let Some(name) = &args.new_key {
        return new_key(name, args.role);
    }
    itera_kernels::memory::share_heaps();
    let mut places = args.listen.places()?;
    let mut stops = signals::Stops::new(args.has_files())?;
    setup::threads_apart(args.threads)?;
    let models: Vec<ModelSource> = args.models.iter().map(|model| source(model)).collect::<Result<_>>()?;
    let options = ServeOptions {
        addresses: places.addresses.clone(),
        texts: args.max_batch,
        queued_texts: args.max_queue,
        feedback: args.feedback.clone().map(|path| FeedbackOptions {
            path,
            most_bytes: FEEDBACK_BYTES,
            with_texts: args.feedback_texts,
        }),
        allow_origins: args.allow_origin.clone(),
        keys: args.keys.clone(),
        access_log: args.log_target(),
        record: args.record.clone(),
        cache_bytes: args.cache.saturating_mul(1 << 20),
        cache_dir: args.cache_dir.clone(),
        sequence_idle: Duration::from_secs(args.sequence_idle),
        repository: args.repository.clone(),
        load: args.load.clone(),
        open: OpenOptions { activations: args.exact.then_some(Activations::Exact), ..OpenOptions::default() },
        memory: args.memory.map(|mib| mib.saturating_mul(1 << 20)),
        may_load: args.allow_load,
        traces: args.otlp_traces_endpoint.clone(),
        ..ServeOptions::default()
    };
    if let Some(path) = &args.replay {
        return replay(models, &options, path);
    }
    let server = Server::start_on(mem::take(&mut places.sockets), models, &options)?;
    tell_of(server.fingerprints());
    for address in server.addresses() {
        say!("listening at {address}");
    }
    args.warn_of_readers();
    systemd::tell(Phase::Ready);
    stops.wait(|| {
        systemd::tell(Phase::Reloading);
        args.reload(&server, &places);
        systemd::tell(Phase::Ready);
    });
    systemd::tell(Phase::Stopping);
    say!("ending, when all is answered, in {} s at most", args.drain);
    stops.end_at_the_next();
    Ok(match server.drain(Duration::from_secs(args.drain)) {
        true => ExitCode::SUCCESS,
        false => {
            say!("not all was answered in {} s", args.drain);
            ExitCode::FAILURE
        }
    })
}

impl Args {
    fn log_target(&self) -> Option<LogTarget> {
        let path = self.access_log.as_ref()?;
        Some(if path.as_os_str() == "-" { LogTarget::Stdout } else { LogTarget::File(path.clone()) })
    }

    /// Whether there are files to read or open again.
    fn has_files(&self) -> bool {
        let has_log = matches!(self.log_target(), Some(LogTarget::File(_)));
        has_log || self.keys.is_some() || self.listen.private_key().is_some()
    }

    /// Open the access log again, and read the keys and the certificate again.
    fn reload(&self, server: &Server, places: &Places) {
        if let Err(error) = server.reopen_access_log() {
            failure::tell(&Error::from(error).context("the access log goes on where it was"));
        }
        if self.keys.is_some() {
            match server.reload_keys() {
                Ok(()) => say!("the keys are read again"),
                Err(error) => failure::tell(&Error::from(error).context("the keys stay what they were")),
            }
        }
        match places.reload() {
            None => {}
            Some(Ok(())) => say!("the certificate is read again"),
            Some(Err(error)) => failure::tell(&error.context("the certificate stays what it was")),
        }
        self.warn_of_readers();
    }

    /// Say so if others than its owner and its group may read the file of keys, or that of the private key.
    fn warn_of_readers(&self) {
        #[cfg(unix)]
        for keys in self.keys.iter().chain(self.listen.private_key()) {
            use std::os::unix::fs::PermissionsExt;
            if keys.metadata().is_ok_and(|found| found.permissions().mode() & 0o007 != 0) {
                say!("warning: others than its owner may read or write {}: chmod o= {0}", keys.display());
            }
        }
    }
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(|name| name.parse::<Role>())
}

/// Ask again what was recorded, file by file. Answers that differ are results.
fn replay(models: Vec<ModelSource>, options: &ServeOptions, path: &Path) -> Result<ExitCode> {
    let files = records(path)?;
    let mut lines = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        lines.extend(
            text.lines().enumerate().map(|(at, line)| (format!("{}:{}", file.display(), at + 1), line.to_owned())),
        );
    }
    let (places, lines): (Vec<String>, Vec<String>) = lines.into_iter().unzip();
    let bar = ProgressBar::new(lines.len() as u64);
    let (mut same, mut told, mut unreadable) = (0, vec![], 0);
    let mut places = places.into_iter();
    let fingerprints = itera_serve::replay(models, options, lines.into_iter(), |replayed| {
        bar.inc(1);
        let place = places.next().unwrap_or_default();
        match replayed {
            Replayed::Same => same += 1,
            Replayed::Differs { path, was, is } if was == is => told.push(format!("{place}  {path}  another answer")),
            Replayed::Differs { path, was, is } => told.push(format!("{place}  {path}  was {was}, is {is}")),
            Replayed::Unreadable => {
                say!("warning: {place} is no line of a record");
                unreadable += 1;
            }
        }
    })?;
    bar.finish_and_clear();
    tell_of(fingerprints);
    let mut out = io::stdout().lock();
    told.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    say!("{same} answers are the same, {} differ, {unreadable} lines could not be read", told.len());
    Ok(if told.is_empty() && same > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file, or those of a directory that end with .jsonl, the oldest first.
fn records(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.into()]);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.with_context(|| format!("cannot read {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "jsonl"));
    files.sort();
    match files.is_empty() {
        true => Err(with_hint(format!("{} has no records", path.display()), "`itera serve --record DIR` writes them")),
        false => Ok(files),
    }
}

/// Make a key: its line is a result, and the key itself is for eyes alone.
fn new_key(name: &str, role: Role) -> Result<ExitCode> {
    let NewKey { key, line } = NewKey::make(name, role)?;
    writeln!(io::stdout(), "{line}")?;
    say!("the key of {name}, which nothing keeps: {key}");
    Ok(ExitCode::SUCCESS)
}

/// Say which models are served.
fn tell_of(fingerprints: Vec<(String, String)>) {
    fingerprints.into_iter().for_each(|(name, fingerprint)| say!("{name}: {fingerprint}"));
}

/// The model that an argument names.
fn source(model: &str) -> Result<ModelSource> {
    let (name, path) = named(model)?;
    let path = find_model(&path)?;
    Ok(ModelSource::new(name.unwrap_or_else(|| name_of(&path)), path))
}

/// `name=path`, or a path alone, which may have an equals sign where something is there.
fn named(model: &str) -> Result<(Option<String>, PathBuf)> {
    match model.split_once('=') {
        Some((name, path)) if !Path::new(model).exists() => match name.is_empty() {
            true => Err(with_hint(format!("`{model}` has no name before ="), "write NAME=PATH")),
            false => Ok((Some(name.into()), path.into())),
        },
        _ => Ok((None, model.into())),
    }
}

/// The name of a run, of a directory, or of a file without its ending.
fn name_of(model: &Path) -> String {
    let path = model.canonicalize().unwrap_or_else(|_| model.into());
    let run = if model.is_dir() { run_of(model) } else { None };
    let name = match &run {
        Some(run) => run.file_name(),
        None if model.is_file() => path.file_stem(),
        None => path.file_name(),
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}
