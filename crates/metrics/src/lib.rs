//! What a run says about itself.
//!
//! ```text
//!              ┌→ MetricsWriter → metrics.jsonl, metrics.csv        one row a logged step
//! StepRecord ──┤
//!              └→ TensorBoard   → tensorboard/events.out.tfevents…
//! Report + all rows             → report.json, report.html          once, at the end
//! ```
//!
//! Every number comes from the run itself. What could not be measured is `null` in JSON and empty in CSV, and so
//! is a number that is not finite.

mod environment;
mod error;
mod git;
pub mod html;
mod layout;
mod limits;
mod memory;
mod record;
mod report;
mod signals;
mod tensorboard;
mod writer;

pub use environment::Environment;
pub use error::{MetricsError, Result};
pub use git::GitRevision;
pub use layout::ExpertLayout;
pub use limits::{CpuLimit, MemoryLimit, cpu_limit, memory_limit};
pub use memory::{peak_resident_bytes, resident_bytes};
pub use record::{StepRecord, TIMING_COLUMNS};
pub use report::{Best, Report, Sample, Totals};
pub use signals::ignores_signal;
pub use tensorboard::TensorBoard;
pub use writer::{MetricsWriter, read_records};
